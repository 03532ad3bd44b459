//! `vaultgram doctor`: tries each thing vaultgram depends on, and says what to do.

use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::audit::AuditFile;
use crate::broker::ports::{Clock, SecretStore, StoreHealth, SystemClock};
use crate::cli::DoctorArgs;
use crate::cli::exit::{Exit, Failure};
use crate::config::{Config, SocketConfig, TelegramConfig, VaultConfig};
use crate::coordination::LocalStore;
use crate::daemon::{load, settings};
use crate::http;
use crate::telegram::{self, FileSession};
use crate::vault::Store;

/// How long Vault may take to let us in.
const LOGIN: Duration = Duration::from_secs(10);

/// What was found about one dependency.
#[derive(Serialize)]
struct Finding {
    name: &'static str,
    ok: bool,
    /// What is so, or what is wrong and what to do.
    detail: String,
}

impl Finding {
    fn of<E: ToString>(name: &'static str, result: Result<String, E>) -> Self {
        let ok = result.is_ok();
        let detail = result.unwrap_or_else(|error| error.to_string());
        Self { name, ok, detail }
    }
}

/// Tries everything and prints what it found.
///
/// # Errors
/// When anything fails, after all was printed.
pub async fn doctor(arguments: &DoctorArgs, out: &mut dyn Write) -> Result<(), Failure> {
    let file = &arguments.config.config;
    let findings = match load(file) {
        Ok(config) => examine(config, file).await,
        Err(failure) => vec![Finding::of("configuration", Err(failure.what))],
    };
    let failed = findings.iter().filter(|finding| !finding.ok).count();
    print(&findings, arguments.json, out)
        .map_err(|error| Failure::new(Exit::CannotCreate, format!("standard output: {error}")))?;
    match failed {
        0 => Ok(()),
        1 => Err(Failure::new(Exit::Unavailable, "one check failed")),
        more => Err(Failure::new(
            Exit::Unavailable,
            format!("{more} checks failed"),
        )),
    }
}

async fn examine(config: Config, file: &Path) -> Vec<Finding> {
    let mut findings = vec![Finding::of::<String>(
        "configuration",
        Ok(format!("{} is correct", file.display())),
    )];
    findings.push(Finding::of("vault", vault(config.vault).await));
    // A broker that runs holds its files; then its socket answers, and the files are in order.
    let running = match &config.socket {
        Some(socket) => tokio::net::UnixStream::connect(&socket.path).await.is_ok(),
        None => false,
    };
    if let Some(socket) = config.socket {
        findings.push(Finding::of("socket", examine_socket(socket, running)));
    }
    if running {
        let detail = "in use by the vaultgram that runs".to_owned();
        for name in ["telegram", "audit", "state"] {
            findings.push(Finding::of::<String>(name, Ok(detail.clone())));
        }
        return findings;
    }
    if let Some(telegram) = config.telegram {
        findings.push(Finding::of("telegram", examine_telegram(telegram).await));
    }
    let shown = config.audit.file.display().to_string();
    let audit = match AuditFile::open(settings::audit(config.audit)) {
        Ok(audit) => audit.close().await.map_err(|error| error.to_string()),
        Err(error) => Err(error.to_string()),
    };
    findings.push(Finding::of(
        "audit",
        audit.map(|()| format!("{shown} can be written")),
    ));
    let shown = config.state.file.display().to_string();
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let state = match LocalStore::open(config.state.file, clock) {
        Ok(state) => state.close().await.map_err(|error| error.to_string()),
        Err(error) => Err(error.to_string()),
    };
    findings.push(Finding::of(
        "state",
        state.map(|()| format!("{shown} can be written")),
    ));
    findings
}

/// Signs in to Vault, and out again where the token is our own.
async fn vault(config: VaultConfig) -> Result<String, String> {
    let address = config.address.clone();
    let store = Arc::new(Store::new(settings::vault(config)).map_err(|error| error.to_string())?);
    let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
    let (keeper, stopped) = (Arc::clone(&store), stop.clone());
    tasks.spawn(async move { keeper.run(stopped).await });
    tasks.close();
    let ready = async {
        loop {
            let health = store.health().await;
            if matches!(health, StoreHealth::Ready { .. }) {
                return health;
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    };
    let health = match tokio::time::timeout(LOGIN, ready).await {
        Ok(health) => health,
        Err(_) => store.health().await,
    };
    stop.cancel();
    tasks.wait().await;
    match health {
        StoreHealth::Ready { version } => Ok(format!("{address} is ready (version {version})")),
        StoreHealth::LoggedOut { reason } => Err(format!("{address} does not let us in: {reason}")),
        StoreHealth::Sealed => Err(format!(
            "{address} is sealed; unseal it: bao operator unseal"
        )),
        StoreHealth::Uninitialized => {
            Err(format!("{address} is not initialised: bao operator init"))
        }
        StoreHealth::Unreachable => Err(format!(
            "{address} does not answer; check VAULT_ADDR or [vault] address, and the network"
        )),
    }
}

fn examine_socket(config: SocketConfig, running: bool) -> Result<String, String> {
    let shown = config.path.display().to_string();
    if running {
        return Ok(format!("{shown} answers"));
    }
    match http::bind(&settings::socket(config)) {
        Ok(_) => Ok(format!("{shown} can be made")),
        Err(error) => Err(error.to_string()),
    }
}

async fn examine_telegram(config: TelegramConfig) -> Result<String, String> {
    let session = FileSession::open(&config.session).map_err(|error| error.to_string())?;
    let account = telegram::probe(&Arc::new(session), config.api_id, config.request_timeout)
        .await
        .map_err(|error| error.to_string())?;
    let people = config.allowed_users.len();
    Ok(format!(
        "signed in as {account}, listens to {people} people"
    ))
}

fn print(findings: &[Finding], json: bool, out: &mut dyn Write) -> std::io::Result<()> {
    if json {
        serde_json::to_writer(&mut *out, &serde_json::json!({ "checks": findings }))?;
        return writeln!(out);
    }
    for finding in findings {
        let mark = if finding.ok { "ok" } else { "FAIL" };
        // Several mistakes of one kind come a line each.
        let detail = finding.detail.replace('\n', "\n                     ");
        writeln!(out, "{mark:<5} {:<14} {detail}", finding.name)?;
    }
    Ok(())
}

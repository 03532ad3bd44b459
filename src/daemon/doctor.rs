//! `vaultgram doctor`: tries each thing vaultgram depends on, and says what to do.

use std::fmt::Write as _;
use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::api::Health;
use crate::audit::verify::{Damage, Demands, Flaw, VerifyError, verify_file, verify_files};
use crate::broker::ports::{Clock, SecretStore, StoreHealth, SystemClock};
use crate::cli::DoctorArgs;
use crate::cli::client::Socket;
use crate::cli::exit::{Exit, Failure};
use crate::config::{
    AuditConfig, Config, LimitsConfig, SocketConfig, StateConfig, TelegramConfig, VaultConfig,
};
use crate::coordination::{self, LocalStore};
use crate::daemon::serve::forbid_inspection;
use crate::daemon::signals::unless_stopped;
use crate::daemon::{
    UNSIGNED, application, check, doctor_etcd, doctor_https, github, load, people, session_key,
    settings,
};
use crate::http;
use crate::telegram::{self, FileSession, SessionError};
use crate::telemetry::metrics::{CHAT_LOCKED, DEVICES_LOOKED_AT, TELEGRAM_STATE};
use crate::vault::Store;

/// How long Vault may take to let us in.
const LOGIN: Duration = Duration::from_secs(10);

/// Longest time since the last look at the account's devices, in seconds.
const MAX_BLIND: i64 = 10 * 60;

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
    forbid_inspection()?;
    let file = &arguments.config.config;
    let findings = match load(file) {
        // It may ask for the key's passphrase, at a terminal that shows nothing meanwhile.
        Ok(config) => unless_stopped(Box::pin(async { Ok(examine(config, file).await) })).await?,
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
    let correct = format!("{} is correct", file.display());
    let mut findings = vec![Finding::of::<String>("configuration", Ok(correct))];
    findings.extend(examine_approvals(&config));
    // Whoever makes a file owns it: made by another user, it would keep the broker from starting.
    let ours = match &config.state {
        StateConfig::File(file) => file,
        StateConfig::Etcd(_) => &config.audit.file,
    };
    if let Err(problem) = examine_user(ours) {
        findings.push(Finding::of("vault", vault(config.vault, None).await));
        findings.push(Finding::of("user", Err(problem)));
        return findings;
    }
    let socket = config.sockets.first().map(|socket| socket.path.clone());
    let (state, running) = match config.state {
        StateConfig::File(file) => examine_state(file).await,
        StateConfig::Etcd(config) => {
            let running = socket.as_deref().is_some_and(http::is_listened_at);
            (doctor_etcd::examine(*config).await, running)
        }
    };
    let runs_at = running.then_some(socket.as_deref());
    findings.push(Finding::of("vault", vault(config.vault, runs_at).await));
    findings.push(Finding::of("state", state));
    let audit = config.audit;
    // It may be long, and a signal ends it all the same.
    let audit = tokio::task::spawn_blocking(move || examine_audit(&audit, running)).await;
    let audit = audit.map_err(|error| error.to_string()).flatten();
    findings.push(Finding::of("audit", audit));
    for socket in config.sockets {
        findings.push(Finding::of("socket", examine_socket(socket, running).await));
    }
    if let Some(https) = config.https {
        let found = doctor_https::examine(&https, running).await;
        findings.push(Finding::of("https", found));
        let issuers = doctor_https::examine_issuers(https).await.into_iter();
        findings.extend(issuers.map(|found| Finding::of("issuer", found)));
    }
    // What answers there has nothing to say to us.
    if let Some(credentials) = config.credentials.filter(|_| !running) {
        let found = examine_socket(credentials.socket, false).await;
        findings.push(Finding::of("credentials", found));
    }
    if let Some(socket) = socket.as_ref().filter(|_| running)
        && is_outdated(socket).await
    {
        let problem = "the vaultgram that runs goes by older policies than its files hold; its log \
                       says what is wrong, or: vaultgram policy validate";
        findings.push(Finding::of::<String>("policy", Err(problem.to_owned())));
    }
    if let Some(github) = config.github {
        // Read anew, for settings that hold secrets cannot be copied.
        let vault = load(file).ok().map(|config| config.vault);
        findings.push(Finding::of("github", github::examine(github, vault).await));
    }
    if let Some(telegram) = config.telegram {
        findings.push(Finding::of(
            "telegram",
            match socket {
                Some(socket) if running => ask_about_telegram(&socket).await,
                Some(_) | None => examine_telegram(telegram, file, running).await,
            },
        ));
    }
    findings
}

/// Whether those who are to approve something can, where anything is to be approved.
fn examine_approvals(config: &Config) -> Option<Finding> {
    let approvers = config.rules.policy.approvers().len();
    if approvers == 0 {
        return None;
    }
    let unheard = check::unheard(config);
    let found = match &config.telegram {
        Some(_) if unheard.is_empty() => Ok(format!("{} can approve", people(approvers))),
        Some(_) => Err(unheard.join("; ")),
        // They can still look.
        None => Ok(unheard.join("; ")),
    };
    Some(Finding::of("approvals", found))
}

/// Whether we are the user whose files these are.
fn examine_user(file: &Path) -> Result<(), String> {
    let folder = file.parent().unwrap_or(Path::new("/"));
    let owner = match std::fs::metadata(folder) {
        Ok(folder) => folder.uid(),
        Err(error) => return Err(format!("{}: {error}", folder.display())),
    };
    let us = rustix::process::geteuid().as_raw();
    if owner == us {
        return Ok(());
    }
    Err(format!(
        "{} belongs to user {owner}, and this is user {us}; run doctor as the user that \
         vaultgram runs as (sudo -u '#{owner}' vaultgram doctor)",
        folder.display()
    ))
}

/// The state, and whether a broker holds it.
async fn examine_state(file: PathBuf) -> (Result<String, String>, bool) {
    if !file.exists() {
        return (examine_folder(&file), false);
    }
    let shown = file.display().to_string();
    match LocalStore::open(file, Arc::new(SystemClock)) {
        Ok(state) => {
            let closed = state.close().await.map_err(|error| error.to_string());
            (closed.map(|()| format!("{shown} is sound")), false)
        }
        Err(coordination::OpenError::InUse(_)) => (
            Ok(format!("{shown} is in use by the vaultgram that runs")),
            true,
        ),
        Err(error) => (Err(error.to_string()), false),
    }
}

/// Whether a file that is not there yet can be made.
fn examine_folder(file: &Path) -> Result<String, String> {
    let folder = file.parent().unwrap_or(Path::new("/"));
    rustix::fs::access(folder, rustix::fs::Access::WRITE_OK)
        .map_err(|error| format!("{} cannot be written: {error}", folder.display()))?;
    Ok(format!(
        "{} will be made at the first start",
        file.display()
    ))
}

fn examine_audit(config: &AuditConfig, running: bool) -> Result<String, String> {
    let (file, shown) = (config.file.as_path(), config.file.display());
    let key = settings::audit_key(config)?;
    let signed = match &key {
        Some(key) => format!("; signed with key {}", key.public().id()),
        None => format!("; not signed: {UNSIGNED}"),
    };
    let signed = signed + &examine_sinks(config)?;
    if running {
        return Ok(format!(
            "{shown} is written by the vaultgram that runs{signed}"
        ));
    }
    if !file.exists() {
        return examine_folder(file).map(|text| text + &signed);
    }
    let demands = Demands {
        keys: key.iter().map(|key| key.public().clone()).collect(),
        ..Demands::default()
    };
    let sound = match verify_files(&[file.to_owned()], demands) {
        // Of a key it had before; `audit verify` takes several.
        Err((
            _,
            VerifyError::Flaw(Flaw {
                what: Damage::UnknownKey(_),
                ..
            }),
        )) => verify_file(file, None),
        checked => checked.map_err(|(_, error)| error),
    };
    let sound = sound.map_err(|error| format!("{shown}: {error}"))?;
    OpenOptions::new()
        .append(true)
        .open(file)
        .map_err(|error| format!("{shown} cannot be written: {error}"))?;
    Ok(format!(
        "{shown} is sound ({} records){signed}",
        sound.records
    ))
}

/// Whether somebody listens where each line goes too; what is said of those that may be away.
fn examine_sinks(config: &AuditConfig) -> Result<String, String> {
    let mut said = String::new();
    let sinks = [("journald", &config.journald), ("syslog", &config.syslog)];
    for (name, sink) in sinks {
        let Some(sink) = sink else { continue };
        let connected = UnixDatagram::unbound().and_then(|socket| socket.connect(&sink.path));
        let Err(error) = connected else { continue };
        let path = sink.path.display();
        if sink.required {
            return Err(format!(
                "{name} does not listen at {path}: {error}; have it run, or set mode = \
                 \"best_effort\" in [audit.{name}]"
            ));
        }
        write!(said, "; {name} does not listen at {path}").unwrap_or_default();
    }
    Ok(said)
}

/// Signs in to Vault, and out again where the token is our own. A wrapped secret id is left to the
/// vaultgram that runs; `runs_at` says whether one does, and on which socket.
#[expect(
    clippy::option_option,
    reason = "one that runs can be without a socket"
)]
async fn vault(config: VaultConfig, runs_at: Option<Option<&Path>>) -> Result<String, String> {
    let address = config.address.clone();
    let store = Arc::new(Store::new(settings::vault(config)).map_err(|error| error.to_string())?);
    let wrapped = store.examine_wrapped().await;
    let health = match &wrapped {
        None => sign_in(&store).await,
        Some(_) => store.health().await,
    };
    let warning = store
        .warning()
        .map(|text| format!("; {text}"))
        .unwrap_or_default();
    match health {
        StoreHealth::Ready(serving) => {
            let drift = serving.drift_warning();
            let drift = drift.map_or_else(String::new, |text| format!("; {text}"));
            let token = match serving.token_left {
                Some(left) => format!("for {} s", left.as_secs()),
                None => "without end".to_owned(),
            };
            Ok(format!(
                "{address} is ready (version {}), token {token}{warning}{drift}",
                serving.version
            ))
        }
        StoreHealth::LoggedOut { reason } => match wrapped {
            Some(_) if let Some(socket) = runs_at => {
                if let Some(socket) = socket {
                    ask_about_vault(socket).await?;
                }
                Ok(format!(
                    "{address} answers{warning}; the wrapped secret id is the running vaultgram's own"
                ))
            }
            Some(Ok(())) => Ok(format!(
                "{address} answers{warning}; the wrapped secret id is good, and left for \
                 `vaultgram serve` to unwrap"
            )),
            Some(Err(reason)) => Err(format!("{address} does not let us in: {reason}")),
            None => Err(format!("{address} does not let us in: {reason}")),
        },
        StoreHealth::Sealed => Err(format!(
            "{address} is sealed; unseal it: bao operator unseal"
        )),
        StoreHealth::Uninitialized => {
            Err(format!("{address} is not initialised: bao operator init"))
        }
        StoreHealth::Unreachable { reason } => Err(format!(
            "{address} does not answer: {reason}; check VAULT_ADDR or [vault] address, and the \
             network"
        )),
    }
}

/// How it is after one try to sign in: Vault locks a user out after several.
async fn sign_in(store: &Arc<Store>) -> StoreHealth {
    let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
    let (keeper, stopped) = (Arc::clone(store), stop.clone());
    tasks.spawn(async move { keeper.run(stopped).await });
    tasks.close();
    store.first_login(LOGIN).await;
    let health = store.health().await;
    stop.cancel();
    tasks.wait().await;
    health
}

async fn examine_socket(config: SocketConfig, running: bool) -> Result<String, String> {
    let shown = config.path.display().to_string();
    if running {
        let answer = Socket::at(&config.path).get("/v1/sys/health").await;
        let answer = answer.map_err(|failure| format!("{shown}: {}", failure.what))?;
        return Ok(format!(
            "{shown} answers (health {})",
            answer.status.as_u16()
        ));
    }
    if http::is_listened_at(&config.path) {
        return Ok(format!(
            "{shown} is held by another process, such as systemd, which starts vaultgram when \
             somebody connects (systemctl list-sockets shows it)"
        ));
    }
    settings::bind(config, LimitsConfig::default(), None).map(|_| format!("{shown} can be made"))
}

async fn examine_telegram(
    config: TelegramConfig,
    file: &Path,
    running: bool,
) -> Result<String, String> {
    if running {
        return Ok("the session is in use by the vaultgram that runs".to_owned());
    }
    if !config.session.exists() {
        return Err(SessionError::Missing(config.session).to_string());
    }
    let key = session_key::required(&config.session_key).await;
    let key = key.map_err(|failure| failure.what)?;
    let session = FileSession::open(&config.session, key).map_err(|error| error.to_string())?;
    let application = application::resolve(&config.application, file).await;
    let api_id = application.map_err(|failure| failure.what)?.id;
    let reach = settings::reach(&config);
    let account = telegram::probe(&Arc::new(session), api_id, &reach)
        .await
        .map_err(|error| error.to_string())?;
    let people = people(config.allowed_users.len());
    Ok(format!("signed in as {account}, listens to {people}"))
}

/// What the broker that runs says of Vault: it alone can sign in.
async fn ask_about_vault(socket: &Path) -> Result<(), String> {
    let answer = Socket::at(socket).get("/v1/sys/health").await;
    let answer = answer.map_err(|failure| failure.what)?;
    let health: Option<Health> = serde_json::from_slice(&answer.body).ok();
    match health.as_ref().map(|health| health.store.as_str()) {
        Some("ready") => Ok(()),
        Some("logged out") => Err(
            "the vaultgram that runs is logged out; its log says why; wrap a new secret id, give it \
             as VAULT_WRAPPED_SECRET_ID and restart vaultgram"
                .to_owned(),
        ),
        Some(_) | None => Err(
            "Vault answers here, but not to the vaultgram that runs; its log says why".to_owned(),
        ),
    }
}

/// Whether the broker that runs could not take the policies in its files.
async fn is_outdated(socket: &Path) -> bool {
    let answer = Socket::at(socket).get("/v1/sys/health").await.ok();
    let health = answer.and_then(|answer| serde_json::from_slice::<Health>(&answer.body).ok());
    health.is_some_and(|health| health.policy == "outdated")
}

/// What the broker that runs says of its connection, in its metrics.
async fn ask_about_telegram(socket: &Path) -> Result<String, String> {
    let answer = Socket::at(socket)
        .get("/v1/sys/metrics?format=prometheus")
        .await;
    let answer = answer.map_err(|failure| failure.what)?;
    let text = String::from_utf8_lossy(&answer.body);
    let locked = text.lines().any(|line| line == format!("{CHAT_LOCKED} 1"));
    let begin = format!("{TELEGRAM_STATE}{{state=\"");
    let state = text
        .lines()
        .find_map(|line| line.strip_prefix(&begin)?.strip_suffix("\"} 1"));
    match state {
        Some("connected") if locked => Err(
            "chat is locked, because a new device signed in to the account; look at it in \
             Telegram (Settings, Devices), then run: vaultgram unlock"
                .to_owned(),
        ),
        Some("connected") if is_blind(&text, SystemClock.now().unix_timestamp()) => Err(
            "the account's devices could not be looked at for 10 minutes, so a new one would go \
             unnoticed; look in Telegram (Settings, Devices); the log says why"
                .to_owned(),
        ),
        Some("connected") => Ok("connected, says the vaultgram that runs".to_owned()),
        Some("signed_out") => Err(
            "Telegram does not accept the session any more (ended from another device, or used by \
             two processes); run `vaultgram logout --local` and `vaultgram login`, and restart vaultgram"
                .to_owned(),
        ),
        Some(other) => Err(format!(
            "{other}, says the vaultgram that runs; its log says why; check the network and \
             [telegram] proxy"
        )),
        None => Err(
            "the vaultgram that runs is not connected: it waits for Vault to have the application's \
             keys, as its log says, or [telegram] is new in the configuration, and it must be \
             restarted"
                .to_owned(),
        ),
    }
}

/// Whether the watchdog's last look was too long before `now`, in unix seconds. Without any look
/// there is none to judge by: a bot has no devices, and a broker that has just begun is early.
fn is_blind(metrics: &str, now: i64) -> bool {
    let looked = metrics.lines().find_map(|line| {
        let at = line.strip_prefix(DEVICES_LOOKED_AT)?.trim();
        at.parse::<i64>().ok()
    });
    looked.is_some_and(|at| now - at > MAX_BLIND)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_look_at_the_devices_can_be_too_long_ago() {
        let text = format!("# HELP {DEVICES_LOOKED_AT} x\n{DEVICES_LOOKED_AT} 1700000000\n");
        assert!(!is_blind(&text, 1_700_000_000 + MAX_BLIND));
        assert!(is_blind(&text, 1_700_000_001 + MAX_BLIND));
        assert!(!is_blind("", 1_700_000_000));
    }
}

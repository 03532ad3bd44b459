//! The application's id and hash, where Vault has them: read once, at the start.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use zeroize::Zeroizing;

use crate::broker::ports::{Clock, SecretStore, StoreError, StoreHealth, SystemClock};
use crate::cli::exit::{Exit, Failure};
use crate::config::{ApplicationConfig, VaultConfig};
use crate::daemon::{load_account, settings};
use crate::domain::caller::UnixPeer;
use crate::domain::group::Groups;
use crate::domain::policy_load::PolicySource;
use crate::domain::{
    Action, Caller, Decision, Delivery, Permit, Policy, Request, RequestId, Secret, SecretPath,
    SecretValue, Target,
};
use crate::telegram::login::Application;
use crate::vault::Store;

/// How long Vault may take to let us in and answer.
const LIMIT: Duration = Duration::from_secs(30);

/// The application that `config` says; `file` is where the configuration is, for Vault.
///
/// # Errors
/// When Vault does not have it, or not in time.
pub(super) async fn resolve(
    config: &ApplicationConfig,
    file: &Path,
) -> Result<Application, Failure> {
    match config {
        ApplicationConfig::Known { id, hash } => Ok(Application {
            id: *id,
            hash: text(hash),
        }),
        ApplicationConfig::InVault(path) => {
            // Read anew, for settings that hold secrets cannot be copied.
            let vault = load_account(file)?.0.vault;
            let vault = vault.ok_or_else(|| unavailable(path, "Vault is not configured"))?;
            let secret = read(vault, path).await?;
            from_secret(&secret).ok_or_else(|| {
                let what = format!(
                    "{path} in Vault must have the fields api_id, a number from 1, and api_hash; \
                     both are on my.telegram.org"
                );
                Failure::new(Exit::Config, what)
            })
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "Telegram wants to see the hash")]
fn text(hash: &SecretValue) -> Zeroizing<String> {
    Zeroizing::new(String::from_utf8_lossy(hash.expose_secret()).into_owned())
}

/// Signs in to Vault, reads, and signs out again.
async fn read(config: VaultConfig, path: &SecretPath) -> Result<Secret, Failure> {
    let permit = permit(&config, path)?;
    let store = Store::new(settings::vault(config));
    let store = Arc::new(store.map_err(|error| Failure::new(Exit::Config, error))?);
    let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
    let (keeper, stopped) = (Arc::clone(&store), stop.clone());
    tasks.spawn(async move { keeper.run(stopped).await });
    tasks.close();
    let reading = async {
        while !matches!(store.health().await, StoreHealth::Ready { .. }) {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        store.read(&permit).await
    };
    let result = tokio::time::timeout(LIMIT, reading).await;
    stop.cancel();
    tasks.wait().await;
    match result {
        Ok(Ok(secret)) => Ok(secret),
        Ok(Err(StoreError::NotFound)) => {
            let what = format!(
                "there is no {path} in Vault, where [telegram] keys looks for api_id and \
                 api_hash; write it: bao kv put {path} api_id=12345 api_hash=…"
            );
            Err(Failure::new(Exit::Config, what))
        }
        Ok(Err(error)) => Err(unavailable(path, error)),
        Err(_) => Err(unavailable(
            path,
            "no answer in time; `vaultgram doctor` says why",
        )),
    }
}

fn unavailable(path: &SecretPath, why: impl std::fmt::Display) -> Failure {
    let what = format!("{path} cannot be read from Vault: {why}");
    Failure::new(Exit::Unavailable, what)
}

/// A permission for this one path, to ourselves, by the same road as every other: policy.
fn permit(config: &VaultConfig, path: &SecretPath) -> Result<Permit, Failure> {
    let uid = rustix::process::geteuid().as_raw();
    let source = PolicySource {
        name: "own keys".to_owned(),
        text: format!(
            "permit(principal == UnixPeer::\"{uid}\", action == Action::\"read\", resource == Path::\"{path}\");"
        ),
    };
    let none = |error: &dyn std::fmt::Display| unavailable(path, error);
    let groups = Groups::new(&BTreeMap::new()).map_err(|error| none(&error))?;
    let policy = Policy::load(&[source], groups, &config.mounts).map_err(|error| none(&error))?;
    let request = Request {
        id: RequestId::Connection(0),
        caller: Caller::Unix(UnixPeer {
            uid,
            gid: rustix::process::getegid().as_raw(),
            pid: rustix::process::getpid().as_raw_nonzero().get(),
            executable: None,
        }),
        target: Target {
            path: path.clone(),
            field: None,
            version: None,
        },
        action: Action::Read(Delivery::Socket),
    };
    match policy.decide(&request, SystemClock.now()) {
        Decision::Allow(permit) => Ok(permit),
        Decision::Deny(_) => Err(unavailable(path, "the path is not one of [vault] mounts")),
    }
}

/// The two fields; `None` when one is missing or of another form.
fn from_secret(secret: &Secret) -> Option<Application> {
    let field = |name: &str| {
        let field = secret.fields.iter().find(|field| field.name == name)?;
        #[expect(clippy::disallowed_methods, reason = "the keys are put to use")]
        let json = field.json.expose_secret();
        // `bao kv put` makes a string of a number.
        let text: Option<String> = serde_json::from_slice(json).ok();
        let text = text.or_else(|| {
            let number: u32 = serde_json::from_slice(json).ok()?;
            Some(number.to_string())
        });
        text.map(Zeroizing::new)
    };
    let id = field("api_id")?.trim().parse().ok().filter(|id| *id > 0)?;
    let hash = field("api_hash").filter(|hash| !hash.trim().is_empty())?;
    Some(Application { id, hash })
}

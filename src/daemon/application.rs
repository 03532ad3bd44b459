//! The application's id and hash for the account's own commands, also where Vault has them.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use zeroize::Zeroizing;

use crate::broker::ports::{SecretStore, StoreError, StoreHealth};
use crate::cli::exit::{Exit, Failure};
use crate::config::{ApplicationConfig, KEYS_FORM, VaultConfig, api_hash, api_id};
use crate::daemon::{load_account, own_keys, settings};
use crate::domain::{Secret, SecretPath, SecretValue};
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
            let secret = read(vault, path).await.map_err(|unread| match unread {
                Unread::WorksOnce => unavailable(
                    path,
                    "VAULT_WRAPPED_SECRET_ID can be used only once, and is for `vaultgram serve`; \
                     set TELEGRAM_API_ID and TELEGRAM_API_HASH for this command",
                ),
                Unread::Missing => {
                    let what = format!(
                        "there is no {path} in Vault, where [telegram] keys looks for api_id and \
                         api_hash; write it: bao kv put {path} api_id=12345 api_hash=…"
                    );
                    Failure::new(Exit::Config, what)
                }
                Unread::Failed(why) => unavailable(path, why),
            })?;
            from_secret(&secret).ok_or_else(|| Failure::new(Exit::Config, malformed(path)))
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "Telegram wants to see the hash")]
fn text(hash: &SecretValue) -> Zeroizing<String> {
    Zeroizing::new(String::from_utf8_lossy(hash.expose_secret()).into_owned())
}

pub(super) fn malformed(path: &SecretPath) -> String {
    format!("{path} in Vault: {KEYS_FORM}")
}

/// Signs in to Vault, reads, and signs out again. Not on the audit's record, which the broker that
/// runs may be writing; Vault has it on its own.
pub(super) async fn read(config: VaultConfig, path: &SecretPath) -> Result<Secret, Unread> {
    if config.auth.works_once() {
        return Err(Unread::WorksOnce);
    }
    let permit = own_keys::permit(path, &config.mounts).map_err(Unread::Failed)?;
    let store = Store::new(settings::vault(config));
    let store = Arc::new(store.map_err(|error| Unread::Failed(error.to_string()))?);
    let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
    let (keeper, stopped) = (Arc::clone(&store), stop.clone());
    tasks.spawn(async move { keeper.run(stopped).await });
    tasks.close();
    let reading = async {
        while !matches!(store.health().await, StoreHealth::Ready(_)) {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        store.read(&permit).await
    };
    let result = tokio::time::timeout(LIMIT, reading).await;
    stop.cancel();
    tasks.wait().await;
    match result {
        Ok(Ok(secret)) => Ok(secret),
        Ok(Err(StoreError::NotFound)) => Err(Unread::Missing),
        Ok(Err(error)) => Err(Unread::Failed(error.to_string())),
        Err(_) => Err(Unread::Failed(
            "no answer in time; `vaultgram doctor` says why".to_owned(),
        )),
    }
}

/// Why something of ours cannot be read from Vault.
pub(super) enum Unread {
    /// What we would sign in with can be used only once, and is for `serve`.
    WorksOnce,
    /// There is no such secret.
    Missing,
    /// For this reason.
    Failed(String),
}

fn unavailable(path: &SecretPath, why: impl std::fmt::Display) -> Failure {
    let what = format!("{path} cannot be read from Vault: {why}");
    Failure::new(Exit::Unavailable, what)
}

/// The two fields; `None` when one is missing or of another form.
pub(super) fn from_secret(secret: &Secret) -> Option<Application> {
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
    let id = api_id(&field("api_id")?)?;
    let hash = api_hash(&field("api_hash")?)?;
    Some(Application { id, hash })
}

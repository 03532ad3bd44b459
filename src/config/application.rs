//! The application's id and hash: from the environment, a file, or Vault.

use std::path::Path;

use serde::Deserialize;
use zeroize::Zeroizing;

use crate::config::environment::Environment;
use crate::config::files::{self, Guard};
use crate::config::{MAX_FILE, Problems};
use crate::domain::{Mounts, SecretPath, SecretValue, Target};

/// The application that we are to Telegram, registered on my.telegram.org.
pub enum ApplicationConfig {
    /// Its id and hash.
    Known {
        /// `api_id`
        id: i32,
        /// `api_hash`, needed to sign in.
        hash: SecretValue,
    },
    /// Vault has them, as the fields `api_id` and `api_hash` of this secret.
    InVault(SecretPath),
}

/// `session_keys.json`, in the form the Telegram tutorials use.
#[derive(Deserialize)]
struct SessionKeys {
    api_id: i32,
    api_hash: String,
}

/// The environment's, else what `keys` names: `vault:PATH`, or a file.
pub(super) fn typed(
    keys: &Path,
    mounts: Option<&Mounts>,
    directory: &Path,
    environment: &Environment,
    problems: &mut Problems,
) -> Option<ApplicationConfig> {
    let in_vault = keys.to_str().and_then(|keys| keys.strip_prefix("vault:"));
    let known = |(id, hash)| ApplicationConfig::Known { id, hash };
    let found = match (from_environment(environment), in_vault) {
        (Ok(Some(keys)), _) => Ok(known(keys)),
        (Ok(None), Some(path)) => in_vault_at(path, mounts?).map(ApplicationConfig::InVault),
        (Ok(None), None) => from_file(&directory.join(keys)).map(known),
        (Err(problem), _) => Err(problem),
    };
    found.map_err(|problem| problems.elsewhere(problem)).ok()
}

/// `TELEGRAM_API_ID` and `TELEGRAM_API_HASH`.
fn from_environment(environment: &Environment) -> Result<Option<(i32, SecretValue)>, String> {
    let id = environment.text("TELEGRAM_API_ID")?;
    match (id, environment.get("TELEGRAM_API_HASH")?) {
        (Some(id), Some(hash)) => {
            let id = id.trim().parse().ok().filter(|id| *id > 0);
            let id = id.ok_or("TELEGRAM_API_ID is not a number from 1")?;
            Ok(Some((id, hash)))
        }
        (Some(_), None) => {
            Err("TELEGRAM_API_ID is set, TELEGRAM_API_HASH is not; set both".to_owned())
        }
        (None, Some(_)) => {
            Err("TELEGRAM_API_HASH is set, TELEGRAM_API_ID is not; set both".to_owned())
        }
        (None, None) => Ok(None),
    }
}

fn in_vault_at(path: &str, mounts: &Mounts) -> Result<SecretPath, String> {
    match mounts.parse(path) {
        Ok(Target {
            path,
            field: None,
            version: None,
        }) => Ok(path),
        Ok(_) => {
            Err("[telegram] keys: name the secret only, like \"vault:secret/telegram\"".to_owned())
        }
        Err(error) => Err(format!("[telegram] keys: {error}")),
    }
}

fn from_file(file: &Path) -> Result<(i32, SecretValue), String> {
    let name = file.display();
    let text = files::read_text(file, MAX_FILE, Guard::Owner)?.ok_or_else(|| {
        format!(
            "{name}: no such file; put {{\"api_id\": …, \"api_hash\": \"…\"}} from \
             my.telegram.org into it, or set TELEGRAM_API_ID and TELEGRAM_API_HASH"
        )
    })?;
    let keys: SessionKeys = serde_json::from_str(&text).map_err(|error| {
        format!(
            "{name}:{}:{}: not {{\"api_id\": 12345, \"api_hash\": \"…\"}}",
            error.line(),
            error.column()
        )
    })?;
    let hash = Zeroizing::new(keys.api_hash.trim().to_owned());
    if keys.api_id <= 0 || hash.is_empty() {
        return Err(format!(
            "{name}: api_id must be a number from 1, and api_hash not empty; both are on \
             my.telegram.org"
        ));
    }
    Ok((keys.api_id, SecretValue::new(hash.as_bytes().to_vec())))
}

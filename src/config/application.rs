//! The application's id and hash: from the environment, a file, or Vault.

use std::path::Path;

use serde::Deserialize;
use zeroize::Zeroizing;

use crate::config::environment::Environment;
use crate::config::files::{self, Guard};
use crate::config::{MAX_FILE, Problems};
use crate::domain::{Mounts, SecretPath, SecretValue, Target};

/// What an id and a hash must be, for messages that begin with where they are.
pub const KEYS_FORM: &str = "api_id must be a number from 1, and api_hash 32 hexadecimal digits; \
                             both are on my.telegram.org";

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

/// An `api_id` as it was written; `None` when it cannot be one.
#[must_use]
pub fn api_id(text: &str) -> Option<i32> {
    text.trim().parse().ok().filter(|id| *id > 0)
}

/// An `api_hash` as it was written, without the spaces around it; `None` when it cannot be one.
#[must_use]
pub fn api_hash(text: &str) -> Option<Zeroizing<String>> {
    let hash = text.trim();
    let possible = hash.len() == 32 && hash.bytes().all(|byte| byte.is_ascii_hexdigit());
    possible.then(|| Zeroizing::new(hash.to_owned()))
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
    let id = environment.sourced("TELEGRAM_API_ID")?;
    match (id, environment.sourced("TELEGRAM_API_HASH")?) {
        (Some((id, id_source)), Some((hash, hash_source))) => {
            let id = text(&id).and_then(api_id).ok_or_else(|| {
                format!("{id_source} is not a number from 1; api_id is on my.telegram.org")
            })?;
            let hash = text(&hash).and_then(api_hash).ok_or_else(|| {
                format!(
                    "{hash_source} is not 32 hexadecimal digits; api_hash is on my.telegram.org"
                )
            })?;
            Ok(Some((id, SecretValue::new(hash.as_bytes().to_vec()))))
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

#[expect(clippy::disallowed_methods, reason = "only its form is looked at")]
fn text(value: &SecretValue) -> Option<&str> {
    std::str::from_utf8(value.expose_secret()).ok()
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
    match api_hash(&keys.api_hash) {
        Some(hash) if keys.api_id > 0 => {
            Ok((keys.api_id, SecretValue::new(hash.as_bytes().to_vec())))
        }
        Some(_) | None => Err(format!("{name}: {KEYS_FORM}")),
    }
}

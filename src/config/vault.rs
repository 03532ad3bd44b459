//! The `[vault]` section.

use std::path::Path;
use std::time::Duration;

use crate::config::environment::Environment;
use crate::config::vault_tls::{self, VaultTls};
use crate::config::{Problems, raw};
use crate::domain::signs::is_invisible;
use crate::domain::{MountKind, Mounts, SecretValue};

/// The address a Vault has when nothing else is said.
const DEFAULT_ADDRESS: &str = "http://127.0.0.1:8200";

/// The secret store and how to sign in to it.
pub struct VaultConfig {
    /// Its address, `https://host:port`; checked by the client.
    pub address: String,
    /// Its address as people reach it, to be told with a wrapping token.
    pub public_address: Option<String>,
    /// Its namespace.
    pub namespace: Option<String>,
    /// Whom to trust on an `https://` address, and who to be there.
    pub tls: VaultTls,
    /// The mounts that may be asked for, and what is mounted there.
    pub mounts: Mounts,
    /// How to sign in.
    pub auth: VaultAuth,
    /// How long a wrapping token lives.
    pub wrap_ttl: Duration,
    /// How long one call may take.
    pub request_timeout: Duration,
}

/// How to sign in to Vault.
pub enum VaultAuth {
    /// With a token from `VAULT_TOKEN`.
    Token(SecretValue),
    /// With `AppRole`: the secret id comes from `VAULT_SECRET_ID`.
    AppRole {
        /// Where the auth method is mounted.
        mount: String,
        /// The role.
        role_id: String,
        /// The secret id.
        secret_id: SecretValue,
    },
}

/// The mounts, which the policies need too.
pub(super) fn mounts(raw: &raw::Vault, problems: &mut Problems) -> Option<Mounts> {
    let kinds = [
        (&raw.mounts, MountKind::Kv2),
        (&raw.mounts_v1, MountKind::Kv1),
        (&raw.engines, MountKind::Engine),
    ];
    let all = kinds
        .iter()
        .flat_map(|(names, kind)| names.iter().map(|name| (name.clone(), *kind)));
    let mounts = Mounts::of(all.collect());
    if mounts.is_none() {
        problems.push(
            "[vault] mounts, mounts_v1 and engines: name at least one mount, like mounts = \
             [\"secret\"], each once, without slashes at the ends, and none that Vault keeps to itself",
        );
    }
    mounts
}

pub(super) fn typed(
    raw: raw::Vault,
    mounts: Option<Mounts>,
    directory: &Path,
    environment: &Environment,
    problems: &mut Problems,
) -> Option<VaultConfig> {
    let mut text = |name: &str| match environment.text(name) {
        Ok(value) => value,
        Err(problem) => {
            problems.elsewhere(problem);
            None
        }
    };
    let address = text("VAULT_ADDR")
        .or(raw.address.clone())
        .unwrap_or(DEFAULT_ADDRESS.to_owned());
    let namespace = text("VAULT_NAMESPACE")
        .or(raw.namespace.clone())
        .filter(|text| !text.is_empty());
    let role_id = text("VAULT_ROLE_ID")
        .or(raw.role_id.clone())
        .filter(|text| !text.is_empty());
    let tls = vault_tls::typed(&raw, &address, directory, environment, problems);

    let speakable = |text: &String| text.len() <= 200 && !text.contains(is_invisible);
    if !raw.public_address.as_ref().is_none_or(speakable) {
        problems.push("[vault] public_address: an address of at most 200 characters");
    }
    if raw.request_timeout < Duration::from_millis(100)
        || raw.request_timeout > Duration::from_secs(25)
    {
        problems.push("[vault] request_timeout: must be from 100ms to 25s");
    }
    if raw.wrap_ttl < Duration::from_secs(10) || raw.wrap_ttl > Duration::from_hours(24) {
        problems.push("[vault] wrap_ttl: must be from 10s to 24h");
    }
    let auth = match raw.auth {
        raw::Auth::Token => secret("VAULT_TOKEN", environment, problems).map(VaultAuth::Token),
        raw::Auth::AppRole => {
            if role_id.is_none() {
                problems.push(
                    "[vault] role_id: missing; auth = \"approle\" needs it (or VAULT_ROLE_ID)",
                );
            }
            let secret_id = secret("VAULT_SECRET_ID", environment, problems);
            role_id
                .zip(secret_id)
                .map(|(role_id, secret_id)| VaultAuth::AppRole {
                    mount: raw.approle_mount,
                    role_id,
                    secret_id,
                })
        }
    };
    Some(VaultConfig {
        address,
        public_address: raw.public_address.filter(|text| !text.is_empty()),
        namespace,
        tls,
        mounts: mounts?,
        auth: auth?,
        wrap_ttl: raw.wrap_ttl,
        request_timeout: raw.request_timeout,
    })
}

fn secret(name: &str, environment: &Environment, problems: &mut Problems) -> Option<SecretValue> {
    match environment.get(name) {
        Ok(Some(value)) => Some(value),
        Ok(None) => {
            problems.tokens.push(format!(
                "{name} is not set; give it as the systemd credential or Docker secret \"{}\", \
                 as a file named by {name}_FILE, as the variable {name}, or in .env",
                name.to_lowercase()
            ));
            None
        }
        Err(problem) => {
            problems.tokens.push(problem);
            None
        }
    }
}

//! The `[vault]` section.

use std::path::Path;
use std::time::Duration;

use crate::config::environment::Environment;
use crate::config::vault_auth::{self, VaultAuth};
use crate::config::vault_tls::{self, VaultTls};
use crate::config::{Problems, raw};
use crate::domain::signs::is_invisible;
use crate::domain::{MountKind, Mounts};

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

/// The mounts, which the policies need too.
pub(super) fn mounts(raw: &raw::Raw, problems: &mut Problems) -> Option<Mounts> {
    let (raw, github) = (&raw.vault, &raw.github);
    let kinds = [
        (&raw.mounts, MountKind::Kv2),
        (&raw.mounts_v1, MountKind::Kv1),
        (&raw.engines, MountKind::Engine),
    ];
    let all = kinds
        .iter()
        .flat_map(|(names, kind)| names.iter().map(|name| (name.clone(), *kind)));
    let pipelines = github
        .iter()
        .map(|it| (it.mount.clone(), MountKind::Pipelines));
    let mounts = Mounts::of(all.chain(pipelines).collect());
    if mounts.is_none() {
        problems.push(
            "[vault] mounts, mounts_v1 and engines: name at least one mount, like mounts = \
             [\"secret\"], each once, without slashes at the ends, and none that Vault keeps to itself; \
             the mount of [github] is another",
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
    let tls = vault_tls::typed(&raw, &address, directory, environment, problems);
    let auth = vault_auth::typed(&raw, &tls, directory, environment, problems);

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

//! Whether a mount is of the kind the configuration says: version 1 answers some requests of
//! version 2, and means another thing.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde::Deserialize;
use tokio::time::Instant;
use tracing::warn;

use crate::broker::ports::StoreError;
use crate::domain::{MountKind, SecretPath};
use crate::vault::client::Client;
use crate::vault::kv::{failed, refusal};
use crate::vault::request::{Access, Request};

/// Refuses a path on a mount that is not KV version 2.
pub(super) async fn must_be_version_2(
    client: &Client,
    access: &Access,
    path: &SecretPath,
) -> Result<(), StoreError> {
    must_be(MountKind::Kv2, client, access, path).await
}

/// How long Vault's word on a mount is good: another can take its place.
const REMEMBERED: Duration = Duration::from_mins(5);

/// The mounts that Vault has said are what the configuration says, and when.
#[derive(Default)]
pub(super) struct Looked(Mutex<BTreeMap<String, Instant>>);

impl Looked {
    /// As [`must_be`], once in a while for each mount: for requests that mean another thing on a mount of
    /// another kind, and may succeed there.
    pub(super) async fn must_be(
        &self,
        kind: MountKind,
        client: &Client,
        access: &Access,
        path: &SecretPath,
    ) -> Result<(), StoreError> {
        let seen = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let asked = Instant::now();
        let good = |at: &Instant| asked.saturating_duration_since(*at) < REMEMBERED;
        if seen().get(path.mount()).is_some_and(good) {
            return Ok(());
        }
        // A dead token is told nothing: that is no word on the mount.
        if check(kind, client, access, path).await? {
            seen().insert(path.mount().to_owned(), asked);
        }
        Ok(())
    }
}

/// Refuses a path on a mount of another kind. Supposed to be right where Vault does not say.
pub(super) async fn must_be(
    wanted: MountKind,
    client: &Client,
    access: &Access,
    path: &SecretPath,
) -> Result<(), StoreError> {
    check(wanted, client, access, path).await.map(|_| ())
}

/// As [`must_be`]; whether Vault did say.
async fn check(
    wanted: MountKind,
    client: &Client,
    access: &Access,
    path: &SecretPath,
) -> Result<bool, StoreError> {
    let Some(mounted) = look(client, access, path).await? else {
        return Ok(false);
    };
    let found = mounted.kind();
    if found == wanted {
        return Ok(true);
    }
    warn!(
        event = "vault.mount_unusable",
        mount = path.mount(),
        configured_in = setting(wanted),
        found = %mounted,
        advice = format!(
            "in vaultgram.toml, move it from {} of [vault] to {}, or take it out",
            setting(wanted),
            setting(found)
        )
    );
    Err(StoreError::WrongMount)
}

/// The setting that lists mounts of a kind.
fn setting(kind: MountKind) -> &'static str {
    match kind {
        MountKind::Kv2 => "mounts",
        MountKind::Kv1 => "mounts_v1",
        MountKind::Engine | MountKind::Pipelines => "engines",
    }
}

/// What Vault says is mounted there.
#[derive(Deserialize)]
struct Mounted {
    #[serde(rename = "type")]
    engine: String,
    options: Option<Options>,
}

#[derive(Deserialize)]
struct Options {
    version: Option<String>,
}

impl Mounted {
    fn kind(&self) -> MountKind {
        let options = self.options.as_ref();
        let version = options.and_then(|options| options.version.as_deref());
        match (self.engine.as_str(), version) {
            ("kv", Some("2")) => MountKind::Kv2,
            // What KV was called before it had versions.
            ("kv" | "generic", _) => MountKind::Kv1,
            _ => MountKind::Engine,
        }
    }
}

impl fmt::Display for Mounted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind() {
            MountKind::Kv2 => f.write_str("KV version 2"),
            MountKind::Kv1 => f.write_str("KV version 1"),
            MountKind::Engine | MountKind::Pipelines => f.write_str(&self.engine),
        }
    }
}

/// What `path` lies on; `None` where Vault does not say.
async fn look(
    client: &Client,
    access: &Access,
    path: &SecretPath,
) -> Result<Option<Mounted>, StoreError> {
    #[derive(Deserialize)]
    struct Envelope {
        data: Mounted,
    }
    let request = Request::get(&format_args!("sys/internal/ui/mounts/{path}"));
    let answer = client
        .call(access, request)
        .await
        .map_err(|failure| failed(&failure))?;
    match answer.status {
        200 => {}
        // Not for us to know, or a server that has no such request.
        403 | 404 => return Ok(None),
        _ => return Err(refusal(answer)),
    }
    let Envelope { data } =
        serde_json::from_slice(&answer.body).map_err(|_| StoreError::Invalid)?;
    Ok(Some(data))
}

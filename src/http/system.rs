//! The server itself: its mounts, its state and that of the store, and who the caller is.

use std::collections::BTreeMap;

use hyper::StatusCode;
use metrics::gauge;

use crate::api::{
    Envelope, Health, Initialized, Leader, MountInfo, PeerInfo, SealStatus, Twice, Unlocked,
};
use crate::broker::ports::{StoreError, StoreHealth};
use crate::domain::{Caller, MountKind, RequestId};
use crate::http::error::Refusal;
use crate::http::query::HealthCodes;
use crate::http::reply::{self, Reply};
use crate::http::vault_api::VaultApi;
use crate::telemetry::metrics::{
    CHAT_LOCKED, LEASES, VAULT_CLOCK_DRIFT, VAULT_READY, VAULT_STATE, VAULT_TOKEN_LEFT, render,
};

/// What stands for a cluster, a seal and a storage.
const NAME: &str = "vaultgram";

impl VaultApi {
    /// The mount `path` is in.
    pub(super) fn mount(
        &self,
        id: &RequestId,
        path: &str,
        or_default: bool,
    ) -> Result<Reply, Refusal> {
        let mounts = self.asker.broker.mounts();
        let found = mounts.split(path).map(|(mount, _)| mount);
        let fallback = || mounts.names().next().filter(|_| or_default);
        let Some(mount) = found.or_else(fallback) else {
            // Vault's words; `path` is checked, so it can be repeated.
            return Err(Refusal::new(
                StatusCode::FORBIDDEN,
                format!(
                    "preflight capability check returned 403, please ensure client's policies \
                     grant access to path \"{path}/\""
                ),
            ));
        };
        let info = mount_info(mount, mounts.kind(mount));
        Ok(reply::json(
            StatusCode::OK,
            &Envelope::new(id.to_string(), info),
        ))
    }

    /// All mounts.
    pub(super) fn mounts(&self, id: &RequestId) -> Reply {
        let mounts = self.asker.broker.mounts();
        let all = mounts.names();
        let all = all.map(|mount| (format!("{mount}/"), mount_info(mount, mounts.kind(mount))));
        let all: BTreeMap<_, _> = all.collect();
        let document = Twice {
            top: &all,
            envelope: Envelope::new(id.to_string(), &all),
        };
        reply::json(StatusCode::OK, &document)
    }

    /// The state of the store, with the statuses that were asked for.
    pub(super) async fn health(&self, codes: &HealthCodes) -> Reply {
        let health = self.asker.broker.store_health().await;
        let status = match health {
            StoreHealth::Ready(_) => codes.active,
            StoreHealth::Sealed => codes.sealed,
            StoreHealth::Uninitialized => codes.uninitialized,
            StoreHealth::LoggedOut { .. } | StoreHealth::Unreachable { .. } => {
                StatusCode::SERVICE_UNAVAILABLE
            }
        };
        let document = Health {
            initialized: health != StoreHealth::Uninitialized,
            // As Vault says of itself: what was never initialised is sealed too.
            sealed: matches!(health, StoreHealth::Sealed | StoreHealth::Uninitialized),
            standby: false,
            performance_standby: false,
            replication_performance_mode: "disabled".to_owned(),
            replication_dr_mode: "disabled".to_owned(),
            server_time_utc: self.asker.broker.now().unix_timestamp(),
            store: health.name().to_owned(),
            policy: match self.asker.broker.policy_news().borrow().problem {
                Some(_) => "outdated".to_owned(),
                None => "current".to_owned(),
            },
            version: version(health),
            cluster_name: NAME.to_owned(),
            cluster_id: String::new(),
        };
        reply::json(status, &document)
    }

    /// Whether the store is sealed, where that is known.
    pub(super) async fn seal_status(&self) -> Result<Reply, Refusal> {
        let health = self.asker.broker.store_health().await;
        let (initialized, sealed) = seals(&health)?;
        let status = SealStatus {
            kind: NAME.to_owned(),
            initialized,
            sealed,
            version: version(health),
            cluster_name: NAME.to_owned(),
            storage_type: NAME.to_owned(),
            ..SealStatus::default()
        };
        Ok(reply::json(StatusCode::OK, &status))
    }

    /// Whether the store was ever initialised, where that is known.
    pub(super) async fn initialized(&self) -> Result<Reply, Refusal> {
        let (initialized, _) = seals(&self.asker.broker.store_health().await)?;
        Ok(reply::json(StatusCode::OK, &Initialized { initialized }))
    }

    /// Whoever can connect may read them: there is nothing of anybody in them.
    pub(super) async fn metrics(&self) -> Reply {
        measure(&self.asker.broker.store_health().await);
        let leases = u32::try_from(self.asker.broker.lease_count()).unwrap_or(u32::MAX);
        gauge!(LEASES).set(f64::from(leases));
        // Taken for locked where nobody can tell: then nothing is answered in chat either.
        let locked = self.asker.broker.chat_locked().await.unwrap_or(true);
        gauge!(CHAT_LOCKED).set(f64::from(u8::from(locked)));
        reply::metrics(render())
    }

    /// For who is privileged.
    pub(super) async fn unlock(&self, id: &RequestId, caller: &Caller) -> Result<Reply, Refusal> {
        let peer = match caller {
            Caller::Unix(peer) if is_privileged(caller) => peer,
            Caller::Telegram(_) | Caller::Unix(_) | Caller::Job(_) => {
                tracing::warn!(event = "socket.unlock_refused", request = %id, %caller);
                return Err(Refusal::denied());
            }
        };
        let was_locked = self.asker.broker.unlock_chat(id, peer).await.map_err(|error| {
            tracing::error!(event = "socket.unlock_failed", request = %id, error = error.name());
            Refusal::from(&error)
        })?;
        tracing::warn!(
            event = "socket.chat_unlocked",
            request = %id,
            uid = peer.uid,
            pid = peer.pid,
            was_locked
        );
        let document = Envelope::new(id.to_string(), Unlocked { was_locked });
        Ok(reply::json(StatusCode::OK, &document))
    }
}

/// Whether it is root, or the broker's own user: whoever they are could open the state itself.
pub(super) fn is_privileged(caller: &Caller) -> bool {
    match caller {
        Caller::Unix(peer) => peer.uid == 0 || peer.uid == rustix::process::geteuid().as_raw(),
        Caller::Telegram(_) | Caller::Job(_) => false,
    }
}

/// Whether the store was ever initialised, and is sealed: what was never initialised is both, as
/// Vault says of itself.
fn seals(health: &StoreHealth) -> Result<(bool, bool), Refusal> {
    match health {
        StoreHealth::Ready(_) => Ok((true, false)),
        StoreHealth::Sealed => Ok((true, true)),
        StoreHealth::Uninitialized => Ok((false, true)),
        StoreHealth::LoggedOut { .. } => Err(unavailable(&StoreError::LoggedOut)),
        StoreHealth::Unreachable { .. } => Err(unavailable(&StoreError::Unavailable)),
    }
}

fn unavailable(error: &StoreError) -> Refusal {
    Refusal::new(StatusCode::SERVICE_UNAVAILABLE, error.to_string())
}

fn version(health: StoreHealth) -> String {
    match health {
        StoreHealth::Ready(serving) => serving.version,
        StoreHealth::LoggedOut { .. }
        | StoreHealth::Sealed
        | StoreHealth::Uninitialized
        | StoreHealth::Unreachable { .. } => String::new(),
    }
}

fn mount_info(mount: &str, kind: Option<MountKind>) -> MountInfo {
    let (kind, version) = match kind {
        Some(MountKind::Kv2) => ("kv", Some("2")),
        Some(MountKind::Kv1) => ("kv", Some("1")),
        // Which one, Vault knows; no client asks.
        Some(MountKind::Engine) | None => ("engine", None),
        Some(MountKind::Pipelines) => ("pipelines", None),
    };
    let version = version.map(|version| ("version".to_owned(), version.to_owned()));
    MountInfo {
        description: "served by vaultgram".to_owned(),
        options: version.into_iter().collect(),
        path: format!("{mount}/"),
        kind: kind.to_owned(),
        ..MountInfo::default()
    }
}

/// There is one server.
pub(super) fn leader() -> Reply {
    reply::json(StatusCode::OK, &Leader { ha_enabled: false })
}

/// Puts the store's health into the gauges.
#[expect(clippy::cast_precision_loss, reason = "seconds, far below 2^52")]
fn measure(health: &StoreHealth) {
    let one_if = |so: bool| f64::from(u8::from(so));
    for name in StoreHealth::NAMES {
        gauge!(VAULT_STATE, "state" => name).set(one_if(health.name() == name));
    }
    // What is not known now must not look like what was so before.
    let (ready, drift, token_left) = match health {
        StoreHealth::Ready(serving) => {
            let left = serving.token_left.map(|left| left.as_secs_f64());
            (true, serving.drift as f64, left.unwrap_or(f64::INFINITY))
        }
        StoreHealth::LoggedOut { .. }
        | StoreHealth::Sealed
        | StoreHealth::Uninitialized
        | StoreHealth::Unreachable { .. } => (false, f64::NAN, 0.0),
    };
    gauge!(VAULT_READY).set(one_if(ready));
    gauge!(VAULT_CLOCK_DRIFT).set(drift);
    gauge!(VAULT_TOKEN_LEFT).set(token_left);
}

pub(super) fn lookup_self(id: &RequestId, caller: &Caller) -> Reply {
    let (kind, meta) = match caller {
        Caller::Telegram(_) => ("telegram-user", BTreeMap::new()),
        Caller::Unix(peer) => ("unix-peer", peer.facts()),
        Caller::Job(job) => ("job", job.facts()),
    };
    let info = PeerInfo {
        accessor: String::new(),
        creation_time: 0,
        creation_ttl: 0,
        display_name: caller.to_string(),
        entity_id: String::new(),
        expire_time: None,
        explicit_max_ttl: 0,
        id: String::new(),
        meta,
        num_uses: 0,
        orphan: true,
        path: String::new(),
        policies: vec![],
        renewable: false,
        ttl: 0,
        kind: kind.to_owned(),
    };
    reply::json(StatusCode::OK, &Envelope::new(id.to_string(), info))
}

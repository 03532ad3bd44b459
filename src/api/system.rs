//! The server, its mounts, and who asks.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What `sys/internal/ui/mounts/PATH` says of the mount a path is in, and `sys/mounts` of each. What
/// only Vault knows is left empty.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct MountInfo {
    /// Always empty.
    pub accessor: String,
    /// Always nought.
    pub config: MountConfig,
    /// Always empty.
    pub deprecation_status: String,
    /// For people.
    pub description: String,
    /// Always false.
    pub external_entropy_access: bool,
    /// Always false.
    pub local: bool,
    /// `version`: `"1"` or `"2"` for KV, else nothing.
    pub options: BTreeMap<String, String>,
    /// The mount, with a slash at its end.
    pub path: String,
    /// Always empty.
    pub plugin_version: String,
    /// Always empty.
    pub running_plugin_version: String,
    /// Always empty.
    pub running_sha256: String,
    /// Always false.
    pub seal_wrap: bool,
    /// `kv`, or our own word `engine` for every other.
    #[serde(rename = "type")]
    pub kind: String,
    /// Always empty.
    pub uuid: String,
}

/// How long leases of a mount last: 0, for Vault's own default.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct MountConfig {
    /// Always 0.
    pub default_lease_ttl: u64,
    /// Always false.
    pub force_no_cache: bool,
    /// Always 0.
    pub max_lease_ttl: u64,
}

/// What `auth/token/lookup-self` says: who the kernel says the caller is.
#[derive(Debug, Serialize, Deserialize)]
pub struct PeerInfo {
    /// Always empty: there is no token.
    pub accessor: String,
    /// Always 0.
    pub creation_time: u64,
    /// Always 0.
    pub creation_ttl: u64,
    /// The name groups in the configuration use, such as `uid:990`.
    pub display_name: String,
    /// Always empty.
    pub entity_id: String,
    /// Always null.
    pub expire_time: Option<()>,
    /// Always 0.
    pub explicit_max_ttl: u64,
    /// Always empty: there is no token.
    pub id: String,
    /// `uid`, `gid`, `pid`, `socket`, `description` and what else is known of the caller.
    pub meta: BTreeMap<String, String>,
    /// Always 0.
    pub num_uses: u64,
    /// Always true.
    pub orphan: bool,
    /// Always empty.
    pub path: String,
    /// Always empty: vaultgram's policies are not Vault's.
    pub policies: Vec<String>,
    /// Always false.
    pub renewable: bool,
    /// How long the session lasts, in seconds; 0 without one.
    pub ttl: u64,
    /// Always `unix-peer`.
    #[serde(rename = "type")]
    pub kind: String,
}

/// What `sys/health` says.
#[expect(clippy::struct_excessive_bools, reason = "as Vault says it")]
#[derive(Debug, Serialize, Deserialize)]
pub struct Health {
    /// Whether the store was ever initialised; true where it cannot be asked.
    pub initialized: bool,
    /// Whether the store is sealed.
    pub sealed: bool,
    /// Always false.
    pub standby: bool,
    /// Always false.
    pub performance_standby: bool,
    /// Always `disabled`.
    pub replication_performance_mode: String,
    /// Always `disabled`.
    pub replication_dr_mode: String,
    /// Seconds since 1970.
    pub server_time_utc: i64,
    /// The store's version; empty where it cannot be asked.
    pub version: String,
    /// Always `vaultgram`.
    pub cluster_name: String,
    /// Always empty.
    pub cluster_id: String,
    /// Our own addition: the store's state in words, such as `unreachable`.
    pub store: String,
    /// Our own addition too: `current`, or `outdated` where something is wrong with the files, so
    /// that an older policy is in force.
    #[serde(default)]
    pub policy: String,
}

/// What `sys/seal-status` says. There is nothing to unseal here, so what is said of keys is nought.
#[expect(clippy::struct_excessive_bools, reason = "as Vault says it")]
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct SealStatus {
    /// Always `vaultgram`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Whether the store was ever initialised.
    pub initialized: bool,
    /// Whether the store is sealed.
    pub sealed: bool,
    /// Always 0.
    pub t: u64,
    /// Always 0.
    pub n: u64,
    /// Always 0.
    pub progress: u64,
    /// Always empty.
    pub nonce: String,
    /// Always false.
    pub recovery_seal: bool,
    /// The store's version; empty where it cannot be asked.
    pub version: String,
    /// Always empty.
    pub commit_date: String,
    /// Always false.
    pub migration: bool,
    /// Always `vaultgram`.
    pub cluster_name: String,
    /// Always empty.
    pub cluster_id: String,
    /// Always `vaultgram`.
    pub storage_type: String,
}

/// What `sys/init` says.
#[derive(Debug, Serialize, Deserialize)]
pub struct Initialized {
    /// Whether the store was ever initialised.
    pub initialized: bool,
}

/// What `sys/leader` says.
#[derive(Debug, Serialize, Deserialize)]
pub struct Leader {
    /// Always false.
    pub ha_enabled: bool,
}

/// What `vaultgram/unlock` says.
#[derive(Debug, Serialize, Deserialize)]
pub struct Unlocked {
    /// Whether chat was locked before.
    pub was_locked: bool,
}

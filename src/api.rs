//! Wire types shared by the server and the command line: the shapes of Vault's API.
//!
//! The order of fields is Vault's. Values of secrets pass through as raw JSON
//! ([`serde_json::value::RawValue`]), so that no second copy of them is made.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Where the socket is when nobody says otherwise.
pub const DEFAULT_SOCKET: &str = "/run/vaultgram/vaultgram.sock";

/// What Vault puts around every answer that is not an error.
#[derive(Debug, Serialize, Deserialize)]
pub struct Envelope<D> {
    /// Names the request; the audit has it too.
    pub request_id: String,
    /// The lease of a dynamic secret; else empty.
    pub lease_id: String,
    /// Whether the lease can be renewed.
    pub renewable: bool,
    /// For how long the lease was granted, in seconds.
    pub lease_duration: u64,
    /// The answer itself.
    pub data: D,
    /// Always null.
    pub wrap_info: Option<()>,
    /// Hints for people.
    pub warnings: Option<Vec<String>>,
    /// Always null.
    pub auth: Option<()>,
}

impl<D> Envelope<D> {
    /// Puts `data` into an envelope.
    pub fn new(request_id: String, data: D) -> Self {
        Self {
            request_id,
            lease_id: String::new(),
            renewable: false,
            lease_duration: 0,
            data,
            wrap_info: None,
            warnings: None,
            auth: None,
        }
    }
}

/// One version of a KV version 2 secret; `F` is how the side at hand holds the fields.
#[derive(Debug, Serialize, Deserialize)]
pub struct KvVersion<F> {
    /// The fields; null where the version is deleted or destroyed.
    pub data: F,
    /// What Vault says about this version.
    pub metadata: KvMetadata,
}

/// What Vault says about one version of a secret.
#[derive(Debug, Serialize, Deserialize)]
pub struct KvMetadata {
    /// When it was written, RFC 3339.
    pub created_time: String,
    /// Always null: not served.
    pub custom_metadata: Option<()>,
    /// When it was deleted, RFC 3339; empty where it is not.
    pub deletion_time: String,
    /// Whether it is gone for good.
    pub destroyed: bool,
    /// Its number, from 1.
    pub version: u64,
}

/// The names in a folder.
#[derive(Debug, Serialize, Deserialize)]
pub struct Keys {
    /// Sorted; those of folders end with a slash.
    pub keys: Vec<String>,
}

/// What `sys/internal/ui/mounts/PATH` says of the mount a path is in.
#[derive(Debug, Serialize, Deserialize)]
pub struct MountInfo {
    /// For people.
    pub description: String,
    /// `version`: `"1"` or `"2"` for KV, else nothing.
    pub options: BTreeMap<String, String>,
    /// The mount, with a slash at its end.
    pub path: String,
    /// `kv`, or our own word `engine` for every other.
    #[serde(rename = "type")]
    pub kind: String,
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
    /// Always 0.
    pub ttl: u64,
    /// Always `unix-peer`.
    #[serde(rename = "type")]
    pub kind: String,
}

/// What `sys/health` says.
#[derive(Debug, Serialize, Deserialize)]
pub struct Health {
    /// Whether the store was ever initialised; true where it cannot be asked.
    pub initialized: bool,
    /// Whether the store is sealed.
    pub sealed: bool,
    /// Always false.
    pub standby: bool,
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
    /// Our own addition: the store's state in words, such as `unreachable`.
    pub store: String,
}

/// What `sys/leases/lookup` says.
#[derive(Debug, Serialize, Deserialize)]
pub struct LeaseTerm {
    /// When it ends, RFC 3339.
    pub expire_time: String,
    /// Its name in Vault.
    pub id: String,
    /// When it was made, RFC 3339.
    pub issue_time: String,
    /// When it was last renewed, RFC 3339; null where it never was.
    pub last_renewal: Option<String>,
    /// Whether it can be renewed.
    pub renewable: bool,
    /// How many seconds it lasts.
    pub ttl: u64,
}

/// What `vaultgram/leases` says.
#[derive(Debug, Serialize, Deserialize)]
pub struct LeaseList {
    /// Those the caller may see; the one that ends first comes first.
    pub leases: Vec<LeaseEntry>,
}

/// A lease that vaultgram looks after.
#[derive(Debug, Serialize, Deserialize)]
pub struct LeaseEntry {
    /// What people call it.
    pub code: String,
    /// Its name in Vault.
    pub lease_id: String,
    /// Where the secret was read or made.
    pub path: String,
    /// Who has it: `telegram:1001`, `uid:990`.
    pub holder: String,
    /// When it was made, RFC 3339.
    pub issue_time: String,
    /// Whether it can be renewed.
    pub renewable: bool,
    /// How many seconds it lasts, unless it is renewed.
    pub ttl: u64,
    /// For how many seconds it is renewed; null where it is not.
    pub kept: Option<u64>,
}

/// What `vaultgram/leases/CODE/keep` says.
#[derive(Debug, Serialize, Deserialize)]
pub struct LeaseKept {
    /// The lease as it is now.
    pub lease: LeaseEntry,
    /// Vault lets it last no longer, though more was asked for.
    pub cut: bool,
}

/// What `vaultgram/unlock` says.
#[derive(Debug, Serialize, Deserialize)]
pub struct Unlocked {
    /// Whether chat was locked before.
    pub was_locked: bool,
}

/// Vault's form of an error.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Errors {
    /// What is wrong; empty for a plain "not found".
    pub errors: Vec<String>,
}

//! Leases.

use serde::{Deserialize, Serialize};

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
    /// Where the secret was read or made.
    pub path: String,
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

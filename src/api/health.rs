//! What `/health` says, outside of Vault's API.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// How vaultgram and what it depends on are.
#[derive(Debug, Serialize, Deserialize)]
pub struct HealthReport {
    /// `ok`, `degraded` or `down`.
    pub state: String,
    /// Whether secrets can be served.
    pub ready: bool,
    /// Now, RFC 3339.
    pub time: String,
    /// Vaultgram's version.
    pub version: String,
    /// Each dependency.
    pub checks: Vec<HealthCheck>,
    /// What is counted.
    pub figures: BTreeMap<String, u64>,
}

/// How one of them is.
#[derive(Debug, Serialize, Deserialize)]
pub struct HealthCheck {
    /// Its name: `vault`, `state`, `audit`, `policy`, `telegram`.
    pub name: String,
    /// `ok`, `degraded` or `down`.
    pub state: String,
    /// The same in words.
    pub text: String,
    /// Since when, RFC 3339.
    pub since: String,
    /// Whether secrets can be served without it.
    pub needed: bool,
}

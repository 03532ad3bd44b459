//! What `/cluster` says, outside of Vault's API.

use serde::{Deserialize, Serialize};

/// The replicas that share one state, and the store they share it in.
#[derive(Debug, Serialize, Deserialize)]
pub struct ClusterReport {
    /// Now, RFC 3339.
    pub time: String,
    /// The replicas that live, by name.
    pub replicas: Vec<ReplicaReport>,
    /// The servers of the store.
    pub nodes: Vec<NodeReport>,
    /// What somebody should look at.
    pub worries: Vec<String>,
}

/// A replica.
#[derive(Debug, Serialize, Deserialize)]
pub struct ReplicaReport {
    /// Its name.
    pub name: String,
    /// It is the one that answers this.
    pub this: bool,
    /// Vaultgram's version.
    pub version: String,
    /// Since when it runs, RFC 3339.
    pub since: String,
    /// Names the set of policies in force there.
    pub policy: String,
    /// How its connection to Telegram is.
    pub telegram: Option<String>,
    /// Messages that it answered since then.
    pub answered: u64,
    /// The last of them.
    pub last: Option<String>,
    /// Leases that it looks after.
    pub leases: u64,
}

/// A server of the store.
#[derive(Debug, Serialize, Deserialize)]
pub struct NodeReport {
    /// Its address.
    pub endpoint: String,
    /// Its version; none where it does not answer.
    pub version: Option<String>,
    /// It leads.
    pub leader: bool,
    /// How much its database takes, in bytes.
    pub bytes: u64,
    /// Why it does not answer.
    pub problem: Option<String>,
}

//! Wire types shared by the server and the command line: the shapes of Vault's API.
//!
//! The order of fields is Vault's. Values of secrets pass through as raw JSON
//! ([`serde_json::value::RawValue`]), so that no second copy of them is made.

mod cluster;
mod health;
mod kv;
mod leases;
mod requests;
mod system;

use serde::{Deserialize, Serialize};

pub use self::cluster::{ClusterReport, NodeReport, ReplicaReport};
pub use self::health::{HealthCheck, HealthReport};
pub use self::kv::{Keys, KvHistory, KvMetadata, KvState, KvVersion, Notes};
pub use self::leases::{LeaseEntry, LeaseKept, LeaseList, LeaseTerm};
pub use self::requests::{
    Because, Explained, RequestAsk, RequestEntry, RequestList, RequestReview, RequestVote,
};
pub use self::system::{
    Health, Initialized, Leader, MountConfig, MountInfo, PeerInfo, SealStatus, Unlocked,
};

/// Where the socket is when nobody says otherwise.
pub const DEFAULT_SOCKET: &str = "/run/vaultgram/vaultgram.sock";

/// What Vault puts around every answer that is not an error; `W` is a [`WrapInfo`], where there is
/// one.
#[derive(Debug, Serialize, Deserialize)]
pub struct Envelope<D, W = ()> {
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
    /// The token in place of the answer, where that was asked for.
    pub wrap_info: Option<W>,
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

/// A token that fetches the answer, once; `T` is how the side at hand holds texts.
#[derive(Debug, Serialize, Deserialize)]
pub struct WrapInfo<T> {
    /// The token.
    pub token: T,
    /// Names the token without being able to use it.
    pub accessor: T,
    /// For how many seconds it lives.
    pub ttl: u64,
    /// When it was made, RFC 3339.
    pub creation_time: T,
    /// The path in Vault whose answer it fetches.
    pub creation_path: T,
}

/// What `sys/wrapping/lookup` says.
#[derive(Debug, Serialize, Deserialize)]
pub struct WrappedFacts {
    /// The path in Vault whose answer the token fetches.
    pub creation_path: String,
    /// When it was made, RFC 3339.
    pub creation_time: String,
    /// For how many seconds it lives from then on.
    pub creation_ttl: u64,
}

/// An answer that Vault gives twice in one object: inside an envelope and, as before there were
/// envelopes, around it.
#[derive(Debug, Serialize)]
pub struct Twice<D> {
    /// The answer.
    #[serde(flatten)]
    pub top: D,
    /// The answer again.
    #[serde(flatten)]
    pub envelope: Envelope<D>,
}

/// Vault's form of an error.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Errors {
    /// What is wrong; empty for a plain "not found".
    pub errors: Vec<String>,
}

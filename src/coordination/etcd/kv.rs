//! What the protocol of replicas needs of etcd, each an etcd v3 call; so that tests can put a simulated
//! store in its place.
//!
//! A call may take effect long after it was given up: etcd keeps what it was asked while it has no
//! leader. Whoever calls must see to it that what comes late does no harm.

use std::time::Duration;

use async_trait::async_trait;
use thiserror::Error;

/// A lease of etcd's.
pub type LeaseId = i64;
/// A revision of etcd's whole store; it grows with every change.
pub type Revision = i64;

/// A key-value store as etcd is one. Every call ends within a time of its own.
#[async_trait]
pub trait Kv: Send + Sync {
    /// If all of `when` hold does all of `then`, else all of `otherwise`; at once (`Txn`). No two
    /// changes in it are of the same key.
    async fn txn(
        &self,
        when: Vec<Compare>,
        then: Vec<Op>,
        otherwise: Vec<Op>,
    ) -> Result<Done, KvError>;

    /// All keys that start with `prefix`, in order, in as many pages of one revision as it takes
    /// (`Range`, linearizable).
    async fn range(&self, prefix: &str) -> Result<Range, KvError>;

    /// Makes a lease that lasts `ttl`, in whole seconds (`LeaseGrant`).
    async fn grant(&self, ttl: Duration) -> Result<LeaseId, KvError>;

    /// Has `lease` last its whole time from now on (`LeaseKeepAlive`); whether it was still there.
    async fn keep_alive(&self, lease: LeaseId) -> Result<bool, KvError>;

    /// Ends `lease`, and with it the keys that hang on it (`LeaseRevoke`).
    async fn revoke(&self, lease: LeaseId) -> Result<(), KvError>;

    /// All changes of keys that start with `prefix`, from `revision` on (`Watch`).
    async fn watch(&self, prefix: &str, revision: Revision) -> Result<Box<dyn Watching>, KvError>;
}

/// Changes as they come.
#[async_trait]
pub trait Watching: Send {
    /// The next ones, in order. After an error it is over: whoever wants to know more lists everything
    /// anew and watches from there. May be cancelled at any time.
    async fn next(&mut self) -> Result<Vec<Event>, KvError>;
}

/// A condition of a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Compare {
    /// The key is not there.
    Absent(String),
    /// The key is there.
    Present(String),
    /// The key was last changed at this revision (`mod_revision`).
    At(String, Revision),
}

/// What a transaction does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Op {
    /// Looks a key up.
    Get(String),
    /// Sets a key, which goes with the lease where there is one.
    Put {
        /// Which.
        key: String,
        /// To what.
        value: Vec<u8>,
        /// Ends with it.
        lease: Option<LeaseId>,
    },
    /// Removes a key; it need not exist.
    Delete(String),
}

/// What came of a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Done {
    /// The conditions held.
    pub held: bool,
    /// What each [`Op::Get`] found, in order.
    pub found: Vec<Option<Entry>>,
    /// The store's revision after it.
    pub revision: Revision,
}

/// A key with its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// All of it.
    pub key: String,
    /// As it was set.
    pub value: Vec<u8>,
    /// When it was last changed (`mod_revision`).
    pub changed: Revision,
    /// The lease that it goes with.
    pub lease: Option<LeaseId>,
}

/// Everything under a prefix, at one revision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Range {
    /// By key.
    pub entries: Vec<Entry>,
    /// The store's, when it was so.
    pub revision: Revision,
}

/// A change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A key was set.
    Put(Entry),
    /// A key went, by whichever way.
    Gone {
        /// Which.
        key: String,
        /// Since when.
        revision: Revision,
    },
}

/// Why a call came to nothing. The text is for the log, and holds no value.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum KvError {
    /// It was not done.
    #[error("{0}")]
    Refused(String),
    /// It was not done, as a lease it names is not there.
    #[error("the lease is gone")]
    NoLease,
    /// Nobody knows whether it was done: there was no answer.
    #[error("{0}")]
    Unclear(String),
}

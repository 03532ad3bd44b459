//! What the broker needs from outside, each a trait with its adapters in other rooms.

use async_trait::async_trait;
use thiserror::Error;
use time::OffsetDateTime;

use crate::domain::{AuditEntry, Permit, Secret};

/// Where secrets live: Vault or OpenBao.
#[async_trait]
pub trait SecretStore: Send + Sync {
    /// Reads what `permit` is for; the path comes from the permit, not from an argument.
    async fn read(&self, permit: &Permit) -> Result<Secret, StoreError>;

    /// What the store says of itself now. Answers within seconds, also when it is gone.
    async fn health(&self) -> StoreHealth;
}

/// The state of the secret store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreHealth {
    /// It serves, and we hold a token.
    Ready {
        /// The server's version, as it says it.
        version: String,
    },
    /// It answers, but our login does not work yet; the reason holds no secret.
    LoggedOut {
        /// Why.
        reason: String,
    },
    /// It answers, and must be unsealed.
    Sealed,
    /// It answers, and was never initialised.
    Uninitialized,
    /// It does not answer.
    Unreachable,
}

impl StoreHealth {
    /// One word for people and metrics.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Ready { .. } => "ready",
            Self::LoggedOut { .. } => "logged out",
            Self::Sealed => "sealed",
            Self::Uninitialized => "not initialised",
            Self::Unreachable => "unreachable",
        }
    }
}

/// Why a secret could not be read. `Display` is fit for the caller, who was permitted to read.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum StoreError {
    /// No such secret.
    #[error("there is no secret at this path")]
    NotFound,
    /// The secret exists, that version does not.
    #[error("the secret has no such version")]
    NoSuchVersion,
    /// That version was deleted, and can be undeleted.
    #[error("version {version} of the secret is deleted")]
    Deleted {
        /// The version.
        version: u64,
        /// When, RFC 3339, as Vault says it.
        at: String,
    },
    /// That version was destroyed for good.
    #[error("version {version} of the secret is destroyed")]
    Destroyed {
        /// The version.
        version: u64,
    },
    /// Vault's own policies refuse it to our token.
    #[error("Vault refuses vaultgram this path; its Vault policy must allow it")]
    Forbidden,
    /// Sealed, or not initialised.
    #[error("Vault is sealed; try again when it is unsealed")]
    Sealed,
    /// Not reachable, or no answer in time, or we have no token yet.
    #[error("Vault cannot be reached now; try again in a moment")]
    Unavailable,
    /// An answer that is not what this path should hold, or over the size limit.
    #[error("Vault's answer is not a KV version 2 secret of a supported size")]
    Invalid,
}

impl StoreError {
    /// The name in audit and logs.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::NotFound => "not_found",
            Self::NoSuchVersion => "no_such_version",
            Self::Deleted { .. } => "deleted",
            Self::Destroyed { .. } => "destroyed",
            Self::Forbidden => "store_forbidden",
            Self::Sealed => "store_sealed",
            Self::Unavailable => "store_unavailable",
            Self::Invalid => "store_answer_invalid",
        }
    }
}

/// State that outlives the process and, with several replicas, is shared by them. Keys are
/// `/`-separated paths; values are small and hold no plaintext.
#[async_trait]
pub trait Coordination: Send + Sync {
    /// Takes `key` if nobody has it. `false`: somebody does. The claim may be forgotten
    /// after `until`.
    async fn claim(&self, key: &str, until: OffsetDateTime) -> Result<bool, CoordinationError>;

    /// Sets `key`.
    async fn put(&self, key: &str, value: &[u8]) -> Result<(), CoordinationError>;

    /// Removes `key`; it need not exist.
    async fn delete(&self, key: &str) -> Result<(), CoordinationError>;

    /// All keys that start with `prefix`, in order, with their values.
    async fn list(&self, prefix: &str) -> Result<Vec<(String, Vec<u8>)>, CoordinationError>;
}

/// The coordination store failed; the text is for the log.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("the state store failed: {0}")]
pub struct CoordinationError(pub String);

/// The record of everything decided.
#[async_trait]
pub trait AuditSink: Send + Sync {
    /// Returns once the entry survives a kill -9 (and, where so configured, a power cut).
    async fn record(&self, entry: AuditEntry) -> Result<(), AuditError>;
}

/// The audit could not be written; the text is for the log.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("the audit cannot be written: {0}")]
pub struct AuditError(pub String);

/// The time of day.
pub trait Clock: Send + Sync {
    /// Now, in UTC.
    fn now(&self) -> OffsetDateTime;
}

/// The system's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place that reads the clock"
    )]
    fn now(&self) -> OffsetDateTime {
        OffsetDateTime::now_utc()
    }
}

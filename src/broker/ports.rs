//! What the broker needs from outside, each a trait with its adapters in other rooms.

mod cluster;
pub mod pipelines;
mod store_error;

use async_trait::async_trait;
use thiserror::Error;
use time::OffsetDateTime;

use std::time::Duration;

pub use self::cluster::{Cluster, ClusterView, NodeFacts, Replica, StoreNode};
pub use self::pipelines::Pipelines;
pub use self::store_error::StoreError;
use crate::domain::{AuditEntry, Field, History, Permit, Secret, SecretValue, VersionFacts};

/// Where secrets live: Vault or OpenBao. The path, the field and the version come from the
/// permit, not from an argument. What a store does not define, it cannot do.
#[async_trait]
pub trait SecretStore: Send + Sync {
    /// Reads a secret with all its fields; also before one of them is rotated.
    async fn read(&self, permit: &Permit) -> Result<Secret, StoreError>;

    /// The namespace that everything is in, where the store has such.
    fn namespace(&self) -> Option<&str> {
        None
    }

    /// What [`SecretStore::read`] would answer, where that needs nobody to be asked.
    fn at_hand(&self, _permit: &Permit) -> Option<Secret> {
        None
    }

    /// Has the store keep the whole answer for who brings the token, once, within `ttl`.
    async fn wrap(&self, _permit: &Permit, _ttl: Duration) -> Result<Wrapped, StoreError> {
        Err(StoreError::Unsupported)
    }

    /// What is known of a wrapping token, but for what it unwraps; it is good for as much as before.
    /// No permit: who has the token may know.
    async fn wrapped(&self, _token: &SecretValue) -> Result<WrappedFacts, StoreError> {
        Err(StoreError::Unsupported)
    }

    /// What `token` unwraps, which uses it up. The permit is for where it was made.
    async fn unwrap(&self, _permit: &Permit, _token: &SecretValue) -> Result<Secret, StoreError> {
        Err(StoreError::Unsupported)
    }

    /// Asks an engine to do something with `fields`, and has its answer.
    async fn invoke(&self, _permit: &Permit, _fields: &[Field]) -> Result<Secret, StoreError> {
        Err(StoreError::Unsupported)
    }

    /// As [`SecretStore::invoke`], with the answer kept as by [`SecretStore::wrap`].
    async fn invoke_wrapped(
        &self,
        _permit: &Permit,
        _fields: &[Field],
        _ttl: Duration,
    ) -> Result<Wrapped, StoreError> {
        Err(StoreError::Unsupported)
    }

    /// Ends a lease, and with it the dynamic secret that was read or made. No permit: it can only
    /// take away.
    async fn revoke(&self, _lease: &str) -> Result<(), StoreError> {
        Err(StoreError::Unsupported)
    }

    /// Has a lease last for `increment` from now on (zero: for as long as the store likes), or as
    /// long as the store lets it: how long that is. No permit: whose lease it is, the broker knows.
    async fn renew(&self, _lease: &str, _increment: Duration) -> Result<Duration, StoreError> {
        Err(StoreError::Unsupported)
    }

    /// Whether `code` is what the authenticator of the TOTP key `key` shows now, and has not been
    /// taken before; the engine is mounted at `mount`. No permit: it tells nothing else.
    async fn check_code(
        &self,
        _mount: &str,
        _key: &str,
        _code: &SecretValue,
    ) -> Result<bool, StoreError> {
        Err(StoreError::Unsupported)
    }

    /// The names in a folder, sorted; those of folders end with a slash.
    async fn list(&self, _permit: &Permit) -> Result<Vec<String>, StoreError> {
        Err(StoreError::Unsupported)
    }

    /// The versions of a secret.
    async fn history(&self, _permit: &Permit) -> Result<History, StoreError> {
        Err(StoreError::Unsupported)
    }

    /// Whether there is a secret, where [`SecretStore::history`] cannot tell for want of versions.
    async fn exists(&self, _permit: &Permit) -> Result<bool, StoreError> {
        Err(StoreError::Unsupported)
    }

    /// Writes a new version that holds `fields` only; with `over`, only if that is the newest now
    /// (0: there is none). Returns the new one. Where there are no versions, 1 is whatever is
    /// there, and nothing is returned.
    async fn put(
        &self,
        _permit: &Permit,
        _fields: &[Field],
        _over: Option<u64>,
    ) -> Result<Option<VersionFacts>, StoreError> {
        Err(StoreError::Unsupported)
    }

    /// Writes a new version in which `fields` are changed; with `over`, only if that is the newest
    /// now. Returns the new one.
    async fn patch(
        &self,
        _permit: &Permit,
        _fields: &[Field],
        _over: Option<u64>,
    ) -> Result<VersionFacts, StoreError> {
        Err(StoreError::Unsupported)
    }

    /// Deletes the permit's version (the newest where it names none), so that it can be undeleted.
    /// Returns its number. Where there are no versions, the secret is gone for good.
    async fn delete(&self, _permit: &Permit) -> Result<Option<u64>, StoreError> {
        Err(StoreError::Unsupported)
    }

    /// Undoes the deletion of `version`.
    async fn undelete(&self, _permit: &Permit, _version: u64) -> Result<(), StoreError> {
        Err(StoreError::Unsupported)
    }

    /// Removes `version` for good.
    async fn destroy(&self, _permit: &Permit, _version: u64) -> Result<(), StoreError> {
        Err(StoreError::Unsupported)
    }

    /// What the store says of itself now. Answers within seconds, also when it is gone.
    async fn health(&self) -> StoreHealth;
}

/// A token of response wrapping (`sys/wrapping`).
pub struct Wrapped {
    /// Unwraps the answer, once.
    pub token: SecretValue,
    /// Names the token without being able to use it: for the audit, and to revoke it.
    pub accessor: String,
    /// What else is known of it.
    pub facts: WrappedFacts,
}

/// What is known of a wrapping token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrappedFacts {
    /// The path in Vault of the request whose answer it unwraps: `secret/data/app`.
    pub path: String,
    /// When it was made, RFC 3339, as Vault says it.
    pub created: String,
    /// How long it lives from then on.
    pub ttl: Duration,
}

/// The state of the secret store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreHealth {
    /// It serves, and we hold a token.
    Ready(Serving),
    /// It answers, but our login does not work yet; the reason holds no secret.
    LoggedOut {
        /// Why.
        reason: String,
    },
    /// It answers, and must be unsealed.
    Sealed,
    /// It answers, and was never initialised.
    Uninitialized,
    /// It does not answer; the reason holds no secret.
    Unreachable {
        /// Why.
        reason: String,
    },
}

/// A store that serves.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Serving {
    /// The server's version, as it says it.
    pub version: String,
    /// By how many seconds its clock is ahead of ours (behind, where negative), to a second or two.
    pub drift: i64,
    /// How long our token lives unless it is renewed; `None` for ever.
    pub token_left: Option<Duration>,
    /// How long it lived when it was last granted or renewed; `None` for ever.
    pub token_ttl: Option<Duration>,
    /// How many leases we obtained that have not ended.
    pub leases: usize,
}

impl Serving {
    /// Clocks further apart than this are worth a word: tokens, leases and deletions go by them.
    const MAX_DRIFT: i64 = 5;

    /// What is wrong with the clocks, if anything.
    #[must_use]
    pub fn drift_warning(&self) -> Option<String> {
        let seconds = self.drift.unsigned_abs();
        let how = if self.drift > 0 { "ahead of" } else { "behind" };
        (self.drift.abs() > Self::MAX_DRIFT)
            .then(|| format!("Vault's clock is {seconds} s {how} vaultgram's; set both by NTP"))
    }
}

impl StoreHealth {
    /// Every [`StoreHealth::name`].
    pub const NAMES: [&str; 5] = [
        "ready",
        "logged out",
        "sealed",
        "not initialised",
        "unreachable",
    ];

    /// One word for people and metrics.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Ready(_) => "ready",
            Self::LoggedOut { .. } => "logged out",
            Self::Sealed => "sealed",
            Self::Uninitialized => "not initialised",
            Self::Unreachable { .. } => "unreachable",
        }
    }
}

/// A part of vaultgram that says how it is, beside what the broker itself works with.
pub trait Part: Send + Sync {
    /// What it is called.
    fn name(&self) -> &'static str;

    /// How it is now.
    fn look(&self) -> Look;
}

/// How something is, as one look finds it. The text holds no secret: whoever can connect to the
/// socket may read it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Look {
    /// In short.
    pub condition: Condition,
    /// In words.
    pub text: String,
    /// Since when, where it knows that.
    pub since: Option<OffsetDateTime>,
}

/// How something is, in short.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Condition {
    /// As it should be.
    Ok,
    /// It works, but somebody should look at it.
    Degraded,
    /// It does not work.
    Down,
}

impl Condition {
    /// One word for people and programs.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Degraded => "degraded",
            Self::Down => "down",
        }
    }
}

impl Look {
    /// All is well.
    pub fn well(text: impl Into<String>) -> Self {
        Self::of(Condition::Ok, text)
    }

    /// It works, but.
    pub fn degraded(text: impl Into<String>) -> Self {
        Self::of(Condition::Degraded, text)
    }

    /// It does not work.
    pub fn down(text: impl Into<String>) -> Self {
        Self::of(Condition::Down, text)
    }

    fn of(condition: Condition, text: impl Into<String>) -> Self {
        Self {
            condition,
            text: text.into(),
            since: None,
        }
    }
}

/// State that outlives the process and, with several replicas, is shared by them. Keys are
/// `/`-separated paths; values are small and hold no plaintext. An entry belongs to the process that
/// wrote it last.
#[async_trait]
pub trait Coordination: Send + Sync {
    /// Takes `key` if nobody has it. The claim may be forgotten after `until`. Where another process
    /// has it, this waits, within limits, until that one is done, gives it up or ends.
    async fn claim(&self, key: &str, until: OffsetDateTime) -> Result<Claim, CoordinationError>;

    /// Says that what `key` was claimed for is done: until the claim ends, whoever claims it is
    /// told [`Claim::Done`], after a restart too. Without effect where `key` is not claimed, or
    /// not by this process.
    async fn finish(&self, key: &str) -> Result<(), CoordinationError>;

    /// Sets `key`.
    async fn put(&self, key: &str, value: &[u8]) -> Result<(), CoordinationError>;

    /// Removes `key`; it need not exist.
    async fn delete(&self, key: &str) -> Result<(), CoordinationError>;

    /// The value of `key`, if it is there.
    async fn get(&self, key: &str) -> Result<Option<Vec<u8>>, CoordinationError>;

    /// Sets `key` to `new` if its value is `expected` (`None`: it is not there, or is to be
    /// removed); whether it was. Of several at once that expect the same, one succeeds.
    async fn swap(
        &self,
        key: &str,
        expected: Option<&[u8]>,
        new: Option<&[u8]>,
    ) -> Result<bool, CoordinationError>;

    /// All keys that start with `prefix`, in order, with their values.
    async fn list(&self, prefix: &str) -> Result<Vec<(String, Vec<u8>)>, CoordinationError>;

    /// Those of [`Coordination::list`], but for claims, that belong to processes that have ended.
    /// They are this one's from now on, and nobody else is given them.
    async fn inherit(&self, prefix: &str) -> Result<Vec<(String, Vec<u8>)>, CoordinationError>;

    /// Returns when another process has ended, so that there may be something to inherit, or to
    /// claim. May be cancelled at any time.
    async fn bereaved(&self) {
        std::future::pending::<()>().await;
    }

    /// How often [`Coordination::bereaved`] has returned, to whoever waited all the time.
    fn bereavements(&self) -> u64 {
        0
    }

    /// Which membership of the others' company this is, while it lasts: `None` when they may take
    /// this process for one that has ended. It must then have no effect; and what it had under an
    /// earlier number may be another's.
    fn term(&self) -> Option<u64> {
        Some(0)
    }

    /// Whether no other process shares the state now, as far as is known.
    fn alone(&self) -> bool {
        true
    }

    /// Whether others may come to share the state.
    fn shared(&self) -> bool {
        false
    }
}

/// What came of a claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Claim {
    /// It is ours.
    Ours,
    /// A process that lives has it, perhaps this one.
    Taken,
    /// It is done ([`Coordination::finish`]), or no claim at all.
    Done,
    /// A process had it that ended before it was done. It is ours now: whoever
    /// claims it next is told [`Claim::Taken`].
    Abandoned,
}

/// The coordination store failed; the text is for the log.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("the state store failed: {0}")]
pub struct CoordinationError(pub String);

/// The record of everything decided.
#[async_trait]
pub trait AuditSink: Send + Sync {
    /// Writes all of `entries` or none. Returns once they survive a kill -9 (and, where so
    /// configured, a power cut).
    async fn record_all(&self, entries: Vec<AuditEntry>) -> Result<(), AuditError>;

    /// As [`AuditSink::record_all`], of one.
    async fn record(&self, entry: AuditEntry) -> Result<(), AuditError> {
        self.record_all(vec![entry]).await
    }
}

/// The audit's last record, to be kept where nobody who can write the audit can change it.
#[async_trait]
pub trait AuditHead: Send + Sync {
    /// Returns it once it is on the disk; `None` before the first record.
    async fn head(&self) -> Result<Option<Head>, AuditError>;
}

/// The last record of the audit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// Its number.
    pub seq: u64,
    /// Its hash, in hexadecimal.
    pub hash: String,
    /// Both and the time in one line, signed where there is a key.
    pub line: String,
}

/// The audit could not be written; the text is for the log.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("the audit cannot be written: {0}")]
pub struct AuditError(pub String);

/// Encrypts to people's public keys.
pub trait Sealer: Send + Sync {
    /// Checks a public key; returns it in its one notation.
    ///
    /// # Errors
    /// When it is none.
    fn check(&self, key: &str) -> Result<String, KeyError>;

    /// Encrypts `plaintext` to all `keys`: text that any of them decrypts.
    ///
    /// # Errors
    /// When one of `keys` is none, or there are none.
    fn seal(&self, plaintext: &SecretValue, keys: &[String]) -> Result<String, KeyError>;
}

/// Not a public key. The text is not repeated: it may be a private one in the wrong place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("this is not a public age key; it begins with age1, and age-keygen -y prints it")]
pub struct KeyError;

/// A source of random bytes that nobody can guess.
pub trait Random: Send + Sync {
    /// Fills `bytes`.
    fn fill(&self, bytes: &mut [u8]);
}

/// The system's randomness.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemRandom;

impl Random for SystemRandom {
    fn fill(&self, bytes: &mut [u8]) {
        rand::fill(bytes);
    }
}

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

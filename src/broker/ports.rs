//! What the broker needs from outside, each a trait with its adapters in other rooms.

use async_trait::async_trait;
use thiserror::Error;
use time::OffsetDateTime;

use std::time::Duration;

use crate::domain::{AuditEntry, Field, History, Permit, Secret, SecretValue, VersionFacts};

/// Where secrets live: Vault or OpenBao. The path, the field and the version come from the
/// permit, not from an argument. What a store does not define, it cannot do.
#[async_trait]
pub trait SecretStore: Send + Sync {
    /// Reads a secret with all its fields; also before one of them is rotated.
    async fn read(&self, permit: &Permit) -> Result<Secret, StoreError>;

    /// What [`SecretStore::read`] would answer, where that needs nobody to be asked.
    fn at_hand(&self, _permit: &Permit) -> Option<Secret> {
        None
    }

    /// Has the store keep the whole answer for who brings the token, once, within `ttl`.
    async fn wrap(&self, _permit: &Permit, _ttl: Duration) -> Result<Wrapped, StoreError> {
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
    /// How long it lives.
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

/// Why the store did not do it. `Display` is fit for the caller, who was permitted to.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum StoreError {
    /// No such secret.
    #[error("there is no secret at this path")]
    NotFound,
    /// The secret exists, that version does not.
    #[error("the secret has no such version")]
    NoSuchVersion,
    /// That version was deleted, and can be undeleted.
    #[error("version {0} of the secret is deleted; /undelete PATH@{0} brings it back", .0.number)]
    Deleted(VersionFacts),
    /// That version is not deleted, so there is nothing to undelete.
    #[error("version {version} of the secret is not deleted")]
    NotDeleted {
        /// The version.
        version: u64,
    },
    /// That version was destroyed for good.
    #[error("version {} of the secret is destroyed; /versions lists the others", .0.number)]
    Destroyed(VersionFacts),
    /// Somebody wrote it meanwhile, or it exists where it must not.
    #[error("{}", conflict(*.current))]
    Conflict {
        /// The newest version; 0 when Vault did not say.
        current: u64,
    },
    /// It is written only by who says over which version, and nobody did.
    #[error("this secret is only written over a version that is named")]
    CasRequired,
    /// There is no such thing to be done there.
    #[error("this path cannot do that; another may: some are only read, some only invoked")]
    Unsupported,
    /// Vault's own policies refuse it to our token.
    #[error("Vault refuses vaultgram this path; its Vault policy must allow it")]
    Forbidden,
    /// Vault gives us no token of the role that the policy names, and none other is used.
    #[error(
        "Vault refuses vaultgram the token role of this policy; an operator finds in vaultgram's \
         log what to grant"
    )]
    RoleRefused,
    /// Vault takes no such change: too large, or against a rule of the mount.
    #[error("Vault refuses the change; an operator finds why in vaultgram's log")]
    Refused,
    /// An engine takes no such parameters: its own words, without the parameters' values.
    #[error("Vault refuses the request: {0}")]
    Rejected(String),
    /// What is mounted there is not what the configuration says.
    #[error(
        "what is mounted there is not what vaultgram's configuration says; an operator finds in \
         vaultgram's log what to write"
    )]
    WrongMount,
    /// Sealed, or not initialised.
    #[error("Vault is sealed; try again when it is unsealed")]
    Sealed,
    /// Vault refuses our login: it is there, and nothing of it is for us any more.
    #[error("Vault does not let vaultgram in; an operator finds why in its log")]
    LoggedOut,
    /// Not reachable, or no answer in time, or the first login has not ended.
    #[error("Vault cannot be reached now; try again in a moment")]
    Unavailable,
    /// It was sent, and no answer came that says whether it was done.
    #[error(
        "Vault did not answer, so nobody knows whether it was done; look at what is there before \
         you ask again"
    )]
    Unclear,
    /// An answer that is not what this path should hold, or over the size limit.
    #[error("Vault's answer is not what this path should hold, or too large")]
    Invalid,
}

fn conflict(current: u64) -> String {
    let now = match current {
        0 => "somebody else changed the secret meanwhile".to_owned(),
        current => format!("the secret is at version {current} by now"),
    };
    format!("{now}; look at it (/versions), then ask again")
}

impl StoreError {
    /// The name in audit and logs.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::NotFound => "not_found",
            Self::NoSuchVersion => "no_such_version",
            Self::Deleted(_) => "deleted",
            Self::NotDeleted { .. } => "not_deleted",
            Self::Destroyed(_) => "destroyed",
            Self::Conflict { .. } => "store_conflict",
            Self::CasRequired => "store_cas_required",
            Self::Unsupported => "store_unsupported",
            Self::Forbidden => "store_forbidden",
            Self::RoleRefused => "store_role_refused",
            Self::Refused => "store_refused",
            Self::Rejected(_) => "store_rejected",
            Self::WrongMount => "wrong_mount",
            Self::Sealed => "store_sealed",
            Self::LoggedOut => "store_logged_out",
            Self::Unavailable => "store_unavailable",
            Self::Unclear => "store_unclear",
            Self::Invalid => "store_answer_invalid",
        }
    }
}

/// State that outlives the process and, with several replicas, is shared by them. Keys are
/// `/`-separated paths; values are small and hold no plaintext.
#[async_trait]
pub trait Coordination: Send + Sync {
    /// Takes `key` if nobody has it. The claim may be forgotten after `until`.
    async fn claim(&self, key: &str, until: OffsetDateTime) -> Result<Claim, CoordinationError>;

    /// Says that what `key` was claimed for is done: until the claim ends, whoever claims it is
    /// told [`Claim::Taken`], after a restart too. Without effect where `key` is not claimed.
    async fn finish(&self, key: &str) -> Result<(), CoordinationError>;

    /// Sets `key`.
    async fn put(&self, key: &str, value: &[u8]) -> Result<(), CoordinationError>;

    /// Removes `key`; it need not exist.
    async fn delete(&self, key: &str) -> Result<(), CoordinationError>;

    /// All keys that start with `prefix`, in order, with their values.
    async fn list(&self, prefix: &str) -> Result<Vec<(String, Vec<u8>)>, CoordinationError>;
}

/// What came of a claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Claim {
    /// It is ours.
    Ours,
    /// A process that lives has it, perhaps this one; or it is done
    /// ([`Coordination::finish`]).
    Taken,
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

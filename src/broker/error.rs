//! Why a request has no outcome.

use thiserror::Error;

use crate::broker::approvals::ApprovalError;
use crate::broker::pipelines::RunError;
use crate::broker::ports::{AuditError, CoordinationError, KeyError, StoreError};
use crate::domain::approval::Refusal;

/// Names of fields for a sentence, unless the caller may not know them.
fn has(names: &[String]) -> String {
    if names.is_empty() {
        String::new()
    } else {
        format!("; it has: {}", names.join(", "))
    }
}

/// Why a request has no outcome. `Display` is fit for the caller, wherever they ask. What each front
/// calls what they can do about it, it adds itself.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum BrokerError {
    /// The secret store said no.
    #[error("{0}")]
    Store(#[from] StoreError),
    /// Nothing came of what was to be done with a pipeline.
    #[error("{0}")]
    Run(#[from] RunError),
    /// The secret has no such field; the names of those it has.
    #[error("the secret has no such field{}", has(.0))]
    NoSuchField(Vec<String>),
    /// An engine did what it was invoked for, and its answer has no such field; the names of those
    /// it has.
    #[error("it was done, but the answer has no such field, so nothing is handed over{}", has(.0))]
    DoneNoSuchField(Vec<String>),
    /// No audit, no secret. The cause is for the log.
    #[error("vaultgram cannot write its audit, so it serves nothing; tell an operator")]
    Audit(#[from] AuditError),
    /// No claim, no effect. The cause is for the log.
    #[error("vaultgram cannot reach its state store, so it serves nothing; tell an operator")]
    Coordination(#[from] CoordinationError),
    /// The other replicas may do what was asked for, and this one must not.
    #[error("this replica has lost touch with the others; ask again in a moment")]
    OutOfTouch,
    /// The permit ran out before it was used.
    #[error("the permission ran out before the secret could be read; ask again")]
    PermitExpired,
    /// Vault wraps a whole answer.
    #[error("a wrapped answer holds the whole secret; ask without #field")]
    WrappedField,
    /// No policy speaks of where it was made.
    #[error(
        "this wrapping token was not made at a path that vaultgram serves; unwrap it in Vault itself"
    )]
    WrappedElsewhere,
    /// A sealed answer needs a key.
    #[error("you have no key registered to seal to")]
    NoKey,
    /// Not a key.
    #[error("{0}")]
    Key(#[from] KeyError),
    /// More keys than anybody needs.
    #[error("you have {0} keys, which is the most")]
    TooManyKeys(usize),
    /// No such key.
    #[error("you have no such key")]
    UnknownKey,
    /// Nobody collects for this account.
    #[error(
        "your account has no Unix user on vaultgram's host; ask an operator to add it to \
         [telegram] unix_users"
    )]
    NoUnixUser,
    /// Nothing is to be collected under this code, or not by this user, or not any more.
    #[error(
        "nothing is waiting for you under this code; it may have run out, so ask again in chat"
    )]
    NothingToCollect,
    /// The request holds nothing to write.
    #[error("there is nothing to write")]
    NothingToWrite,
    /// A random value needs a field to go into.
    #[error("say which field to rotate: PATH#field")]
    NoField,
    /// The newest version is not deleted, and none was named.
    #[error("the newest version is not deleted")]
    NewestNotDeleted,
    /// The action is about a whole secret.
    #[error("this is about the whole secret; ask without #field")]
    MeaninglessField,
    /// The action is not about one version.
    #[error("this is not about one version; ask without @version")]
    MeaninglessVersion,
    /// The mount keeps no versions.
    #[error("this mount keeps no versions of its secrets; ask without @version")]
    NoVersions,
    /// KV version 1 has no check-and-set.
    #[error(
        "this mount keeps no versions, so one field cannot be changed without a risk of undoing \
         what somebody else wrote meanwhile"
    )]
    OnlyWhole,
    /// Nothing there takes parameters.
    #[error("this mount holds secrets, which are read and written; only an engine is invoked")]
    NotAnEngine,
    /// Nothing there is written or deleted.
    #[error(
        "an engine is mounted there, which keeps no secrets to write, delete or tell versions of; \
         read what it makes, or invoke it"
    )]
    NotKv,
    /// Parameters are values, which are not kept.
    #[error(
        "parameters are never kept, so nothing can wait to be collected; run on the host: \
         vaultgram invoke"
    )]
    InvokeOnHost,
    /// Chat is read by others than the job.
    #[error("a job is sent no plaintext in chat; ask for it wrapped or sealed")]
    PlainInChat,
    /// What is removed for good must be named.
    #[error("a version is destroyed by its number only")]
    NoVersionNamed,
    /// The change was made, and its record was not.
    #[error("it was done, but could not be recorded; look at what is there, and tell an operator")]
    DoneUnrecorded,
    /// No such lease, or somebody else's.
    #[error("you have no such lease")]
    UnknownLease,
    /// Vault will not let it last longer.
    #[error("this lease cannot be renewed; ask for the secret anew when it has ended")]
    NotRenewable,
    /// Longer than anybody should want.
    #[error("a lease is kept for 1 s to 30 days, such as 8h")]
    KeptTooLong,
    /// More leases than anybody needs.
    #[error("you have {0} leases, which is the most")]
    TooManyLeases(usize),
    /// Of a request for approval.
    #[error("{0}")]
    Approval(#[from] ApprovalError),
    /// A new device signed in, and nobody has looked at it.
    #[error(
        "chat is locked; an administrator must look at the new device and run `vaultgram unlock` \
         on the host"
    )]
    ChatLocked,
}

impl BrokerError {
    /// Whether nothing was begun, and the same may be done in a moment.
    #[must_use]
    pub fn passes(&self) -> bool {
        if let Self::Run(error) = self {
            return error.passes();
        }
        matches!(
            self,
            Self::Store(StoreError::Unavailable | StoreError::LoggedOut | StoreError::Sealed)
                | Self::Coordination(_)
                | Self::OutOfTouch
                | Self::Approval(ApprovalError::Busy)
        )
    }

    /// Whether nothing was done and nothing handed over, for certain, so that what was granted for
    /// one use is as good as before.
    #[must_use]
    pub(super) fn undone(&self) -> bool {
        if let Self::Store(error) = self {
            return !matches!(error, StoreError::Unclear | StoreError::Invalid);
        }
        if let Self::Run(error) = self {
            return !error.is_unclear();
        }
        matches!(
            self,
            Self::NoSuchField(_)
                | Self::OutOfTouch
                | Self::PermitExpired
                | Self::WrappedField
                | Self::NoKey
                | Self::NoUnixUser
                | Self::NothingToWrite
                | Self::NoField
                | Self::NewestNotDeleted
                | Self::MeaninglessField
                | Self::MeaninglessVersion
                | Self::NoVersions
                | Self::OnlyWhole
                | Self::NotAnEngine
                | Self::NotKv
                | Self::InvokeOnHost
                | Self::PlainInChat
                | Self::NoVersionNamed
                | Self::Approval(ApprovalError::Busy)
        )
    }

    /// The name in audit and logs.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Store(error) => error.name(),
            Self::Run(error) => error.name(),
            Self::NoSuchField(_) => "no_such_field",
            Self::DoneNoSuchField(_) => "done_no_such_field",
            Self::Audit(_) => "audit_unavailable",
            Self::Coordination(_) => "state_unavailable",
            Self::OutOfTouch => "out_of_touch",
            Self::PermitExpired => "permit_expired",
            Self::WrappedField => "wrapped_field",
            Self::WrappedElsewhere => "wrapped_elsewhere",
            Self::NoKey => "no_key",
            Self::Key(_) => "not_a_key",
            Self::TooManyKeys(_) => "too_many_keys",
            Self::UnknownKey => "unknown_key",
            Self::NoUnixUser => "no_unix_user",
            Self::NothingToCollect => "nothing_to_collect",
            Self::NothingToWrite => "nothing_to_write",
            Self::NoField => "no_field",
            Self::NewestNotDeleted => "newest_not_deleted",
            Self::MeaninglessField => "meaningless_field",
            Self::MeaninglessVersion => "meaningless_version",
            Self::NoVersions => "no_versions",
            Self::OnlyWhole => "only_whole",
            Self::NotAnEngine => "not_an_engine",
            Self::NotKv => "not_kv",
            Self::InvokeOnHost => "invoke_on_host",
            Self::PlainInChat => "plain_in_chat",
            Self::NoVersionNamed => "no_version_named",
            Self::DoneUnrecorded => "done_unrecorded",
            Self::UnknownLease => "unknown_lease",
            Self::NotRenewable => "not_renewable",
            Self::KeptTooLong => "kept_too_long",
            Self::TooManyLeases(_) => "too_many_leases",
            Self::Approval(error) => error.name(),
            Self::ChatLocked => "chat_locked",
        }
    }
}

impl From<Refusal> for BrokerError {
    fn from(refusal: Refusal) -> Self {
        ApprovalError::from(refusal).into()
    }
}

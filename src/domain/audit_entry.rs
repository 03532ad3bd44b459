//! What the audit keeps of a request: never a value.

use time::OffsetDateTime;

use crate::domain::approval::ApprovalRecord;
use crate::domain::policy::DenialReason;
use crate::domain::{
    Action, Age, ApprovalId, Caller, Decision, Origin, Permit, Request, RequestId, Secret, Target,
};

/// One fact for the audit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditEntry {
    /// When.
    pub at: OffsetDateTime,
    /// The request it is about; all of its records carry it.
    pub id: RequestId,
    /// Who asked.
    pub caller: Caller,
    /// What about.
    pub subject: Subject,
    /// What happened.
    pub event: AuditEvent,
}

/// What a record is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    /// A secret.
    Secret {
        /// What was to be done.
        action: Action,
        /// With what.
        target: Target,
    },
    /// What a wrapping token holds, where policy cannot be asked about it.
    Wrapped {
        /// Where the token was made, if it is any good.
        made_at: Option<String>,
    },
    /// A public key of the caller, which sealed answers are encrypted to.
    Key(String),
    /// A proof of who somebody is, brought over the network.
    Proof {
        /// What kind: `token`, `session`, `signature`, `webhook` or `chat`.
        kind: &'static str,
        /// The address it came from.
        from: String,
    },
    /// Chat as a whole.
    Chat,
    /// The policy as a whole.
    Policy,
    /// The lease of a dynamic secret that was handed over.
    Lease {
        /// What was to be done.
        action: LeaseAction,
        /// Its name in Vault.
        lease: String,
        /// Where the secret was read or made.
        path: String,
    },
}

/// What is to be done with a lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeaseAction {
    /// Renew it as often as needed until some time.
    Keep,
    /// Renew it once.
    Renew,
    /// End it.
    Revoke,
}

impl LeaseAction {
    /// The name in the audit.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Keep => "keep_lease",
            Self::Renew => "renew_lease",
            Self::Revoke => "revoke_lease",
        }
    }
}

/// What happened to a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AuditEvent {
    /// Policy decided. Written before anything is read or changed.
    Decided {
        /// Whether it may go on.
        allowed: bool,
        /// Why not ([`crate::domain::policy::DenialReason::name`]).
        reason: Option<&'static str>,
        /// The policies that decided.
        policies: Vec<String>,
        /// The token role that Vault is asked with, where policy names one.
        vault_role: Option<String>,
        /// What was approved so that it may go on, where that had to be.
        grant: Option<ApprovalId>,
    },
    /// Something happened to a request for approval.
    Approval(ApprovalRecord),
    /// It may go on, and the caller is asked to confirm it; the confirmation is decided anew.
    ConfirmationAsked,
    /// The secret was read, and is handed over once this is written.
    Released(Reading),
    /// Vault wrapped the secret, and the token is handed over once this is written.
    Wrapped {
        /// The token's accessor: with it an operator can revoke the token, but not use it.
        accessor: String,
        /// How long the token lives, in seconds.
        ttl: u64,
    },
    /// The secret was read and encrypted, and the result is handed over once this is written.
    Sealed {
        /// What was read.
        reading: Reading,
        /// The public keys it was encrypted to.
        keys: Vec<String>,
    },
    /// A Unix user may collect the secret, once.
    Offered {
        /// The user.
        uid: u32,
    },
    /// The Unix user collected the secret, which is handed over once this is written.
    Collected {
        /// What was read.
        reading: Reading,
        /// The user.
        uid: u32,
        /// The process.
        pid: i32,
    },
    /// A new version was written.
    Written {
        /// Its number, where there are versions.
        version: Option<u64>,
    },
    /// A version was deleted; for good where there are none.
    Deleted {
        /// Its number.
        version: Option<u64>,
    },
    /// A pipeline was started.
    Started {
        /// The number of its run.
        run: u64,
    },
    /// A pipeline was started, and may not be what was agreed to.
    StartedAmiss {
        /// The number of its run.
        run: u64,
        /// The failure's name, such as `pipeline_raced`.
        reason: &'static str,
    },
    /// The deletion of a version was undone.
    Undeleted {
        /// Its number.
        version: u64,
    },
    /// A version was removed for good.
    Destroyed {
        /// Its number.
        version: u64,
    },
    /// What was asked was told: a folder's names, or a secret's versions.
    Done,
    /// The key is registered once this is written.
    KeyRegistered,
    /// The key is forgotten once this is written.
    KeyForgotten,
    /// Chat is locked: by vaultgram itself, which is the caller.
    ChatLocked,
    /// Chat is unlocked once this is written.
    ChatUnlocked,
    /// These policies are in force once this is written.
    PolicyLoaded {
        /// Names their text, with the groups and people they speak of.
        hash: String,
        /// How many there are.
        policies: usize,
    },
    /// A value that was handed over in the request stood in a message that others read.
    Leaked {
        /// The message.
        message: RequestId,
        /// The Telegram account that wrote it, where one did.
        writer: Option<i64>,
    },
    /// The lease is renewed from now on, for so many seconds.
    LeaseKept {
        /// So many.
        seconds: u64,
    },
    /// Vault lets the lease last so many seconds from now on.
    LeaseRenewed {
        /// So many.
        seconds: u64,
    },
    /// The lease has ended, and with it the secret.
    LeaseRevoked,
    /// A proof was refused: nobody knows who brought it, so the caller is vaultgram itself.
    ProofRefused {
        /// Why, such as `expired`.
        reason: &'static str,
        /// How many of its kind were refused since the last on record, and are not.
        omitted: u64,
    },
    /// Nothing was handed over; a change may or may not have been made when the store did not
    /// answer.
    Failed {
        /// The failure's name, such as `not_found`.
        reason: &'static str,
    },
}

/// Of a secret that was read, what may be told.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Reading {
    /// The version, where there are versions.
    pub version: Option<u64>,
    /// The lease's name in Vault, where there is one.
    pub lease: Option<String>,
    /// How long before it was read from Vault, where it was kept since.
    pub age: Option<Age>,
}

impl From<&Secret> for Reading {
    fn from(secret: &Secret) -> Self {
        Self {
            version: secret.version(),
            lease: match &secret.origin {
                Origin::Leased(lease) => Some(lease.id.clone()),
                Origin::Version(_) | Origin::Plain => None,
            },
            age: secret.age,
        }
    }
}

impl AuditEvent {
    /// The lease of what is handed over once this is written.
    #[must_use]
    pub fn lease(&self) -> Option<&str> {
        match self {
            Self::Released(reading)
            | Self::Sealed { reading, .. }
            | Self::Collected { reading, .. } => reading.lease.as_deref(),
            Self::Decided { .. }
            | Self::Approval(_)
            | Self::ConfirmationAsked
            | Self::Wrapped { .. }
            | Self::Offered { .. }
            | Self::Written { .. }
            | Self::Deleted { .. }
            | Self::Undeleted { .. }
            | Self::Destroyed { .. }
            | Self::Started { .. }
            | Self::StartedAmiss { .. }
            | Self::Done
            | Self::KeyRegistered
            | Self::KeyForgotten
            | Self::ChatLocked
            | Self::ChatUnlocked
            | Self::PolicyLoaded { .. }
            | Self::Leaked { .. }
            | Self::LeaseKept { .. }
            | Self::LeaseRenewed { .. }
            | Self::LeaseRevoked
            | Self::ProofRefused { .. }
            | Self::Failed { .. } => None,
        }
    }
}

impl AuditEntry {
    /// The record of a decision.
    #[must_use]
    pub fn decided(request: &Request, decision: &Decision, at: OffsetDateTime) -> Self {
        let event = match decision {
            Decision::Allow(permit) => AuditEvent::Decided {
                allowed: true,
                reason: None,
                policies: permit.policies().to_vec(),
                vault_role: permit.terms().vault_role.clone(),
                grant: permit.grant().cloned(),
            },
            Decision::Deny(denial) => AuditEvent::Decided {
                allowed: false,
                reason: Some(denial.reason.name()),
                policies: denial.policies.clone(),
                vault_role: None,
                grant: None,
            },
            Decision::NeedsApproval(need) => AuditEvent::Decided {
                allowed: false,
                reason: Some(DenialReason::NeedsApproval.name()),
                policies: need.policies(),
                vault_role: None,
                grant: None,
            },
        };
        Self::of(request, event, at)
    }

    /// The record of what came of a permit.
    #[must_use]
    pub fn outcome(permit: &Permit, event: AuditEvent, at: OffsetDateTime) -> Self {
        Self::of(permit.request(), event, at)
    }

    /// The record of what happened to the request for approval of `request`: by `caller`, in the
    /// request `id` of theirs.
    #[must_use]
    pub fn approval(
        (id, caller): (&RequestId, &Caller),
        request: &Request,
        record: ApprovalRecord,
        at: OffsetDateTime,
    ) -> Self {
        Self {
            id: id.clone(),
            caller: caller.clone(),
            ..Self::of(request, AuditEvent::Approval(record), at)
        }
    }

    /// The record of something else that happened to a request.
    #[must_use]
    pub fn of(request: &Request, event: AuditEvent, at: OffsetDateTime) -> Self {
        Self {
            at,
            id: request.id.clone(),
            caller: request.caller.clone(),
            subject: Subject::Secret {
                action: request.action,
                target: request.target.clone(),
            },
            event,
        }
    }
}

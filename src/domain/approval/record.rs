//! What the audit keeps of a request for approval: every step of it.

use time::OffsetDateTime;

use crate::domain::approval::{Approval, ApprovalId, Effect};

/// A step, for the audit. Who took it, and what the request is for, stands beside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApprovalRecord {
    /// Which request.
    pub approval: ApprovalId,
    /// Who asked, by the name that people know.
    pub requester: String,
    /// What happened.
    pub step: ApprovalStep,
}

/// What happened to a request for approval. Written before it does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ApprovalStep {
    /// Somebody asks.
    Opened {
        /// Why.
        reason: String,
        /// The policies that want it approved.
        policies: Vec<String>,
        /// The grant that is to last longer, where it is about that.
        extends: Option<ApprovalId>,
    },
    /// Somebody takes it without being granted it.
    BrokenGlass {
        /// Why.
        reason: String,
        /// Until then.
        until: OffsetDateTime,
    },
    /// An approver agrees.
    Voted {
        /// Where the TOTP code that came with it was checked.
        step_up: Option<String>,
    },
    /// An approver gave a wrong TOTP code, so it does not count.
    StepUpFailed,
    /// That was enough.
    Granted {
        /// Until then.
        until: OffsetDateTime,
        /// For one use.
        once: bool,
        /// By what these policies want.
        policies: Vec<String>,
    },
    /// An approver says no.
    Denied {
        /// Why.
        reason: String,
    },
    /// Its requester wants it no more.
    Cancelled,
    /// Nobody decided in time.
    Expired,
    /// Its one use is made, by the request that was decided under it.
    Used,
    /// It was not made after all.
    GivenBack,
    /// The grant lasts longer.
    Extended {
        /// Until then.
        until: OffsetDateTime,
    },
    /// The grant is taken back.
    Revoked,
    /// Its time is over.
    Ended,
    /// Somebody looked at broken glass.
    Reviewed {
        /// What they found.
        note: String,
    },
}

impl ApprovalRecord {
    /// The record of `effect`, if it is one for the audit.
    #[must_use]
    pub fn of(approval: &Approval, effect: &Effect) -> Option<Self> {
        match effect {
            Effect::Step(step) => Some(approval.record(step.clone())),
            Effect::Applied | Effect::Warned | Effect::Reminded => None,
        }
    }
}

impl Approval {
    /// The record of `step`.
    #[must_use]
    pub fn record(&self, step: ApprovalStep) -> ApprovalRecord {
        ApprovalRecord {
            approval: self.id.clone(),
            requester: self.requester.clone(),
            step,
        }
    }
}

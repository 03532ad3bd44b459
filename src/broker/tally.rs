//! What is counted of each request: where it came from, what was decided, what came of it, and how
//! long that took.

use tokio::time::Instant;

use crate::broker::ports::StoreError;
use crate::broker::{Asked, BrokerError, ChangedVersions, Collected, Outcome};
use crate::domain::{Caller, Decision, RequestId};
use crate::telemetry::metrics;

/// A request that is being answered.
pub(super) struct Tally {
    front_end: &'static str,
    decision: &'static str,
    began: Instant,
}

impl Tally {
    /// Begins with the request `id` of `caller`.
    pub(super) fn begin(id: &RequestId, caller: &Caller) -> Self {
        let front_end = match (id, caller) {
            (RequestId::Message { .. } | RequestId::Press(_), _) => "telegram",
            (RequestId::Connection(_), Caller::Job(_)) => "https",
            (RequestId::Connection(_), Caller::Unix(_) | Caller::Telegram(_)) => "socket",
        };
        Self::by(front_end)
    }

    /// As [`Tally::begin`], where something else than the request says where it came from.
    pub(super) fn by(front_end: &'static str) -> Self {
        Self {
            front_end,
            decision: "none",
            began: Instant::now(),
        }
    }

    /// Policy says so.
    pub(super) fn decided(&mut self, decision: &Decision) {
        self.decision = match decision {
            Decision::Allow(_) => "allow",
            Decision::Deny(_) => "deny",
            Decision::NeedsApproval(_) => "approval",
        };
    }

    /// Counts `done`, and hands it on.
    pub(super) fn end<T: Told>(self, done: Result<T, BrokerError>) -> Result<T, BrokerError> {
        let outcome = match &done {
            Ok(done) => done.word(),
            Err(error) if is_ours(error) => "failed",
            Err(_) => "mistaken",
        };
        metrics::request(self.front_end, self.decision, outcome, self.began.elapsed());
        done
    }
}

/// What came of a request, in one word for metrics.
pub(super) trait Told {
    /// The word.
    fn word(&self) -> &'static str;
}

impl Told for Outcome {
    fn word(&self) -> &'static str {
        match self {
            Self::Released(_) => "released",
            Self::Wrapped(_) => "wrapped",
            Self::Sealed(_) => "sealed",
            Self::Offered(_) => "offered",
            Self::Listed(_) | Self::Versions(_) => "listed",
            Self::Written(_) | Self::Deleted(_) | Self::Undeleted(_) | Self::Destroyed(_) => {
                "changed"
            }
            Self::Denied(_) => "denied",
            Self::NeedsApproval(_) => "waiting",
            Self::Duplicate => "duplicate",
            Self::Interrupted => "interrupted",
        }
    }
}

impl Told for Asked {
    fn word(&self) -> &'static str {
        match self {
            Self::Confirm { .. } => "asked",
            Self::Denied(_) => "denied",
            Self::NeedsApproval(_) => "waiting",
            Self::Duplicate => "duplicate",
            Self::Interrupted => "interrupted",
        }
    }
}

impl Told for ChangedVersions {
    fn word(&self) -> &'static str {
        match self {
            Self::Done(_) => "changed",
            Self::Denied(_) => "denied",
            Self::NeedsApproval(_) => "waiting",
        }
    }
}

impl Told for Collected {
    fn word(&self) -> &'static str {
        match self {
            Self::Released(_) => "released",
            Self::Denied(_) => "denied",
        }
    }
}

/// Whether it is for an operator to put right, and not for the caller.
fn is_ours(error: &BrokerError) -> bool {
    matches!(
        error,
        BrokerError::Audit(_)
            | BrokerError::Coordination(_)
            | BrokerError::OutOfTouch
            | BrokerError::DoneUnrecorded
            | BrokerError::Store(
                StoreError::Forbidden
                    | StoreError::RoleRefused
                    | StoreError::WrongMount
                    | StoreError::Sealed
                    | StoreError::LoggedOut
                    | StoreError::Unavailable
                    | StoreError::Unclear
                    | StoreError::Invalid
            )
    )
}

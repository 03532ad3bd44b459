//! What is counted of each request: where it came from, what was decided, what came of it, and how
//! long that took.

use tokio::time::Instant;

use crate::broker::pipelines::RunError;
use crate::broker::ports::StoreError;
use crate::broker::ports::pipelines::PipelineError;
use crate::broker::{Asked, BrokerError, ChangedVersions, Collected, Outcome};
use crate::domain::{Caller, Decision, RequestId};
use crate::telemetry::metrics;
use crate::telemetry::stage;

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
        stage::note(self.decision, outcome);
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
            Self::Listed(_) | Self::Versions(_) | Self::Runs(_) => "listed",
            Self::Written(_)
            | Self::Deleted(_)
            | Self::Undeleted(_)
            | Self::Destroyed(_)
            | Self::Watching(_) => "changed",
            Self::Operated(_) => "operated",
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
            Self::Confirm { .. } | Self::ConfirmPipeline(..) => "asked",
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
    use BrokerError as Error;
    match error {
        Error::Audit(_) | Error::Coordination(_) | Error::OutOfTouch | Error::DoneUnrecorded => {
            true
        }
        Error::Store(error) => is_the_stores(error),
        Error::Run(error) => is_githubs(error),
        Error::NoSuchField(_)
        | Error::DoneNoSuchField(_)
        | Error::PermitExpired
        | Error::WrappedField
        | Error::WrappedElsewhere
        | Error::NoKey
        | Error::Key(_)
        | Error::TooManyKeys(_)
        | Error::UnknownKey
        | Error::NoUnixUser
        | Error::NothingToCollect
        | Error::NothingToWrite
        | Error::NoField
        | Error::NewestNotDeleted
        | Error::MeaninglessField
        | Error::MeaninglessVersion
        | Error::NoVersions
        | Error::OnlyWhole
        | Error::NotAnEngine
        | Error::NotKv
        | Error::InvokeOnHost
        | Error::PlainInChat
        | Error::NoVersionNamed
        | Error::UnknownLease
        | Error::NotRenewable
        | Error::KeptTooLong
        | Error::TooManyLeases(_)
        | Error::Approval(_)
        | Error::ChatLocked => false,
    }
}

/// Whether the store fails, or is not for us as it should be.
fn is_the_stores(error: &StoreError) -> bool {
    use StoreError as Error;
    match error {
        Error::Forbidden
        | Error::RoleRefused
        | Error::WrongMount
        | Error::Sealed
        | Error::LoggedOut
        | Error::Unavailable
        | Error::Unclear
        | Error::Invalid => true,
        Error::NotFound
        | Error::NoSuchVersion
        | Error::Deleted(_)
        | Error::NotDeleted { .. }
        | Error::Destroyed(_)
        | Error::Conflict { .. }
        | Error::CasRequired
        | Error::NotWrapped
        | Error::Unsupported
        | Error::Refused
        | Error::Rejected(_) => false,
    }
}

/// Whether GitHub fails, or is not for us as it should be.
fn is_githubs(error: &RunError) -> bool {
    use PipelineError as Server;
    match error {
        RunError::Unchecked { .. }
        | RunError::Server(
            Server::Forbidden(_)
            | Server::LoggedOut
            | Server::RateLimited(_)
            | Server::Moved
            | Server::Unavailable
            | Server::Unclear
            | Server::RunUnknown
            | Server::Invalid,
        ) => true,
        RunError::Server(
            Server::NotFound(_) | Server::Refused(_) | Server::Conflict(_) | Server::Workflow(_),
        )
        | RunError::Inputs(_)
        | RunError::NoneServed
        | RunError::Elsewhere(_)
        | RunError::NoSecret
        | RunError::NoPipeline
        | RunError::NoDispatch
        | RunError::Vague
        | RunError::TooLong
        | RunError::Changed
        | RunError::Moved { .. }
        | RunError::OfElse
        | RunError::NoChat
        | RunError::NotWatched
        | RunError::TooManyWatches
        | RunError::NothingWaits(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::ports::pipelines::RunId;

    #[test]
    fn what_fails_is_not_what_was_asked_for() {
        let github = |error: PipelineError| BrokerError::from(RunError::from(error));
        let run = RunId::new(7).unwrap();
        let stopped = true;
        for ours in [
            github(PipelineError::Unavailable),
            github(PipelineError::Unclear),
            github(PipelineError::RunUnknown),
            github(PipelineError::Invalid),
            github(PipelineError::LoggedOut),
            github(PipelineError::Forbidden(None)),
            RunError::Unchecked { run, stopped }.into(),
            StoreError::Sealed.into(),
            BrokerError::OutOfTouch,
        ] {
            assert!(is_ours(&ours), "{ours:?}");
        }
        for theirs in [
            github(PipelineError::NotFound("workflow")),
            github(PipelineError::Refused("no".to_owned())),
            RunError::Moved { run, stopped }.into(),
            RunError::Vague.into(),
            StoreError::NotFound.into(),
            BrokerError::NoField,
        ] {
            assert!(!is_ours(&theirs), "{theirs:?}");
        }
    }
}

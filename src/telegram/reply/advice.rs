//! What people in chat can do about a failure.

use crate::broker::ports::StoreError;
use crate::broker::ports::pipelines::PipelineError;
use crate::broker::{ApprovalError, BrokerError, RunError};
use crate::domain::approval::Refusal;

/// What to do next, where chat has a command for it.
pub(super) fn next(error: &BrokerError) -> Option<String> {
    use StoreError as Store;
    let next = match error {
        BrokerError::Store(error) => match error {
            Store::Deleted(version) => {
                return Some(format!("/undelete PATH@{} brings it back", version.number));
            }
            Store::Destroyed(_) => "/versions lists the others",
            Store::Conflict { .. } => "look at it (/versions), then ask again",
            Store::NotFound
            | Store::NoSuchVersion
            | Store::NotDeleted { .. }
            | Store::CasRequired
            | Store::NotWrapped
            | Store::Unsupported
            | Store::Forbidden
            | Store::RoleRefused
            | Store::Refused
            | Store::Rejected(_)
            | Store::WrongMount
            | Store::Sealed
            | Store::LoggedOut
            | Store::Unavailable
            | Store::Unclear
            | Store::Invalid => return None,
        },
        BrokerError::Run(error) => return next_about_run(error).map(str::to_owned),
        BrokerError::NoKey => "send /register_key age1…",
        BrokerError::TooManyKeys(_) => "forget one first (/keys lists them)",
        BrokerError::UnknownKey => "/keys lists them",
        BrokerError::NothingToWrite => "give at least one key=value",
        BrokerError::NewestNotDeleted => {
            "name the one to bring back: PATH@N (/versions lists them)"
        }
        BrokerError::NoVersionNamed => "name it: PATH@N (/versions lists them)",
        BrokerError::OnlyWhole => "write the whole secret with /put_secret",
        BrokerError::UnknownLease => "/leases lists yours",
        BrokerError::Approval(error) => return next_about(error),
        BrokerError::TooManyLeases(_) => "revoke some first (/leases lists them)",
        BrokerError::NoSuchField(_)
        | BrokerError::DoneNoSuchField(_)
        | BrokerError::Audit(_)
        | BrokerError::Coordination(_)
        | BrokerError::OutOfTouch
        | BrokerError::PermitExpired
        | BrokerError::WrappedField
        | BrokerError::WrappedElsewhere
        | BrokerError::Key(_)
        | BrokerError::NoUnixUser
        | BrokerError::NothingToCollect
        | BrokerError::NoField
        | BrokerError::MeaninglessField
        | BrokerError::MeaninglessVersion
        | BrokerError::NoVersions
        | BrokerError::NotAnEngine
        | BrokerError::NotKv
        | BrokerError::InvokeOnHost
        | BrokerError::PlainInChat
        | BrokerError::DoneUnrecorded
        | BrokerError::NotRenewable
        | BrokerError::KeptTooLong
        | BrokerError::ChatLocked => return None,
    };
    Some(next.to_owned())
}

/// What to do next about a pipeline.
fn next_about_run(error: &RunError) -> Option<&'static str> {
    match error {
        RunError::Server(
            PipelineError::NotFound("run") | PipelineError::Unclear | PipelineError::RunUnknown,
        )
        | RunError::Moved { .. }
        | RunError::Unchecked { .. }
        | RunError::NothingWaits(_) => Some("/runs shows how they stand"),
        RunError::Server(_)
        | RunError::Inputs(_)
        | RunError::NoneServed
        | RunError::Elsewhere(_)
        | RunError::NoSecret
        | RunError::NoPipeline
        | RunError::NoDispatch
        | RunError::Vague
        | RunError::TooLong
        | RunError::NoChat
        | RunError::NotWatched
        | RunError::TooManyWatches
        | RunError::Changed
        | RunError::OfElse => None,
    }
}

/// What to do next about a request for approval.
fn next_about(error: &ApprovalError) -> Option<String> {
    use ApprovalError as E;
    let next = match error {
        E::Asked(id) => return Some(format!("/request {id} shows how it stands")),
        E::TooMany(_) => "/requests lists them, /cancel takes one back",
        E::ReasonTooShort(_) => "write it after the path or the request",
        E::Unknown => "/requests lists yours, /admin_list those that you may decide on",
        E::NoGlass => "send /request_secret PATH reason",
        E::WrongCode => "wait for the next one, then vote again",
        E::Refused(refusal) => match refusal {
            Refusal::CodeNeeded => "send /approve, the request and the code, or reply approve CODE",
            Refusal::Over(..)
            | Refusal::Granted
            | Refusal::NotGranted
            | Refusal::Own
            | Refusal::NotOwn
            | Refusal::NotApprover
            | Refusal::VotedAlready
            | Refusal::Once
            | Refusal::NothingToReview
            | Refusal::ReviewedAlready(_) => return None,
        },
        E::NotNeeded
        | E::RefusedByNow
        | E::Granted(_)
        | E::TooManyToday(_)
        | E::TooManyOfYoursToday(_)
        | E::TooMuchBroken(_)
        | E::UnfitReason(_)
        | E::Over
        | E::NotExtended
        | E::TooManyCodes
        | E::NoAuthenticator(_)
        | E::Busy => return None,
    };
    Some(next.to_owned())
}

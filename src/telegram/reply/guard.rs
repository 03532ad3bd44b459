//! Which failures are not told when chat is locked by then.

use crate::broker::BrokerError;
use crate::broker::ports::StoreError;

/// Whether it tells something of a secret, and not that a change may have been made.
pub(super) fn tells(error: &BrokerError) -> bool {
    use StoreError as Store;
    match error {
        BrokerError::Store(error) => match error {
            Store::NotFound
            | Store::NoSuchVersion
            | Store::Deleted(_)
            | Store::NotDeleted { .. }
            | Store::Destroyed(_)
            | Store::Conflict { .. }
            | Store::CasRequired
            | Store::Forbidden
            | Store::Refused
            | Store::Rejected(_)
            | Store::Invalid => true,
            Store::NotWrapped
            | Store::Unsupported
            | Store::WrongMount
            | Store::RoleRefused
            | Store::Sealed
            | Store::LoggedOut
            | Store::Unavailable
            | Store::Unclear => false,
        },
        BrokerError::Run(error) => !error.is_unclear(),
        BrokerError::NoSuchField(_)
        | BrokerError::DoneNoSuchField(_)
        | BrokerError::NewestNotDeleted => true,
        BrokerError::Audit(_)
        | BrokerError::Coordination(_)
        | BrokerError::OutOfTouch
        | BrokerError::PermitExpired
        | BrokerError::WrappedField
        | BrokerError::WrappedElsewhere
        | BrokerError::NoKey
        | BrokerError::Key(_)
        | BrokerError::TooManyKeys(_)
        | BrokerError::UnknownKey
        | BrokerError::NoUnixUser
        | BrokerError::NothingToCollect
        | BrokerError::NothingToWrite
        | BrokerError::NoField
        | BrokerError::MeaninglessField
        | BrokerError::MeaninglessVersion
        | BrokerError::NoVersions
        | BrokerError::OnlyWhole
        | BrokerError::NotAnEngine
        | BrokerError::NotKv
        | BrokerError::InvokeOnHost
        | BrokerError::NoVersionNamed
        | BrokerError::DoneUnrecorded
        | BrokerError::UnknownLease
        | BrokerError::NotRenewable
        | BrokerError::KeptTooLong
        | BrokerError::TooManyLeases(_)
        | BrokerError::Approval(_)
        | BrokerError::ChatLocked => false,
    }
}

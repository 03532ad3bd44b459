//! Errors in Vault's shape, and which status each has.

use hyper::StatusCode;

use crate::api::Errors;
use crate::broker::BrokerError;
use crate::broker::ports::StoreError;

/// A request that is answered with an error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) status: StatusCode,
    /// `None` is Vault's plain "not found": an empty list.
    pub(super) message: Option<String>,
    /// The method to use instead, where that is what is wrong.
    pub(super) allow: Option<&'static str>,
}

impl Refusal {
    pub(super) fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self {
            status,
            message: Some(message.into()),
            allow: None,
        }
    }

    /// Vault's plain "not found".
    pub(super) fn nothing() -> Self {
        Self {
            status: StatusCode::NOT_FOUND,
            message: None,
            allow: None,
        }
    }

    /// The path is right, the method is not.
    pub(super) fn method(allow: &'static str, message: impl Into<String>) -> Self {
        Self {
            allow: Some(allow),
            ..Self::new(StatusCode::METHOD_NOT_ALLOWED, message)
        }
    }

    pub(super) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    /// In Vault's words, so that clients take it for what it is.
    pub(super) fn denied() -> Self {
        Self::new(
            StatusCode::FORBIDDEN,
            "1 error occurred:\n\t* permission denied\n\n",
        )
    }

    /// The request took longer than it may.
    pub(super) fn too_slow() -> Self {
        Self::new(
            StatusCode::GATEWAY_TIMEOUT,
            "the answer took too long; try again in a moment",
        )
    }

    /// A fault of our own.
    pub(super) fn broken() -> Self {
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "vaultgram failed; tell an operator",
        )
    }

    pub(super) fn body(&self) -> Errors {
        Errors {
            errors: self.message.iter().cloned().collect(),
        }
    }
}

impl From<&BrokerError> for Refusal {
    fn from(error: &BrokerError) -> Self {
        let status = match error {
            BrokerError::Store(StoreError::NotFound | StoreError::NoSuchVersion) => {
                return Self::nothing();
            }
            BrokerError::Store(StoreError::Deleted(_) | StoreError::Destroyed(_))
            | BrokerError::NoSuchField(_)
            | BrokerError::DoneNoSuchField(_)
            | BrokerError::NothingToCollect
            | BrokerError::UnknownKey
            | BrokerError::NewestNotDeleted => StatusCode::NOT_FOUND,
            BrokerError::Store(StoreError::Forbidden | StoreError::RoleRefused)
            | BrokerError::UnknownLease
            | BrokerError::WrappedElsewhere
            | BrokerError::ChatLocked => StatusCode::FORBIDDEN,
            BrokerError::Store(
                StoreError::Conflict { .. }
                | StoreError::NotWrapped
                | StoreError::CasRequired
                | StoreError::NotDeleted { .. }
                | StoreError::Refused
                | StoreError::Rejected(_),
            )
            | BrokerError::WrappedField
            | BrokerError::NoKey
            | BrokerError::Key(_)
            | BrokerError::TooManyKeys(_)
            | BrokerError::NoUnixUser
            | BrokerError::NothingToWrite
            | BrokerError::NoField
            | BrokerError::MeaninglessField
            | BrokerError::MeaninglessVersion
            | BrokerError::NoVersions
            | BrokerError::OnlyWhole
            | BrokerError::NotAnEngine
            | BrokerError::NotKv
            | BrokerError::InvokeOnHost
            | BrokerError::NotRenewable
            | BrokerError::KeptTooLong
            | BrokerError::TooManyLeases(_)
            | BrokerError::NoVersionNamed => StatusCode::BAD_REQUEST,
            // As Vault answers it.
            BrokerError::Store(StoreError::Unsupported) => StatusCode::METHOD_NOT_ALLOWED,
            BrokerError::Store(
                StoreError::Sealed | StoreError::LoggedOut | StoreError::Unavailable,
            )
            | BrokerError::PermitExpired => StatusCode::SERVICE_UNAVAILABLE,
            BrokerError::Store(
                StoreError::Unclear | StoreError::Invalid | StoreError::WrongMount,
            ) => StatusCode::BAD_GATEWAY,
            BrokerError::DoneUnrecorded | BrokerError::Audit(_) | BrokerError::Coordination(_) => {
                StatusCode::INTERNAL_SERVER_ERROR
            }
        };
        Self::new(status, error.to_string())
    }
}

//! Errors in Vault's shape, and which status each has.

use hyper::{Method, StatusCode};

use crate::api::{Because, Errors};
use crate::broker::ports::StoreError;
use crate::broker::{ApprovalError, BrokerError};
use crate::http::approvals;
use crate::http::ask::NoAnswer;

/// A request that is answered with an error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) status: StatusCode,
    /// `None` is Vault's plain "not found": an empty list.
    pub(super) message: Option<String>,
    /// The method to use instead, where that is what is wrong.
    pub(super) allow: Option<&'static str>,
    /// What programs go by, where it can be had another way.
    pub(super) because: Option<Box<Because>>,
}

impl Refusal {
    pub(super) fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self {
            status,
            message: Some(message.into()),
            allow: None,
            because: None,
        }
    }

    /// Vault's plain "not found".
    pub(super) fn nothing() -> Self {
        Self {
            status: StatusCode::NOT_FOUND,
            message: None,
            allow: None,
            because: None,
        }
    }

    /// The path is right, the method is not: Vault's words, and what would be right.
    pub(super) fn method(allow: &'static str) -> Self {
        Self {
            allow: Some(allow),
            ..Self::not_done(format!(
                "unsupported operation; vaultgram takes {allow} here"
            ))
        }
    }

    /// Vault does this, and vaultgram does not.
    pub(super) fn not_done(message: impl Into<String>) -> Self {
        Self::new(StatusCode::METHOD_NOT_ALLOWED, message)
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

    /// The request took longer than it may. Of a change nobody knows then whether it was made.
    pub(super) fn too_slow(method: &Method) -> Self {
        if !matches!(method.as_str(), "GET" | "HEAD" | "LIST") {
            return Self::from(&BrokerError::Store(StoreError::Unclear));
        }
        Self::new(
            StatusCode::GATEWAY_TIMEOUT,
            "the answer took too long; try again in a moment",
        )
    }

    /// As it is, with what programs go by.
    pub(super) fn because(self, because: Because) -> Self {
        Self {
            because: Some(Box::new(because)),
            ..self
        }
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

impl From<NoAnswer> for Refusal {
    fn from(none: NoAnswer) -> Self {
        match none {
            NoAnswer::Denied => Self::denied(),
            NoAnswer::NeedsApproval(unapproved) => approvals::needed(*unapproved),
            NoAnswer::Failed(error) => Self::from(&error),
            NoAnswer::Broken => Self::broken(),
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
            BrokerError::Run(error) if error.passes() => StatusCode::SERVICE_UNAVAILABLE,
            BrokerError::Run(error) if error.is_unclear() => StatusCode::CONFLICT,
            BrokerError::Run(_)
            | BrokerError::Store(
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
            | BrokerError::OutOfTouch
            | BrokerError::PermitExpired => StatusCode::SERVICE_UNAVAILABLE,
            // Nothing that clients try again by themselves, as they do after most of the 500s.
            BrokerError::Store(StoreError::Unclear) | BrokerError::DoneUnrecorded => {
                StatusCode::CONFLICT
            }
            BrokerError::Store(StoreError::Invalid | StoreError::WrongMount) => {
                StatusCode::BAD_GATEWAY
            }
            BrokerError::Approval(error) => of_approval(error),
            BrokerError::Audit(_) | BrokerError::Coordination(_) => {
                StatusCode::INTERNAL_SERVER_ERROR
            }
        };
        Self::new(status, said(error))
    }
}

fn of_approval(error: &ApprovalError) -> StatusCode {
    match error {
        ApprovalError::Unknown => StatusCode::NOT_FOUND,
        ApprovalError::RefusedByNow
        | ApprovalError::Refused(_)
        | ApprovalError::Over
        | ApprovalError::NoGlass
        | ApprovalError::WrongCode => StatusCode::FORBIDDEN,
        ApprovalError::TooMany(_)
        | ApprovalError::TooManyToday(_)
        | ApprovalError::TooManyOfYoursToday(_)
        | ApprovalError::TooMuchBroken(_)
        | ApprovalError::TooManyCodes => StatusCode::TOO_MANY_REQUESTS,
        ApprovalError::NotNeeded
        | ApprovalError::Asked(_)
        | ApprovalError::Granted(_)
        | ApprovalError::ReasonTooShort(_)
        | ApprovalError::UnfitReason(_)
        | ApprovalError::NotExtended
        | ApprovalError::NoAuthenticator(_) => StatusCode::BAD_REQUEST,
        ApprovalError::Busy => StatusCode::SERVICE_UNAVAILABLE,
    }
}

/// What a program is told: in Vault's own words where it has any, since clients look for them.
fn said(error: &BrokerError) -> String {
    let said = if let BrokerError::Store(StoreError::Conflict { .. }) = error {
        "check-and-set parameter did not match the current version"
    } else if let BrokerError::Store(StoreError::CasRequired) = error {
        "check-and-set parameter required for this call"
    } else if let BrokerError::Store(StoreError::Rejected(words)) = error {
        words
    } else if let BrokerError::Store(StoreError::Sealed) = error {
        "Vault is sealed"
    } else if let BrokerError::Store(StoreError::Unsupported) = error {
        "1 error occurred:\n\t* unsupported operation\n\n"
    } else if let BrokerError::NothingToWrite = error {
        "no data provided"
    } else if let BrokerError::NotRenewable = error {
        "lease is not renewable"
    } else if let BrokerError::UnknownLease = error {
        "you have no such lease; vaultgram leases lists yours"
    } else if let BrokerError::TooManyLeases(_) = error {
        return format!("{error}; revoke some first (vaultgram leases lists them)");
    } else if let BrokerError::OnlyWhole = error {
        return format!("{error}; write the whole secret");
    } else {
        return error.to_string();
    };
    said.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::VersionFacts;

    #[test]
    fn a_program_is_told_vaults_words_and_nothing_of_chat() {
        for (error, wanted) in [
            (
                StoreError::Conflict { current: 3 }.into(),
                "check-and-set parameter did not match the current version",
            ),
            (
                StoreError::CasRequired.into(),
                "check-and-set parameter required for this call",
            ),
            (
                StoreError::NotWrapped.into(),
                "wrapping token is not valid or does not exist",
            ),
            (
                StoreError::Rejected("no such role".to_owned()).into(),
                "no such role",
            ),
            (BrokerError::NotRenewable, "lease is not renewable"),
            (BrokerError::NothingToWrite, "no data provided"),
        ] {
            assert_eq!(said(&error), wanted);
            assert_eq!(Refusal::from(&error).status, StatusCode::BAD_REQUEST);
        }
        for error in [
            StoreError::Deleted(VersionFacts::default()).into(),
            StoreError::Destroyed(VersionFacts::default()).into(),
            BrokerError::NewestNotDeleted,
            BrokerError::NoVersionNamed,
            BrokerError::OnlyWhole,
            BrokerError::UnknownLease,
            BrokerError::TooManyLeases(1),
        ] {
            let said = said(&error);
            assert!(!said.contains('/') && !said.contains("PATH"), "{said}");
        }
    }
}

//! What an error of the client says of the call: not done, done perhaps, and whether to try again.

use std::error::Error as _;

use etcd_client::Error;
use tonic::{Code, ConnectError, Status};

use crate::coordination::etcd::kv::KvError;

/// Begins everything that etcd itself says.
const ITS_WORDS: &str = "etcdserver: ";
/// The same, of a lease.
const NO_LEASE: &str = "etcdserver: requested lease not found";
/// No node leads: nothing was taken on.
const NO_LEADER: &str = "etcdserver: no leader";

/// Why a try came to nothing.
#[derive(Debug)]
pub(super) enum Failure {
    /// etcd says no, and would say so again.
    No(String),
    /// It was not done, as a lease is not there.
    NoLease,
    /// It was not done, and another try may do it.
    NotDone(String),
    /// Nobody knows whether it was done.
    Unclear(String),
}

impl Failure {
    pub(super) fn of(error: &Error) -> Self {
        let text = chain(error);
        match error {
            Error::GRpcStatus(status) => Self::of_status(status, text),
            // Found before anything was sent.
            Error::InvalidArgs(_)
            | Error::InvalidUri(_)
            | Error::InvalidMetadataValue(_)
            | Error::EndpointError(_)
            | Error::EndpointsNotManaged => Self::No(text),
            Error::IoError(_)
            | Error::TransportError(_)
            | Error::WatchError(_)
            | Error::Utf8Error(_)
            | Error::LeaseKeepAliveError(_)
            | Error::ElectError(_)
            | Error::Internal(_) => Self::Unclear(text),
        }
    }

    /// The same in other words.
    pub(super) fn map(self, words: impl FnOnce(String) -> String) -> Self {
        match self {
            Self::NoLease => Self::NoLease,
            Self::No(text) => Self::No(words(text)),
            Self::NotDone(text) => Self::NotDone(words(text)),
            Self::Unclear(text) => Self::Unclear(words(text)),
        }
    }

    fn of_status(status: &Status, text: String) -> Self {
        if never_sent(status) || status.message() == NO_LEADER {
            return Self::NotDone(text);
        }
        if status.message() == NO_LEASE {
            return Self::NoLease;
        }
        let its_words = status.message().starts_with(ITS_WORDS);
        match status.code() {
            // It checks these before it does anything.
            Code::InvalidArgument
            | Code::NotFound
            | Code::AlreadyExists
            | Code::PermissionDenied
            | Code::FailedPrecondition
            | Code::OutOfRange
            | Code::Unauthenticated
                if its_words =>
            {
                Self::No(text)
            }
            // Too many requests, or no space: either may pass.
            Code::ResourceExhausted if its_words => Self::NotDone(text),
            Code::Unimplemented => Self::No(text),
            Code::Ok
            | Code::Cancelled
            | Code::Unknown
            | Code::InvalidArgument
            | Code::DeadlineExceeded
            | Code::NotFound
            | Code::AlreadyExists
            | Code::PermissionDenied
            | Code::ResourceExhausted
            | Code::FailedPrecondition
            | Code::Aborted
            | Code::OutOfRange
            | Code::Internal
            | Code::Unavailable
            | Code::DataLoss
            | Code::Unauthenticated => Self::Unclear(text),
        }
    }
}

impl From<Failure> for KvError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::NoLease => Self::NoLease,
            Failure::No(text) | Failure::NotDone(text) => Self::Refused(text),
            Failure::Unclear(text) => Self::Unclear(text),
        }
    }
}

/// Whether there was no connection to send it on.
fn never_sent(status: &Status) -> bool {
    let mut cause = status.source();
    while let Some(error) = cause {
        if error.is::<ConnectError>() {
            return true;
        }
        cause = error.source();
    }
    false
}

/// What is wrong, with its causes, each once: the client's own words often say little.
pub(super) fn chain(error: &Error) -> String {
    let (mut text, mut cause) = match error {
        Error::GRpcStatus(status) => (status.message().to_owned(), status.source()),
        Error::TransportError(error) => (error.to_string(), error.source()),
        Error::InvalidArgs(_)
        | Error::InvalidUri(_)
        | Error::IoError(_)
        | Error::WatchError(_)
        | Error::Utf8Error(_)
        | Error::LeaseKeepAliveError(_)
        | Error::ElectError(_)
        | Error::InvalidMetadataValue(_)
        | Error::EndpointError(_)
        | Error::EndpointsNotManaged
        | Error::Internal(_) => (error.to_string(), None),
    };
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text = if text.is_empty() {
                more
            } else {
                format!("{text}: {more}")
            };
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(status: Status) -> KvError {
        Failure::of(&Error::GRpcStatus(status)).into()
    }

    #[test]
    fn only_what_was_certainly_not_done_is_refused() {
        let refused = |status: Status| matches!(judged(status), KvError::Refused(_));
        assert!(refused(Status::permission_denied(
            "etcdserver: permission denied"
        )));
        let no_lease = Status::not_found("etcdserver: requested lease not found");
        assert_eq!(judged(no_lease), KvError::NoLease);
        assert!(refused(Status::unavailable("etcdserver: no leader")));
        assert!(refused(Status::resource_exhausted(
            "etcdserver: too many requests"
        )));
        assert!(refused(Status::from_error(Box::new(ConnectError(
            "gone".into()
        )))));
        for unclear in [
            Status::unavailable("etcdserver: leader changed"),
            Status::unavailable("etcdserver: request timed out"),
            Status::unavailable("etcdserver: server stopped"),
            Status::unknown("transport error"),
            Status::cancelled("operation was canceled"),
            // The client could not read the answer: it was done all the same.
            Status::out_of_range("Error, decoded message length too large"),
        ] {
            assert!(!refused(unclear.clone()), "{unclear}");
        }
    }
}

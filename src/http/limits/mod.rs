//! What one caller may take of a socket, so that something is always left for the others.
//!
//! A caller is a user, as the kernel names it: its processes can be as many as it likes; or the address it
//! comes from.

mod place;
mod rate;
mod shares;
mod who;

use std::time::Duration;

use hyper::StatusCode;
use hyper::header::{CONNECTION, HeaderValue, RETRY_AFTER};
use tokio::time::Instant;

pub(super) use place::Place;
pub(super) use shares::Shares;
pub(super) use who::Who;

use crate::http::error::Refusal;
use crate::http::reply::{self, Reply};

/// How often the log says the same.
const SAY_AGAIN: Duration = Duration::from_mins(1);

/// What may be taken of a socket. A user, where it is one of the network, is an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// How many connections there are at once.
    pub connections: usize,
    /// How many of them one user has.
    pub connections_per_user: usize,
    /// How many requests of one user are worked on at once; a few more wait for a moment.
    pub in_flight_per_user: usize,
    /// Requests and new connections of one user a second, in the long run; twice as many may
    /// come at once.
    pub rate_per_user: u32,
    /// The same of everybody together.
    pub rate: u32,
}

impl Limits {
    /// What suits a socket of so many connections.
    #[must_use]
    pub fn of(connections: usize) -> Self {
        Self {
            connections,
            connections_per_user: (connections / 4).max(1),
            in_flight_per_user: 32,
            rate_per_user: 1000,
            rate: 5000,
        }
    }
}

/// Why somebody is not served now. Nothing is decided, so nothing is audited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refused {
    /// More requests than the rate allows.
    TooOften,
    /// All connections of the user are busy.
    Connections,
    /// All connections there are.
    Full,
    /// As many requests of the user are worked on as may be.
    InFlight,
}

impl Refused {
    /// Its name in metrics and the log.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::TooOften => "rate",
            Self::Connections => "connections",
            Self::Full => "full",
            Self::InFlight => "in_flight",
        }
    }

    fn refusal(self) -> Refusal {
        let (status, message) = match self {
            Self::TooOften => (
                StatusCode::TOO_MANY_REQUESTS,
                "rate limit exceeded; try again in a second",
            ),
            Self::Connections => (
                StatusCode::SERVICE_UNAVAILABLE,
                "you have too many connections here; close some, or try again in a second",
            ),
            Self::Full => (
                StatusCode::SERVICE_UNAVAILABLE,
                "vaultgram has as many connections as it may; try again in a second",
            ),
            Self::InFlight => (
                StatusCode::SERVICE_UNAVAILABLE,
                "too many requests of yours are waiting for an answer; try again in a second",
            ),
        };
        Refusal::new(status, message)
    }

    /// The answer to a request.
    pub(super) fn reply(self) -> Reply {
        let mut reply = reply::refusal(&self.refusal());
        let headers = reply.headers_mut();
        // Rates are a second's at least, so that is always long enough.
        headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
        if matches!(self, Self::Connections | Self::Full) {
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        reply
    }

    /// The answer on a connection that is not served at all, whatever it asks.
    pub(super) fn text(self) -> String {
        let refusal = self.refusal();
        let body = serde_json::to_string(&refusal.body()).unwrap_or_default();
        format!(
            "HTTP/1.1 {}\r\ncontent-type: application/json\r\ncache-control: no-store\r\n\
             retry-after: 1\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
            refusal.status,
            body.len()
        )
    }
}

/// Whether something is to be said, which was said `last`: once a minute.
pub(super) fn is_news(last: &mut Option<Instant>, now: Instant) -> bool {
    let news = last.is_none_or(|last| now.duration_since(last) >= SAY_AGAIN);
    if news {
        *last = Some(now);
    }
    news
}

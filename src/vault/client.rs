//! One request to Vault: its headers, its turn, its time-out, and what an answer means.
//!
//! vaultrs gives the requests; the sending is ours, see [`wire`].

use std::time::Duration;

use hyper::Request;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use rustify::endpoint::Endpoint;
use serde::Deserialize;
use thiserror::Error;
use time::OffsetDateTime;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};
use url::Url;
use vaultrs::api::EndpointMiddleware;
use zeroize::Zeroizing;

use crate::vault::settings::{Settings, SettingsError};
use crate::vault::wire::{self, Wire};

/// Requests under way at once; more wait their turn.
const MAX_IN_FLIGHT: usize = 64;
/// Longest piece of an answer repeated in a message, in characters.
const MAX_CAUSE: usize = 200;

/// Speaks to one Vault.
pub(super) struct Client {
    wire: Wire,
    base: String,
    namespace: Option<String>,
    patience: Duration,
    slots: Semaphore,
}

/// The headers every request carries, a token among them. vaultrs' own type derives
/// `Debug`, token included, so this one has none.
pub(super) struct Access(EndpointMiddleware);

impl Access {
    /// The same, with the answer wrapped for `ttl`.
    pub(super) fn wrapping(&self, ttl: Duration) -> Self {
        // Vault takes 0 for "do not wrap".
        let seconds = ttl.as_secs().max(1);
        Self(EndpointMiddleware {
            wrap: Some(format!("{seconds}s")),
            ..self.0.clone()
        })
    }
}

/// What Vault answered; the body is wiped when dropped.
pub(super) struct Answer {
    /// The HTTP status.
    pub(super) status: u16,
    /// The body.
    pub(super) body: Zeroizing<Vec<u8>>,
    /// When it was answered, by the clock of who answered, in whole seconds.
    pub(super) date: Option<OffsetDateTime>,
}

/// What a write or a login carries beside its path: holds plaintext.
pub(super) struct Payload {
    /// The media type: it tells Vault what a PATCH means.
    pub(super) media_type: &'static str,
    /// JSON text.
    pub(super) json: Zeroizing<Vec<u8>>,
}

/// Why there is no usable answer. `Display` is fit for the log and for `doctor`.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(super) enum Failure {
    /// No connection, or an answer that says to try later: nothing was done.
    #[error("Vault cannot be reached: {0}")]
    Unavailable(String),
    /// No answer to what was sent, or one that does not say whether it was done.
    #[error("Vault cannot be reached: {0}")]
    Unclear(String),
    /// Sealed, or not initialised.
    #[error("Vault is sealed")]
    Sealed,
    /// Vault says no, and will say so again.
    #[error("Vault refused: {0}")]
    Refused(Refusal),
    /// Not an answer of Vault's, or too large a one.
    #[error("Vault's answer cannot be used: {0}")]
    Invalid(&'static str),
}

/// Vault's no.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{explained}")]
pub(super) struct Refusal {
    /// The HTTP status.
    pub(super) status: u16,
    /// What Vault says, on one line.
    pub(super) explained: String,
    /// Whether it came in the form of Vault's errors, and not of a proxy's.
    pub(super) in_its_words: bool,
}

impl Failure {
    /// This failure of what was asked to have or to prove a login. A refusal without a word of
    /// Vault's (it has one even for a namespace that is gone) is a proxy's, or of a Vault that is
    /// not all there: it is away.
    pub(super) fn of_login(self) -> Self {
        if let Self::Refused(cause) = &self
            && !cause.in_its_words
        {
            return Self::Unavailable(format!(
                "{cause}, which is no word of Vault's on our login; check [vault] address and \
                 namespace, and what is between"
            ));
        }
        self
    }
}

impl Client {
    pub(super) fn new(address: &Url, settings: &Settings) -> Result<Self, SettingsError> {
        Ok(Self {
            wire: Wire::new(address, settings)?,
            base: address.as_str().to_owned(),
            namespace: settings.namespace.clone(),
            patience: settings.request_timeout,
            slots: Semaphore::new(MAX_IN_FLIGHT),
        })
    }

    /// The longest wait for one answer.
    pub(super) fn patience(&self) -> Duration {
        self.patience
    }

    /// The namespace of all requests.
    pub(super) fn namespace(&self) -> Option<&str> {
        self.namespace.as_deref()
    }

    /// What requests carry that concern the server itself: OpenBao answers them outside of all
    /// namespaces only.
    pub(super) fn outside(&self) -> Access {
        let mut access = self.access("");
        access.0.namespace = None;
        access
    }

    /// What requests with `token` carry; an empty one is not sent.
    pub(super) fn access(&self, token: &str) -> Access {
        Access(EndpointMiddleware {
            token: token.to_owned(),
            version: "v1".to_owned(),
            wrap: None,
            namespace: self.namespace.clone(),
        })
    }

    /// Sends `request` within the time-out. Requests queue here when there are many; the few
    /// that keep us logged in go past them with [`Client::call_now`].
    pub(super) async fn call(
        &self,
        access: &Access,
        request: impl Endpoint,
    ) -> Result<Answer, Failure> {
        self.queue(access, request, None, true).await
    }

    /// As [`Client::call`], for what may make something even where it looks like a read: where
    /// a kept connection dies it is not sent again.
    pub(super) async fn call_once(
        &self,
        access: &Access,
        request: impl Endpoint,
    ) -> Result<Answer, Failure> {
        self.queue(access, request, None, false).await
    }

    /// As [`Client::call`], with a body. vaultrs would build it from a `serde_json::Value`, of
    /// which copies stay behind.
    pub(super) async fn write(
        &self,
        access: &Access,
        request: impl Endpoint,
        payload: Payload,
    ) -> Result<Answer, Failure> {
        self.queue(access, request, Some(payload), false).await
    }

    /// As [`Client::call`], without queueing.
    pub(super) async fn call_now(
        &self,
        access: &Access,
        request: impl Endpoint,
    ) -> Result<Answer, Failure> {
        let deadline = Instant::now() + self.patience;
        self.send(deadline, access, request, None, true).await
    }

    /// As [`Client::write`], without queueing.
    pub(super) async fn write_now(
        &self,
        access: &Access,
        request: impl Endpoint,
        payload: Payload,
    ) -> Result<Answer, Failure> {
        let deadline = Instant::now() + self.patience;
        self.send(deadline, access, request, Some(payload), false)
            .await
    }

    async fn queue(
        &self,
        access: &Access,
        request: impl Endpoint,
        payload: Option<Payload>,
        repeatable: bool,
    ) -> Result<Answer, Failure> {
        let deadline = Instant::now() + self.patience;
        let Ok(_slot) = timeout_at(deadline, self.slots.acquire()).await else {
            // It was never sent.
            return Err(Failure::Unavailable(
                "too many requests wait for it".to_owned(),
            ));
        };
        self.send(deadline, access, request, payload, repeatable)
            .await
    }

    async fn send(
        &self,
        deadline: Instant,
        access: &Access,
        request: impl Endpoint,
        payload: Option<Payload>,
        repeatable: bool,
    ) -> Result<Answer, Failure> {
        let request = request
            .with_middleware(&access.0)
            .request(&self.base)
            .map_err(|_| Failure::Invalid("the request could not be built"))?;
        let (mut head, body) = request.into_parts();
        let mut body = Zeroizing::new(body);
        if let Some(payload) = payload {
            let media_type = HeaderValue::from_static(payload.media_type);
            head.headers.insert(CONTENT_TYPE, media_type);
            body = payload.json;
        }
        let request = Request::from_parts(head, body);
        // Each wrapped answer is another token.
        let repeatable = repeatable && access.0.wrap.is_none();
        let reply = self.wire.exchange(&request, repeatable, deadline).await?;
        Ok(Answer {
            status: reply.status,
            body: reply.body,
            date: reply.date,
        })
    }
}

impl From<wire::Failed> for Failure {
    fn from(failed: wire::Failed) -> Self {
        match failed {
            wire::Failed::Unreached(cause) => Self::Unavailable(cause),
            wire::Failed::Lost(cause) => Self::Unclear(cause),
            wire::Failed::Malformed(cause) => Self::Invalid(cause),
        }
    }
}

impl Answer {
    /// This answer if it is a success, else what it means for any request.
    pub(super) fn accepted(self) -> Result<Self, Failure> {
        match self.status {
            200..=299 => Ok(self),
            503 if self.errors().contains("sealed") => Err(Failure::Sealed),
            // Redirects to another node, rate limits, a state not yet replicated.
            300..=399 | 412 | 429 | 472 | 473 => Err(Failure::Unavailable(self.explained())),
            // Vault says 500 also when its storage fails half-way, and a proxy says the others.
            408 | 500.. => Err(Failure::Unclear(self.explained())),
            status => Err(Failure::Refused(Refusal {
                status,
                explained: self.explained(),
                in_its_words: !self.errors().is_empty(),
            })),
        }
    }

    /// What Vault says is wrong, on one line.
    pub(super) fn errors(&self) -> String {
        #[derive(Deserialize)]
        struct Errors {
            errors: Vec<String>,
        }
        let errors = serde_json::from_slice(&self.body)
            .map_or_else(|_| vec![], |Errors { errors }| errors)
            .join("; ");
        let words: Vec<&str> = errors.split_whitespace().collect();
        words.join(" ").escape_debug().take(MAX_CAUSE).collect()
    }

    fn explained(&self) -> String {
        format!("status {} {}", self.status, self.errors())
            .trim_end()
            .to_owned()
    }
}

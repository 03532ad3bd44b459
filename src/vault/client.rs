//! One exchange with Vault: its turn, its time-out, and what an answer means.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use metrics::counter;
use serde::Deserialize;
use thiserror::Error;
use time::OffsetDateTime;
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep, timeout_at};
use url::Url;
use zeroize::Zeroizing;

use crate::domain::SecretValue;
use crate::telemetry::metrics::VAULT_EXCHANGES;
use crate::telemetry::stage::{Stage, timed};
use crate::vault::request::{Access, Request};
use crate::vault::schedule::{MAX_DELAY_AWAY, back_off};
use crate::vault::settings::{Settings, SettingsError};
use crate::vault::wire::{self, Wire};

/// Requests under way at once; more wait their turn.
const MAX_IN_FLIGHT: usize = 64;
/// Of which so many to one mount: a database that hangs leaves room for the others.
const MAX_TO_ONE: usize = MAX_IN_FLIGHT / 2;
/// What a standby says while another node is elected.
const LEADERLESS: &str = "active cluster node not found";
/// Longest piece of an answer repeated in a message, in characters.
const MAX_CAUSE: usize = 200;

/// Speaks to one Vault.
pub(super) struct Client {
    wire: Wire,
    namespace: Option<String>,
    patience: Duration,
    slots: Semaphore,
    /// By the first segment of their path.
    to_one: Mutex<HashMap<String, Arc<Semaphore>>>,
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

    /// This failure of a token that was granted a moment ago. OpenBao ends one that somebody looks
    /// up by its accessor while it is made: another login gives another.
    pub(super) fn of_granted(self) -> Self {
        if let Self::Refused(cause) = &self {
            return Self::Unavailable(format!("it does not take the token it granted: {cause}"));
        }
        self
    }
}

impl Client {
    pub(super) fn new(address: &Url, settings: &Settings) -> Result<Self, SettingsError> {
        Ok(Self {
            wire: Wire::new(address, settings)?,
            namespace: settings.namespace.clone(),
            patience: settings.request_timeout,
            slots: Semaphore::new(MAX_IN_FLIGHT),
            to_one: Mutex::default(),
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
    pub(super) fn outside() -> Access {
        Access::new(None, None)
    }

    /// What requests without a token carry.
    pub(super) fn anonymous(&self) -> Access {
        Access::new(None, self.namespace.clone())
    }

    /// What requests with `token` carry.
    pub(super) fn access(&self, token: SecretValue) -> Access {
        Access::new(Some(token), self.namespace.clone())
    }

    /// Sends `request` within the time-out. Requests queue here when there are many; the few
    /// that keep us logged in go past them with [`Client::call_now`].
    pub(super) async fn call(&self, access: &Access, request: Request) -> Result<Answer, Failure> {
        timed(Stage::Vault, self.call_in_turn(access, request)).await
    }

    async fn call_in_turn(&self, access: &Access, request: Request) -> Result<Answer, Failure> {
        let deadline = Instant::now() + self.patience;
        let to_one = self.to_one(request.root());
        let turn = async { (to_one.acquire().await, self.slots.acquire().await) };
        let Ok(_turn) = timeout_at(deadline, turn).await else {
            // It was never sent.
            return Err(Failure::Unavailable(
                "too many requests wait for it".to_owned(),
            ));
        };
        self.send(deadline, access, request).await
    }

    /// As [`Client::call`], without queueing.
    pub(super) async fn call_now(
        &self,
        access: &Access,
        request: Request,
    ) -> Result<Answer, Failure> {
        let deadline = Instant::now() + self.patience;
        self.send(deadline, access, request).await
    }

    async fn send(
        &self,
        deadline: Instant,
        access: &Access,
        request: Request,
    ) -> Result<Answer, Failure> {
        let mut looked = 0;
        loop {
            let reply = self.wire.exchange(&request, access, deadline).await;
            let status = match reply.as_ref().map_or(0, |reply| reply.status) {
                0..200 => "none",
                200..300 => "2xx",
                300..400 => "3xx",
                400..500 => "4xx",
                500.. => "5xx",
            };
            counter!(VAULT_EXCHANGES, "status" => status).increment(1);
            let reply = reply?;
            let answer = Answer {
                status: reply.status,
                body: reply.body,
                date: reply.date,
            };
            looked += 1;
            let pause = back_off(looked, MAX_DELAY_AWAY, rand::random::<f64>());
            if !answer.is_leaderless() || Instant::now() + pause >= deadline {
                return Ok(answer);
            }
            sleep(pause).await;
        }
    }

    /// The turns of requests whose paths begin with `root`. No more than there are mounts.
    fn to_one(&self, root: &str) -> Arc<Semaphore> {
        let mut all = self.to_one.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(turns) = all.get(root) {
            return turns.clone();
        }
        let turns = Arc::new(Semaphore::new(MAX_TO_ONE));
        all.insert(root.to_owned(), turns.clone());
        turns
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

    /// Whether a standby answers that nobody leads: it did nothing, and somebody will lead within
    /// a second or two.
    fn is_leaderless(&self) -> bool {
        self.status == 500 && self.words().contains(LEADERLESS)
    }

    /// What Vault says is wrong, on one line.
    pub(super) fn errors(&self) -> String {
        one_line(&self.words(), MAX_CAUSE)
    }

    /// What Vault says is wrong, as it says it: it may repeat what it was given.
    pub(super) fn words(&self) -> String {
        #[derive(Deserialize)]
        struct Errors {
            errors: Vec<String>,
        }
        serde_json::from_slice(&self.body)
            .map_or_else(|_| vec![], |Errors { errors }| errors)
            .join("; ")
    }

    fn explained(&self) -> String {
        format!("status {} {}", self.status, self.errors())
            .trim_end()
            .to_owned()
    }
}

/// The beginning of `words` on one line, without control characters.
pub(super) fn one_line(words: &str, most: usize) -> String {
    let words: Vec<&str> = words.split_whitespace().collect();
    words.join(" ").escape_debug().take(most).collect()
}

//! A token and its lease: log in, look up, renew, revoke.
//!
//! A [`Session`] is held by `Arc`. Vault ends the leases and child tokens made with a token along
//! with it, so whoever keeps one of those keeps the `Arc` too, and the session stays alive
//! ([`crate::vault::held`]).

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::Deserialize;
use tokio::time::{Instant, timeout};

use crate::domain::SecretValue;
use crate::vault::auth::{Entry, Granted, NoLogin, granted};
use crate::vault::client::{Client, Failure, Refusal};
use crate::vault::method::{Auth, plain};
use crate::vault::request::{Access, Method, Request};
use crate::vault::schedule::{Lease, lasting, next};

/// The longest wait for the end of a token that we do not use: who wants to log in waits too.
const FAREWELL: Duration = Duration::from_secs(1);

/// A token that Vault took when we last asked.
pub(super) struct Session {
    number: u64,
    access: Access,
    /// What a renewal should grant.
    full: Duration,
    /// The names of the policies the token has.
    policies: Vec<String>,
    /// For one of a token role: the session it is a child of, which must live as long.
    parent: Option<Arc<Session>>,
    /// For one of a token role: the role.
    role: Option<String>,
    /// For one of a token role: when another one should take its place, and when nothing new
    /// begins with it.
    fresh: Option<(Instant, Instant)>,
    /// The lease last granted, and when.
    term: Mutex<(Lease, Instant)>,
    /// Whether another one has taken its place.
    retired: AtomicBool,
    /// The last question whether it is healthy, and what came out.
    confirmed: tokio::sync::Mutex<Option<(Instant, Result<(), Failure>)>>,
}

/// The part of `lookup-self` we use.
#[derive(Deserialize)]
struct Facts {
    /// Seconds.
    ttl: u64,
    /// Seconds at creation; renewals grant as much again.
    creation_ttl: u64,
    /// Seconds; a periodic token is renewed by this much.
    #[serde(default)]
    period: u64,
    /// `null` for a token that never expires.
    expire_time: Option<String>,
    #[serde(default)]
    renewable: bool,
    #[serde(default)]
    policies: Vec<String>,
    /// With a slash at its end; empty for the root, and where there are none.
    #[serde(default)]
    namespace_path: String,
}

impl Session {
    /// Tells the sessions of logins apart, and those of roles: each has a higher number than the
    /// one before.
    pub(super) fn number(&self) -> u64 {
        self.number
    }

    /// What requests carry.
    pub(super) fn access(&self) -> &Access {
        &self.access
    }

    /// The lease last granted, and when.
    pub(super) fn term(&self) -> (Lease, Instant) {
        *self.term.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// When it ends unless it is renewed; `None` if never.
    pub(super) fn ends(&self) -> Option<Instant> {
        let (lease, since) = self.term();
        lease.left.map(|left| since + left)
    }

    /// Begins session `number`.
    pub(super) async fn begin(
        client: &Client,
        entry: &Entry,
        number: u64,
    ) -> Result<Self, NoLogin> {
        match &entry.auth {
            Auth::Token(token) => {
                let access = client.access(SecretValue::new(plain(token).to_vec()));
                let facts = look_up(client, &access).await;
                let facts = facts.map_err(Failure::of_login)?;
                facts.must_reach(client.namespace())?;
                Ok(Self {
                    policies: facts.policies.clone(),
                    ..Self::new(number, access, facts.lease(), facts.full())
                })
            }
            Auth::Method { mount, method } => {
                let granted = entry.log_in(client, mount, method).await?;
                Ok(Self::granted(client, granted, number).await?)
            }
        }
    }

    /// Begins session `number`, a child of `parent` with what token role `role` allows.
    pub(super) async fn child(
        client: &Client,
        parent: &Arc<Session>,
        role: &str,
        number: u64,
    ) -> Result<Self, Failure> {
        let path = format!("auth/token/create/{role}");
        let request = Request::new(Method::Post, &path);
        let granted = granted(client.call_now(&parent.access, request).await?)?;
        let session = Self::granted(client, granted, number).await?;
        let (lease, since) = session.term();
        let fresh = next(lease, true, rand::random::<f64>());
        Ok(Self {
            parent: Some(parent.clone()),
            role: Some(role.to_owned()),
            // At about half and about two thirds of its life.
            fresh: fresh.map(|(_, after)| (since + after.mul_f64(0.75), since + after)),
            ..session
        })
    }

    async fn granted(client: &Client, mut granted: Granted, number: u64) -> Result<Self, Failure> {
        let access = client.access(granted.token());
        if let Err(failure) = taken(client, &access).await {
            // The next login gives another: nobody would end this one.
            drop(timeout(FAREWELL, revoke(client, &access)).await);
            return Err(failure.of_granted());
        }
        let (lease, full) = (granted.lease(), granted.duration());
        Ok(Self {
            policies: granted.policies(),
            ..Self::new(number, access, lease, full)
        })
    }

    /// Another one takes its place.
    pub(super) fn retire(&self) {
        self.retired.store(true, Ordering::Relaxed);
    }

    /// Whether nothing new begins with it.
    pub(super) fn over(&self) -> bool {
        self.retired.load(Ordering::Relaxed)
            || self.fresh.is_some_and(|(_, until)| until <= Instant::now())
    }

    /// Whether another one should be made while this one is still good.
    pub(super) fn is_ageing(&self) -> bool {
        self.fresh.is_some_and(|(until, _)| until <= Instant::now())
    }

    /// The session it is a child of, if it is one of a token role.
    pub(super) fn parent(&self) -> Option<&Arc<Session>> {
        self.parent.as_ref()
    }

    /// Its token role, if it is one of a token role.
    pub(super) fn role(&self) -> Option<&str> {
        self.role.as_deref()
    }

    /// The names of the policies the token has.
    pub(super) fn policies(&self) -> &[String] {
        &self.policies
    }

    fn new(number: u64, access: Access, lease: Lease, full: Duration) -> Self {
        Self {
            number,
            access,
            full,
            policies: vec![],
            parent: None,
            role: None,
            fresh: None,
            retired: AtomicBool::new(false),
            term: Mutex::new((lease, Instant::now())),
            confirmed: tokio::sync::Mutex::default(),
        }
    }

    /// Asks Vault whether it still takes the token. An answer to a question put after `asked` is
    /// shared: of many who are refused at the same time one asks.
    pub(super) async fn confirm(&self, client: &Client, asked: Instant) -> Result<(), Failure> {
        let mut confirmed = self.confirmed.lock().await;
        if let Some((at, answer)) = &*confirmed
            && *at >= asked
        {
            return answer.clone();
        }
        let at = Instant::now();
        let answer = taken(client, &self.access).await;
        let answer = answer.map_err(Failure::of_login);
        *confirmed = Some((at, answer.clone()));
        answer
    }

    /// Asks for more time.
    pub(super) async fn renew(&self, client: &Client) -> Result<Lease, Failure> {
        let request = Request::new(Method::Post, &"auth/token/renew-self");
        let asked = Instant::now();
        let granted = granted(client.call_now(&self.access, request).await?)?;
        let mut term = self.term.lock().unwrap_or_else(PoisonError::into_inner);
        let lease = Lease {
            // Zero means "never expires" at a login only.
            left: term.0.left.map(|_| granted.duration()),
            renewable: granted.renewable,
            cut: granted.duration() < self.full,
        };
        *term = (lease, asked);
        Ok(lease)
    }

    /// Ends the token.
    pub(super) async fn revoke(&self, client: &Client) -> Result<(), Failure> {
        revoke(client, &self.access).await
    }
}

async fn revoke(client: &Client, access: &Access) -> Result<(), Failure> {
    let request = Request::new(Method::Post, &"auth/token/revoke-self");
    let answer = client.call_now(access, request).await?;
    answer.accepted().map(|_| ())
}

impl Facts {
    /// A token looks itself up in any namespace, but it works only in its own and those below.
    fn must_reach(&self, namespace: Option<&str>) -> Result<(), Failure> {
        let ours = namespace.unwrap_or_default().trim_matches('/');
        if format!("{ours}/").starts_with(&self.namespace_path) {
            return Ok(());
        }
        let theirs = self.namespace_path.escape_debug();
        Err(Failure::Refused(Refusal {
            // What Vault will say to everything else.
            status: 403,
            explained: format!("it is of the namespace {theirs}"),
            in_its_words: true,
        }))
    }

    fn full(&self) -> Duration {
        lasting(self.period.max(self.creation_ttl))
    }

    fn lease(&self) -> Lease {
        Lease {
            left: self.expire_time.as_ref().map(|_| lasting(self.ttl)),
            renewable: self.renewable,
            cut: false,
        }
    }
}

/// Asks Vault whether it takes the token. One that may not look itself up is refused what a dead
/// one is; but what is mounted where it may read, Vault tells every token that lives.
async fn taken(client: &Client, access: &Access) -> Result<(), Failure> {
    match look_up(client, access).await {
        Err(Failure::Refused(_)) => {
            let request = Request::get(&"sys/internal/ui/mounts");
            client.call_now(access, request).await?.accepted().map(drop)
        }
        known => known.map(drop),
    }
}

async fn look_up(client: &Client, access: &Access) -> Result<Facts, Failure> {
    #[derive(Deserialize)]
    struct Envelope {
        data: Facts,
    }
    let request = Request::get(&"auth/token/lookup-self");
    let answer = client.call_now(access, request).await?.accepted()?;
    let envelope: Envelope = serde_json::from_slice(&answer.body)
        .map_err(|_| Failure::Invalid("it describes no token"))?;
    Ok(envelope.data)
}

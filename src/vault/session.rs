//! A token and its lease: log in, look up, renew, revoke.

use std::time::Duration;

use serde::Deserialize;
use vaultrs::api::token::requests::{
    LookupTokenSelfRequest, RenewTokenSelfRequest, RevokeTokenSelfRequest,
};

use crate::vault::auth::{Entry, NoLogin, granted};
use crate::vault::client::{Access, Client, Failure};
use crate::vault::method::{Auth, plain};
use crate::vault::schedule::Lease;

/// A token that Vault took when we last asked.
pub(super) struct Session {
    number: u64,
    access: Access,
    lease: Lease,
    /// What a renewal should grant.
    full: Duration,
    can_be_confirmed: bool,
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
}

impl Session {
    /// Tells sessions apart: each has a higher number than the one before.
    pub(super) fn number(&self) -> u64 {
        self.number
    }

    /// What requests carry.
    pub(super) fn access(&self) -> &Access {
        &self.access
    }

    /// As granted when the session began.
    pub(super) fn lease(&self) -> Lease {
        self.lease
    }

    /// Whether the token may look itself up. If not, a dead token cannot be told from a path
    /// outside its policy, and only a failing renewal shows that it died.
    pub(super) fn can_be_confirmed(&self) -> bool {
        self.can_be_confirmed
    }

    /// Begins session `number`.
    pub(super) async fn begin(
        client: &Client,
        entry: &Entry,
        number: u64,
    ) -> Result<Self, NoLogin> {
        match &entry.auth {
            Auth::Token(token) => {
                let token = std::str::from_utf8(plain(token))
                    .map_err(|_| Failure::Invalid("the token is not text"))?;
                let access = client.access(token);
                let facts = look_up(client, &access).await?;
                Ok(Self {
                    number,
                    lease: facts.lease(),
                    full: facts.full(),
                    access,
                    can_be_confirmed: true,
                })
            }
            Auth::Method { mount, method } => {
                let granted = entry.log_in(client, mount, method).await?;
                let access = client.access(&granted.client_token);
                let can_be_confirmed = match look_up(client, &access).await {
                    Ok(_) => true,
                    Err(Failure::Refused(_)) => false,
                    Err(failure) => return Err(failure.into()),
                };
                Ok(Self {
                    number,
                    access,
                    lease: granted.lease(),
                    full: granted.duration(),
                    can_be_confirmed,
                })
            }
        }
    }

    /// Asks Vault whether it still takes the token.
    pub(super) async fn confirm(&self, client: &Client) -> Result<(), Failure> {
        look_up(client, &self.access).await.map(|_| ())
    }

    /// Asks for more time.
    pub(super) async fn renew(&self, client: &Client) -> Result<Lease, Failure> {
        let request = RenewTokenSelfRequest { increment: None };
        let granted = granted(client.call_now(&self.access, request).await?)?;
        Ok(Lease {
            // Zero means "never expires" at a login only.
            left: self.lease.left.map(|_| granted.duration()),
            renewable: granted.renewable,
            cut: granted.duration() < self.full,
        })
    }

    /// Ends the token.
    pub(super) async fn revoke(&self, client: &Client) -> Result<(), Failure> {
        let request = RevokeTokenSelfRequest {};
        let answer = client.call_now(&self.access, request).await?;
        answer.accepted().map(|_| ())
    }
}

impl Facts {
    fn full(&self) -> Duration {
        Duration::from_secs(self.period.max(self.creation_ttl))
    }

    fn lease(&self) -> Lease {
        Lease {
            left: self
                .expire_time
                .as_ref()
                .map(|_| Duration::from_secs(self.ttl)),
            renewable: self.renewable,
            cut: false,
        }
    }
}

async fn look_up(client: &Client, access: &Access) -> Result<Facts, Failure> {
    #[derive(Deserialize)]
    struct Envelope {
        data: Facts,
    }
    let request = LookupTokenSelfRequest {};
    let answer = client.call_now(access, request).await?.accepted()?;
    let envelope: Envelope = serde_json::from_slice(&answer.body)
        .map_err(|_| Failure::Invalid("it describes no token"))?;
    Ok(envelope.data)
}

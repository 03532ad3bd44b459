//! The socket for systemd's `LoadCredential=`: one value, raw, for the unit that configuration and
//! policy say.
//!
//! systemd names unit and credential in the address it connects from, which any process could bind.
//! What proves the unit is the kernel: systemd connects as root, from a process it has put into the
//! unit's own control group already.
//!
//! The protocol has no word for "no". A connection that is closed without a byte is an *empty*
//! credential, with which the unit starts. So whatever is not handed over is answered with more
//! than systemd takes, and the unit fails to start.

use std::collections::BTreeMap;
use std::io;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use thiserror::Error;
use tokio::io::AsyncWriteExt;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use zeroize::Zeroizing;

use crate::broker::ports::StoreHealth;
use crate::broker::{Broker, BrokerError, Outcome, Waiting};
use crate::domain::caller::UnixPeer;
use crate::domain::policy::DenialReason;
use crate::domain::{
    Action, Caller, Credential, Delivery, Denial, Request, RequestId, Secret, SecretValue, Target,
};
use crate::http::connection::ACCEPT_PAUSE;
use crate::http::peer::Attestor;
use crate::http::reply::Fields;
use crate::http::socket::{Listener, last_in_queue};

/// The most that systemd takes, in bytes.
const MAX_VALUE: usize = 1 << 20;
/// What systemd understands as a refusal: more than it takes.
static TOO_MUCH: [u8; MAX_VALUE + 1] = [0; MAX_VALUE + 1];
/// How long a unit waits for Vault to come back.
const STORE_PATIENCE: Duration = Duration::from_secs(30);
/// The pause before Vault is looked at again, at first and at most; up to half as long again.
const PAUSE: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(3));
/// How long a request that is under way may take once we are to stop.
const STOP_PATIENCE: Duration = Duration::from_secs(10);
/// How long whoever is not systemd may take to read.
const WRITE_TIME: Duration = Duration::from_secs(10);

/// Why a unit does not get a credential. `Display` is for the log, and says what to do.
#[derive(Debug, Error)]
enum Refused {
    #[error(
        "the peer does not say which credential of which unit it wants; only systemd is answered here: LoadCredential=ID:PATH"
    )]
    NotSystemd,
    #[error("the kernel does not say who asks: {0}")]
    PeerUnknown(io::Error),
    #[error("user {0} asked for it, and systemd is root; somebody may be pretending to be systemd")]
    NotRoot(u32),
    #[error("the process that asked is in {0}; somebody may be pretending to be systemd")]
    OtherUnit(String),
    #[error(
        "the unit of the process that asked is not known; vaultgram must see /proc and the host's control groups (no ProtectProc=invisible, no ProtectControlGroups=private)"
    )]
    UnitUnknown,
    #[error(
        "the configuration has no such line; write it under [credentials.units.\"{0}\"]: {1} = \"PATH#field\""
    )]
    NotConfigured(String, String),
    #[error("{}", denied(.0))]
    Denied(Denial),
    #[error("{0}")]
    Broker(BrokerError),
    #[error("{0}")]
    NeedsApproval(String),
    #[error("the value is empty, which is what systemd makes of a failure; put something into it")]
    Empty,
    #[error("it is larger than the 1 MiB that systemd takes; name one field: PATH#field")]
    TooLarge,
    #[error("vaultgram is stopping; start the unit again when it is back")]
    Stopping,
    #[error("vaultgram failed; tell its makers")]
    Broken,
}

fn denied(denial: &Denial) -> String {
    match denial.reason {
        DenialReason::NotPermitted => "no policy permits UnixPeer::\"0\" to read it with this \
            context.socket (\"credentials\") and principal.unit; write one, as docs/systemd.md shows"
            .to_owned(),
        DenialReason::Forbidden
        | DenialReason::EvaluationFailed
        | DenialReason::ChatLocked
        | DenialReason::NeedsApproval => {
            format!("policy refuses it: {}", denial.policies.join(", "))
        }
    }
}

/// What is to be done before the unit can start. Nobody but the unit itself can ask for what the unit
/// may have, and a unit gives no reason.
fn unapproved(waiting: &Waiting) -> String {
    waiting.approval().map_or_else(
        || {
            "it needs approval and a reason, which a unit cannot give; in its policy leave @reason out"
                .to_owned()
        },
        |info| {
            let id = &info.id;
            format!(
                "it needs approval: once request {id} is granted (vaultgram approve {id}), start the \
                 unit again"
            )
        },
    )
}

/// Answers systemd.
struct Server {
    name: String,
    broker: Arc<Broker>,
    attestor: Attestor,
    credentials: BTreeMap<Credential, Target>,
    stop: CancellationToken,
}

impl Listener {
    /// Hands `credentials` to systemd until `stop`; then whoever still waits for Vault is refused.
    ///
    /// # Errors
    /// When the runtime cannot watch the socket.
    pub async fn serve_credentials(
        self,
        broker: Arc<Broker>,
        attestor: Attestor,
        credentials: BTreeMap<Credential, Target>,
        stop: CancellationToken,
    ) -> io::Result<()> {
        let listener = UnixListener::from_std(self.socket)?;
        tracing::info!(event = "credentials.serving", path = %self.path.display());
        let tasks = TaskTracker::new();
        let slots = Arc::new(Semaphore::new(self.limits.connections));
        let server = Arc::new(Server {
            name: self.name,
            broker,
            attestor,
            credentials,
            stop: stop.clone(),
        });
        let accepting = accept(&listener, &slots, |stream, slot| {
            let server = Arc::clone(&server);
            tasks.spawn(async move {
                server.connection(stream).await;
                drop(slot);
            });
        });
        tokio::select! {
            biased;
            () = stop.cancelled() => {}
            () = accepting => {}
        }
        for stream in last_in_queue(listener, self.file)? {
            let server = Arc::clone(&server);
            tasks.spawn(async move { server.connection(stream).await });
        }
        tasks.close();
        tasks.wait().await;
        tracing::info!(event = "credentials.stopped");
        Ok(())
    }
}

/// Accepts for as long as there are slots. Connections that find none wait in the kernel's
/// queue, which costs nothing here. Ends only when dropped.
async fn accept(
    listener: &UnixListener,
    slots: &Arc<Semaphore>,
    serve: impl Fn(UnixStream, OwnedSemaphorePermit),
) {
    while let Ok(slot) = Arc::clone(slots).acquire_owned().await {
        match listener.accept().await {
            Ok((stream, _)) => serve(stream, slot),
            Err(error) => {
                tracing::warn!(event = "socket.accept_failed", %error);
                tokio::time::sleep(ACCEPT_PAUSE.mul_f64(rand::random_range(1.0..2.0))).await;
            }
        }
    }
}

impl Server {
    /// Answers one connection, for which nothing is read: systemd says nothing.
    async fn connection(&self, mut stream: UnixStream) {
        let address = stream.peer_addr().ok();
        let asked = address
            .as_ref()
            .and_then(|address| Credential::of_address(address.as_abstract_name()?));
        let (unit, id) = match &asked {
            Some(asked) => (Some(asked.unit.as_str()), Some(asked.id.as_str())),
            None => (None, None),
        };
        let request = RequestId::Connection(rand::random());
        let finding = AssertUnwindSafe(self.find(&request, &stream, asked.as_ref()));
        // Whatever happens, the peer is told no: a stream that is just dropped is an empty value.
        let found = tokio::select! {
            found = finding.catch_unwind() => found.unwrap_or(Err(Refused::Broken)),
            () = self.stopped_long_ago() => Err(Refused::Stopping),
        };
        let (bytes, secret): (&[u8], _) = match &found {
            Ok((value, secret)) => {
                #[expect(
                    clippy::disallowed_methods,
                    reason = "the answer to a released request"
                )]
                let value = value.expose_secret();
                (value, Some(secret))
            }
            Err(error) => {
                tracing::warn!(
                    event = "credentials.refused",
                    %request,
                    unit,
                    credential = id,
                    %error
                );
                (TOO_MUCH.as_slice(), None)
            }
        };
        let of_root = stream.peer_cred().is_ok_and(|peer| peer.uid() == 0);
        let writing = stream.write_all(bytes);
        let written = if of_root {
            // What is cut off here systemd takes for the whole, however slowly it reads.
            writing.await
        } else {
            let writing = tokio::time::timeout(WRITE_TIME, writing).await;
            writing.map_err(io::Error::from).flatten()
        };
        let Some(secret) = secret else {
            // It hangs up as soon as it is too much.
            return;
        };
        match written {
            Ok(()) => {
                tracing::info!(event = "credentials.handed_over", %request, unit, credential = id);
            }
            Err(error) => {
                tracing::warn!(event = "credentials.not_taken", %request, unit, credential = id, %error);
                self.broker.give_back(&request, secret).await;
            }
        }
    }

    /// Ends when there is no more time to wait for Vault.
    async fn stopped_long_ago(&self) {
        self.stop.cancelled().await;
        tokio::time::sleep(STOP_PATIENCE).await;
    }

    /// What to hand over.
    async fn find(
        &self,
        id: &RequestId,
        stream: &UnixStream,
        asked: Option<&Credential>,
    ) -> Result<(SecretValue, Secret), Refused> {
        let asked = asked.ok_or(Refused::NotSystemd)?;
        let attested = self.attestor.attest(stream, &self.name).await;
        let peer = attested.map_err(Refused::PeerUnknown)?;
        prove(&peer, &asked.unit)?;
        let target = self.credentials.get(asked).ok_or_else(|| {
            let Credential { unit, id } = asked.clone();
            Refused::NotConfigured(unit, id)
        })?;
        let request = Request {
            id: id.clone(),
            caller: Caller::Unix(peer),
            action: Action::Read(Delivery::Socket),
            target: target.clone(),
        };
        let secret = self.read(request).await?;
        match value(&secret, target) {
            Ok(value) => Ok((value, secret)),
            Err(refused) => {
                self.broker.give_back(id, &secret).await;
                Err(refused)
            }
        }
    }

    /// Asks the broker; where Vault is away, again once it is back.
    async fn read(&self, request: Request) -> Result<Secret, Refused> {
        let deadline = Instant::now() + STORE_PATIENCE;
        let mut pause = PAUSE.0;
        loop {
            let error = match self.broker.handle(request.clone()).await {
                Ok(Outcome::Released(secret)) => return Ok(secret),
                Ok(Outcome::Denied(denial)) => return Err(Refused::Denied(denial)),
                Ok(Outcome::NeedsApproval(waiting)) => {
                    return Err(Refused::NeedsApproval(unapproved(&waiting)));
                }
                // Nothing else comes of reading for a socket.
                Ok(
                    Outcome::Duplicate
                    | Outcome::Interrupted
                    | Outcome::Wrapped(_)
                    | Outcome::Sealed(_)
                    | Outcome::Offered(_)
                    | Outcome::Listed(_)
                    | Outcome::Versions(_)
                    | Outcome::Written(_)
                    | Outcome::Deleted(_)
                    | Outcome::Undeleted(_)
                    | Outcome::Destroyed(_)
                    | Outcome::Operated(_)
                    | Outcome::Runs(_)
                    | Outcome::Watching(_),
                ) => return Err(Refused::Broken),
                Err(error) => error,
            };
            if !error.passes() {
                return Err(Refused::Broker(error));
            }
            tracing::info!(event = "credentials.waiting", request = %request.id, %error);
            loop {
                let jittered = pause.mul_f64(rand::random_range(1.0..1.5));
                tokio::select! {
                    () = self.stop.cancelled() => return Err(Refused::Broker(error)),
                    () = tokio::time::sleep(jittered) => {}
                }
                pause = PAUSE.1.min(pause * 2);
                if Instant::now() >= deadline {
                    return Err(Refused::Broker(error));
                }
                if matches!(self.broker.store_health().await, StoreHealth::Ready(_)) {
                    break;
                }
            }
        }
    }
}

/// Makes sure that `peer` is systemd, about to start `unit`.
fn prove(peer: &UnixPeer, unit: &str) -> Result<(), Refused> {
    match &peer.unit {
        _ if peer.uid != 0 => Err(Refused::NotRoot(peer.uid)),
        Some(found) if found == unit => Ok(()),
        Some(found) => Err(Refused::OtherUnit(found.clone())),
        None => Err(Refused::UnitUnknown),
    }
}

/// What systemd is to have of `secret`: the field that `target` names, text without its quotes, or
/// the whole as JSON.
#[expect(
    clippy::disallowed_methods,
    reason = "the answer to a released request, in buffers that are wiped"
)]
fn value(secret: &Secret, target: &Target) -> Result<SecretValue, Refused> {
    let invalid = |_| Refused::Broken;
    let bytes = match secret.fields.as_slice() {
        [field] if target.field.is_some() => {
            let json = field.json.expose_secret();
            if json.first() == Some(&b'"') {
                serde_json::from_slice::<String>(json)
                    .map_err(invalid)?
                    .into_bytes()
            } else {
                json.to_vec()
            }
        }
        fields => {
            let fields = Fields(fields);
            // So large that it need not move.
            let mut json = Zeroizing::new(Vec::with_capacity(fields.size()));
            serde_json::to_writer(&mut *json, &fields).map_err(invalid)?;
            std::mem::take(&mut *json)
        }
    };
    let value = SecretValue::new(bytes);
    // What is null in Vault is no value either.
    if value.expose_secret() == b"null" {
        return Err(Refused::Empty);
    }
    match value.expose_secret().len() {
        0 => Err(Refused::Empty),
        size if size > MAX_VALUE => Err(Refused::TooLarge),
        _ => Ok(value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Field, Mounts, Origin};

    #[test]
    fn only_systemd_starting_that_very_unit_is_believed() {
        let mut peer = UnixPeer::known(0, 0, 7);
        assert!(matches!(
            prove(&peer, "a.service"),
            Err(Refused::UnitUnknown)
        ));
        peer.unit = Some("a.service".to_owned());
        assert!(prove(&peer, "a.service").is_ok());
        assert!(matches!(
            prove(&peer, "b.service"),
            Err(Refused::OtherUnit(_))
        ));
        peer.uid = 990;
        assert!(matches!(
            prove(&peer, "a.service"),
            Err(Refused::NotRoot(990))
        ));
    }

    fn of(fields: &[(&str, &str)], target: &str) -> Result<String, Refused> {
        let fields = fields.iter().map(|(name, json)| Field {
            name: (*name).to_owned(),
            json: SecretValue::new(json.as_bytes().to_vec()),
        });
        let secret = Secret {
            fields: fields.collect(),
            origin: Origin::Plain,
            age: None,
        };
        let mounts = Mounts::new(vec!["secret".to_owned()]).unwrap();
        let value = value(&secret, &mounts.parse(target).unwrap())?;
        #[expect(clippy::disallowed_methods, reason = "what is tested")]
        let bytes = value.expose_secret().to_vec();
        Ok(String::from_utf8(bytes).unwrap())
    }

    #[test]
    fn a_field_is_raw_and_a_secret_is_json() {
        let said = |json, target| of(&[("a", json)], target).unwrap();
        assert_eq!(said(r#""p\"\u003c\\ü\n""#, "secret/x#a"), "p\"<\\ü\n");
        assert_eq!(said("5432", "secret/x#a"), "5432");
        assert_eq!(said(r#"{"b":[1,null]}"#, "secret/x#a"), r#"{"b":[1,null]}"#);
        assert_eq!(said(r#""p""#, "secret/x"), r#"{"a":"p"}"#);
        let both = of(&[("b", "1"), ("a", r#""x""#)], "secret/x").unwrap();
        assert_eq!(both, r#"{"b":1,"a":"x"}"#);
    }

    #[test]
    fn what_systemd_would_misunderstand_is_refused() {
        let refused = |json: &str| of(&[("a", json)], "secret/x#a").unwrap_err();
        assert!(matches!(refused(r#""""#), Refused::Empty));
        let large = |size| format!("\"{}\"", "x".repeat(size));
        assert!(of(&[("a", &large(MAX_VALUE))], "secret/x#a").is_ok());
        assert!(matches!(refused(&large(MAX_VALUE + 1)), Refused::TooLarge));
    }
}

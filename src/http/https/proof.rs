//! Whose a request is: of the session it names, or of who signed it. What proves nothing is refused
//! and on record.

use std::net::IpAddr;
use std::sync::Arc;

use http_body_util::Full;
use hyper::body::{Body, Bytes, Incoming};
use hyper::header::{AUTHORIZATION, CONNECTION, HeaderMap, HeaderValue, RETRY_AFTER};
use hyper::http::request::Parts;
use hyper::{Method, Request, StatusCode};
use zeroize::Zeroizing;

use super::{login, webhook};
use crate::actions::deliveries::Webhooks;
use crate::actions::webhook::WebhookError;
use crate::broker::Broker;
use crate::domain::{Caller, Job, RequestId};
use crate::http::body;
use crate::http::error::Refusal;
use crate::http::limits::Who;
use crate::http::reply::{self, Reply};
use crate::http::system::SessionEnd;
use crate::http::vault_api::VaultApi;
use crate::identity::{IdentityError, Oidc, Proven, Sessions, Signatures, Signed};

/// Where a session is ended.
const END: &str = "/v1/auth/token/revoke-self";
/// What anybody may ask: whether we live, and serve.
const OPEN: [&str; 2] = ["/healthz", "/readyz"];

/// What proofs are held against.
pub struct Identity {
    /// The issuers whose tokens are taken.
    pub oidc: Oidc,
    /// What tokens are exchanged for.
    pub sessions: Sessions,
    /// The keys that requests are signed with, where there are any.
    pub signatures: Option<Arc<Signatures>>,
    /// Takes what GitHub tells, where it is to tell anything.
    pub webhooks: Option<Webhooks>,
}

/// Finds out whose requests are.
pub(super) struct Proofs {
    broker: Arc<Broker>,
    identity: Identity,
}

/// A proof that is none.
struct Refused {
    kind: &'static str,
    error: IdentityError,
}

/// Adds what kind of proof it was that failed.
fn of(kind: &'static str) -> impl Fn(IdentityError) -> Refused {
    move |error| Refused { kind, error }
}

impl Proofs {
    pub(super) fn new(broker: Arc<Broker>, identity: Identity) -> Self {
        Self { broker, identity }
    }

    /// Answers `request` from `from` by way of `api`, if it is proved whose it is.
    pub(super) async fn answer(
        &self,
        api: &VaultApi,
        request: Request<Incoming>,
        from: IpAddr,
    ) -> Reply {
        let with_body = !request.body().is_end_stream();
        let mut reply = match self.try_answer(api, request, from).await {
            Ok(reply) => reply,
            Err(refusal) => refused(&refusal),
        };
        if with_body {
            // What was read stays in the connection's buffer until it ends.
            let close = HeaderValue::from_static("close");
            reply.headers_mut().insert(CONNECTION, close);
        }
        reply
    }

    async fn try_answer(
        &self,
        api: &VaultApi,
        request: Request<Incoming>,
        from: IpAddr,
    ) -> Result<Reply, Refusal> {
        let (mut head, mut body) = request.into_parts();
        if OPEN.contains(&head.uri.path()) {
            return Ok(api.answer_anybody(&Request::from_parts(head, ())).await);
        }
        let id = RequestId::Connection(rand::random());
        if let Some(mount) = login::mount(&head.method, head.uri.path()) {
            let login = match login::read(mount, &mut body).await {
                Ok(login) => login,
                Err(refusal) => return Err(self.unread(&id, "token", refusal, from).await),
            };
            let signing_in = self.sign_in(&id, &login);
            return match signing_in.await {
                Ok(reply) => Ok(reply),
                Err(refused) => Err(self.refuse(&id, refused, from).await),
            };
        }
        if let Some(webhooks) = self
            .identity
            .webhooks
            .as_ref()
            .filter(|_| webhook::is_one(&head))
        {
            let body = match body::whole(&mut body).await {
                Ok(body) => body,
                Err(refusal) => return Err(self.unread(&id, "webhook", refusal, from).await),
            };
            return match webhook::take(&self.broker, webhooks, &head, &body).await {
                Ok(()) => Ok(reply::done()),
                Err(error) => {
                    if error != WebhookError::Unavailable {
                        self.record(&id, "webhook", error.name(), &error.to_string(), from)
                            .await;
                    }
                    Err(webhook::refused(error))
                }
            };
        }
        if head.headers.contains_key("webhook-signature") {
            let body = match body::whole(&mut body).await {
                Ok(body) => body,
                Err(refusal) => return Err(self.unread(&id, "signature", refusal, from).await),
            };
            let job = match self.signer(&head, &body).await {
                Ok(job) => job,
                Err(refused) => return Err(self.refuse(&id, refused, from).await),
            };
            let body = Full::new(Bytes::from_owner(body));
            let request = Request::from_parts(head, body);
            return Ok(api.answer(request, &Caller::Job(job)).await);
        }
        let token = bearer(&head.headers)?;
        let found = self.identity.sessions.find(&token).await;
        let Proven { job, until } = match found.map_err(of("session")) {
            Ok(proven) => proven,
            Err(refused) => return Err(self.refuse(&id, refused, from).await),
        };
        let posted = head.method == Method::POST || head.method == Method::PUT;
        if posted && head.uri.path() == END {
            let ended = self.identity.sessions.end(&token).await;
            ended.map_err(|error| unproved(&error))?;
            return Ok(reply::done());
        }
        drop(token);
        head.extensions.insert(SessionEnd(until));
        let request = Request::from_parts(head, body);
        Ok(api.answer(request, &Caller::Job(job)).await)
    }

    /// Exchanges an issuer's token for one of ours.
    async fn sign_in(&self, id: &RequestId, login: &login::Login) -> Result<Reply, Refused> {
        let oidc = &self.identity.oidc;
        let proven = oidc.verify(&login.role, &login.token).await;
        let proven = proven.map_err(of("token"))?;
        let session = self.identity.sessions.open(&proven).await;
        let session = session.map_err(of("token"))?;
        let job = proven.job;
        tracing::info!(
            event = "https.signed_in",
            request = %id,
            issuer = job.issuer,
            subject = job.subject,
        );
        Ok(login::answer(id, job, &session, self.broker.now()))
    }

    /// Who signed a request: its method and target in a line, then its body.
    async fn signer(&self, head: &Parts, body: &[u8]) -> Result<Job, Refused> {
        let refused = of("signature");
        let signatures = self.identity.signatures.as_ref();
        let signatures = signatures.ok_or_else(|| refused(IdentityError::KeyUnknown))?;
        let header = |name| {
            let mut all = head.headers.get_all(name).iter();
            let only = all.next().filter(|_| all.next().is_none());
            let text = only.and_then(|value| value.to_str().ok());
            let why = "it needs each of webhook-id, webhook-timestamp, webhook-signature and \
                       vaultgram-key once";
            text.ok_or_else(|| refused(IdentityError::Malformed(why)))
        };
        let target = head.uri.path_and_query();
        let target = target.map_or("/", |target| target.as_str());
        let signed = Signed {
            key: header("vaultgram-key")?,
            id: header("webhook-id")?,
            timestamp: header("webhook-timestamp")?,
            signatures: header("webhook-signature")?,
            content: &[
                head.method.as_str().as_bytes(),
                b" ",
                target.as_bytes(),
                b"\n",
                body,
            ],
        };
        signatures.verify(signed).await.map_err(refused)
    }

    /// Puts a proof on record that is none, and says what to do.
    async fn refuse(&self, id: &RequestId, refused: Refused, from: IpAddr) -> Refusal {
        let Refused { kind, error } = refused;
        self.record(id, kind, error.name(), &error.to_string(), from)
            .await;
        unproved(&error)
    }

    /// Puts on record what did not come as a whole, or in its form, so that it proves nothing.
    async fn unread(
        &self,
        id: &RequestId,
        kind: &'static str,
        refusal: Refusal,
        from: IpAddr,
    ) -> Refusal {
        let reason = if refusal.status == StatusCode::PAYLOAD_TOO_LARGE {
            "too_large"
        } else {
            "malformed"
        };
        let error = refusal.message.as_deref().unwrap_or_default();
        self.record(id, kind, reason, error, from).await;
        refusal
    }

    /// Puts a proof on record that is none.
    async fn record(
        &self,
        id: &RequestId,
        kind: &'static str,
        reason: &'static str,
        error: &str,
        from: IpAddr,
    ) {
        let from = Who::from(from).to_string();
        tracing::warn!(event = "https.refused", request = %id, from, kind, reason, error);
        let recorded = self.broker.record_refused_proof(id, kind, from, reason);
        if let Some(recorded) = recorded
            && let Err(error) = recorded.await
        {
            tracing::error!(event = "https.refusal_unrecorded", %error);
        }
    }

    /// Forgets sessions that have run out.
    pub(super) async fn prune(&self) {
        match self.identity.sessions.prune().await {
            Ok(ended) => tracing::debug!(event = "https.sessions_pruned", ended),
            Err(error) => tracing::warn!(event = "https.sessions_not_pruned", %error),
        }
    }
}

/// The answer to who proved nothing; where that may pass, with when to ask again.
fn refused(refusal: &Refusal) -> Reply {
    let mut reply = reply::refusal(refusal);
    if refusal.status == StatusCode::SERVICE_UNAVAILABLE {
        let headers = reply.headers_mut();
        headers.insert(RETRY_AFTER, HeaderValue::from_static("5"));
    }
    reply
}

fn unproved(error: &IdentityError) -> Refusal {
    let status = if let IdentityError::Malformed(_) = error {
        StatusCode::BAD_REQUEST
    } else if error.may_pass() {
        StatusCode::SERVICE_UNAVAILABLE
    } else {
        StatusCode::FORBIDDEN
    };
    Refusal::new(status, error.to_string())
}

/// What a request brings for the token of a session.
///
/// # Errors
/// When it brings nothing at all.
fn bearer(headers: &HeaderMap) -> Result<Zeroizing<String>, Refusal> {
    let given = headers
        .get("x-vault-token")
        .or_else(|| headers.get(AUTHORIZATION));
    let given = given.ok_or_else(|| {
        Refusal::new(
            StatusCode::FORBIDDEN,
            "say who you are: sign in at /v1/auth/jwt/login and send the token, or sign the request \
             (docs/https.md)",
        )
    })?;
    // What is no text is no token either.
    let text = given.to_str().unwrap_or_default();
    let text = text.strip_prefix("Bearer ").unwrap_or(text);
    Ok(Zeroizing::new(text.to_owned()))
}

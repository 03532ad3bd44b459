//! The part of Vault's API that is served: each request becomes a question to the broker.

use std::sync::Arc;
use std::time::Duration;

use hyper::body::{Body, Bytes};
use hyper::header::{CONNECTION, HeaderValue};
use hyper::http::request::Parts;
use hyper::{Request as HttpRequest, StatusCode};
use metrics::gauge;
use tokio::sync::oneshot;
use tokio_util::task::TaskTracker;

use crate::api::{Envelope, Health, MountInfo, PeerInfo, Unlocked};
use crate::broker::ports::{StoreError, StoreHealth};
use crate::broker::{Beside, Broker, BrokerError, Collected, Outcome};
use crate::domain::caller::UnixPeer;
use crate::domain::{Action, Caller, Delivery, Field, MountKind, Request, RequestId, Target};
use crate::http::body;
use crate::http::error::Refusal;
use crate::http::query::HealthCodes;
use crate::http::reply::{self, Reply};
use crate::http::target::{self, Route};
use crate::telemetry::metrics::{
    CHAT_LOCKED, LEASES, VAULT_CLOCK_DRIFT, VAULT_READY, VAULT_STATE, VAULT_TOKEN_LEFT, render,
};

/// Answers requests of peers that are known.
pub(super) struct VaultApi {
    pub(super) broker: Arc<Broker>,
    /// Holds what the broker does for us: it ends even when the client goes away meanwhile, so
    /// that the audit has an outcome for every decision.
    pub(super) tasks: TaskTracker,
    /// Longest time an answer may take.
    pub(super) time_limit: Duration,
}

impl VaultApi {
    /// Answers one request of `peer`.
    pub(super) async fn answer<B>(&self, request: HttpRequest<B>, peer: &UnixPeer) -> Reply
    where
        B: Body<Data = Bytes> + Unpin,
    {
        let id = RequestId::Connection(rand::random());
        let name = id.to_string();
        let (head, mut body) = request.into_parts();
        let with_body = !body.is_end_stream();
        let answer = self.dispatch(id, &head, &mut body, peer);
        let mut reply = match tokio::time::timeout(self.time_limit, answer).await {
            Ok(Ok(reply)) => reply,
            Ok(Err(refusal)) => reply::refusal(&refusal),
            Err(_) => reply::refusal(&Refusal::too_slow()),
        };
        if with_body {
            // Rather than read what nobody wants; and what was read stays in the connection's
            // buffer until it ends.
            let close = HeaderValue::from_static("close");
            reply.headers_mut().insert(CONNECTION, close);
        }
        tracing::info!(
            event = "socket.answered",
            request = name,
            uid = peer.uid,
            pid = peer.pid,
            status = reply.status().as_u16()
        );
        reply
    }

    async fn dispatch<B>(
        &self,
        id: RequestId,
        head: &Parts,
        body: &mut B,
        peer: &UnixPeer,
    ) -> Result<Reply, Refusal>
    where
        B: Body<Data = Bytes> + Unpin,
    {
        check_headers(head)?;
        let mounts = self.broker.mounts();
        let (path, query) = (head.uri.path(), head.uri.query());
        let route = target::route(&head.method, path, query, mounts)?;
        let takes_body = matches!(route, Route::Invoke(_) | Route::Lease(..));
        if !takes_body && !body.is_end_stream() {
            return Err(Refusal::bad_request(
                "vaultgram only reads: send no request body",
            ));
        }
        match route {
            Route::Read(target) => {
                let action = Action::Read(Delivery::Socket);
                self.ask(id, action, target, vec![], peer).await
            }
            Route::List(target) => self.ask(id, Action::List, target, vec![], peer).await,
            Route::Invoke(target) => {
                let fields = body::parameters(body).await?;
                let action = Action::Invoke(Delivery::Socket);
                self.ask(id, action, target, fields, peer).await
            }
            Route::Mount { path, or_default } => self.mount(&id, &path, or_default),
            Route::Health(codes) => Ok(self.health(&codes).await),
            Route::LookupSelf => Ok(lookup_self(&id, peer)),
            Route::Collect(code) => self.collect(&id, code, peer).await,
            Route::Metrics => Ok(self.metrics().await),
            Route::Unlock => self.unlock(&id, peer).await,
            Route::Leases => Ok(self.leases(&id, peer)),
            Route::Lease(verb, lease) => self.lease(id, verb, lease, body, peer).await,
        }
    }

    /// Asks the broker. A dynamic secret that the client does not wait for any more is given back.
    async fn ask(
        &self,
        id: RequestId,
        action: Action,
        target: Target,
        fields: Vec<Field>,
        peer: &UnixPeer,
    ) -> Result<Reply, Refusal> {
        let name = id.to_string();
        let request = Request {
            id: id.clone(),
            caller: Caller::Unix(peer.clone()),
            action,
            target,
        };
        let broker = Arc::clone(&self.broker);
        let (tell, told) = oneshot::channel();
        self.tasks.spawn(async move {
            let result = broker.handle_with(request, Beside::fields(&fields)).await;
            if let Err(Ok(Outcome::Released(secret))) = tell.send(result) {
                broker.give_back(&id, &secret).await;
            }
        });
        match told.await.map_err(|_| Refusal::broken())? {
            Ok(Outcome::Released(secret)) => {
                let invoked = matches!(action, Action::Invoke(_));
                if invoked && secret.fields.is_empty() {
                    return Ok(reply::done());
                }
                Ok(reply::secret(name, &secret))
            }
            Ok(Outcome::Listed(names)) => reply::names(name, names),
            Ok(Outcome::Denied(_)) => Err(Refusal::denied()),
            // Nothing else comes of this on a connection.
            Ok(
                Outcome::Duplicate
                | Outcome::Interrupted
                | Outcome::Wrapped(_)
                | Outcome::Sealed(_)
                | Outcome::Offered(_)
                | Outcome::Versions(_)
                | Outcome::Written(_)
                | Outcome::Deleted(_)
                | Outcome::Undeleted(_)
                | Outcome::Destroyed(_),
            ) => Err(Refusal::broken()),
            Err(error) => failed(name, &error),
        }
    }

    /// Hands over what `peer` asked for in chat.
    async fn collect(
        &self,
        id: &RequestId,
        code: String,
        peer: &UnixPeer,
    ) -> Result<Reply, Refusal> {
        let (broker, peer, request) = (Arc::clone(&self.broker), peer.clone(), id.clone());
        let (tell, told) = oneshot::channel();
        self.tasks.spawn(async move {
            let result = broker.collect(&code, &peer).await;
            if let Err(Ok(Collected::Released(secret))) = tell.send(result) {
                broker.give_back(&request, &secret).await;
            }
        });
        match told.await.map_err(|_| Refusal::broken())? {
            Ok(Collected::Released(secret)) => Ok(reply::secret(id.to_string(), &secret)),
            Ok(Collected::Denied(_)) => Err(Refusal::denied()),
            Err(error) => failed(id.to_string(), &error),
        }
    }

    fn mount(&self, id: &RequestId, path: &str, or_default: bool) -> Result<Reply, Refusal> {
        let mounts = self.broker.mounts();
        let found = mounts.split(path).map(|(mount, _)| mount);
        let fallback = || mounts.names().next().filter(|_| or_default);
        let Some(mount) = found.or_else(fallback) else {
            // Vault's words; `path` is checked, so it can be repeated.
            return Err(Refusal::new(
                StatusCode::FORBIDDEN,
                format!(
                    "preflight capability check returned 403, please ensure client's policies \
                     grant access to path \"{path}/\""
                ),
            ));
        };
        let (kind, version) = match mounts.kind(mount) {
            Some(MountKind::Kv2) => ("kv", Some("2")),
            Some(MountKind::Kv1) => ("kv", Some("1")),
            // Which one, Vault knows; no client asks.
            Some(MountKind::Engine) | None => ("engine", None),
        };
        let version = version.map(|version| ("version".to_owned(), version.to_owned()));
        let info = MountInfo {
            description: "served by vaultgram".to_owned(),
            options: version.into_iter().collect(),
            path: format!("{mount}/"),
            kind: kind.to_owned(),
        };
        Ok(reply::json(
            StatusCode::OK,
            &Envelope::new(id.to_string(), info),
        ))
    }

    async fn health(&self, codes: &HealthCodes) -> Reply {
        let health = self.broker.store_health().await;
        let status = match health {
            StoreHealth::Ready(_) => codes.active,
            StoreHealth::Sealed => codes.sealed,
            StoreHealth::Uninitialized => codes.uninitialized,
            StoreHealth::LoggedOut { .. } | StoreHealth::Unreachable { .. } => {
                StatusCode::SERVICE_UNAVAILABLE
            }
        };
        let document = Health {
            initialized: health != StoreHealth::Uninitialized,
            // As Vault says of itself: what was never initialised is sealed too.
            sealed: matches!(health, StoreHealth::Sealed | StoreHealth::Uninitialized),
            standby: false,
            replication_performance_mode: "disabled".to_owned(),
            replication_dr_mode: "disabled".to_owned(),
            server_time_utc: self.broker.now().unix_timestamp(),
            store: health.name().to_owned(),
            version: match health {
                StoreHealth::Ready(serving) => serving.version,
                StoreHealth::LoggedOut { .. }
                | StoreHealth::Sealed
                | StoreHealth::Uninitialized
                | StoreHealth::Unreachable { .. } => String::new(),
            },
            cluster_name: "vaultgram".to_owned(),
        };
        reply::json(status, &document)
    }
}

impl VaultApi {
    /// Whoever can connect may read them: there is nothing of anybody in them.
    async fn metrics(&self) -> Reply {
        measure(&self.broker.store_health().await);
        let leases = u32::try_from(self.broker.lease_count()).unwrap_or(u32::MAX);
        gauge!(LEASES).set(f64::from(leases));
        // Taken for locked where nobody can tell: then nothing is answered in chat either.
        let locked = self.broker.chat_locked().await.unwrap_or(true);
        gauge!(CHAT_LOCKED).set(f64::from(u8::from(locked)));
        reply::metrics(render())
    }

    /// For root and for the broker's own user: whoever they are could open the state itself.
    async fn unlock(&self, id: &RequestId, peer: &UnixPeer) -> Result<Reply, Refusal> {
        if peer.uid != 0 && peer.uid != rustix::process::geteuid().as_raw() {
            tracing::warn!(event = "socket.unlock_refused", request = %id, uid = peer.uid);
            return Err(Refusal::denied());
        }
        let was_locked = self.broker.unlock_chat(id, peer).await.map_err(|error| {
            tracing::error!(event = "socket.unlock_failed", request = %id, error = error.name());
            Refusal::from(&error)
        })?;
        tracing::warn!(
            event = "socket.chat_unlocked",
            request = %id,
            uid = peer.uid,
            pid = peer.pid,
            was_locked
        );
        let document = Envelope::new(id.to_string(), Unlocked { was_locked });
        Ok(reply::json(StatusCode::OK, &document))
    }
}

/// Puts the store's health into the gauges.
#[expect(clippy::cast_precision_loss, reason = "seconds, far below 2^52")]
fn measure(health: &StoreHealth) {
    let one_if = |so: bool| f64::from(u8::from(so));
    for name in StoreHealth::NAMES {
        gauge!(VAULT_STATE, "state" => name).set(one_if(health.name() == name));
    }
    // What is not known now must not look like what was so before.
    let (ready, drift, token_left) = match health {
        StoreHealth::Ready(serving) => {
            let left = serving.token_left.map(|left| left.as_secs_f64());
            (true, serving.drift as f64, left.unwrap_or(f64::INFINITY))
        }
        StoreHealth::LoggedOut { .. }
        | StoreHealth::Sealed
        | StoreHealth::Uninitialized
        | StoreHealth::Unreachable { .. } => (false, f64::NAN, 0.0),
    };
    gauge!(VAULT_READY).set(one_if(ready));
    gauge!(VAULT_CLOCK_DRIFT).set(drift);
    gauge!(VAULT_TOKEN_LEFT).set(token_left);
}

/// Why there is no secret; what is deleted or destroyed is described.
fn failed(request: String, error: &BrokerError) -> Result<Reply, Refusal> {
    if let BrokerError::Store(StoreError::Deleted(version)) = error {
        return Ok(reply::gone(request, version, false));
    }
    if let BrokerError::Store(StoreError::Destroyed(version)) = error {
        return Ok(reply::gone(request, version, true));
    }
    Err(Refusal::from(error))
}

fn lookup_self(id: &RequestId, peer: &UnixPeer) -> Reply {
    let info = PeerInfo {
        accessor: String::new(),
        creation_time: 0,
        creation_ttl: 0,
        display_name: Caller::Unix(peer.clone()).to_string(),
        entity_id: String::new(),
        expire_time: None,
        explicit_max_ttl: 0,
        id: String::new(),
        meta: peer.facts(),
        num_uses: 0,
        orphan: true,
        path: String::new(),
        policies: vec![],
        renewable: false,
        ttl: 0,
        kind: "unix-peer".to_owned(),
    };
    reply::json(StatusCode::OK, &Envelope::new(id.to_string(), info))
}

/// Refuses what would change the meaning of an answer and is not supported. A token is no such
/// thing: identity is the kernel's word, with or without one.
fn check_headers(head: &Parts) -> Result<(), Refusal> {
    let given = |name: &str| {
        let mut values = head.headers.get_all(name).iter();
        values.any(|value| !value.is_empty())
    };
    if given("x-vault-namespace") {
        return Err(Refusal::bad_request(
            "vaultgram serves one namespace, fixed in its configuration; unset VAULT_NAMESPACE \
             and BAO_NAMESPACE",
        ));
    }
    if given("x-vault-wrap-ttl") {
        return Err(Refusal::bad_request(
            "response wrapping is not supported yet, and the plain value is not what was asked \
             for; unset VAULT_WRAP_TTL and BAO_WRAP_TTL",
        ));
    }
    Ok(())
}

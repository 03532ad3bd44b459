//! The part of Vault's API that is served: each request becomes a question to the broker.

use std::sync::Arc;
use std::time::Duration;

use hyper::body::{Body, Bytes};
use hyper::header::{CONNECTION, HeaderMap, HeaderValue};
use hyper::http::request::Parts;
use hyper::{Method, Request as HttpRequest};
use tokio_util::task::TaskTracker;

use crate::broker::Broker;
use crate::domain::caller::UnixPeer;
use crate::domain::{Caller, RequestId};
use crate::http::ask::Asker;
use crate::http::body;
use crate::http::error::Refusal;
use crate::http::health;
use crate::http::reply::{self, Reply};
use crate::http::route::{self, Route};
use crate::http::system;
use crate::http::wrapping;
use crate::http::write;

/// Answers requests of callers that are known.
pub struct VaultApi {
    pub(super) asker: Asker,
    /// Longest time an answer may take.
    time_limit: Duration,
}

impl VaultApi {
    /// Asks `broker` in some of `tasks`; an answer may take `time_limit`.
    #[must_use]
    pub fn new(broker: Arc<Broker>, tasks: TaskTracker, time_limit: Duration) -> Self {
        let asker = Asker { broker, tasks };
        Self { asker, time_limit }
    }

    /// Answers one request of `caller`, whoever that is: on a socket the kernel says so.
    pub async fn answer<B>(&self, request: HttpRequest<B>, caller: &Caller) -> Reply
    where
        B: Body<Data = Bytes> + Unpin,
    {
        let id = RequestId::Connection(rand::random());
        let name = id.to_string();
        let (head, mut body) = request.into_parts();
        let with_body = !body.is_end_stream();
        let answer = self.dispatch(id, &head, &mut body, caller);
        let mut reply = self.in_time(&head.method, answer).await;
        if with_body {
            // What was read stays in the connection's buffer until it ends.
            let close = HeaderValue::from_static("close");
            reply.headers_mut().insert(CONNECTION, close);
        }
        let status = reply.status().as_u16();
        if let Caller::Unix(UnixPeer { uid, pid, .. }) = caller {
            tracing::info!(event = "socket.answered", request = name, uid, pid, status);
        } else {
            tracing::info!(event = "https.answered", request = name, %caller, status);
        }
        reply
    }

    /// Answers one of the requests that anybody may make: whether we live, and serve.
    pub(super) async fn answer_anybody<B>(&self, request: &HttpRequest<B>) -> Reply {
        let method = request.method();
        let answer = async {
            let route = health::route(method, request.uri().path())?;
            if route == Some(Route::Alive) {
                return Ok(health::alive());
            }
            if route == Some(Route::Ready) {
                return Ok(self.ready().await);
            }
            Err(Refusal::denied())
        };
        self.in_time(method, answer).await
    }

    /// What comes of `answer` to a request by `method`, within the time it may take.
    pub(super) async fn in_time(
        &self,
        method: &Method,
        answer: impl Future<Output = Result<Reply, Refusal>>,
    ) -> Reply {
        match tokio::time::timeout(self.time_limit, answer).await {
            Ok(Ok(reply)) => reply,
            Ok(Err(refusal)) => reply::refusal(&refusal),
            Err(_) => reply::refusal(&Refusal::too_slow(method)),
        }
    }

    async fn dispatch<B>(
        &self,
        id: RequestId,
        head: &Parts,
        body: &mut B,
        caller: &Caller,
    ) -> Result<Reply, Refusal>
    where
        B: Body<Data = Bytes> + Unpin,
    {
        check_headers(&head.headers, self.asker.broker.namespace())?;
        let wrap_ttl = wrapping::asked_ttl(&head.headers)?;
        let mounts = self.asker.broker.mounts();
        let (path, query) = (head.uri.path(), head.uri.query());
        let route = route::route(&head.method, path, query, mounts)?;
        if let Caller::Job(_) = caller
            && !is_for_jobs(&route)
        {
            return Err(Refusal::denied());
        }
        if !takes_body(&route) && !body.is_end_stream() {
            return Err(Refusal::bad_request("send no request body here"));
        }
        if wrap_ttl.is_some() && !matches!(route, Route::Read(_) | Route::Invoke(_)) {
            return Err(Refusal::bad_request(
                "what is read or invoked is wrapped, and nothing else; unset VAULT_WRAP_TTL and \
                 BAO_WRAP_TTL",
            ));
        }
        match route {
            Route::Read(target) => self.read(id, target, wrap_ttl, caller).await,
            Route::List(target, page) => self.list(id, target, &page, caller).await,
            Route::Invoke(target) => {
                let fields = body::parameters(body).await?;
                self.invoke(id, target, fields, wrap_ttl, caller).await
            }
            Route::Metadata(target) => self.metadata(id, target, caller).await,
            Route::Put(target) => {
                let write = body::write(body).await?;
                self.put(id, target, write, caller).await
            }
            Route::PutPlain(target) => {
                let fields = body::parameters(body).await?;
                self.put_plain(id, target, fields, caller).await
            }
            Route::Patch(target) => {
                write::must_be_merge_patch(&head.headers)?;
                let write = body::write(body).await?;
                self.patch(id, target, write, caller).await
            }
            Route::Rotate(target) => {
                let given = body::document(body).await?.unwrap_or_default();
                self.rotate(id, target, given, caller).await
            }
            Route::Delete(target) => self.delete(id, target, caller).await,
            Route::Versions(verb, target) => {
                let versions = body::versions(body).await?;
                self.change_versions(id, verb, target, versions, caller)
                    .await
            }
            Route::Mount { path, or_default } => self.mount(&id, &path, or_default),
            Route::Mounts => Ok(self.mounts(&id)),
            Route::Health(codes) => Ok(self.health(&codes).await),
            Route::SealStatus => self.seal_status().await,
            Route::Init => self.initialized().await,
            Route::Leader => Ok(system::leader()),
            Route::LookupSelf => Ok(system::lookup_self(&id, caller)),
            // Who has a token has it from elsewhere.
            Route::RevokeSelf => Ok(reply::done()),
            Route::Capabilities => {
                let given = body::document(body).await?.unwrap_or_default();
                self.capabilities(&id, given, caller).await
            }
            Route::LookAtWrapped => {
                let fields = body::parameters(body).await?;
                let token = wrapping::token(&fields, &head.headers);
                self.look_at_wrapped(&id, &token.ok_or_else(Refusal::denied)?)
                    .await
            }
            Route::Unwrap => {
                let fields = body::parameters(body).await?;
                let token = wrapping::token(&fields, &head.headers);
                self.unwrap(id, token.ok_or_else(Refusal::denied)?, caller)
                    .await
            }
            Route::Collect(code) => match caller {
                Caller::Unix(peer) => self.collect(id, code, peer).await,
                Caller::Telegram(_) | Caller::Job(_) => Err(Refusal::denied()),
            },
            Route::Metrics => Ok(self.metrics().await),
            Route::Unlock => self.unlock(&id, caller).await,
            Route::Leases => self.leases(&id, caller).await,
            Route::Lease(verb, lease) => self.lease(id, verb, lease, body, caller).await,
            Route::Approvals(route) => self.approvals(id, route, body, caller).await,
            Route::Report => Ok(self.report().await),
            Route::Cluster => self.cluster().await,
            Route::Alive => Ok(health::alive()),
            Route::Ready => Ok(self.ready().await),
        }
    }
}

/// Whether there is anything to say in a request's body.
fn takes_body(route: &Route) -> bool {
    match route {
        Route::Invoke(_)
        | Route::Put(_)
        | Route::PutPlain(_)
        | Route::Patch(_)
        | Route::Rotate(_)
        | Route::Versions(..)
        | Route::Capabilities
        | Route::LookAtWrapped
        | Route::Unwrap
        | Route::Lease(..)
        // What clients send to end a token means nothing to us.
        | Route::RevokeSelf => true,
        Route::Approvals(route) => route.takes_body(),
        Route::Read(_)
        | Route::List(..)
        | Route::Metadata(_)
        | Route::Delete(_)
        | Route::Mount { .. }
        | Route::Mounts
        | Route::Health(_)
        | Route::SealStatus
        | Route::Init
        | Route::Leader
        | Route::LookupSelf
        | Route::Collect(_)
        | Route::Metrics
        | Route::Unlock
        | Route::Leases
        | Route::Report
        | Route::Cluster
        | Route::Alive
        | Route::Ready => false,
    }
}

/// Whether it concerns jobs: not what is about this host and the people on it.
fn is_for_jobs(route: &Route) -> bool {
    match route {
        Route::Metrics | Route::Unlock | Route::Report | Route::Cluster | Route::Collect(_) => {
            false
        }
        Route::Read(_)
        | Route::List(..)
        | Route::Metadata(_)
        | Route::Put(_)
        | Route::PutPlain(_)
        | Route::Patch(_)
        | Route::Rotate(_)
        | Route::Delete(_)
        | Route::Versions(..)
        | Route::Invoke(_)
        | Route::Mount { .. }
        | Route::Mounts
        | Route::Health(_)
        | Route::SealStatus
        | Route::Init
        | Route::Leader
        | Route::LookupSelf
        | Route::RevokeSelf
        | Route::Capabilities
        | Route::LookAtWrapped
        | Route::Unwrap
        | Route::Leases
        | Route::Lease(..)
        | Route::Approvals(_)
        | Route::Alive
        | Route::Ready => true,
    }
}

/// Refuses what would change the meaning of an answer and is not supported. A token is no such
/// thing: identity is the kernel's word, with or without one.
fn check_headers(headers: &HeaderMap, namespace: Option<&str>) -> Result<(), Refusal> {
    let ours = bare(namespace.unwrap_or_default().as_bytes());
    let mut named = headers.get_all("x-vault-namespace").iter();
    // Without a name it is ours that is meant.
    if named.any(|name| !name.is_empty() && bare(name.as_bytes()) != ours) {
        return Err(Refusal::bad_request(
            "vaultgram serves one namespace, fixed in its configuration; unset VAULT_NAMESPACE \
             and BAO_NAMESPACE",
        ));
    }
    let mut formats = headers.get_all("x-vault-wrap-format").iter();
    if formats.any(|format| !format.is_empty()) {
        return Err(Refusal::bad_request(
            "X-Vault-Wrap-Format: Vault's own choice is taken",
        ));
    }
    Ok(())
}

/// A namespace without the slashes at its ends; the outermost has no name.
fn bare(namespace: &[u8]) -> &[u8] {
    let mut name = namespace;
    while let [b'/', rest @ ..] | [rest @ .., b'/'] = name {
        name = rest;
    }
    if name == b"root" { b"" } else { name }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_one_namespace_may_be_named_and_no_other() {
        for (ours, named, taken) in [
            (None, &[][..], true),
            (None, &["", "root", "root/", "/"], true),
            (None, &["team"], false),
            (Some("team/x"), &["", "team/x", "team/x/", "/team/x"], true),
            (Some("/team/x/"), &["team/x"], true),
            (Some("team/x"), &["team"], false),
            (Some("team/x"), &["team/x/y"], false),
            (Some("team/x"), &["team//x"], false),
            (Some("team/x"), &["root"], false),
            (Some("team/x"), &["/"], false),
            (Some("team/x"), &["team/x", "other"], false),
        ] {
            let mut headers = HeaderMap::new();
            for name in named {
                headers.append("x-vault-namespace", HeaderValue::from_static(name));
            }
            assert_eq!(
                check_headers(&headers, ours).is_ok(),
                taken,
                "{ours:?} {named:?}"
            );
        }
    }
}

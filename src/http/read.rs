//! What is handed over: secrets that are read, that engines make, that were asked for in chat; names.

use std::time::Duration;

use hyper::StatusCode;

use crate::api::{Envelope, KvVersion};
use crate::broker::Outcome;
use crate::domain::caller::UnixPeer;
use crate::domain::{Action, Caller, Delivery, Field, Request, RequestId, Target};
use crate::http::ask::NoAnswer;
use crate::http::error::Refusal;
use crate::http::metadata;
use crate::http::query::Page;
use crate::http::reply::{self, Reply};
use crate::http::vault_api::VaultApi;

impl VaultApi {
    /// A secret's values, wrapped where a time for that is given.
    pub(super) async fn read(
        &self,
        id: RequestId,
        target: Target,
        wrap_ttl: Option<Duration>,
        caller: &Caller,
    ) -> Result<Reply, Refusal> {
        let name = id.to_string();
        let request = request(id, Action::Read(delivery(wrap_ttl)), target, caller);
        match self.asker.ask(request, vec![], wrap_ttl).await {
            Ok(Outcome::Released(secret)) => Ok(reply::secret(name, &secret)),
            Ok(outcome) => wrapped(outcome, wrap_ttl),
            Err(none) => failed(name, none),
        }
    }

    /// What `peer` asked for in chat. Only a local user has anything there.
    pub(super) async fn collect(
        &self,
        id: RequestId,
        code: String,
        peer: &UnixPeer,
    ) -> Result<Reply, Refusal> {
        let name = id.to_string();
        match self.asker.collect(id, peer.clone(), code).await {
            Ok(secret) => Ok(reply::secret(name, &secret)),
            Err(none) => failed(name, none),
        }
    }

    /// What an engine answers to `fields`, wrapped where a time for that is given.
    pub(super) async fn invoke(
        &self,
        id: RequestId,
        target: Target,
        fields: Vec<Field>,
        wrap_ttl: Option<Duration>,
        caller: &Caller,
    ) -> Result<Reply, Refusal> {
        let name = id.to_string();
        let request = request(id, Action::Invoke(delivery(wrap_ttl)), target, caller);
        let outcome = self.asker.ask(request, fields, wrap_ttl).await?;
        let Outcome::Released(secret) = outcome else {
            return wrapped(outcome, wrap_ttl);
        };
        if secret.fields.is_empty() {
            // It has nothing to say.
            return Ok(reply::done());
        }
        Ok(reply::values(name, &secret))
    }

    /// The names in a folder, of which `page` is wanted.
    pub(super) async fn list(
        &self,
        id: RequestId,
        target: Target,
        page: &Page,
        caller: &Caller,
    ) -> Result<Reply, Refusal> {
        let name = id.to_string();
        let request = request(id, Action::List, target, caller);
        let outcome = self.asker.ask(request, vec![], None).await?;
        let Outcome::Listed(mut names) = outcome else {
            return Err(Refusal::broken());
        };
        page.cut(&mut names);
        reply::names(name, names)
    }
}

/// What `caller` asks of the broker.
pub(super) fn request(id: RequestId, action: Action, target: Target, caller: &Caller) -> Request {
    Request {
        id,
        caller: caller.clone(),
        action,
        target,
    }
}

fn delivery(wrap_ttl: Option<Duration>) -> Delivery {
    match wrap_ttl {
        Some(_) => Delivery::Wrapped,
        None => Delivery::Socket,
    }
}

/// A wrapping token; who asked for a longer life of it than there is, is told.
fn wrapped(outcome: Outcome, asked: Option<Duration>) -> Result<Reply, Refusal> {
    let Outcome::Wrapped(wrapped) = outcome else {
        return Err(Refusal::broken());
    };
    let cut = asked.is_some_and(|asked| asked > wrapped.facts.ttl);
    Ok(reply::wrapped(&wrapped, cut))
}

/// Why there is no secret; what is deleted or destroyed is described.
fn failed(request: String, none: NoAnswer) -> Result<Reply, Refusal> {
    let metadata = metadata::of_gone(&none).ok_or(none)?;
    let data = None::<()>;
    let document = Envelope::new(request, KvVersion { data, metadata });
    Ok(reply::json(StatusCode::NOT_FOUND, &document))
}

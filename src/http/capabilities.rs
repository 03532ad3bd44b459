//! What a caller may do at a path, in Vault's words: found by asking for it, as far as the router and
//! policy.

use std::collections::{BTreeMap, BTreeSet};

use hyper::{Method, StatusCode};
use serde::Deserialize;

use crate::api::{Envelope, Twice};
use crate::domain::caller::UnixPeer;
use crate::domain::{Action, Delivery, RequestId, SecretPath, Target};
use crate::http::error::Refusal;
use crate::http::reply::{self, Reply};
use crate::http::route::{self, Route};
use crate::http::vault_api::VaultApi;
use crate::http::{rotate, write};

/// Most paths of one request.
const MAX_PATHS: usize = 64;

/// What a request's body can say; a token in it is none of ours.
#[derive(Default, Deserialize)]
pub(super) struct Given {
    path: Option<Paths>,
    paths: Option<Paths>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Paths {
    One(String),
    Many(Vec<String>),
}

impl VaultApi {
    /// What `peer` may do at each of the paths.
    pub(super) fn capabilities(
        &self,
        id: &RequestId,
        given: Given,
        peer: &UnixPeer,
    ) -> Result<Reply, Refusal> {
        let paths = match given.paths.or(given.path) {
            Some(Paths::One(path)) => vec![path],
            Some(Paths::Many(paths)) => paths,
            None => vec![],
        };
        if paths.is_empty() {
            return Err(Refusal::bad_request("paths must be supplied"));
        }
        if paths.len() > MAX_PATHS {
            let why = format!("at most {MAX_PATHS} paths at once");
            return Err(Refusal::bad_request(why));
        }
        let one = paths.len() == 1;
        let told = paths.into_iter().map(|path| {
            let may = self.words(&path, peer);
            (path, may)
        });
        let mut told: BTreeMap<String, BTreeSet<&str>> = told.collect();
        if one && let Some(may) = told.values().next() {
            told.insert("capabilities".to_owned(), may.clone());
        }
        let document = Twice {
            top: &told,
            envelope: Envelope::new(id.to_string(), &told),
        };
        Ok(reply::json(StatusCode::OK, &document))
    }

    /// Vault's words for what `peer` may do at `path`.
    fn words(&self, path: &str, peer: &UnixPeer) -> BTreeSet<&'static str> {
        let path = format!("/v1/{}", path.trim_start_matches('/'));
        let list = Method::from_bytes(b"LIST").unwrap_or_default();
        let methods = [
            Method::GET,
            list,
            Method::PUT,
            Method::PATCH,
            Method::DELETE,
        ];
        let mounts = self.asker.broker.mounts();
        let routes = methods.iter().filter_map(|method| {
            let route = route::route(method, &path, None, mounts).ok()?;
            Some(needed(route, method))
        });
        let mut allowed: Option<(SecretPath, Vec<Action>)> = None;
        let mut words = BTreeSet::new();
        for (asked, all) in routes {
            let may = asked.is_none_or(|(path, action)| {
                if allowed.as_ref().is_none_or(|(known, _)| *known != path) {
                    let actions = self.asker.broker.capabilities(peer, &path);
                    allowed = Some((path, actions));
                }
                allowed
                    .as_ref()
                    .is_some_and(|(_, all)| all.contains(&action))
            });
            if may {
                words.extend(all);
            }
        }
        if words.is_empty() {
            words.insert("deny");
        }
        words
    }
}

/// What policy must allow for it, and what Vault calls it.
fn needed(
    route: Route,
    method: &Method,
) -> (Option<(SecretPath, Action)>, &'static [&'static str]) {
    let of = |target: Target, action| Some((target.path, action));
    let writes = &["create", "update"][..];
    match route {
        Route::Read(target) => (of(target, Action::Read(Delivery::Socket)), &["read"]),
        Route::Metadata(target) => (of(target, Action::Versions), &["read"]),
        Route::List(target, _) => (of(target, Action::List), &["list"]),
        Route::Put(target) | Route::PutPlain(target) => {
            (of(target, Action::Put { over: None }), writes)
        }
        Route::Invoke(target) => (of(target, Action::Invoke(Delivery::Socket)), writes),
        Route::Patch(target) => (of(target, Action::Patch { over: None }), &["patch"]),
        Route::Delete(target) => (of(target, Action::Delete), &["delete"]),
        Route::Versions(verb, target) => (of(target, write::action(verb)), &["update"]),
        Route::Rotate(target) => (of(target, rotate::ANY), &["update"]),
        // These need no policy.
        Route::Mount { .. }
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
        | Route::Collect(_)
        | Route::Metrics
        | Route::Unlock
        | Route::Leases
        | Route::Lease(..)
        | Route::Report
        | Route::Alive
        | Route::Ready => (
            None,
            if method == Method::GET {
                &["read"]
            } else {
                &["update"]
            },
        ),
    }
}

//! What a caller may do at a path, in Vault's words: found by asking for it, as far as the router and
//! policy.

use std::collections::{BTreeMap, BTreeSet};

use hyper::{Method, StatusCode};
use serde::Deserialize;

use crate::api::{Envelope, Twice};
use crate::domain::{Action, Caller, Delivery, RequestId, SecretPath, Target};
use crate::http::error::Refusal;
use crate::http::reply::{self, Reply};
use crate::http::route::{self, Route};
use crate::http::vault_api::VaultApi;
use crate::http::{rotate, system, write};

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
    /// What `caller` may do at each of the paths.
    pub(super) async fn capabilities(
        &self,
        id: &RequestId,
        given: Given,
        caller: &Caller,
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
        let mut told: BTreeMap<String, BTreeSet<&str>> = BTreeMap::new();
        for path in paths {
            let may = self.words(&path, caller).await;
            told.insert(path, may);
        }
        if one && let Some(may) = told.values().next() {
            told.insert("capabilities".to_owned(), may.clone());
        }
        let document = Twice {
            top: &told,
            envelope: Envelope::new(id.to_string(), &told),
        };
        Ok(reply::json(StatusCode::OK, &document))
    }

    /// Vault's words for what `caller` may do at `path`.
    async fn words(&self, path: &str, caller: &Caller) -> BTreeSet<&'static str> {
        let path = format!("/v1/{}", path.trim_start_matches('/'));
        let list = Method::from_bytes(b"LIST").unwrap_or_default();
        // PUT is POST wherever it is anything.
        let methods = [
            Method::GET,
            list,
            Method::POST,
            Method::PATCH,
            Method::DELETE,
        ];
        let broker = &self.asker.broker;
        let mut words = BTreeSet::new();
        for method in methods {
            let Ok(route) = route::route(&method, &path, None, broker.mounts()) else {
                continue;
            };
            let (needs, all) = needed(route, &method);
            let may = match needs {
                Needs::Nothing => true,
                Needs::Privilege => system::is_privileged(caller),
                Needs::Policy(path, action) => {
                    // There can be hundreds of these, and others have questions too.
                    tokio::task::yield_now().await;
                    broker.would_allow(caller, action, &path)
                }
            };
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

/// What must be so for it to be done.
enum Needs {
    Nothing,
    /// That it is root who asks, or our own user.
    Privilege,
    /// That policy allows this.
    Policy(SecretPath, Action),
}

/// What it needs, and what Vault calls it.
fn needed(route: Route, method: &Method) -> (Needs, &'static [&'static str]) {
    let of = |target: Target, action| Needs::Policy(target.path, action);
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
        Route::Unlock => (Needs::Privilege, &["update"]),
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
        // Whether anything waits there is not told before.
        | Route::Collect(_)
        | Route::Metrics
        | Route::Leases
        | Route::Lease(..)
        | Route::Approvals(_)
        | Route::Report
        | Route::Cluster
        | Route::Alive
        | Route::Ready => (
            Needs::Nothing,
            if method == Method::GET {
                &["read"]
            } else {
                &["update"]
            },
        ),
    }
}

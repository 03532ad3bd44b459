//! Response wrapping: Vault keeps the answer, and gives a token that fetches it once.

use std::time::Duration;

use serde::Deserialize;

use crate::broker::ports::{StoreError, Wrapped, WrappedFacts};
use crate::domain::{MountKind, Secret, SecretValue, Target};
use crate::vault::client::{Answer, Client, Failure};
use crate::vault::kv::{self, below, failed, failed_to_make};
use crate::vault::request::{Access, Method, Request, object};
use crate::vault::schedule::lasting;
use crate::vault::{engine, metadata};

/// Longest wrapping token; those of the form JWT take the most.
const MAX_TOKEN: usize = 4096;

/// Has Vault wrap all fields of `target` for `ttl`.
pub(super) async fn wrap(
    client: &Client,
    access: &Access,
    target: &Target,
    ttl: Duration,
) -> Result<Wrapped, StoreError> {
    // Vault wraps also its word that a version is deleted: only who unwraps it would learn that.
    let version = metadata::read(client, access, &target.path)
        .await?
        .live(target)?;
    let request = Request::get(&below(&target.path, "data")).of_version(Some(version));
    let answer = client
        .call(&access.wrapping(ttl), request)
        .await
        .map_err(|failure| failed_to_make(&failure))?;
    match answer.status {
        200 => parse(&answer.body).ok_or(StoreError::Invalid),
        403 => Err(StoreError::Forbidden),
        404 => Err(StoreError::NotFound),
        _ => Err(match answer.accepted() {
            Ok(_) => StoreError::Invalid,
            Err(failure) => failed_to_make(&failure),
        }),
    }
}

/// Borrows from `body`, so that the token is copied once: into its `SecretValue`.
pub(super) fn parse(body: &[u8]) -> Option<Wrapped> {
    #[derive(Deserialize)]
    struct Envelope<'a> {
        #[serde(borrow)]
        wrap_info: Info<'a>,
    }
    #[derive(Deserialize)]
    struct Info<'a> {
        token: &'a str,
        accessor: String,
        /// Seconds.
        ttl: u64,
        creation_time: String,
        creation_path: String,
    }
    let Envelope { wrap_info } = serde_json::from_slice(body).ok()?;
    Some(Wrapped {
        token: SecretValue::new(wrap_info.token.as_bytes().to_vec()),
        accessor: wrap_info.accessor,
        facts: WrappedFacts {
            path: wrap_info.creation_path,
            created: wrap_info.creation_time,
            ttl: lasting(wrap_info.ttl),
        },
    })
}

/// Asks what a token wraps, which does not use it up.
pub(super) fn look_up(token: &str) -> Request {
    Request::post(&"sys/wrapping/lookup", object(&[("token", token)]))
}

/// What Vault says of it.
pub(super) fn facts(body: &[u8]) -> Result<WrappedFacts, Failure> {
    #[derive(Deserialize)]
    struct Envelope {
        data: Facts,
    }
    #[derive(Deserialize)]
    struct Facts {
        #[serde(rename = "creation_path")]
        path: String,
        #[serde(rename = "creation_time")]
        created: String,
        /// Seconds.
        #[serde(rename = "creation_ttl")]
        ttl: u64,
    }
    let Envelope { data } = serde_json::from_slice(body)
        .map_err(|_| Failure::Invalid("it describes no wrapping token"))?;
    Ok(WrappedFacts {
        path: data.path,
        created: data.created,
        ttl: lasting(data.ttl),
    })
}

/// What is known of `token`, which must be of the namespace that our `own` is of.
pub(super) async fn wrapped(
    client: &Client,
    own: &Access,
    token: &SecretValue,
) -> Result<WrappedFacts, StoreError> {
    let token = text(token)?;
    // Vault takes those of every namespace, whichever is asked, and the path would mean another
    // secret there.
    if !own.same_namespace(token) {
        return Err(StoreError::NotWrapped);
    }
    let request = look_up(token);
    let answer = client.call(&client.anonymous(), request).await;
    let answer = answer
        .and_then(Answer::accepted)
        .map_err(|failure| not_wrapped(&failure))?;
    facts(&answer.body).map_err(|failure| failed(&failure))
}

/// What `token`, made at a mount of `kind`, unwraps: no other token of ours is shown for it.
pub(super) async fn unwrap(
    client: &Client,
    kind: MountKind,
    token: &SecretValue,
) -> Result<Secret, StoreError> {
    let access = client.access(SecretValue::new(text(token)?.as_bytes().to_vec()));
    let request = Request::new(Method::Post, &"sys/wrapping/unwrap");
    let answer = client.call(&access, request).await;
    let answer = answer
        .and_then(Answer::accepted)
        .map_err(|failure| not_wrapped(&failure))?;
    match kind {
        MountKind::Kv2 => kv::unwrapped(&answer.body),
        MountKind::Kv1 | MountKind::Engine | MountKind::Pipelines => {
            engine::secret(&answer).ok_or(StoreError::Unclear)
        }
    }
}

/// The token as text that fits into a header.
#[expect(
    clippy::disallowed_methods,
    reason = "it is shown to Vault, who made it"
)]
fn text(token: &SecretValue) -> Result<&str, StoreError> {
    let text = std::str::from_utf8(token.expose_secret()).map_err(|_| StoreError::NotWrapped)?;
    let fits = !text.is_empty() && text.len() <= MAX_TOKEN;
    if fits && text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Ok(text);
    }
    Err(StoreError::NotWrapped)
}

/// What a failure means of a request with a wrapping token: Vault's word on one that it does not
/// know is not one on us.
fn not_wrapped(failure: &Failure) -> StoreError {
    if let Failure::Refused(cause) = failure
        && cause.in_its_words
        && matches!(cause.status, 400 | 403)
    {
        return StoreError::NotWrapped;
    }
    failed_to_make(failure)
}

//! Response wrapping: Vault keeps the answer, and gives a token that fetches it once.

use std::time::Duration;

use serde::Deserialize;

use crate::broker::ports::{StoreError, Wrapped};
use crate::domain::{SecretValue, Target};
use crate::vault::client::Client;
use crate::vault::kv::{below, failed_to_make};
use crate::vault::metadata;
use crate::vault::request::{Access, Request};
use crate::vault::schedule::lasting;

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
    }
    let Envelope { wrap_info } = serde_json::from_slice(body).ok()?;
    Some(Wrapped {
        token: SecretValue::new(wrap_info.token.as_bytes().to_vec()),
        accessor: wrap_info.accessor,
        ttl: lasting(wrap_info.ttl),
    })
}

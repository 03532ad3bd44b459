//! Writing, deleting, undeleting and destroying KV version 2 secrets, and what each answer means.

use serde::Deserialize;
use tracing::warn;
use zeroize::Zeroizing;

use crate::broker::ports::StoreError;
use crate::domain::{Field, SecretPath, Target, VersionFacts};
use crate::vault::client::{Answer, Client, Failure};
use crate::vault::kv::{self, below, gone};
use crate::vault::metadata;
use crate::vault::mount::must_be_version_2;
use crate::vault::request::{Access, Method, Request};

/// What Vault says when another version is the newest.
const MISMATCH: &str = "check-and-set parameter did not match";
/// What it says where a mount or a secret has `cas_required`.
const REQUIRED: &str = "check-and-set parameter required";

/// Writes `fields`, over version `over` if one is given, 0 for none; returns the new version.
pub(super) async fn put(
    client: &Client,
    access: &Access,
    target: &Target,
    fields: &[Field],
    over: Option<u64>,
) -> Result<VersionFacts, StoreError> {
    // Version 1 would take it as a secret named data/PATH.
    must_be_version_2(client, access, &target.path).await?;
    let answer = send(client, access, target, Method::Post, fields, over).await?;
    match answer.status {
        200 => written(&answer),
        403 => Err(StoreError::Forbidden),
        404 => Err(StoreError::NotFound),
        _ => Err(unwritten(client, access, &target.path, answer).await),
    }
}

/// Changes `fields`, over version `over` if one is given; returns the new version.
pub(super) async fn patch(
    client: &Client,
    access: &Access,
    target: &Target,
    fields: &[Field],
    over: Option<u64>,
) -> Result<VersionFacts, StoreError> {
    let answer = send(client, access, target, Method::Patch, fields, over).await?;
    match answer.status {
        200 => written(&answer),
        // Mounts of another kind do not know the method.
        403 | 405 => Err(StoreError::Forbidden),
        404 => Err(gone(&answer.body).unwrap_or(StoreError::NotFound)),
        _ => Err(unwritten(client, access, &target.path, answer).await),
    }
}

/// Deletes the version `target` names, or the newest; returns its number.
pub(super) async fn delete(
    client: &Client,
    access: &Access,
    target: &Target,
) -> Result<u64, StoreError> {
    // Vault says 204 to everything, so we look first. It is told the number, also for the newest:
    // one that somebody writes meanwhile stays.
    let version = metadata::read(client, access, &target.path)
        .await?
        .live(target)?;
    about(client, access, &target.path, "delete", version).await?;
    Ok(version)
}

/// Undoes the deletion of `version`.
pub(super) async fn undelete(
    client: &Client,
    access: &Access,
    target: &Target,
    version: u64,
) -> Result<(), StoreError> {
    // As above.
    metadata::read(client, access, &target.path)
        .await?
        .undeletable(version)?;
    about(client, access, &target.path, "undelete", version).await
}

/// Removes `version` for good.
pub(super) async fn destroy(
    client: &Client,
    access: &Access,
    target: &Target,
    version: u64,
) -> Result<(), StoreError> {
    // As above.
    metadata::read(client, access, &target.path)
        .await?
        .destroyable(version)?;
    about(client, access, &target.path, "destroy", version).await
}

/// Has Vault do `what` to one version.
async fn about(
    client: &Client,
    access: &Access,
    path: &SecretPath,
    what: &str,
    version: u64,
) -> Result<(), StoreError> {
    let body = format!(r#"{{"versions":[{version}]}}"#);
    let request = Request::post(&below(path, what), body.into_bytes().into());
    done(client.call(access, request).await)
}

async fn send(
    client: &Client,
    access: &Access,
    target: &Target,
    method: Method,
    fields: &[Field],
    over: Option<u64>,
) -> Result<Answer, StoreError> {
    let request = Request::new(method, &below(&target.path, "data")).with(body(fields, over));
    client
        .call(access, request)
        .await
        .map_err(|failure| failed(&failure))
}

/// `{"options":{"cas":OVER},"data":{…}}`.
fn body(fields: &[Field], over: Option<u64>) -> Zeroizing<Vec<u8>> {
    // In full from the beginning: a text that grows leaves halves of itself behind.
    let mut json = Zeroizing::new(Vec::with_capacity(62 + size(fields)));
    json.push(b'{');
    if let Some(over) = over {
        json.extend_from_slice(format!(r#""options":{{"cas":{over}}},"#).as_bytes());
    }
    json.extend_from_slice(br#""data":"#);
    push_object(&mut json, fields);
    json.push(b'}');
    json
}

/// `{…}`, for requests whose body the fields are.
pub(super) fn object(fields: &[Field]) -> Zeroizing<Vec<u8>> {
    let mut json = Zeroizing::new(Vec::with_capacity(size(fields)));
    push_object(&mut json, fields);
    json
}

/// The most that the object of `fields` takes.
fn size(fields: &[Field]) -> usize {
    // A byte of a name takes six as an escape.
    let each = |field: &Field| 6 * field.name.len() + exposed(field).len() + 4;
    2 + fields.iter().map(each).sum::<usize>()
}

fn push_object(json: &mut Vec<u8>, fields: &[Field]) {
    json.push(b'{');
    for (position, field) in fields.iter().enumerate() {
        if position > 0 {
            json.push(b',');
        }
        // A string is always JSON, and memory takes all.
        serde_json::to_writer(&mut *json, &field.name).unwrap_or_default();
        json.push(b':');
        json.extend_from_slice(exposed(field));
    }
    json.push(b'}');
}

#[expect(
    clippy::disallowed_methods,
    reason = "this is what gets written to Vault, or kept sealed"
)]
pub(super) fn exposed(field: &Field) -> &[u8] {
    field.json.expose_secret()
}

/// The version that was written.
fn written(answer: &Answer) -> Result<VersionFacts, StoreError> {
    #[derive(Deserialize)]
    struct Envelope {
        data: kv::Metadata,
    }
    let envelope: Result<Envelope, _> = serde_json::from_slice(&answer.body);
    envelope
        .map(|envelope| envelope.data.facts())
        .map_err(|_| StoreError::Unclear)
}

/// Why Vault did not write; where another version is the newest, which that is.
async fn unwritten(
    client: &Client,
    access: &Access,
    path: &SecretPath,
    answer: Answer,
) -> StoreError {
    let errors = answer.errors();
    if answer.status == 400 && errors.contains(MISMATCH) {
        let current = match metadata::read(client, access, path).await {
            Ok(metadata) => metadata.current(),
            Err(_) => 0,
        };
        return StoreError::Conflict { current };
    }
    if answer.status == 400 && errors.contains(REQUIRED) {
        return StoreError::CasRequired;
    }
    refusal(answer)
}

/// The answer to a change that answers nothing.
pub(super) fn done(answer: Result<Answer, Failure>) -> Result<(), StoreError> {
    let answer = answer.map_err(|failure| failed(&failure))?;
    match answer.status {
        200 | 204 => Ok(()),
        403 => Err(StoreError::Forbidden),
        404 => Err(StoreError::NotFound),
        _ => Err(refusal(answer)),
    }
}

/// An answer that does not say it was done.
fn refusal(answer: Answer) -> StoreError {
    let refused = matches!(answer.status, 400 | 413);
    match answer.accepted() {
        Ok(_) => StoreError::Unclear,
        Err(failure) if refused => {
            warn!(event = "vault.write_refused", cause = %failure);
            StoreError::Refused
        }
        Err(failure) => failed(&failure),
    }
}

/// What the caller learns of a failure; the log learns its cause.
pub(super) fn failed(failure: &Failure) -> StoreError {
    warn!(event = "vault.write_failed", cause = %failure);
    match failure {
        Failure::Unavailable(_) => StoreError::Unavailable,
        // It may be an answer to what was done.
        Failure::Unclear(_) | Failure::Invalid(_) => StoreError::Unclear,
        Failure::Sealed => StoreError::Sealed,
        Failure::Refused(_) => StoreError::Invalid,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::SecretValue;

    #[test]
    fn a_body_is_json_and_never_grows() {
        let field = |name: &str, json: &str| Field {
            name: name.to_owned(),
            json: SecretValue::new(json.as_bytes().to_vec()),
        };
        let fields = [field("a\"\u{1}\u{e9}", r#""v\n""#), field("n", "1.50")];
        for (over, wanted) in [
            (
                Some(u64::MAX),
                r#"{"options":{"cas":18446744073709551615},"data":{"a\"\u0001é":"v\n","n":1.50}}"#,
            ),
            (None, r#"{"data":{"a\"\u0001é":"v\n","n":1.50}}"#),
        ] {
            let json = body(&fields, over);
            assert_eq!(std::str::from_utf8(&json), Ok(wanted));
        }
        let worst: Vec<Field> = (0..100).map(|_| field(&"\u{1}".repeat(100), "1")).collect();
        let json = body(&worst, Some(u64::MAX));
        let predicted = 64 + worst.len() * (600 + 1 + 4);
        assert_eq!(json.capacity(), predicted, "it grew");
    }

    #[test]
    fn a_refused_change_is_not_a_failed_read() {
        for (status, wanted) in [
            (400, StoreError::Refused),
            (413, StoreError::Refused),
            (418, StoreError::Invalid),
            (429, StoreError::Unavailable),
            (500, StoreError::Unclear),
            (202, StoreError::Unclear),
        ] {
            let answer = Answer {
                status,
                body: Zeroizing::new(vec![]),
                date: None,
            };
            assert_eq!(refusal(answer), wanted, "{status}");
        }
    }
}

//! Secrets of KV version 1, and of engines: whatever a path answers, its fields as they come.

use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

use crate::broker::ports::{StoreError, Wrapped};
use crate::domain::{Field, Lease, MountKind, Origin, Secret, SecretPath};
use crate::vault::client::{Answer, Client, Failure, one_line};
use crate::vault::kv::{self, Fields};
use crate::vault::kv_write::{self, exposed, object};
use crate::vault::mount::Looked;
use crate::vault::request::{Access, Method, Request};
use crate::vault::schedule::lasting;
use crate::vault::{metadata, wrap};

/// Longest piece of Vault's own words repeated, in characters.
const MAX_SAID: usize = 300;
/// Shorter values are not looked for in Vault's words: they are no secrets, and every sentence
/// has them.
const MIN_VALUE: usize = 4;

/// A mount that is not KV version 2, and the way to it.
pub(super) struct Engine<'a> {
    pub(super) client: &'a Client,
    pub(super) access: &'a Access,
    pub(super) kind: MountKind,
    pub(super) looked: &'a Looked,
}

impl Engine<'_> {
    /// Reads what lies, or is made, at `path`.
    pub(super) async fn read(&self, path: &SecretPath) -> Result<Secret, StoreError> {
        let answer = self.get(path).await?;
        secret(&answer).ok_or(StoreError::Invalid)
    }

    /// As [`Engine::read`], and has Vault wrap the answer for `ttl`.
    pub(super) async fn wrap(
        &self,
        path: &SecretPath,
        ttl: Duration,
    ) -> Result<Wrapped, StoreError> {
        let answer = self.ask(&self.access.wrapping(ttl), path, true).await?;
        wrap::parse(&answer.body).ok_or(StoreError::Invalid)
    }

    /// The names in the folder `path`, sorted.
    pub(super) async fn list(&self, path: &SecretPath) -> Result<Vec<String>, StoreError> {
        self.look(path).await?;
        let request = Request::new(Method::List, path);
        let answer = self.client.call(self.access, request).await;
        let answer = answer.map_err(|failure| kv::failed(&failure))?;
        let answer = accepted(answer, &[], kv::failed)?;
        metadata::names(&answer.body).ok_or(StoreError::Invalid)
    }

    /// Asks `path` to do something with `fields`.
    pub(super) async fn invoke(
        &self,
        path: &SecretPath,
        fields: &[Field],
    ) -> Result<Secret, StoreError> {
        let answer = self.post(self.access, path, fields).await?;
        // It was done; what came of it, nobody can tell.
        secret(&answer).ok_or(StoreError::Unclear)
    }

    /// As [`Engine::invoke`], and has Vault wrap the answer for `ttl`.
    pub(super) async fn invoke_wrapped(
        &self,
        path: &SecretPath,
        fields: &[Field],
        ttl: Duration,
    ) -> Result<Wrapped, StoreError> {
        let access = self.access.wrapping(ttl);
        let answer = self.post(&access, path, fields).await?;
        wrap::parse(&answer.body).ok_or(StoreError::Unclear)
    }

    /// Whether there is a secret of KV version 1 at `path`.
    pub(super) async fn exists(&self, path: &SecretPath) -> Result<bool, StoreError> {
        match self.get(path).await {
            Ok(_) => Ok(true),
            Err(StoreError::NotFound) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Writes a secret of KV version 1: with `over` 0 where there is none, with another in place
    /// of the one that is there. Version 1 has no check-and-set, so who writes at the same moment
    /// wins or loses unseen.
    pub(super) async fn put(
        &self,
        path: &SecretPath,
        fields: &[Field],
        over: Option<u64>,
    ) -> Result<(), StoreError> {
        if let Some(over) = over {
            let exists = self.exists(path).await?;
            if exists != (over > 0) {
                return Err(StoreError::Conflict {
                    current: u64::from(exists),
                });
            }
        }
        self.post(self.access, path, fields).await.map(|_| ())
    }

    /// Deletes a secret of KV version 1, for good.
    pub(super) async fn delete(&self, path: &SecretPath) -> Result<(), StoreError> {
        // Vault says 204 to everything, so we look first.
        if !self.exists(path).await? {
            return Err(StoreError::NotFound);
        }
        let request = Request::new(Method::Delete, path);
        kv_write::done(self.client.call(self.access, request).await)
    }

    async fn get(&self, path: &SecretPath) -> Result<Answer, StoreError> {
        // What is read of an engine may be made by that: each answer is another database user.
        let makes = self.kind == MountKind::Engine;
        self.ask(self.access, path, makes).await
    }

    async fn ask(
        &self,
        access: &Access,
        path: &SecretPath,
        makes: bool,
    ) -> Result<Answer, StoreError> {
        self.look(path).await?;
        let request = Request::get(path);
        let (request, failed): (_, fn(&Failure) -> StoreError) = if makes {
            (request.once(), kv::failed_to_make)
        } else {
            (request, kv::failed)
        };
        let answer = self.client.call(access, request).await;
        accepted(answer.map_err(|failure| failed(&failure))?, &[], failed)
    }

    async fn post(
        &self,
        access: &Access,
        path: &SecretPath,
        fields: &[Field],
    ) -> Result<Answer, StoreError> {
        self.look(path).await?;
        let request = Request::post(path, object(fields));
        let answer = self.client.call(access, request).await;
        let answer = answer.map_err(|failure| kv_write::failed(&failure))?;
        accepted(answer, fields, kv_write::failed)
    }

    async fn look(&self, path: &SecretPath) -> Result<(), StoreError> {
        let (client, access) = (self.client, self.access);
        self.looked.must_be(self.kind, client, access, path).await
    }
}

/// Ends a lease.
pub(super) async fn revoke(
    client: &Client,
    access: &Access,
    lease: &str,
) -> Result<(), StoreError> {
    let body = serde_json::json!({ "lease_id": lease });
    let request = Request::post(&"sys/leases/revoke", body.to_string().into_bytes().into());
    kv_write::done(client.call(access, request).await)
}

/// Has a lease last longer; for how long from now on.
pub(super) async fn renew(
    client: &Client,
    access: &Access,
    lease: &str,
    increment: Duration,
) -> Result<Duration, StoreError> {
    #[derive(Deserialize)]
    struct Renewed {
        lease_duration: u64,
    }
    let body = serde_json::json!({ "lease_id": lease, "increment": increment.as_secs() });
    let request = Request::post(&"sys/leases/renew", body.to_string().into_bytes().into());
    let answer = client.call(access, request).await;
    let answer = answer.map_err(|failure| kv_write::failed(&failure))?;
    let answer = accepted(answer, &[], kv_write::failed)?;
    let renewed: Renewed = serde_json::from_slice(&answer.body).map_err(|_| StoreError::Unclear)?;
    Ok(lasting(renewed.lease_duration))
}

/// Borrows from the answer, so that the values are copied once: into their `SecretValue`s.
pub(super) fn secret(answer: &Answer) -> Option<Secret> {
    #[derive(Deserialize)]
    struct Envelope {
        #[serde(default)]
        lease_id: String,
        #[serde(default)]
        lease_duration: u64,
        #[serde(default)]
        renewable: bool,
        data: Option<Fields>,
    }
    // Only 200 always says something.
    if answer.status != 200 && answer.body.is_empty() {
        return Some(plain(vec![]));
    }
    let envelope: Envelope = serde_json::from_slice(&answer.body).ok()?;
    let Fields(fields) = envelope.data.unwrap_or(Fields(vec![]));
    if envelope.lease_id.is_empty() {
        return Some(plain(fields));
    }
    let lease = Lease {
        id: envelope.lease_id,
        duration: lasting(envelope.lease_duration),
        renewable: envelope.renewable,
        code: None,
    };
    Some(Secret {
        fields,
        origin: Origin::Leased(lease),
        age: None,
    })
}

fn plain(fields: Vec<Field>) -> Secret {
    Secret {
        fields,
        origin: Origin::Plain,
        age: None,
    }
}

/// The answer, if it is a success.
pub(super) fn accepted(
    answer: Answer,
    fields: &[Field],
    failed: impl Fn(&Failure) -> StoreError,
) -> Result<Answer, StoreError> {
    match answer.status {
        200..=202 | 204 => Ok(answer),
        403 => Err(StoreError::Forbidden),
        404 => Err(StoreError::NotFound),
        405 => Err(StoreError::Unsupported),
        // What is wrong with the parameters is for who gave them, and not for the log.
        400 | 422 => Err(StoreError::Rejected(said(&answer.words(), fields))),
        status => Err(match answer.accepted() {
            Ok(_) => StoreError::Invalid,
            // Nor is what Vault says of a fault of its own: it can repeat what it was given.
            Err(Failure::Unclear(_)) => failed(&Failure::Unclear(format!("status {status}"))),
            Err(failure) => failed(&failure),
        }),
    }
}

/// `words` of Vault's on one line, with `…` for what are values of `fields`.
fn said(words: &str, fields: &[Field]) -> String {
    let mut said = words.to_owned();
    for field in fields {
        let json = exposed(field);
        let mut values = vec![String::from_utf8_lossy(json).trim_matches('"').to_owned()];
        // What holds plaintext here is wiped as all memory is (see `memory`).
        texts(
            &serde_json::from_slice(json).unwrap_or_default(),
            &mut values,
        );
        // The longest first: one may be a part of another.
        values.sort_by_key(|value| std::cmp::Reverse(value.len()));
        for value in values.iter().filter(|value| value.len() >= MIN_VALUE) {
            said = said.replace(value, "…");
        }
    }
    one_line(&said, MAX_SAID)
}

/// Adds every text and number within `value`, as Vault would repeat them.
fn texts(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::String(text) => {
            // Go quotes what it repeats.
            let quoted = serde_json::to_string(text).unwrap_or_default();
            found.extend([text.clone(), quoted.trim_matches('"').to_owned()]);
        }
        Value::Number(number) => found.push(number.to_string()),
        Value::Array(values) => values.iter().for_each(|value| texts(value, found)),
        Value::Object(fields) => fields.values().for_each(|value| texts(value, found)),
        Value::Null | Value::Bool(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::SecretValue;

    fn answer(status: u16, body: &str) -> Answer {
        Answer {
            status,
            body: body.as_bytes().to_vec().into(),
            date: None,
        }
    }

    #[test]
    fn a_lease_is_kept_and_what_has_none_is_plain() {
        let body = r#"{"lease_id":"database/creds/app/x","lease_duration":3600,"renewable":true,
            "data":{"username":"u","password":"p"}}"#;
        let found = secret(&answer(200, body)).unwrap();
        let lease = Lease {
            id: "database/creds/app/x".to_owned(),
            duration: Duration::from_hours(1),
            renewable: true,
            code: None,
        };
        assert_eq!(found.origin, Origin::Leased(lease));
        assert_eq!(found.names().collect::<Vec<_>>(), ["username", "password"]);
        // KV version 1 tells a duration without a lease.
        let body = r#"{"lease_id":"","lease_duration":2764800,"data":{"k":"v"}}"#;
        assert_eq!(secret(&answer(200, body)).unwrap().origin, Origin::Plain);
        for (status, body) in [(204, ""), (202, ""), (200, r#"{"data":null}"#), (200, "{}")] {
            let empty = secret(&answer(status, body)).unwrap();
            assert!(empty.fields.is_empty(), "{status} {body}");
        }
        for body in ["", "-----BEGIN", r#"{"data":"text"}"#, r#"{"data":[1]}"#] {
            assert!(secret(&answer(200, body)).is_none(), "{body}");
        }
    }

    #[test]
    fn vaults_words_are_told_without_the_values_they_repeat() {
        let field = |json: &str| Field {
            name: "f".to_owned(),
            json: SecretValue::new(json.as_bytes().to_vec()),
        };
        let body = r#"{"errors":["bad input \"hunter2\n2\"","and \"raw\\nform\"\n too","a 1 b, map[k:[deep4 98765]]"]}"#;
        let fields = [
            field(r#""hunter2\n2""#),
            field(r#""raw\nform""#),
            field("1"),
            field(r#"{"k":["deep4",98765]}"#),
        ];
        let error = accepted(answer(400, body), &fields, kv_write::failed).err();
        let wanted = r#"bad input \"…\"; and \"…\" too; a 1 b, map[k:[… …]]"#;
        assert_eq!(error, Some(StoreError::Rejected(wanted.to_owned())));
    }
}

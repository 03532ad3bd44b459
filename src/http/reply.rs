//! Answers: JSON bodies in Vault's envelope, kept in memory that is wiped.

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{AGE, ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use hyper::{Response, StatusCode};
use serde::ser::{Error as _, SerializeMap};
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;
use zeroize::Zeroizing;

use crate::api::{Because, Envelope, Explained, Keys, KvVersion, WrapInfo};
use crate::broker::ports::Wrapped;
use crate::domain::{Age, Field, Origin, Secret, VersionFacts};
use crate::http::error::Refusal;
use crate::http::metadata;

/// Prometheus' text format.
const METRICS_TYPE: HeaderValue =
    HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");

/// Plain text.
const TEXT_TYPE: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");

/// What every answer is.
pub(super) type Reply = Response<Full<Bytes>>;

/// The envelope and metadata around a secret take less than this, in bytes.
const ENVELOPE: usize = 512;

/// `document` as JSON.
pub(super) fn json(status: StatusCode, document: &impl Serialize) -> Reply {
    sized_json(status, document, ENVELOPE)
}

/// Done, and nothing to say.
pub(super) fn done() -> Reply {
    let mut reply = Response::new(Full::default());
    *reply.status_mut() = StatusCode::NO_CONTENT;
    let headers = reply.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    reply
}

/// The names in a folder; none is Vault's plain "not found".
pub(super) fn names(request_id: String, names: Vec<String>) -> Result<Reply, Refusal> {
    if names.is_empty() {
        return Err(Refusal::nothing());
    }
    let document = Envelope::new(request_id, Keys { keys: names });
    Ok(json(StatusCode::OK, &document))
}

/// What is counted, in Prometheus' text format.
pub(super) fn metrics(text: String) -> Reply {
    let mut reply = self::text(StatusCode::OK, text);
    reply.headers_mut().insert(CONTENT_TYPE, METRICS_TYPE);
    reply
}

/// Words that hold no secret.
pub(super) fn text(status: StatusCode, text: String) -> Reply {
    let mut reply = Response::new(Full::new(Bytes::from(text)));
    *reply.status_mut() = status;
    let headers = reply.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(CONTENT_TYPE, TEXT_TYPE);
    reply
}

/// An error in Vault's shape.
pub(super) fn refusal(refusal: &Refusal) -> Reply {
    let body = refusal.body();
    let mut reply = match &refusal.because {
        None => json(refusal.status, &body),
        Some(because) => {
            let (errors, data) = (body.errors, Because::clone(because));
            json(refusal.status, &Explained { errors, data })
        }
    };
    if let Some(allow) = refusal.allow {
        let headers = reply.headers_mut();
        headers.insert(ALLOW, HeaderValue::from_static(allow));
    }
    reply
}

/// A secret that was read, and whether it was kept.
pub(super) fn secret(request_id: String, secret: &Secret) -> Reply {
    let mut reply = values(request_id, secret);
    let headers = reply.headers_mut();
    let cache = if secret.age.is_some() { "HIT" } else { "MISS" };
    headers.insert("x-cache", HeaderValue::from_static(cache));
    if let Some(age) = secret.age {
        headers.insert(AGE, HeaderValue::from(age.since.as_secs()));
    }
    reply
}

/// A secret's values, in the order the store has them; as Vault answers its kind.
pub(super) fn values(request_id: String, secret: &Secret) -> Reply {
    let fields = Fields(&secret.fields);
    let mut size = fields.size();
    match &secret.origin {
        Origin::Version(version) => {
            size += notes_size(version);
            let data = KvVersion {
                data: fields,
                metadata: metadata::of(version, false),
            };
            let document = Envelope {
                warnings: secret.age.and_then(warning),
                ..Envelope::new(request_id, data)
            };
            sized_json(StatusCode::OK, &document, size)
        }
        Origin::Plain | Origin::Leased(_) => {
            let mut document = Envelope {
                warnings: secret.age.and_then(warning),
                ..Envelope::new(request_id, fields)
            };
            if let Origin::Leased(lease) = &secret.origin {
                size += 6 * lease.id.len();
                document.lease_id.clone_from(&lease.id);
                document.lease_duration = lease.duration.as_secs();
                document.renewable = lease.renewable;
            }
            sized_json(StatusCode::OK, &document, size)
        }
    }
}

/// A wrapping token, and whether its life was `cut`. There is no id in it, says Vault.
#[expect(
    clippy::disallowed_methods,
    reason = "the answer to who asked for the token"
)]
pub(super) fn wrapped(wrapped: &Wrapped, cut: bool) -> Reply {
    let Ok(token) = std::str::from_utf8(wrapped.token.expose_secret()) else {
        return refusal(&Refusal::broken());
    };
    let seconds = wrapped.facts.ttl.as_secs();
    let document = Envelope {
        request_id: String::new(),
        lease_id: String::new(),
        renewable: false,
        lease_duration: 0,
        data: None::<()>,
        wrap_info: Some(WrapInfo {
            token,
            accessor: &wrapped.accessor,
            ttl: seconds,
            creation_time: &wrapped.facts.created,
            creation_path: &wrapped.facts.path,
        }),
        warnings: cut.then(|| vec![format!("vaultgram wraps for at most {seconds} s")]),
        auth: None,
    };
    let size = ENVELOPE + token.len() + wrapped.accessor.len() + wrapped.facts.path.len();
    sized_json(StatusCode::OK, &document, size)
}

/// What a caller must know of a secret that may not be the newest.
fn warning(age: Age) -> Option<Vec<String>> {
    let seconds = age.since.as_secs();
    age.stale.then(|| {
        vec![format!(
            "Vault does not answer; vaultgram read this {seconds} s ago, and a newer version may exist"
        )]
    })
}

/// Writes `document` into one buffer of `size` bytes, large enough that it need not move, for
/// hyper to send from there and for us to wipe.
fn sized_json(status: StatusCode, document: &impl Serialize, size: usize) -> Reply {
    let mut body = Zeroizing::new(Vec::with_capacity(size));
    let mut status = status;
    if serde_json::to_writer(&mut *body, document).is_err() {
        // The store's value is not JSON. What is written of it so far stays here.
        status = StatusCode::BAD_GATEWAY;
        body = Zeroizing::new(br#"{"errors":["Vault's answer is not valid JSON"]}"#.to_vec());
    }
    let mut reply = Response::new(Full::new(Bytes::from_owner(body)));
    *reply.status_mut() = status;
    let headers = reply.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    reply
}

/// What is noted beside a version takes at most this many bytes.
fn notes_size(version: &VersionFacts) -> usize {
    let sizes = version.notes.iter();
    let sizes = sizes.map(|(name, note)| 6 * (name.len() + note.len()) + 6);
    sizes.sum()
}

/// Fields as a JSON object, their values copied as they are.
pub(super) struct Fields<'s>(pub(super) &'s [Field]);

impl Fields<'_> {
    /// At most this many bytes, with the envelope: a name can grow sixfold when escaped.
    #[expect(clippy::disallowed_methods, reason = "only its length is used")]
    pub(super) fn size(&self) -> usize {
        let sizes = self
            .0
            .iter()
            .map(|field| field.name.len() * 6 + field.json.expose_secret().len() + 4);
        sizes.sum::<usize>() + ENVELOPE
    }
}

impl Serialize for Fields<'_> {
    #[expect(
        clippy::disallowed_methods,
        reason = "the answer to a released request, into a buffer that is wiped"
    )]
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for field in self.0 {
            // Borrows, and makes sure that it is one JSON value and nothing else.
            let raw: &RawValue = serde_json::from_slice(field.json.expose_secret())
                .map_err(|_| S::Error::custom("not JSON"))?;
            map.serialize_entry(&field.name, raw)?;
        }
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;
    use crate::domain::SecretValue;

    fn version(json: &str) -> Secret {
        let field = Field {
            name: "a\"\u{1}".to_owned(),
            json: SecretValue::new(json.as_bytes().to_vec()),
        };
        let facts = VersionFacts {
            number: 3,
            created: "2026-01-02T03:04:05.123456789Z".to_owned(),
            ..VersionFacts::default()
        };
        Secret::of_version(vec![field], facts)
    }

    async fn text(reply: Reply) -> String {
        #[expect(clippy::disallowed_methods, reason = "our own body")]
        let body = reply.into_body().collect().await.unwrap();
        String::from_utf8(body.to_bytes().to_vec()).unwrap()
    }

    #[tokio::test]
    async fn values_pass_through_untouched() {
        let json = r#"{"nested":[1.50,"\u003c"],"big":123456789012345678901234567890}"#;
        let body = text(secret("id".to_owned(), &version(json))).await;
        assert!(
            body.contains(&format!(r#""data":{{"a\"\u0001":{json}}}"#)),
            "{body}"
        );
    }

    #[tokio::test]
    async fn the_buffer_never_moves() {
        let long = format!("\"{}\"", "x".repeat(100_000));
        let mut secret = version(&long);
        let facts = VersionFacts {
            notes: vec![("\u{1}".repeat(500), "\u{1}".repeat(500))],
            ..VersionFacts::default()
        };
        let size = Fields(&secret.fields).size() + notes_size(&facts);
        secret.origin = Origin::Version(facts);
        assert!(text(super::secret("i".repeat(36), &secret)).await.len() <= size);
    }

    #[tokio::test]
    async fn what_is_not_json_is_not_passed_on() {
        for json in ["hunter2", r#""hunter2" "x""#, r#""hunter2"},"auth":{"#, ""] {
            let reply = secret("id".to_owned(), &version(json));
            assert_eq!(reply.status(), StatusCode::BAD_GATEWAY);
            assert!(!text(reply).await.contains("hunter2"));
        }
    }
}

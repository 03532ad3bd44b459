//! Reading a KV version 2 secret, and what each answer means.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use tracing::{debug, warn};

use crate::broker::ports::StoreError;
use crate::domain::{Field, Secret, SecretPath, SecretValue, Target, VersionFacts};
use crate::vault::client::{Answer, Client, Failure};
use crate::vault::metadata;
use crate::vault::mount::must_be_version_2;
use crate::vault::request::{Access, Request};

/// Reads all fields of `target`.
pub(super) async fn read(
    client: &Client,
    access: &Access,
    target: &Target,
) -> Result<Secret, StoreError> {
    let request = Request::get(&below(&target.path, "data")).of_version(target.version);
    let answer = client
        .call(access, request)
        .await
        .map_err(|failure| failed(&failure))?;
    match answer.status {
        200 | 404 => match parse(&answer.body) {
            Parsed::Secret(secret) => Ok(secret),
            Parsed::Gone(error) => Err(error),
            Parsed::Nothing if answer.status == 404 => Err(absent(client, access, target).await),
            // Version 1 may have a secret of this very name.
            Parsed::Nothing => {
                let mount = must_be_version_2(client, access, &target.path).await;
                Err(mount.err().unwrap_or(StoreError::Invalid))
            }
        },
        403 => Err(StoreError::Forbidden),
        _ => Err(refusal(answer)),
    }
}

/// What was wrapped when it was read.
pub(super) fn unwrapped(body: &[u8]) -> Result<Secret, StoreError> {
    match parse(body) {
        Parsed::Secret(secret) => Ok(secret),
        Parsed::Gone(error) => Err(error),
        Parsed::Nothing => Err(StoreError::Invalid),
    }
}

/// The path of what KV version 2 keeps as `part` of a secret: `MOUNT/PART/PATH`.
pub(super) fn below(path: &SecretPath, part: &str) -> String {
    format!("{}/{part}/{}", path.mount(), path.path())
}

/// What a body holds.
enum Parsed {
    Secret(Secret),
    /// Deleted or destroyed.
    Gone(StoreError),
    /// No version 2 secret.
    Nothing,
}

/// Borrows from `body`, so that the values are copied once: into their `SecretValue`s.
fn parse(body: &[u8]) -> Parsed {
    let Ok(Envelope {
        data: Some(Data {
            data,
            metadata: Some(metadata),
        }),
    }) = serde_json::from_slice(body)
    else {
        return Parsed::Nothing;
    };
    match data {
        Some(Fields(fields)) => Parsed::Secret(Secret::of_version(fields, metadata.facts())),
        None => Parsed::Gone(metadata.gone()),
    }
}

#[derive(Deserialize)]
struct Envelope {
    data: Option<Data>,
}

#[derive(Deserialize)]
struct Data {
    data: Option<Fields>,
    metadata: Option<Metadata>,
}

/// What Vault says of a version, whether it is read or has been written.
#[derive(Deserialize)]
pub(super) struct Metadata {
    version: u64,
    created_time: String,
    deletion_time: String,
    destroyed: bool,
    #[serde(rename = "custom_metadata")]
    notes: Option<BTreeMap<String, String>>,
}

impl Metadata {
    pub(super) fn facts(self) -> VersionFacts {
        VersionFacts {
            number: self.version,
            created: self.created_time,
            deletion: self.deletion_time,
            notes: self.notes.into_iter().flatten().collect(),
        }
    }

    /// Of a version without values.
    fn gone(self) -> StoreError {
        if self.destroyed {
            StoreError::Destroyed(self.facts())
        } else {
            StoreError::Deleted(self.facts())
        }
    }
}

/// The fields in the order they came.
pub(super) struct Fields(pub(super) Vec<Field>);

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Pairs;

        impl<'de> Visitor<'de> for Pairs {
            type Value = Vec<Field>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a secret's fields")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Vec<Field>, M::Error> {
                let mut fields = vec![];
                while let Some((name, json)) = map.next_entry::<String, &RawValue>()? {
                    let json = SecretValue::new(json.get().as_bytes().to_vec());
                    fields.push(Field { name, json });
                }
                Ok(fields)
            }
        }

        deserializer.deserialize_map(Pairs).map(Self)
    }
}

/// Vault says a bare 404 to a missing version, to a missing secret and to a mount of another
/// kind alike; asks on to tell which. Where our policy does not let us ask: not found.
async fn absent(client: &Client, access: &Access, target: &Target) -> StoreError {
    if target.version.is_none() {
        let mount = must_be_version_2(client, access, &target.path).await;
        return mount.err().unwrap_or(StoreError::NotFound);
    }
    match metadata::read(client, access, &target.path).await {
        Ok(_) => StoreError::NoSuchVersion,
        Err(StoreError::Forbidden) => {
            debug!(
                event = "vault.metadata_forbidden",
                advice = "let the Vault policy read the metadata of secrets, to tell a missing version from a missing secret"
            );
            StoreError::NotFound
        }
        Err(error) => error,
    }
}

/// What a 404 that describes a version says of it: deleted or destroyed.
pub(super) fn gone(body: &[u8]) -> Option<StoreError> {
    // A PATCH describes the version in `data` itself.
    #[derive(Deserialize)]
    struct Envelope {
        data: Option<Metadata>,
    }
    let envelope: Envelope = serde_json::from_slice(body).ok()?;
    envelope.data.map(Metadata::gone)
}

/// An answer that is neither a secret nor its absence.
pub(super) fn refusal(answer: Answer) -> StoreError {
    match answer.accepted() {
        Ok(_) => StoreError::Invalid,
        Err(failure) => failed(&failure),
    }
}

/// What the caller learns of a failure; the log learns its cause.
pub(super) fn failed(failure: &Failure) -> StoreError {
    warn!(event = "vault.read_failed", cause = %failure);
    match failure {
        Failure::Unavailable(_) | Failure::Unclear(_) => StoreError::Unavailable,
        Failure::Sealed => StoreError::Sealed,
        Failure::Refused(_) | Failure::Invalid(_) => StoreError::Invalid,
    }
}

/// As [`failed`], of a read that makes something (a lease, a wrapping token): where no answer
/// came, nobody knows whether it did.
pub(super) fn failed_to_make(failure: &Failure) -> StoreError {
    let error = failed(failure);
    if matches!(failure, Failure::Unclear(_)) {
        StoreError::Unclear
    } else {
        error
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(clippy::disallowed_methods, reason = "the test compares the plaintext")]
    fn fields_keep_their_order_and_their_text() {
        let body = br#"{"data":{"data":{"z":"a\u003cb \"q\"","a":1.50,"n":null,"o":{"k":[1,2]},"\u00e9":"x"},
            "metadata":{"created_time":"T","custom_metadata":{"n":"v"},"deletion_time":"D","destroyed":false,"version":3}}}"#;
        let Parsed::Secret(secret) = parse(body) else {
            panic!("not a secret");
        };
        let found: Vec<(&str, &[u8])> = secret
            .fields
            .iter()
            .map(|field| (field.name.as_str(), field.json.expose_secret()))
            .collect();
        let wanted: Vec<(&str, &[u8])> = vec![
            ("z", br#""a\u003cb \"q\"""#),
            ("a", b"1.50"),
            ("n", b"null"),
            ("o", br#"{"k":[1,2]}"#),
            ("\u{e9}", br#""x""#),
        ];
        assert_eq!(found, wanted);
        let facts = VersionFacts {
            number: 3,
            created: "T".to_owned(),
            deletion: "D".to_owned(),
            notes: vec![("n".to_owned(), "v".to_owned())],
        };
        assert_eq!(secret.origin, crate::domain::Origin::Version(facts));
    }

    #[test]
    fn what_is_no_version_2_secret_is_nothing() {
        for body in [
            "",
            "{}",
            "null",
            "<html>",
            r#"{"errors":[]}"#,
            r#"{"data":null}"#,
            r#"{"data":{"k":"v"}}"#,
            r#"{"data":{"data":"text","metadata":{}}}"#,
            r#"{"data":{"data":{"k":1},"metadata":{"version":-1}}}"#,
        ] {
            assert!(matches!(parse(body.as_bytes()), Parsed::Nothing), "{body}");
        }
    }
}

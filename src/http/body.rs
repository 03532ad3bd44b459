//! A request's body: the parameters an engine is invoked with, or what is to be done with a lease;
//! one JSON object, capped.

use std::fmt;
use std::time::Duration;

use http_body_util::BodyExt;
use hyper::StatusCode;
use hyper::body::{Body, Bytes};
use serde::de::{Deserialize, DeserializeOwned, Deserializer, Error as _, MapAccess, Visitor};
use serde_json::value::RawValue;
use zeroize::Zeroizing;

use crate::domain::secret_path::check_field;
use crate::domain::{Field, SecretValue};
use crate::http::error::Refusal;

/// Largest body, in bytes: a certificate request or a text to encrypt takes far less.
const MAX_BODY: usize = 256 * 1024;
/// Room for a body before any of it is there, in bytes.
const FIRST_ROOM: usize = 16 * 1024;
/// Most parameters.
const MAX_FIELDS: usize = 90;
/// How long a body may take to arrive.
const PATIENCE: Duration = Duration::from_secs(10);

/// Reads the parameters. Nothing, and `null`, is none.
///
/// # Errors
/// When they are too many or too large, too slow, or not one JSON object.
pub(super) async fn parameters<B>(body: &mut B) -> Result<Vec<Field>, Refusal>
where
    B: Body<Data = Bytes> + Unpin,
{
    let text = read_in_time(body).await?;
    if text.is_empty() {
        return Ok(vec![]);
    }
    let parameters: Option<Parameters> = serde_json::from_slice(&text).map_err(|_| {
        // What exactly is wrong could repeat a value.
        Refusal::bad_request(format!(
            "the request's body must be one JSON object of at most {MAX_FIELDS} parameters, each \
             named once, with a name of printable characters"
        ))
    })?;
    Ok(parameters.map_or_else(Vec::new, |Parameters(fields)| fields))
}

/// Reads a document that holds no secret; `None` where there is nothing, or `null`.
///
/// # Errors
/// When it is too large, too slow, or not such a document.
pub(super) async fn document<B, T>(body: &mut B) -> Result<Option<T>, Refusal>
where
    B: Body<Data = Bytes> + Unpin,
    T: DeserializeOwned,
{
    let text = read_in_time(body).await?;
    if text.is_empty() {
        return Ok(None);
    }
    serde_json::from_slice(&text).map_err(|error| {
        Refusal::bad_request(format!(
            "the request's body is not what is expected: {error}"
        ))
    })
}

async fn read_in_time<B>(body: &mut B) -> Result<Zeroizing<Vec<u8>>, Refusal>
where
    B: Body<Data = Bytes> + Unpin,
{
    tokio::time::timeout(PATIENCE, read(body))
        .await
        .map_err(|_| {
            let why = "the request's body did not arrive in time";
            Refusal::new(StatusCode::REQUEST_TIMEOUT, why)
        })?
}

/// Reads all of it into one buffer that is wiped.
async fn read<B>(body: &mut B) -> Result<Zeroizing<Vec<u8>>, Refusal>
where
    B: Body<Data = Bytes> + Unpin,
{
    let too_large = || {
        let why = format!("the request's body is larger than {MAX_BODY} bytes");
        Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, why)
    };
    let hint = body.size_hint();
    let expected = usize::try_from(hint.lower()).unwrap_or(usize::MAX);
    if expected > MAX_BODY {
        return Err(too_large());
    }
    // Not all that is announced: whoever announces need not send. What a text that grows leaves
    // behind is wiped by our allocator.
    let mut text = Zeroizing::new(Vec::with_capacity(expected.min(FIRST_ROOM)));
    while let Some(frame) = body.frame().await {
        let cut = |_| Refusal::bad_request("the request's body is cut off");
        if let Ok(data) = frame.map_err(cut)?.into_data() {
            if data.len() > MAX_BODY - text.len() {
                return Err(too_large());
            }
            text.extend_from_slice(&data);
        }
    }
    Ok(text)
}

/// Parameters in the order they came, their values as they are.
struct Parameters(Vec<Field>);

impl<'de> Deserialize<'de> for Parameters {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Pairs;

        impl<'de> Visitor<'de> for Pairs {
            type Value = Vec<Field>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("parameters")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Vec<Field>, M::Error> {
                let mut fields: Vec<Field> = vec![];
                while let Some((name, json)) = map.next_entry::<String, &RawValue>()? {
                    let name = check_field(&name).map_err(|_| M::Error::custom("a name"))?;
                    let known = fields.iter().any(|field| field.name == name);
                    if known || fields.len() == MAX_FIELDS {
                        return Err(M::Error::custom("twice, or too many"));
                    }
                    let json = SecretValue::new(json.get().as_bytes().to_vec());
                    fields.push(Field { name, json });
                }
                Ok(fields)
            }
        }

        deserializer.deserialize_map(Pairs).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::Full;

    use super::*;

    async fn names(text: &[u8]) -> Result<Vec<String>, u16> {
        let mut body = Full::new(Bytes::copy_from_slice(text));
        match parameters(&mut body).await {
            Ok(fields) => Ok(fields.into_iter().map(|field| field.name).collect()),
            Err(refusal) => Err(refusal.status.as_u16()),
        }
    }

    #[tokio::test]
    async fn parameters_are_one_object_within_limits() {
        let object = |count: usize| {
            let pairs: Vec<String> = (0..count).map(|n| format!("\"k{n}\":{n}")).collect();
            format!("{{{}}}", pairs.join(","))
        };
        for none in ["", "null", "{}", " {} "] {
            assert_eq!(names(none.as_bytes()).await, Ok(vec![]), "{none}");
        }
        let two = br#"{"b":{"x":[1,2]},"a":"v"}"#;
        assert_eq!(names(two).await.unwrap(), ["b", "a"]);
        assert_eq!(
            names(object(MAX_FIELDS).as_bytes()).await.unwrap().len(),
            90
        );
        for wrong in [
            "[]",
            "1",
            "\"text\"",
            "{",
            "{}{}",
            "a=b",
            r#"{"a":1,"a":2}"#,
            r#"{"":1}"#,
            r#"{"a b":1}"#,
            "{\"a\u{202e}\":1}",
            &object(MAX_FIELDS + 1),
        ] {
            assert_eq!(names(wrong.as_bytes()).await, Err(400), "{wrong}");
        }
        let long = |length: usize| format!("{{\"k\":\"{}\"}}", "x".repeat(length - 8));
        assert!(names(long(MAX_BODY).as_bytes()).await.is_ok());
        assert_eq!(names(long(MAX_BODY + 1).as_bytes()).await, Err(413));
    }
}

//! A request's body: what is to be written, the parameters an engine is invoked with, or what is to
//! be done; one JSON object, capped.

use std::fmt;
use std::time::Duration;

use http_body_util::BodyExt;
use hyper::StatusCode;
use hyper::body::{Body, Bytes};
use serde::Deserialize;
use serde::de::{DeserializeOwned, Deserializer, Error as _, MapAccess, Visitor};
use serde_json::value::RawValue;
use zeroize::Zeroizing;

use crate::domain::secret_path::check_field;
use crate::domain::{Field, SecretValue};
use crate::http::error::Refusal;

/// Largest body, in bytes: Vault keeps no larger secret.
pub(super) const MAX_BODY: usize = 1 << 20;
/// Room for a body before any of it is there, in bytes.
const FIRST_ROOM: usize = 16 * 1024;
/// Most fields of a secret, and most parameters.
const MAX_FIELDS: usize = 1000;
/// Most versions to do something with.
const MAX_VERSIONS: usize = 100;
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
    let text = whole(body).await?;
    if text.is_empty() {
        return Ok(vec![]);
    }
    fields(&text)
}

/// Reads a secret of KV version 2 that is to be written: `{"data": {…}, "options": {"cas": 1}}`.
///
/// # Errors
/// As [`parameters`]; when there is no such object in it, or anything beside it.
pub(super) async fn write<B>(body: &mut B) -> Result<Write, Refusal>
where
    B: Body<Data = Bytes> + Unpin,
{
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Document<'t> {
        #[serde(borrow)]
        data: Option<&'t RawValue>,
        options: Option<Options>,
    }
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Options {
        cas: Option<Number>,
    }
    let text = whole(body).await?;
    // Vault's words, also of what is no JSON at all.
    let nothing = || Refusal::bad_request("no data provided");
    if text.is_empty() {
        return Err(nothing());
    }
    let document: Document<'_> = serde_json::from_slice(&text).map_err(|error| {
        if error.is_data() {
            // What exactly is wrong could repeat a value.
            Refusal::bad_request(
                "the request's body must be {\"data\": {…}, \"options\": {\"cas\": N}}, options \
                 or not, and nothing else",
            )
        } else {
            nothing()
        }
    })?;
    let fields = fields(document.data.ok_or_else(nothing)?.get().as_bytes())?;
    if fields.is_empty() {
        return Err(nothing());
    }
    let cas = document.options.and_then(|options| options.cas);
    Ok(Write {
        fields,
        over: cas.map(Number::read).transpose()?,
    })
}

/// What is to be written.
pub(super) struct Write {
    pub(super) fields: Vec<Field>,
    /// The version it replaces, 0 for none, where that was said.
    pub(super) over: Option<u64>,
}

/// Reads which versions something is to be done with: `{"versions": [1, "2"]}`.
///
/// # Errors
/// When it names none, too many, or is something else.
pub(super) async fn versions<B>(body: &mut B) -> Result<Vec<u64>, Refusal>
where
    B: Body<Data = Bytes> + Unpin,
{
    #[derive(Default, Deserialize)]
    struct Document {
        versions: Option<Versions>,
    }
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Versions {
        Many(Vec<Number>),
        One(Number),
    }
    let given: Document = document(body).await?.unwrap_or_default();
    let numbers = match given.versions {
        None => vec![],
        Some(Versions::Many(numbers)) => numbers,
        // As Vault takes what people type.
        Some(Versions::One(Number::Text(text))) => text
            .split(',')
            .map(|one| Number::Text(one.trim().to_owned()))
            .collect(),
        Some(Versions::One(number)) => vec![number],
    };
    if numbers.is_empty() {
        return Err(Refusal::bad_request("No version number provided"));
    }
    if numbers.len() > MAX_VERSIONS {
        let why = format!("at most {MAX_VERSIONS} versions at once");
        return Err(Refusal::bad_request(why));
    }
    numbers.into_iter().map(Number::read).collect()
}

/// `1`, or `"1"`, as `bao` sends it.
#[derive(Deserialize)]
#[serde(untagged)]
enum Number {
    Plain(u64),
    Text(String),
}

impl Number {
    fn read(self) -> Result<u64, Refusal> {
        match self {
            Self::Plain(number) => Ok(number),
            Self::Text(text) => text
                .parse()
                .map_err(|_| Refusal::bad_request("a version is a whole number")),
        }
    }
}

fn fields(text: &[u8]) -> Result<Vec<Field>, Refusal> {
    let parameters: Option<Parameters> = serde_json::from_slice(text).map_err(|_| {
        // What exactly is wrong could repeat a value.
        Refusal::bad_request(format!(
            "what is sent must be one JSON object of at most {MAX_FIELDS} fields, each named once, \
             with a name of printable characters without spaces and #"
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
    let text = whole(body).await?;
    if text.is_empty() {
        return Ok(None);
    }
    serde_json::from_slice(&text).map_err(|error| {
        Refusal::bad_request(format!(
            "the request's body is not what is expected: {error}"
        ))
    })
}

/// Reads all of it, as it is.
///
/// # Errors
/// When it is too large, or too slow.
pub(super) async fn whole<B>(body: &mut B) -> Result<Zeroizing<Vec<u8>>, Refusal>
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

    fn body(text: &str) -> Full<Bytes> {
        Full::new(Bytes::copy_from_slice(text.as_bytes()))
    }

    fn names(fields: Vec<Field>) -> Vec<String> {
        fields.into_iter().map(|field| field.name).collect()
    }

    async fn sent(text: &str) -> Result<Vec<String>, u16> {
        let fields = parameters(&mut body(text)).await;
        fields.map(names).map_err(|refusal| refusal.status.as_u16())
    }

    #[tokio::test]
    async fn parameters_are_one_object_within_limits() {
        let object = |count: usize| {
            let pairs: Vec<String> = (0..count).map(|n| format!("\"k{n}\":{n}")).collect();
            format!("{{{}}}", pairs.join(","))
        };
        for none in ["", "null", "{}", " {} "] {
            assert_eq!(sent(none).await, Ok(vec![]), "{none}");
        }
        let two = r#"{"b":{"x":[1,2]},"a":"v"}"#;
        assert_eq!(sent(two).await.unwrap(), ["b", "a"]);
        assert_eq!(sent(&object(MAX_FIELDS)).await.unwrap().len(), MAX_FIELDS);
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
            assert_eq!(sent(wrong).await, Err(400), "{wrong}");
        }
        let long = |length: usize| format!("{{\"k\":\"{}\"}}", "x".repeat(length - 8));
        assert!(sent(&long(MAX_BODY)).await.is_ok());
        assert_eq!(sent(&long(MAX_BODY + 1)).await, Err(413));
    }

    #[tokio::test]
    async fn a_write_is_data_and_perhaps_a_version() {
        for (text, over) in [
            (r#"{"data":{"a":1,"b":null}}"#, None),
            (r#"{"data":{"a":1,"b":null},"options":{}}"#, None),
            (r#"{"options":null,"data":{"a":1,"b":null}}"#, None),
            (r#"{"options":{"cas":0},"data":{"a":1,"b":2}}"#, Some(0)),
            (r#"{"options":{"cas":"7"},"data":{"a":1,"b":2}}"#, Some(7)),
        ] {
            let write = write(&mut body(text)).await.expect(text);
            assert_eq!(
                (names(write.fields), write.over),
                (vec!["a".to_owned(), "b".to_owned()], over)
            );
        }
        for (text, said) in [
            ("", "no data provided"),
            ("{}", "no data provided"),
            ("hunter2", "no data provided"),
            (r#"{"data":null}"#, "no data provided"),
            (r#"{"data":{}}"#, "no data provided"),
            (r#"{"data":"hunter2"}"#, "one JSON object"),
            (r#"{"data":{"a":1,"a":2}}"#, "named once"),
            (r#"{"data":{"a":1},"hunter2":1}"#, "and nothing else"),
            (
                r#"{"data":{"a":1},"options":{"hunter2":1}}"#,
                "and nothing else",
            ),
            (
                r#"{"data":{"a":1},"options":{"cas":-1}}"#,
                "and nothing else",
            ),
            (
                r#"{"data":{"a":1},"options":{"cas":"hunter2"}}"#,
                "whole number",
            ),
        ] {
            let refusal = write(&mut body(text)).await.err().expect(text);
            let message = refusal.message.unwrap();
            assert_eq!(refusal.status, StatusCode::BAD_REQUEST, "{text}");
            assert!(
                message.contains(said) && !message.contains("hunter2"),
                "{text}: {message}"
            );
        }
    }

    #[tokio::test]
    async fn versions_are_numbers_as_clients_send_them() {
        for (text, wanted) in [
            (r#"{"versions":[1,2]}"#, Ok(vec![1, 2])),
            (r#"{"versions":["1","2"]}"#, Ok(vec![1, 2])),
            (r#"{"versions":"1, 2"}"#, Ok(vec![1, 2])),
            (r#"{"versions":3}"#, Ok(vec![3])),
            (r#"{"versions":[]}"#, Err(400)),
            (r#"{"versions":null}"#, Err(400)),
            (r#"{"versions":[-1]}"#, Err(400)),
            (r#"{"versions":"x"}"#, Err(400)),
            ("{}", Err(400)),
            ("", Err(400)),
        ] {
            let given = versions(&mut body(text)).await;
            assert_eq!(
                given.map_err(|refusal| refusal.status.as_u16()),
                wanted,
                "{text}"
            );
        }
        let many = vec!["1"; MAX_VERSIONS + 1].join(",");
        let text = format!("{{\"versions\":[{many}]}}");
        assert!(versions(&mut body(&text)).await.is_err());
    }
}

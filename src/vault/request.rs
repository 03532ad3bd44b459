//! One request to Vault, and the headers all requests of a token share.

use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use zeroize::Zeroizing;

use crate::domain::SecretValue;

/// What is not itself in a path.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'/')
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~');

/// The methods of Vault's API.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Method {
    Get,
    List,
    Post,
    Patch,
    Delete,
}

impl Method {
    /// As a request line has it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::List => "LIST",
            Self::Post => "POST",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
        }
    }
}

/// What is asked of Vault; may hold plaintext.
pub(super) struct Request {
    /// The method.
    pub(super) method: Method,
    /// The path below `/v1/`, encoded, and the query.
    pub(super) target: String,
    /// JSON text.
    pub(super) body: Option<Zeroizing<Vec<u8>>>,
    /// Whether it may be sent again where a kept connection dies: it makes nothing.
    pub(super) repeatable: bool,
}

impl Request {
    /// A request to `path` below `/v1/`.
    pub(super) fn new(method: Method, path: &impl Display) -> Self {
        Self {
            method,
            target: utf8_percent_encode(&path.to_string(), ESCAPED).to_string(),
            body: None,
            repeatable: matches!(method, Method::Get | Method::List),
        }
    }

    pub(super) fn get(path: &impl Display) -> Self {
        Self::new(Method::Get, path)
    }

    /// A POST of `body`, which is JSON text.
    pub(super) fn post(path: &impl Display, body: Zeroizing<Vec<u8>>) -> Self {
        Self::new(Method::Post, path).with(body)
    }

    /// With `body`, which is JSON text.
    pub(super) fn with(mut self, body: Zeroizing<Vec<u8>>) -> Self {
        self.body = Some(body);
        self
    }

    /// Of `version`, where one is given.
    pub(super) fn of_version(mut self, version: Option<u64>) -> Self {
        if let Some(version) = version {
            self.target = format!("{}?version={version}", self.target);
        }
        self
    }

    /// Never sent twice: what looks like a read may make something.
    pub(super) fn once(mut self) -> Self {
        self.repeatable = false;
        self
    }

    /// The media type of the body: it tells Vault what a PATCH means.
    pub(super) fn media_type(&self) -> &'static str {
        match self.method {
            Method::Patch => "application/merge-patch+json",
            Method::Get | Method::List | Method::Post | Method::Delete => "application/json",
        }
    }

    /// The first segment of the path: the mount, or what several have in common.
    pub(super) fn root(&self) -> &str {
        self.target.split('/').next().unwrap_or_default()
    }
}

/// A JSON object of strings, as a body.
pub(super) fn object(fields: &[(&str, &str)]) -> Zeroizing<Vec<u8>> {
    // In full from the beginning: a text that grows leaves halves of itself behind. A byte takes
    // six as an escape.
    let size = |(name, value): &(&str, &str)| 6 * (name.len() + value.len()) + 6;
    let size = 2 + fields.iter().map(size).sum::<usize>();
    let mut json = Zeroizing::new(Vec::with_capacity(size));
    json.push(b'{');
    for (position, (name, value)) in fields.iter().enumerate() {
        if position > 0 {
            json.push(b',');
        }
        // A string is always JSON, and memory takes all.
        serde_json::to_writer(&mut *json, name).unwrap_or_default();
        json.push(b':');
        serde_json::to_writer(&mut *json, value).unwrap_or_default();
    }
    json.push(b'}');
    json
}

/// The headers that requests of one token carry.
#[derive(Clone)]
pub(super) struct Access {
    token: Option<Arc<SecretValue>>,
    namespace: Option<String>,
    /// How long Vault keeps the answer wrapped, if it does.
    wrapped_for: Option<Duration>,
}

impl Access {
    /// With `token`, in `namespace`.
    pub(super) fn new(token: Option<SecretValue>, namespace: Option<String>) -> Self {
        Self {
            token: token.map(Arc::new),
            namespace,
            wrapped_for: None,
        }
    }

    /// The same, with the answer wrapped for `ttl`.
    pub(super) fn wrapping(&self, ttl: Duration) -> Self {
        Self {
            wrapped_for: Some(ttl),
            ..self.clone()
        }
    }

    /// Whether `other` is a token of the namespace that ours is of: outside of the root namespace
    /// its name ends theirs (`s.RANDOM.NAMESPACE`).
    #[expect(clippy::disallowed_methods, reason = "only its end is looked at")]
    pub(super) fn same_namespace(&self, other: &str) -> bool {
        let own = self.token.as_ref().map(|token| token.expose_secret());
        let own = own.and_then(|own| std::str::from_utf8(own).ok());
        own.is_some_and(|own| own.splitn(3, '.').nth(2) == other.splitn(3, '.').nth(2))
    }

    /// Whether answers are wrapped: each is another token.
    pub(super) fn wraps(&self) -> bool {
        self.wrapped_for.is_some()
    }

    /// Names and values of the headers.
    pub(super) fn headers(&self) -> Vec<(&'static str, Zeroizing<Vec<u8>>)> {
        // What an agent or a proxy of Vault's can be told to ask for, against forged requests.
        let mut headers = vec![("x-vault-request", b"true".to_vec().into())];
        if let Some(token) = &self.token {
            #[expect(clippy::disallowed_methods, reason = "this is what gets sent to Vault")]
            let token = token.expose_secret().to_vec();
            headers.push(("x-vault-token", token.into()));
        }
        if let Some(namespace) = &self.namespace {
            headers.push(("x-vault-namespace", namespace.clone().into_bytes().into()));
        }
        if let Some(ttl) = self.wrapped_for {
            // Vault takes 0 for "do not wrap".
            let seconds = ttl.as_secs().max(1);
            headers.push((
                "x-vault-wrap-ttl",
                format!("{seconds}s").into_bytes().into(),
            ));
        }
        headers
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_is_json_and_never_grows() {
        let json = object(&[("role", "r"), ("jwt", "a\"\u{1}\u{e9}")]);
        let text = std::str::from_utf8(&json);
        assert_eq!(text, Ok(r#"{"role":"r","jwt":"a\"\u0001é"}"#));
        let worst = "\u{1}".repeat(1000);
        let json = object(&[("a", worst.as_str()), ("b", worst.as_str())]);
        assert_eq!(json.capacity(), 2 + 2 * (6 * 1001 + 6), "it grew");
    }

    #[test]
    fn a_path_cannot_end_itself() {
        let request = Request::get(&"auth/userpass/login/a?b#c d%2f\r\n\u{e9}").of_version(Some(3));
        let wanted = "auth/userpass/login/a%3Fb%23c%20d%252f%0D%0A%C3%A9?version=3";
        assert_eq!(request.target, wanted);
        assert_eq!(request.root(), "auth");
    }
}

//! One request to GitHub and its answer.

use std::error::Error;
use std::time::Duration;

use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Bytes;
use hyper::header::{ACCEPT, AUTHORIZATION, HeaderMap, HeaderValue, IF_NONE_MATCH};
use hyper::{Method, Request};
use hyper_util::client::legacy;
use octocrab::Octocrab;
use serde_json::Value;
use tokio::time::{Instant, timeout_at};
use url::Url;
use url::form_urlencoded::Serializer;

use crate::actions::github::settings::SettingsError;
use crate::domain::SecretValue;
use crate::domain::signs::one_line;

/// Largest answer, in bytes: a hundred runs with their repositories are about half of it.
const MAX_ANSWER: usize = 4 << 20;
/// How long connecting may take.
const CONNECT: Duration = Duration::from_secs(5);
const JSON: &str = "application/vnd.github+json";

/// What is asked.
#[derive(Clone)]
pub(super) struct Ask {
    pub(super) method: Method,
    /// Path and query below the address.
    pub(super) target: String,
    /// JSON, where there is any.
    pub(super) body: Option<Value>,
    /// What the answer should be.
    pub(super) accept: &'static str,
    /// Whether it may be sent again where nobody knows what became of it.
    pub(super) repeatable: bool,
}

impl Ask {
    pub(super) fn get(target: String) -> Self {
        Self {
            method: Method::GET,
            target,
            body: None,
            accept: JSON,
            repeatable: true,
        }
    }

    pub(super) fn post(target: String, body: Value) -> Self {
        Self {
            method: Method::POST,
            target,
            body: Some(body),
            accept: JSON,
            repeatable: false,
        }
    }
}

/// `target` with a query of `pairs`.
pub(super) fn query<'a>(
    target: &str,
    pairs: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> String {
    let query = Serializer::new(String::new()).extend_pairs(pairs).finish();
    format!("{target}?{query}")
}

/// What was answered.
#[derive(Clone)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

impl Answer {
    /// A header, where it is there and text.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

/// Why there is no answer. The text is for the log, and holds nothing of what was sent.
pub(super) enum Lost {
    /// It was not sent.
    Unsent(String),
    /// It may have been sent, and done.
    Unclear(String),
    /// The answer is larger than any should be.
    TooLarge,
}

/// Connections to GitHub.
pub(super) struct Wire {
    client: Octocrab,
    base: Url,
    timeout: Duration,
}

impl Wire {
    pub(super) fn new(base: Url, timeout: Duration) -> Result<Self, SettingsError> {
        let unfit = |error: octocrab::Error| SettingsError::Client(causes(&error));
        let client = Octocrab::builder()
            .base_uri(base.as_str().trim_end_matches('/'))
            .map_err(unfit)?
            .set_connect_timeout(Some(CONNECT.min(timeout)))
            .set_read_timeout(Some(timeout))
            .set_write_timeout(Some(timeout))
            .build()
            .map_err(unfit)?;
        Ok(Self {
            client,
            base,
            timeout,
        })
    }

    /// The address, as it was given.
    pub(super) fn base(&self) -> &str {
        self.base.as_str()
    }

    /// Asks once, with `token`, and waits no longer than until `deadline`; where an answer is at
    /// hand already, `etag` is what it is called.
    pub(super) async fn send(
        &self,
        ask: &Ask,
        token: &SecretValue,
        etag: Option<&str>,
        deadline: Instant,
    ) -> Result<Answer, Lost> {
        let exchange = self.exchange(ask, token, etag);
        let late = || Lost::Unclear("no answer in time".to_owned());
        let deadline = deadline.min(Instant::now() + self.timeout);
        timeout_at(deadline, exchange).await.map_err(|_| late())?
    }

    async fn exchange(
        &self,
        ask: &Ask,
        token: &SecretValue,
        etag: Option<&str>,
    ) -> Result<Answer, Lost> {
        let mut request = Request::builder()
            .method(ask.method.clone())
            .uri(&ask.target)
            .header(ACCEPT, ask.accept)
            .header(AUTHORIZATION, bearer(token)?);
        if let Some(etag) = etag {
            request = request.header(IF_NONE_MATCH, etag);
        }
        let unsent = |error: octocrab::Error| Lost::Unsent(causes(&error));
        let request = self.client.build_request(request, ask.body.as_ref());
        let answer = self.client.execute(request.map_err(unsent)?).await;
        let answer = answer.map_err(|error| lost(&error))?;
        let (head, body) = answer.into_parts();
        #[expect(clippy::disallowed_methods, reason = "it is limited")]
        let body = Limited::new(body, MAX_ANSWER).collect().await;
        let body = body.map_err(|error| match error.downcast::<LengthLimitError>() {
            Ok(_) => Lost::TooLarge,
            Err(error) => Lost::Unclear(causes(&*error)),
        })?;
        Ok(Answer {
            status: head.status.as_u16(),
            headers: head.headers,
            body: body.to_bytes(),
        })
    }

    /// Path and query below the address of what `location` names, if it is on the same server.
    pub(super) fn here(&self, location: &str) -> Option<String> {
        let url = self.base.join(location).ok()?;
        let same = url.origin() == self.base.origin() && url.username().is_empty();
        let below = self.base.path().trim_end_matches('/');
        let path = url.path().strip_prefix(below)?;
        let query = url.query().map(|query| format!("?{query}"));
        (same && path.starts_with('/')).then(|| format!("{path}{}", query.unwrap_or_default()))
    }
}

fn bearer(token: &SecretValue) -> Result<HeaderValue, Lost> {
    #[expect(
        clippy::disallowed_methods,
        reason = "this is what gets sent to GitHub"
    )]
    let token = token.expose_secret();
    let mut text = Vec::with_capacity("Bearer ".len() + token.len());
    text.extend_from_slice(b"Bearer ");
    text.extend_from_slice(token);
    let value = HeaderValue::from_maybe_shared(Bytes::from(text));
    let mut value = value.map_err(|_| Lost::Unsent("the token is no header".to_owned()))?;
    value.set_sensitive(true);
    Ok(value)
}

fn lost(error: &octocrab::Error) -> Lost {
    let mut cause: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(error) = cause {
        let client = error.downcast_ref::<legacy::Error>();
        if client.is_some_and(legacy::Error::is_connect) {
            return Lost::Unsent(causes(error));
        }
        cause = error.source();
    }
    Lost::Unclear(causes(error))
}

/// The error and what caused it, on one line.
fn causes(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let next = error.to_string();
        if !text.contains(&next) {
            text.push_str(": ");
            text.push_str(&next);
        }
        cause = error.source();
    }
    one_line(&text).chars().take(300).collect()
}

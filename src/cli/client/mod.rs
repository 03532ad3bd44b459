//! The command line's connection to a running vaultgram: one request at a time, on its Unix socket or
//! over HTTPS.

mod https;
mod login;
mod patience;
pub mod proof;
mod signature;
mod unix;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Bytes};
use hyper::client::conn::http1;
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use zeroize::Zeroizing;

use crate::api::Errors;
use crate::cli::approvals;
pub(in crate::cli) use crate::cli::client::login::Remote;
use crate::cli::client::patience::{Unanswered, patiently};
use crate::cli::exit::{Exit, Failure};
use crate::cli::progress;
use crate::domain::signs::one_line;

/// Largest answer taken, in bytes: Vault's own limit for a request, with room for escapes.
const MAX_ANSWER: usize = 64 << 20;
/// How long one request may take, in all: longer than the server allows itself.
const TIME_LIMIT: Duration = Duration::from_secs(40);
/// A server that wants to be asked again later than after this is not waited for.
const SOON: Duration = Duration::from_secs(5);
/// What Vault says when a secret is not at the version it should be at.
const OVERTAKEN: &str = "check-and-set parameter did not match";
/// What else may be at the other end.
const NO_VAULTGRAM: &str = "is this the socket of a vaultgram? see `vaultgram get --help`";

/// The way to a running vaultgram.
#[derive(Debug, Clone)]
pub(crate) struct Socket {
    place: Place,
    /// Whether to say on standard error that it takes long.
    watched: bool,
}

/// Where it listens.
#[derive(Debug, Clone)]
enum Place {
    /// On this host, where the kernel says who asks.
    Unix(PathBuf),
    /// Anywhere, where whoever asks proves who they are.
    Https(Arc<Remote>),
}

/// What a stream carried, or why it did not.
type Exchanged = Result<Answer, Box<dyn std::error::Error + Send + Sync>>;

/// What is asked: everything but where.
struct Asked<'a> {
    method: Method,
    target: &'a str,
    headers: &'a [(&'static str, &'a str)],
    body: Bytes,
}

/// An answer that is not an error. Its body is wiped when dropped.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    /// When the server wants to be asked again.
    retry_after: Option<Duration>,
    /// For how many seconds it was kept, where it comes from a cache.
    pub(crate) age: Option<u64>,
    pub(crate) body: Zeroizing<Vec<u8>>,
}

impl Answer {
    /// When the server wants to be asked again, if that is soon.
    fn wants_patience(&self) -> Option<Duration> {
        self.retry_after.filter(|pause| *pause <= SOON)
    }

    /// The failure this answer stands for.
    pub(super) fn failure(&self) -> Failure {
        let said: Errors = serde_json::from_slice(&self.body).unwrap_or_default();
        let said = one_line(&said.errors.join("; "));
        // Vault's frame around a list of one.
        let said = said.trim_start_matches("1 error occurred: * ");
        if let Some(because) = approvals::because(self) {
            return approvals::failure(&because, said);
        }
        let or = |what: &str| {
            if said.is_empty() {
                what.to_owned()
            } else {
                said.to_owned()
            }
        };
        match self.status {
            StatusCode::BAD_REQUEST if said.contains(OVERTAKEN) => {
                let what = "the secret is at another version than was said, or exists already";
                Failure::new(Exit::TryAgain, what)
                    .hint("look at it with `vaultgram versions`, and try again")
            }
            StatusCode::BAD_REQUEST
            | StatusCode::METHOD_NOT_ALLOWED
            | StatusCode::PAYLOAD_TOO_LARGE => {
                Failure::new(Exit::Usage, or("the request is malformed"))
            }
            StatusCode::TOO_MANY_REQUESTS => {
                Failure::new(Exit::TryAgain, or("too many requests")).hint("wait, and try again")
            }
            StatusCode::FORBIDDEN => Failure::new(Exit::Denied, or("permission denied")),
            StatusCode::NOT_FOUND => Failure::new(
                Exit::NotFound,
                or("there is no secret at this path, or it has no such version"),
            ),
            StatusCode::GATEWAY_TIMEOUT => Failure::new(Exit::TryAgain, or("it took too long")),
            status => Failure::new(
                Exit::Unavailable,
                or(&format!(
                    "vaultgram answered with status {}",
                    status.as_u16()
                )),
            ),
        }
    }
}

impl Socket {
    /// A socket on this host that is waited for in silence.
    pub(crate) fn at(path: impl Into<PathBuf>) -> Self {
        Self {
            place: Place::Unix(path.into()),
            watched: false,
        }
    }

    /// One that is reached over HTTPS.
    pub(super) fn remote(remote: Arc<Remote>) -> Self {
        Self {
            place: Place::Https(remote),
            watched: false,
        }
    }

    /// `watched`: whether somebody sees that it takes long.
    pub(super) fn watched(self, watched: bool) -> Self {
        Self { watched, ..self }
    }

    /// Whether nobody can tell who asks before another token is in its file, as the one there was used
    /// before.
    pub(super) async fn lacks_token(&self) -> bool {
        match &self.place {
            Place::Unix(_) => false,
            Place::Https(remote) => remote.lacks_token().await,
        }
    }

    /// Sends `GET target`.
    ///
    /// # Errors
    /// When nobody answers there in time, or not in HTTP.
    pub(crate) async fn get(&self, target: &str) -> Result<Answer, Failure> {
        self.send(Method::GET, target, &[], None).await
    }

    /// Sends `POST target`, with JSON for a body where there is one.
    ///
    /// # Errors
    /// When nobody answers there in time, or not in HTTP.
    pub(super) async fn post(
        &self,
        target: &str,
        json: Option<Zeroizing<Vec<u8>>>,
    ) -> Result<Answer, Failure> {
        self.send(Method::POST, target, &[], json).await
    }

    /// Sends any request. One that the server had no time for is sent again; elsewhere than on this host
    /// also one that could not be sent.
    ///
    /// # Errors
    /// When nobody answers there in time, or not in HTTP.
    pub(super) async fn send(
        &self,
        method: Method,
        target: &str,
        headers: &[(&'static str, &str)],
        json: Option<Zeroizing<Vec<u8>>>,
    ) -> Result<Answer, Failure> {
        let body = json.map_or_else(Bytes::new, Bytes::from_owner);
        let asked = Asked {
            method,
            target,
            headers,
            body,
        };
        let answer = patiently(Answer::wants_patience, async || self.try_once(&asked).await);
        let answer = progress::shown(self.watched, answer);
        let answer = tokio::time::timeout(TIME_LIMIT, answer).await;
        answer.unwrap_or_else(|_| {
            Err(Failure::new(
                Exit::TryAgain,
                format!("no answer within {} s", TIME_LIMIT.as_secs()),
            )
            .hint("try again; if it stays so, look at vaultgram's log"))
        })
    }

    async fn try_once(&self, asked: &Asked<'_>) -> Result<Answer, Unanswered> {
        match &self.place {
            // Who is not there now was not started.
            Place::Unix(path) => Ok(unix::ask(path, asked).await?),
            Place::Https(remote) => Box::pin(remote.ask(asked)).await,
        }
    }
}

/// Sends `asked` to `host`, to which `stream` leads.
async fn exchange<S>(stream: S, host: &str, asked: &Asked<'_>) -> Exchanged
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let mut request = Request::builder()
        .method(asked.method.clone())
        .uri(asked.target)
        .header("host", host)
        .header("x-vault-request", "true");
    for (name, value) in asked.headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Full::new(asked.body.clone()))?;
    let answer = async move {
        let response = sender.send_request(request).await?;
        let (head, body) = response.into_parts();
        let body = read(body).await?;
        let seconds = |name: &str| head.headers.get(name)?.to_str().ok()?.parse().ok();
        Ok(Answer {
            status: head.status,
            retry_after: seconds("retry-after").map(Duration::from_secs),
            age: seconds("age"),
            body,
        })
    };
    // The connection ends by itself once `answer` has dropped its sender.
    let (answer, _) = futures_util::future::join(answer, connection).await;
    answer
}

/// Reads a body into one buffer that is wiped.
async fn read(
    mut body: impl Body<Data = Bytes, Error = hyper::Error> + Unpin,
) -> Result<Zeroizing<Vec<u8>>, Box<dyn std::error::Error + Send + Sync>> {
    let expected = body.size_hint().lower().min(MAX_ANSWER as u64);
    let mut read = Zeroizing::new(Vec::with_capacity(usize::try_from(expected)?));
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame?.into_data() {
            if data.len() > MAX_ANSWER - read.len() {
                return Err("the answer is too large".into());
            }
            read.extend_from_slice(&data);
        }
    }
    Ok(read)
}

//! The command line's connection to a running vaultgram: one request at a time on its socket.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Bytes};
use hyper::client::conn::http1;
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;
use zeroize::Zeroizing;

use crate::api::{DEFAULT_SOCKET, Errors};
use crate::cli::exit::{Exit, Failure};
use crate::domain::signs::one_line;

/// Largest answer taken, in bytes: Vault's own limit for a request, with room for escapes.
const MAX_ANSWER: usize = 64 << 20;
/// How long one request may take, in all: longer than the server allows itself.
const TIME_LIMIT: Duration = Duration::from_secs(40);

/// How to reach a running vaultgram.
#[derive(Debug, Args)]
pub struct SocketArgs {
    /// The socket of the running vaultgram
    #[arg(long, value_name = "FILE", env = "VAULTGRAM_SOCKET", default_value = DEFAULT_SOCKET)]
    pub socket: PathBuf,
}

/// An answer that is not an error. Its body is wiped when dropped.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) body: Zeroizing<Vec<u8>>,
}

impl Answer {
    /// The failure this answer stands for.
    pub(super) fn failure(&self) -> Failure {
        let said: Errors = serde_json::from_slice(&self.body).unwrap_or_default();
        let said = one_line(&said.errors.join("; "));
        // Vault's frame around a list of one.
        let said = said.trim_start_matches("1 error occurred: * ");
        let or = |what: &str| {
            if said.is_empty() {
                what.to_owned()
            } else {
                said.to_owned()
            }
        };
        match self.status {
            StatusCode::BAD_REQUEST
            | StatusCode::METHOD_NOT_ALLOWED
            | StatusCode::PAYLOAD_TOO_LARGE => {
                Failure::new(Exit::Usage, or("the request is malformed"))
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

/// Sends `method target` to the socket, without a body.
///
/// # Errors
/// When nobody answers there in time, or not in HTTP.
pub(crate) async fn get(socket: &Path, target: &str) -> Result<Answer, Failure> {
    send(socket, Method::GET, target, Bytes::new()).await
}

/// Sends `POST target` without a body to the socket.
///
/// # Errors
/// When nobody answers there in time, or not in HTTP.
pub(super) async fn post(socket: &Path, target: &str) -> Result<Answer, Failure> {
    send(socket, Method::POST, target, Bytes::new()).await
}

/// Sends `POST target` with the JSON text `body` to the socket.
///
/// # Errors
/// When nobody answers there in time, or not in HTTP.
pub(super) async fn post_json(
    socket: &Path,
    target: &str,
    body: Zeroizing<Vec<u8>>,
) -> Result<Answer, Failure> {
    send(socket, Method::POST, target, Bytes::from_owner(body)).await
}

async fn send(socket: &Path, method: Method, target: &str, body: Bytes) -> Result<Answer, Failure> {
    let answer = async {
        let stream = UnixStream::connect(socket)
            .await
            .map_err(|error| not_reached(socket, &error))?;
        exchange(stream, method, target, body)
            .await
            .map_err(|error| {
                Failure::new(
                    Exit::Unavailable,
                    format!("{}: no proper answer: {error}", socket.display()),
                )
                .hint("is this the socket of a vaultgram? see `vaultgram get --help`")
            })
    };
    tokio::time::timeout(TIME_LIMIT, answer)
        .await
        .unwrap_or_else(|_| {
            Err(Failure::new(
                Exit::TryAgain,
                format!("no answer within {} s", TIME_LIMIT.as_secs()),
            )
            .hint("try again; if it stays so, look at vaultgram's log"))
        })
}

async fn exchange(
    stream: UnixStream,
    method: Method,
    target: &str,
    body: Bytes,
) -> Result<Answer, Box<dyn std::error::Error + Send + Sync>> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let request = Request::builder()
        .method(method)
        .uri(target)
        .header("host", "localhost")
        .header("x-vault-request", "true")
        .body(Full::new(body))?;
    let answer = async move {
        let response = sender.send_request(request).await?;
        let (head, body) = response.into_parts();
        let body = read(body).await?;
        Ok(Answer {
            status: head.status,
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

fn not_reached(socket: &Path, error: &io::Error) -> Failure {
    let (exit, hint) = if error.kind() == io::ErrorKind::NotFound {
        (
            Exit::Unavailable,
            "start vaultgram, or say where its socket is with --socket or VAULTGRAM_SOCKET",
        )
    } else if error.kind() == io::ErrorKind::ConnectionRefused {
        (
            Exit::Unavailable,
            "a vaultgram was there, and has ended: start it again (`vaultgram serve`)",
        )
    } else if error.kind() == io::ErrorKind::PermissionDenied {
        (
            Exit::Denied,
            "only its owner and group may connect; join the group set in [socket] group",
        )
    } else {
        (
            Exit::Unavailable,
            "is this the socket of a vaultgram? see `vaultgram get --help`",
        )
    };
    let shown = socket.display();
    Failure::new(exit, format!("{shown}: cannot connect: {error}")).hint(hint)
}

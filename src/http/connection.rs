//! One connection, whatever it comes by: its requests are answered each in its turn, until it ends or
//! a stop.

use std::convert::Infallible;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::Request;
use hyper::body::{Body, Incoming};
use hyper::header::{CONNECTION, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::http::ask::{TURN, Turn};
use crate::http::limits::{Place, Refused, Shares, Who, is_news};
use crate::http::reply::Reply;
use crate::http::stream::Stream;

/// Largest request head (request line and headers), in bytes.
const MAX_HEAD: usize = 16 * 1024;
/// Most headers a request may have.
const MAX_HEADERS: usize = 64;
/// Size of a connection's read buffer, in bytes: a head and what was pipelined behind it.
const READ_BUFFER: usize = 2 * MAX_HEAD;
/// How long a stop leaves for requests that are sent but not read yet.
const LAST_CALL: Duration = Duration::from_millis(100);
/// Shortest pause after accepting failed; up to twice that.
pub(super) const ACCEPT_PAUSE: Duration = Duration::from_millis(200);
/// Idle connections that are closed then, so that there are descriptors again.
const SHED: usize = 16;
/// How long a refused request waits for its answer, lest refusing keep us busy.
const REFUSAL_PAUSE: Duration = Duration::from_millis(100);
/// How long a connection that is told why it is refused has to ask something.
const TELL_TIME: Duration = Duration::from_secs(1);

/// How long things may take on a connection.
#[derive(Debug, Clone, Copy)]
pub struct Timeouts {
    /// Until a request's head is complete, from the start of the connection or the end of the
    /// answer before it: both a slow sender and an idle connection end here.
    pub head: Duration,
    /// From a request's head to its answer.
    pub answer: Duration,
    /// Until a client has taken all of an answer, from when the kernel takes no more of it.
    pub write: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            head: Duration::from_secs(30),
            answer: Duration::from_secs(30),
            write: Duration::from_secs(10),
        }
    }
}

/// Whoever answers the requests of a connection.
pub(super) trait Answers: Sync {
    /// The answer to one of them.
    fn answer(&self, request: Request<Incoming>) -> impl Future<Output = Reply> + Send;
}

/// A connection that has its place.
pub(super) struct Connection<'c> {
    pub(super) place: Arc<Place>,
    pub(super) shares: &'c Shares,
    pub(super) who: Who,
    pub(super) timeouts: Timeouts,
    pub(super) stop: &'c CancellationToken,
}

impl Connection<'_> {
    /// Has what comes on `stream` answered, until another needs its place, it ends, or a
    /// stop.
    pub(super) async fn serve<S>(&self, stream: S, answers: &impl Answers)
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        tokio::select! {
            biased;
            () = self.converse(stream, answers) => {}
            () = self.place.closed() => {}
        }
    }

    async fn converse<S>(&self, stream: S, answers: &impl Answers)
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let service = service_fn(move |request| async move {
            Ok::<_, Infallible>(self.in_turn(request, answers).await)
        });
        let place = Some(Arc::clone(&self.place));
        let stream = Stream::new(stream, self.timeouts.write, place);
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(self.timeouts.head)
            .max_header_size(MAX_HEAD)
            .max_headers(MAX_HEADERS)
            .max_buf_size(READ_BUFFER)
            .serve_connection(TokioIo::new(stream), service);
        let mut connection = pin!(connection);
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = self.stop.cancelled() => {
                let last_call = tokio::time::timeout(LAST_CALL, connection.as_mut()).await;
                if let Ok(ended) = last_call {
                    ended
                } else {
                    connection.as_mut().graceful_shutdown();
                    connection.await
                }
            }
        };
        if let Err(error) = ended {
            // The client went away, was too slow, or spoke something else.
            tracing::debug!(event = "http.connection_ended", who = %self.who, %error);
        }
    }

    /// Answers a request, unless whoever asks has asked for enough.
    async fn in_turn(&self, request: Request<Incoming>, answers: &impl Answers) -> Reply {
        let with_body = !request.body().is_end_stream();
        let mut unsent = None;
        let reply = match self.place.begin(Instant::now()).await {
            Ok(permit) => {
                let turn = Arc::new(Turn::new(permit));
                let reply = TURN.scope(Arc::clone(&turn), answers.answer(request)).await;
                // What is no answer does not hold it.
                unsent = turn.unsent().filter(|_| reply.status().is_success());
                reply
            }
            Err(why) => {
                self.shares.refused(self.who, why, Instant::now());
                tokio::time::sleep(REFUSAL_PAUSE).await;
                let mut reply = why.reply();
                if with_body {
                    let close = HeaderValue::from_static("close");
                    reply.headers_mut().insert(CONNECTION, close);
                }
                reply
            }
        };
        self.place.answered(with_body, unsent);
        reply
    }
}

/// Waits a while after nobody could be accepted (too many open files, say), and closes idle connections
/// for those to come. `said`: when the log last spoke of it.
pub(super) async fn accept_failed(shares: &Shares, said: &mut Option<Instant>, error: &io::Error) {
    if is_news(said, Instant::now()) {
        tracing::warn!(
            event = "socket.accept_failed",
            %error,
            hint = "idle connections are closed; said once a minute"
        );
    }
    shares.close_idle(SHED);
    tokio::time::sleep(ACCEPT_PAUSE.mul_f64(rand::random_range(1.0..2.0))).await;
}

/// Says why a connection is not served.
pub(super) async fn tell<S>(stream: S, timeouts: Timeouts, why: Refused)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut stream = Stream::new(stream, timeouts.write, None);
    let telling = async {
        // Not before it asks: some clients take that for a broken connection.
        stream.read_u8().await?;
        stream.write_all(why.text().as_bytes()).await?;
        stream.shutdown().await
    };
    // Whoever does not listen, does not.
    drop(tokio::time::timeout(TELL_TIME, telling).await);
}

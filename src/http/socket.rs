//! Serving the socket: accept, learn who the peer is and what is left for it, answer until a stop.

use std::convert::Infallible;
use std::io;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::Request;
use hyper::body::{Body, Incoming};
use hyper::header::{CONNECTION, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::broker::Broker;
use crate::domain::Caller;
use crate::http::ask::{TURN, Turn};
use crate::http::bind::SocketFile;
use crate::http::limits::{Limits, Place, Refused, Shares, is_news};
use crate::http::peer::Attestor;
use crate::http::reply::Reply;
use crate::http::stream::Stream;
use crate::http::vault_api::VaultApi;

/// Largest request head (request line and headers), in bytes.
const MAX_HEAD: usize = 16 * 1024;
/// Most headers a request may have.
const MAX_HEADERS: usize = 64;
/// Size of a connection's read buffer, in bytes: a head and what was pipelined behind it.
const READ_BUFFER: usize = 2 * MAX_HEAD;
/// How long a stop leaves for requests that are sent but not read yet.
const LAST_CALL: Duration = Duration::from_millis(100);
/// Shortest pause after accepting failed (too many open files, say); up to twice that.
pub(super) const ACCEPT_PAUSE: Duration = Duration::from_millis(200);
/// Idle connections that are closed then, so that there are descriptors again.
const SHED: usize = 16;
/// How long a refused request waits for its answer, lest refusing keep us busy.
const REFUSAL_PAUSE: Duration = Duration::from_millis(100);
/// Connections at once that are told why they are refused; more are just closed.
const MAX_TOLD: usize = 64;
/// How long such a connection has to ask something.
const TELL_TIME: Duration = Duration::from_secs(1);

/// How a socket is to be.
#[derive(Debug, Clone)]
pub struct Settings {
    /// What policies call it.
    pub name: String,
    /// Where it appears; absolute.
    pub path: PathBuf,
    /// Its permission bits.
    pub mode: u32,
    /// The user that owns it, by name or number; the process's own when `None`.
    pub owner: Option<String>,
    /// The group that owns it, by name or number; the process's own when `None`.
    pub group: Option<String>,
    /// What may be taken of it.
    pub limits: Limits,
    /// How long things may take.
    pub timeouts: Timeouts,
}

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

/// A socket that is bound, and not served yet. Its file goes when this is dropped.
pub struct Listener {
    pub(super) name: String,
    pub(super) socket: std::os::unix::net::UnixListener,
    pub(super) path: PathBuf,
    /// Its file, unless that is systemd's.
    pub(super) file: Option<SocketFile>,
    pub(super) limits: Limits,
    pub(super) timeouts: Timeouts,
}

/// What every connection needs.
struct Server {
    name: String,
    api: VaultApi,
    attestor: Attestor,
    shares: Arc<Shares>,
    /// Held while a connection is told why it is refused.
    told: Arc<Semaphore>,
    timeouts: Timeouts,
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Listener {
    /// Answers until `stop`, then removes the socket, finishes the requests that were sent by
    /// then, and returns.
    ///
    /// # Errors
    /// When the runtime cannot watch the socket.
    pub async fn serve(
        self,
        broker: Arc<Broker>,
        attestor: Attestor,
        stop: CancellationToken,
    ) -> io::Result<()> {
        let Self {
            name,
            socket,
            path,
            file,
            limits,
            timeouts,
        } = self;
        let listener = UnixListener::from_std(socket)?;
        tracing::info!(event = "socket.serving", path = %path.display());
        let tasks = TaskTracker::new();
        let own_uid = rustix::process::geteuid().as_raw();
        let server = Arc::new(Server {
            name,
            api: VaultApi::new(broker, tasks.clone(), timeouts.answer),
            attestor,
            shares: Shares::new(limits, own_uid, Instant::now()),
            told: Arc::new(Semaphore::new(MAX_TOLD)),
            timeouts,
            stop: stop.clone(),
            tasks: tasks.clone(),
        });

        tokio::select! {
            biased;
            () = stop.cancelled() => {}
            () = server.accept(&listener) => {}
        }

        for stream in last_in_queue(listener, file)? {
            server.admit(stream);
        }
        tasks.close();
        tasks.wait().await;
        tracing::info!(event = "socket.stopped");
        Ok(())
    }
}

/// Ends the listening: first the socket's name goes, so that nobody new comes, then whoever is in
/// the queue is let in. Those who wait at systemd's socket stay there, for our next start.
pub(super) fn last_in_queue(
    listener: UnixListener,
    file: Option<SocketFile>,
) -> io::Result<Vec<UnixStream>> {
    let mut last = vec![];
    if let Some(file) = file {
        drop(file);
        let listener = listener.into_std()?;
        while let Ok((stream, _)) = listener.accept() {
            // One that cannot be served does not keep the others from it.
            let stream = stream
                .set_nonblocking(true)
                .and_then(|()| UnixStream::from_std(stream));
            last.extend(stream);
        }
    }
    Ok(last)
}

impl Server {
    /// Accepts whoever comes: only then is it known who that is. Ends only when dropped.
    async fn accept(self: &Arc<Self>, listener: &UnixListener) {
        let mut said = None;
        loop {
            match listener.accept().await {
                Ok((stream, _)) => self.admit(stream),
                Err(error) => {
                    if is_news(&mut said, Instant::now()) {
                        tracing::warn!(
                            event = "socket.accept_failed",
                            %error,
                            hint = "idle connections are closed; said once a minute"
                        );
                    }
                    self.shares.close_idle(SHED);
                    tokio::time::sleep(ACCEPT_PAUSE.mul_f64(rand::random_range(1.0..2.0))).await;
                }
            }
        }
    }

    /// Serves a new connection if there is a place for its user.
    fn admit(self: &Arc<Self>, stream: UnixStream) {
        let uid = match stream.peer_cred() {
            Ok(credentials) => self.attestor.owner(credentials.uid()),
            Err(error) => {
                tracing::warn!(event = "socket.peer_unknown", %error);
                return;
            }
        };
        let server = Arc::clone(self);
        match self.shares.open(uid, Instant::now()) {
            Ok(place) => {
                self.tasks.spawn(server.connection(stream, Arc::new(place)));
            }
            Err(why) => {
                self.shares.refused(uid, why, Instant::now());
                if let Ok(turn) = Arc::clone(&self.told).try_acquire_owned() {
                    self.tasks.spawn(server.tell(stream, why, turn));
                }
            }
        }
    }

    /// Says why a connection is not served.
    async fn tell(self: Arc<Self>, stream: UnixStream, why: Refused, turn: OwnedSemaphorePermit) {
        let mut stream = Stream::new(stream, self.timeouts.write, None);
        let telling = async {
            // Not before it asks: some clients take that for a broken connection.
            stream.read_u8().await?;
            stream.write_all(why.text().as_bytes()).await?;
            stream.shutdown().await
        };
        // Whoever does not listen, does not.
        drop(tokio::time::timeout(TELL_TIME, telling).await);
        drop(turn);
    }

    /// Serves one connection in its place, which another may need while it is idle.
    async fn connection(self: Arc<Self>, stream: UnixStream, place: Arc<Place>) {
        tokio::select! {
            biased;
            () = self.serve(stream, &place) => {}
            () = place.closed() => {}
        }
    }

    async fn serve(&self, stream: UnixStream, place: &Arc<Place>) {
        let peer = match self.attestor.attest(&stream, &self.name).await {
            Ok(peer) => peer,
            Err(error) => {
                tracing::warn!(event = "socket.peer_unknown", %error);
                return;
            }
        };
        let uid = peer.uid;
        let caller = &Caller::Unix(peer);
        let service = service_fn(move |request| async move {
            Ok::<_, Infallible>(self.answer(request, caller, uid, place).await)
        });
        let stream = Stream::new(stream, self.timeouts.write, Some(Arc::clone(place)));
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
            tracing::debug!(event = "socket.connection_ended", uid, %error);
        }
    }

    /// Answers a request, unless its user has asked for enough.
    async fn answer(
        &self,
        request: Request<Incoming>,
        caller: &Caller,
        uid: u32,
        place: &Place,
    ) -> Reply {
        let with_body = !request.body().is_end_stream();
        let mut unsent = None;
        let reply = match place.begin(Instant::now()).await {
            Ok(permit) => {
                let turn = Arc::new(Turn::new(permit));
                let answer = self.api.answer(request, caller);
                let reply = TURN.scope(Arc::clone(&turn), answer).await;
                // What is no answer does not hold it.
                unsent = turn.unsent().filter(|_| reply.status().is_success());
                reply
            }
            Err(why) => {
                let uid = self.attestor.owner(uid);
                self.shares.refused(uid, why, Instant::now());
                tokio::time::sleep(REFUSAL_PAUSE).await;
                let mut reply = why.reply();
                if with_body {
                    let close = HeaderValue::from_static("close");
                    reply.headers_mut().insert(CONNECTION, close);
                }
                reply
            }
        };
        place.answered(with_body, unsent);
        reply
    }
}

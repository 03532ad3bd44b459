//! Serving the socket: accept, learn who the peer is, answer until a stop.

use std::convert::Infallible;
use std::io;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::broker::Broker;
use crate::http::bind::SocketFile;
use crate::http::peer::Attestor;
use crate::http::stalled_write::StalledWrite;
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
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

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
    /// How many connections are served at once; more wait until one ends.
    pub max_connections: usize,
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
    /// While a client takes nothing of its answer.
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
    pub(super) max_connections: usize,
    pub(super) timeouts: Timeouts,
}

/// What every connection needs.
struct Server {
    name: String,
    api: VaultApi,
    attestor: Attestor,
    timeouts: Timeouts,
    stop: CancellationToken,
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
            max_connections,
            timeouts,
        } = self;
        let listener = UnixListener::from_std(socket)?;
        tracing::info!(event = "socket.serving", path = %path.display());
        let tasks = TaskTracker::new();
        let slots = Arc::new(Semaphore::new(max_connections.min(Semaphore::MAX_PERMITS)));
        let server = Arc::new(Server {
            name,
            api: VaultApi {
                broker,
                tasks: tasks.clone(),
                time_limit: timeouts.answer,
            },
            attestor,
            timeouts,
            stop: stop.clone(),
        });

        let accepting = accept(&listener, &slots, |stream, slot| {
            tasks.spawn(Arc::clone(&server).connection(stream, slot));
        });
        tokio::select! {
            biased;
            () = stop.cancelled() => {}
            () = accepting => {}
        }

        for stream in last_in_queue(listener, file)? {
            let (server, slots) = (Arc::clone(&server), Arc::clone(&slots));
            tasks.spawn(async move {
                if let Ok(slot) = slots.acquire_owned().await {
                    server.connection(stream, slot).await;
                }
            });
        }
        tasks.close();
        tasks.wait().await;
        tracing::info!(event = "socket.stopped");
        Ok(())
    }
}

/// Accepts for as long as there are slots. Connections that find none wait in the kernel's
/// queue, which costs nothing here. Ends only when dropped.
pub(super) async fn accept(
    listener: &UnixListener,
    slots: &Arc<Semaphore>,
    serve: impl Fn(UnixStream, OwnedSemaphorePermit),
) {
    while let Ok(slot) = Arc::clone(slots).acquire_owned().await {
        match listener.accept().await {
            Ok((stream, _)) => serve(stream, slot),
            Err(error) => {
                tracing::warn!(event = "socket.accept_failed", %error);
                tokio::time::sleep(ACCEPT_PAUSE.mul_f64(rand::random_range(1.0..2.0))).await;
            }
        }
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
            stream.set_nonblocking(true)?;
            last.push(UnixStream::from_std(stream)?);
        }
    }
    Ok(last)
}

impl Server {
    /// Serves one connection, in the slot it holds.
    async fn connection(self: Arc<Self>, stream: UnixStream, slot: OwnedSemaphorePermit) {
        let peer = match self.attestor.attest(&stream, &self.name).await {
            Ok(peer) => peer,
            Err(error) => {
                tracing::warn!(event = "socket.peer_unknown", %error);
                return;
            }
        };
        let (server, peer) = (&self, &peer);
        let service = service_fn(move |request| async move {
            Ok::<_, Infallible>(server.api.answer(request, peer).await)
        });
        let stream = StalledWrite::new(stream, self.timeouts.write);
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
            tracing::debug!(event = "socket.connection_ended", uid = peer.uid, %error);
        }
        drop(slot);
    }
}

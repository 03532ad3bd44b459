//! Serving the socket: accept, learn who the peer is and what is left for it, answer until a stop.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use hyper::Request;
use hyper::body::Incoming;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::broker::Broker;
use crate::domain::Caller;
use crate::http::bind::SocketFile;
use crate::http::connection::{self, Answers, Connection, Timeouts};
use crate::http::limits::{Limits, Place, Refused, Shares};
use crate::http::peer::Attestor;
use crate::http::reply::Reply;
use crate::http::vault_api::VaultApi;

/// Connections at once that are told why they are refused; more are just closed.
const MAX_TOLD: usize = 64;

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
                    connection::accept_failed(&self.shares, &mut said, &error).await;
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
                self.tasks
                    .spawn(server.connection(stream, uid, Arc::new(place)));
            }
            Err(why) => {
                self.shares.refused(uid.into(), why, Instant::now());
                if let Ok(turn) = Arc::clone(&self.told).try_acquire_owned() {
                    self.tasks.spawn(server.tell(stream, why, turn));
                }
            }
        }
    }

    /// Says why a connection is not served.
    async fn tell(self: Arc<Self>, stream: UnixStream, why: Refused, turn: OwnedSemaphorePermit) {
        connection::tell(stream, self.timeouts, why).await;
        drop(turn);
    }

    /// Serves one connection in its place, which another may need while it is idle.
    async fn connection(self: Arc<Self>, stream: UnixStream, uid: u32, place: Arc<Place>) {
        let peer = tokio::select! {
            biased;
            attested = self.attestor.attest(&stream, &self.name) => match attested {
                Ok(peer) => peer,
                Err(error) => {
                    tracing::warn!(event = "socket.peer_unknown", %error);
                    return;
                }
            },
            () = place.closed() => return,
        };
        let caller = &Caller::Unix(peer);
        let connection = Connection {
            place,
            shares: &self.shares,
            who: uid.into(),
            timeouts: self.timeouts,
            stop: &self.stop,
        };
        let api = &self.api;
        connection.serve(stream, &ForPeer { api, caller }).await;
    }
}

/// Answers what one peer asks.
struct ForPeer<'p> {
    api: &'p VaultApi,
    caller: &'p Caller,
}

impl Answers for ForPeer<'_> {
    async fn answer(&self, request: Request<Incoming>) -> Reply {
        self.api.answer(request, self.caller).await
    }
}

//! The HTTPS front end: the API of the socket, for jobs elsewhere, which prove who they are.
//!
//! `tls` has the certificate; `proof` finds out whose a request is. From there on it is the road of
//! the socket ([`VaultApi`]). Beside it, `webhook` takes what GitHub tells of pipelines.

mod login;
mod proof;
mod tls;
mod validity;
mod webhook;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use hyper::Request;
use hyper::body::Incoming;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::proof::Proofs;
use self::tls::Tls;
use crate::broker::Broker;
use crate::http::connection::{self, Answers, Connection, Timeouts};
use crate::http::limits::{Limits, Place, Shares};
use crate::http::reply::Reply;
use crate::http::vault_api::VaultApi;

pub use self::proof::Identity;
pub use self::tls::TlsFiles;

/// How long a client may take to agree on TLS.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// Connections at once that are told why they are refused; more are just closed.
const MAX_TOLD: usize = 64;
/// How often sessions that have run out are forgotten.
const PRUNE_EVERY: Duration = Duration::from_mins(5);

/// How HTTPS is served.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where it listens.
    pub listen: SocketAddr,
    /// What it shows, and whom it lets in.
    pub tls: TlsFiles,
    /// What may be taken of it; a user is an address.
    pub limits: Limits,
    /// How long things may take.
    pub timeouts: Timeouts,
}

/// An address that is listened at, and not served yet.
pub struct Https {
    listener: std::net::TcpListener,
    tls: Tls,
    limits: Limits,
    timeouts: Timeouts,
}

/// What every connection needs.
struct Server {
    api: VaultApi,
    proofs: Proofs,
    tls: Tls,
    shares: Arc<Shares>,
    /// Held while a connection is told why it is refused.
    told: Arc<Semaphore>,
    timeouts: Timeouts,
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Https {
    /// Listens, and reads the certificate.
    ///
    /// # Errors
    /// Says what cannot be used, and what to do.
    pub fn bind(settings: Settings) -> Result<Self, String> {
        let tls = Tls::load(settings.tls)?;
        let at = settings.listen;
        let listener = std::net::TcpListener::bind(at);
        let listener = listener.map_err(|error| format!("{at}: cannot listen there: {error}"))?;
        let ready = listener.set_nonblocking(true);
        ready.map_err(|error| format!("{at}: {error}"))?;
        Ok(Self {
            listener,
            tls,
            limits: settings.limits,
            timeouts: settings.timeouts,
        })
    }

    /// Answers until `stop`, then finishes the requests that were sent by then, and returns.
    ///
    /// # Errors
    /// When the runtime cannot watch the listener.
    pub async fn serve(
        self,
        broker: Arc<Broker>,
        identity: Identity,
        stop: CancellationToken,
    ) -> io::Result<()> {
        let listener = TcpListener::from_std(self.listener)?;
        tracing::info!(event = "https.serving", at = %listener.local_addr()?);
        let tasks = TaskTracker::new();
        let own_uid = rustix::process::geteuid().as_raw();
        let server = Arc::new(Server {
            api: VaultApi::new(Arc::clone(&broker), tasks.clone(), self.timeouts.answer),
            proofs: Proofs::new(broker, identity),
            tls: self.tls,
            shares: Shares::new(self.limits, own_uid, Instant::now()),
            told: Arc::new(Semaphore::new(MAX_TOLD)),
            timeouts: self.timeouts,
            stop: stop.clone(),
            tasks: tasks.clone(),
        });
        tokio::select! {
            biased;
            () = stop.cancelled() => {}
            () = server.accept(&listener) => {}
            () = server.tls.keep(&stop) => {}
            () = server.prune() => {}
        }
        drop(listener);
        tasks.close();
        tasks.wait().await;
        tracing::info!(event = "https.stopped");
        Ok(())
    }
}

impl Server {
    /// Accepts whoever comes. Ends only when dropped.
    async fn accept(self: &Arc<Self>, listener: &TcpListener) {
        let mut said = None;
        loop {
            match listener.accept().await {
                Ok((stream, from)) => self.admit(stream, from.ip()),
                Err(error) => {
                    connection::accept_failed(&self.shares, &mut said, &error).await;
                }
            }
        }
    }

    /// Serves a new connection if there is a place for where it is from.
    fn admit(self: &Arc<Self>, stream: TcpStream, from: IpAddr) {
        // Answers go out at once; a client on the same machine would wait for 40 ms.
        drop(stream.set_nodelay(true));
        let server = Arc::clone(self);
        match self.shares.open(from, Instant::now()) {
            Ok(place) => {
                let serving = server.connection(stream, from, Arc::new(place));
                self.tasks.spawn(serving);
            }
            Err(why) => {
                self.shares.refused(from.into(), why, Instant::now());
                if let Ok(turn) = Arc::clone(&self.told).try_acquire_owned() {
                    self.tasks.spawn(async move {
                        if let Some(stream) = server.agree(stream).await {
                            connection::tell(stream, server.timeouts, why).await;
                        }
                        drop(turn);
                    });
                }
            }
        }
    }

    /// Serves one connection in its place.
    async fn connection(self: Arc<Self>, stream: TcpStream, from: IpAddr, place: Arc<Place>) {
        let stream = tokio::select! {
            biased;
            stream = self.agree(stream) => stream,
            () = place.closed() => None,
        };
        let Some(stream) = stream else { return };
        let connection = Connection {
            place,
            shares: &self.shares,
            who: from.into(),
            timeouts: self.timeouts,
            stop: &self.stop,
        };
        let server = &*self;
        connection.serve(stream, &ForJobs { server, from }).await;
    }

    /// Agrees on TLS, unless a stop comes first: nothing was asked yet.
    async fn agree(&self, stream: TcpStream) -> Option<tokio_rustls::server::TlsStream<TcpStream>> {
        let acceptor = TlsAcceptor::from(self.tls.current());
        let agreeing = timeout(HANDSHAKE, acceptor.accept(stream));
        let agreed = tokio::select! {
            agreed = agreeing => agreed,
            () = self.stop.cancelled() => return None,
        };
        match agreed {
            Ok(Ok(stream)) => Some(stream),
            Ok(Err(error)) => {
                tracing::debug!(event = "https.no_handshake", %error);
                None
            }
            Err(_) => None,
        }
    }

    /// Forgets sessions that have run out. Ends only when dropped.
    async fn prune(&self) {
        loop {
            sleep(PRUNE_EVERY.mul_f64(rand::random_range(1.0..1.5))).await;
            self.proofs.prune().await;
        }
    }
}

/// Answers what comes from one address.
struct ForJobs<'s> {
    server: &'s Server,
    from: IpAddr,
}

impl Answers for ForJobs<'_> {
    async fn answer(&self, request: Request<Incoming>) -> Reply {
        let Server { api, proofs, .. } = self.server;
        proofs.answer(api, request, self.from).await
    }
}

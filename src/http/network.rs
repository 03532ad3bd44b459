//! An address of the network that is listened at, with TLS or without: whoever comes is served within
//! their limits.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use hyper::Request;
use hyper::body::Incoming;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::http::connection::{self, Answers, Connection, Timeouts};
use crate::http::limits::{Limits, Place, Refused, Shares};
use crate::http::reply::Reply;
use crate::http::tls::{Tls, TlsFiles};

/// How long a client may take to agree on TLS.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// Connections at once that are told why they are refused; more are just closed.
const MAX_TOLD: usize = 64;

/// An address that is listened at, and not served yet.
pub(super) struct Network {
    listener: std::net::TcpListener,
    tls: Option<Tls>,
    limits: Limits,
    timeouts: Timeouts,
}

/// Whoever answers what comes from the network.
pub(super) trait AnswersNetwork: Send + Sync + 'static {
    /// The answer to one request from `from`.
    fn answer(
        &self,
        request: Request<Incoming>,
        from: IpAddr,
    ) -> impl Future<Output = Reply> + Send;
}

/// What every connection needs.
struct Server<A> {
    answers: A,
    tls: Option<Tls>,
    shares: Arc<Shares>,
    /// Held while a connection is told why it is refused.
    told: Arc<Semaphore>,
    timeouts: Timeouts,
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Network {
    /// Listens `at` an address, and reads the certificate.
    ///
    /// # Errors
    /// Says what cannot be used, and what to do.
    pub(super) fn bind(
        at: SocketAddr,
        tls: Option<TlsFiles>,
        limits: Limits,
        timeouts: Timeouts,
    ) -> Result<Self, String> {
        let tls = tls.map(Tls::load).transpose()?;
        let listener = std::net::TcpListener::bind(at);
        let listener = listener.map_err(|error| format!("{at}: cannot listen there: {error}"))?;
        let ready = listener.set_nonblocking(true);
        ready.map_err(|error| format!("{at}: {error}"))?;
        Ok(Self {
            listener,
            tls,
            limits,
            timeouts,
        })
    }

    /// Where it listens.
    pub(super) fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// How long things may take.
    pub(super) fn timeouts(&self) -> Timeouts {
        self.timeouts
    }

    /// Has `answers` answer in some of `tasks` until `stop`, finishes the requests that were sent by
    /// then, and returns.
    ///
    /// # Errors
    /// When the runtime cannot watch the listener.
    pub(super) async fn serve(
        self,
        answers: impl AnswersNetwork,
        tasks: TaskTracker,
        stop: CancellationToken,
    ) -> io::Result<()> {
        let listener = TcpListener::from_std(self.listener)?;
        let own_uid = rustix::process::geteuid().as_raw();
        let server = Arc::new(Server {
            answers,
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
            () = server.keep_certificate() => {}
        }
        drop(listener);
        tasks.close();
        tasks.wait().await;
        Ok(())
    }
}

impl<A: AnswersNetwork> Server<A> {
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

    /// Reads the certificate again whenever it changes, until a stop.
    async fn keep_certificate(&self) {
        match &self.tls {
            Some(tls) => tls.keep(&self.stop).await,
            None => self.stop.cancelled().await,
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
                        server.tell(stream, why).await;
                        drop(turn);
                    });
                }
            }
        }
    }

    /// Says why a connection is not served.
    async fn tell(&self, stream: TcpStream, why: Refused) {
        let Some(tls) = &self.tls else {
            return connection::tell(stream, self.timeouts, why).await;
        };
        if let Some(stream) = self.agree(tls, stream).await {
            connection::tell(stream, self.timeouts, why).await;
        }
    }

    /// Serves one connection in its place.
    async fn connection(self: Arc<Self>, stream: TcpStream, from: IpAddr, place: Arc<Place>) {
        let Some(tls) = &self.tls else {
            return self.converse(stream, from, place).await;
        };
        let stream = tokio::select! {
            biased;
            stream = self.agree(tls, stream) => stream,
            () = place.closed() => None,
        };
        if let Some(stream) = stream {
            self.converse(stream, from, place).await;
        }
    }

    async fn converse<S>(&self, stream: S, from: IpAddr, place: Arc<Place>)
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let connection = Connection {
            place,
            shares: &self.shares,
            who: from.into(),
            timeouts: self.timeouts,
            stop: &self.stop,
        };
        let answers = &self.answers;
        connection.serve(stream, &ToOne { answers, from }).await;
    }

    /// Agrees on TLS, unless a stop comes first: nothing was asked yet.
    async fn agree(
        &self,
        tls: &Tls,
        stream: TcpStream,
    ) -> Option<tokio_rustls::server::TlsStream<TcpStream>> {
        let acceptor = TlsAcceptor::from(tls.current());
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
}

/// Answers what comes from one address.
struct ToOne<'s, A> {
    answers: &'s A,
    from: IpAddr,
}

impl<A: AnswersNetwork> Answers for ToOne<'_, A> {
    async fn answer(&self, request: Request<Incoming>) -> Reply {
        self.answers.answer(request, self.from).await
    }
}

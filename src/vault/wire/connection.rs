//! One connection to Vault: opened, asked, and at rest in between without a byte of what passed.

use std::io;
use std::sync::Arc;

use rustix::net::RecvFlags;
use rustls::AlertDescription;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, lookup_host};
use tokio::time::{Instant, timeout};
use zeroize::Zeroizing;

use crate::vault::wire::http1::{Incoming, Reply};
use crate::vault::wire::tls::{Next, Session};
use crate::vault::wire::trust::Trust;

/// Room for the next TLS records.
const ROOM: usize = 4096;

/// How to get to Vault.
pub(super) struct Route {
    pub(super) host: String,
    pub(super) port: u16,
    /// For `https`, with the name that the certificate must bear.
    pub(super) tls: Option<(Arc<Trust>, ServerName<'static>)>,
}

/// A connection; dropped, it is closed.
pub(super) struct Connection {
    stream: TcpStream,
    tls: Option<Session>,
}

/// Why an exchange gave no answer.
#[derive(Debug)]
pub(super) enum Broken {
    /// Vault ended the session before it could have looked at the request.
    Refused(io::Error),
    /// Not one byte of an answer came.
    Silent(io::Error),
    /// A part of an answer came.
    HalfWay(io::Error),
    /// No whole answer came in time.
    Late,
    /// What came is no answer.
    Malformed(&'static str),
}

impl Broken {
    fn by(error: io::Error, silent: bool) -> Self {
        if !silent {
            Self::HalfWay(error)
        } else if is_about_certificates(&error) {
            Self::Refused(error)
        } else {
            Self::Silent(error)
        }
    }
}

impl Connection {
    /// Connects, if Vault lets us before `deadline`.
    pub(super) async fn open(route: &Route, deadline: Instant) -> io::Result<Self> {
        let stream = dial(&route.host, route.port, deadline).await?;
        // Or a request waits up to 40 ms for the acknowledgement of what went before.
        stream.set_nodelay(true)?;
        let mut connection = Self { stream, tls: None };
        if let Some((trust, name)) = &route.tls {
            let config = trust.current().await;
            let session = Session::new(config, name.clone()).map_err(io::Error::other)?;
            connection.tls = Some(session);
            connection.shake_hands().await?;
        }
        Ok(connection)
    }

    /// Whether nothing has come while it was at rest. Nothing should: what has is the end of it.
    pub(super) fn is_quiet(&self) -> bool {
        let flags = RecvFlags::PEEK | RecvFlags::DONTWAIT;
        let came = rustix::net::recv(&self.stream, &mut [0][..], flags);
        came.is_err_and(|error| error == rustix::io::Errno::WOULDBLOCK)
    }

    /// Sends `request` and waits for the answer. Nothing of either is left in the connection
    /// then. If this is cancelled, drop the connection.
    pub(super) async fn exchange(&mut self, request: &[u8]) -> Result<Reply, Broken> {
        let mut incoming = Incoming::default();
        let mut came = self.ask(request, incoming.room()).await;
        loop {
            match came {
                Ok(1..) => {}
                ended => {
                    let error = ended.err();
                    let error = error.unwrap_or_else(|| io::ErrorKind::UnexpectedEof.into());
                    return Err(Broken::by(error, incoming.is_empty()));
                }
            }
            if incoming.advance().map_err(Broken::Malformed)? {
                break;
            }
            came = self.receive(incoming.room()).await;
        }
        let mut reply = incoming.finish();
        reply.keep &= self.tls.as_mut().is_none_or(Session::rest);
        Ok(reply)
    }

    async fn ask(&mut self, request: &[u8], heard: &mut Vec<u8>) -> io::Result<usize> {
        match &mut self.tls {
            None => self.stream.write_all(request).await?,
            Some(session) => {
                session
                    .proceed(Some(request), heard)
                    .map_err(io::Error::other)?;
                flush(&mut self.stream, session).await?;
            }
        }
        self.receive(heard).await
    }

    /// Adds to `heard` what comes next; 0 at the end.
    async fn receive(&mut self, heard: &mut Vec<u8>) -> io::Result<usize> {
        let Some(session) = &mut self.tls else {
            return self.stream.read_buf(heard).await;
        };
        if session.is_closed() {
            // rustls says so once, maybe with the last of the plaintext.
            return Ok(0);
        }
        let before = heard.len();
        loop {
            let next = session.proceed(None, heard).map_err(io::Error::other)?;
            flush(&mut self.stream, session).await?;
            if heard.len() > before || next == Next::Closed {
                return Ok(heard.len() - before);
            }
            if fill(&mut self.stream, session).await? == 0 {
                return Ok(0);
            }
        }
    }

    async fn shake_hands(&mut self) -> io::Result<()> {
        let Some(session) = &mut self.tls else {
            return Ok(());
        };
        let mut heard = Zeroizing::default();
        loop {
            let next = session
                .proceed(None, &mut heard)
                .map_err(io::Error::other)?;
            flush(&mut self.stream, session).await?;
            match next {
                Next::Talk => return Ok(()),
                Next::Receive if fill(&mut self.stream, session).await? > 0 => {}
                Next::Receive | Next::Closed => return Err(io::ErrorKind::UnexpectedEof.into()),
            }
        }
    }
}

/// Sends what `session` has to say.
async fn flush(stream: &mut TcpStream, session: &mut Session) -> io::Result<()> {
    stream.write_all(session.outgoing()).await?;
    session.outgoing().clear();
    Ok(())
}

/// Gives `session` what comes next; 0 at the end.
async fn fill(stream: &mut TcpStream, session: &mut Session) -> io::Result<usize> {
    let incoming = session.incoming();
    incoming.reserve(ROOM);
    stream.read_buf(incoming).await
}

/// Whether `error` is what a server says that does not take our certificate or misses it. In
/// TLS 1.3 we have sent the request by then; it has not looked at it.
fn is_about_certificates(error: &io::Error) -> bool {
    use AlertDescription::{
        AccessDenied, BadCertificate, CertificateExpired, CertificateRequired, CertificateRevoked,
        CertificateUnknown, HandshakeFailure, UnknownCA, UnsupportedCertificate,
    };
    let error = error.get_ref().and_then(|error| error.downcast_ref());
    let Some(rustls::Error::AlertReceived(alert)) = error else {
        return false;
    };
    [
        AccessDenied,
        BadCertificate,
        CertificateExpired,
        CertificateRequired,
        CertificateRevoked,
        CertificateUnknown,
        HandshakeFailure,
        UnknownCA,
        UnsupportedCertificate,
    ]
    .contains(alert)
}

/// Whether `error` is that we do not take the server's certificate, or it not ours.
pub(super) fn is_of_trust(error: &io::Error) -> bool {
    let cause = error.get_ref().and_then(|error| error.downcast_ref());
    matches!(cause, Some(rustls::Error::InvalidCertificate(_))) || is_about_certificates(error)
}

/// Tries the addresses of `host` in turn.
async fn dial(host: &str, port: u16, deadline: Instant) -> io::Result<TcpStream> {
    let addresses: Vec<_> = lookup_host((host, port)).await?.collect();
    let mut last = io::Error::new(io::ErrorKind::NotFound, "its name has no address");
    for (address, left) in addresses.iter().zip((1..=addresses.len()).rev()) {
        // One that keeps silent must leave time for the others.
        let share = deadline.saturating_duration_since(Instant::now());
        let share = share / u32::try_from(left).unwrap_or(u32::MAX);
        last = match timeout(share, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => error,
            Err(_) => io::ErrorKind::TimedOut.into(),
        };
    }
    Err(last)
}

//! The wire to Vault: HTTP/1.1 over TCP or TLS, on connections that are kept for the next request.
//!
//! It is ours because libraries keep what passed: hyper's read buffers hold the last answers as
//! long as a connection lives. Here a connection that waits holds no byte of any exchange.
//!
//! | file | holds |
//! |---|---|
//! | `http1` | the text of a request, and an answer taken apart as it comes; no network |
//! | `tls` | the same for TLS records |
//! | `connection` | one connection: opened, asked, at rest |
//! | `trust` | whom TLS trusts, and who it says we are |
//!
//! [`Wire`] keeps the connections.

mod connection;
mod http1;
mod tls;
mod trust;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustls::pki_types::ServerName;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout, timeout_at};
use url::Url;

use crate::vault::request::{Access, Request};
use crate::vault::settings::{Settings, SettingsError};
use connection::{Broken, Connection, Route};
use trust::Trust;

pub(super) use http1::Reply;

/// Most connections that wait for the next request.
const MAX_IDLE: usize = 64;
/// How long one waits. A server that gives up sooner is noticed; a firewall is not.
const IDLE: Duration = Duration::from_secs(30);
/// Connections that are opened at once.
const MAX_OPENING: usize = 8;
/// The longest wait for others to be opened: they may hang where ours would not.
const TURN: Duration = Duration::from_millis(100);

/// Ways to one Vault.
pub(super) struct Wire {
    route: Route,
    /// As the `Host` header has it.
    host: String,
    /// The longest idle first.
    idle: Mutex<Vec<Idle>>,
    opening: Semaphore,
}

/// A connection that waits for the next request.
struct Idle {
    connection: Connection,
    since: Instant,
}

/// Why there is no answer.
pub(super) enum Failed {
    /// There was no connection, so nothing was sent.
    Unreached(String),
    /// It was sent, maybe in part, and nobody knows what came of it.
    Lost(String),
    /// What came is no answer, or too large a one.
    Malformed(&'static str),
}

impl Wire {
    /// The wire to `address`; connects to nothing.
    pub(super) fn new(address: &Url, settings: &Settings) -> Result<Self, SettingsError> {
        let bracketed = address.host_str().unwrap_or_default();
        let bare = bracketed.trim_start_matches('[').trim_end_matches(']');
        let tls = if address.scheme() == "https" {
            let name = settings.server_name.as_deref().unwrap_or(bare);
            let name =
                ServerName::try_from(name.to_owned()).map_err(|_| SettingsError::ServerName)?;
            Some((Arc::new(Trust::new(settings)?), name))
        } else {
            None
        };
        Ok(Self {
            route: Route {
                host: bare.to_owned(),
                port: address.port_or_known_default().unwrap_or_default(),
                tls,
            },
            host: match address.port() {
                Some(port) => format!("{bracketed}:{port}"),
                None => bracketed.to_owned(),
            },
            idle: Mutex::default(),
            opening: Semaphore::new(MAX_OPENING),
        })
    }

    /// Sends `request` and waits for its answer, both until `deadline`.
    pub(super) async fn exchange(
        &self,
        request: &Request,
        access: &Access,
        deadline: Instant,
    ) -> Result<Reply, Failed> {
        let text = http1::text(request, access, &self.host);
        let (connection, kept) = self.connection(deadline).await?;
        let reply = self.ask(connection, &text, deadline).await;
        let repeatable = request.repeatable && !access.wraps();
        if kept && repeatable && matches!(reply, Err(Broken::Silent(_))) {
            // It was closed under our hands, and to read twice does no harm.
            let fresh = self.open(deadline).await?;
            return Ok(self.ask(fresh, &text, deadline).await?);
        }
        Ok(reply?)
    }

    /// Asks on `connection`, which is kept if it may be. Cancelled, it drops the connection, and
    /// what that held is wiped.
    async fn ask(
        &self,
        mut connection: Connection,
        text: &[u8],
        deadline: Instant,
    ) -> Result<Reply, Broken> {
        let late = |_| Err(Broken::Late);
        let reply = timeout_at(deadline, connection.exchange(text));
        let reply = reply.await.unwrap_or_else(late);
        match &reply {
            Ok(Reply { keep: true, .. }) => self.keep(connection),
            // A slow engine, or an answer too large, says nothing of the others.
            Ok(_) | Err(Broken::Refused(_) | Broken::Late | Broken::Malformed(_)) => {}
            // What befell this one has likely befallen the others too.
            Err(Broken::Silent(_) | Broken::HalfWay(_)) => self.idle().clear(),
        }
        reply
    }

    /// A kept connection that still stands.
    fn kept(&self) -> Option<Connection> {
        let mut idle = self.idle();
        idle.retain(|idle| idle.since.elapsed() < IDLE);
        while let Some(Idle { connection, .. }) = idle.pop() {
            if connection.is_quiet() {
                return Some(connection);
            }
        }
        None
    }

    fn keep(&self, connection: Connection) {
        let mut idle = self.idle();
        if idle.len() < MAX_IDLE {
            let since = Instant::now();
            idle.push(Idle { connection, since });
        }
    }

    /// A connection, and whether it was kept. After a restart everybody wants a new one: few
    /// are opened at once, and meanwhile the first are free again.
    async fn connection(&self, deadline: Instant) -> Result<(Connection, bool), Failed> {
        if let Some(kept) = self.kept() {
            return Ok((kept, true));
        }
        let _turn = timeout(TURN, self.opening.acquire()).await;
        if let Some(kept) = self.kept() {
            return Ok((kept, true));
        }
        Ok((self.open(deadline).await?, false))
    }

    async fn open(&self, deadline: Instant) -> Result<Connection, Failed> {
        match timeout_at(deadline, Connection::open(&self.route, deadline)).await {
            Ok(Ok(connection)) => Ok(connection),
            Ok(Err(error)) => Err(Failed::Unreached(ended(&error, "before it was asked"))),
            Err(_) => Err(Failed::Unreached("no connection in time".to_owned())),
        }
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Idle>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl From<Broken> for Failed {
    fn from(broken: Broken) -> Self {
        match broken {
            Broken::Refused(error) => Self::Unreached(ended(&error, "before it was asked")),
            Broken::Silent(error) => Self::Lost(ended(&error, "without an answer")),
            Broken::HalfWay(error) => Self::Lost(ended(&error, "within its answer")),
            Broken::Late => Self::Lost("no answer in time".to_owned()),
            Broken::Malformed(cause) => Self::Malformed(cause),
        }
    }
}

/// What ended a connection, and when.
fn ended(error: &std::io::Error, when: &str) -> String {
    if error.kind() == std::io::ErrorKind::UnexpectedEof {
        return format!("it closed the connection {when}");
    }
    if connection::is_of_trust(error) {
        return format!("{error}; check [vault] ca_cert, tls_server_name and client_cert");
    }
    error.to_string()
}

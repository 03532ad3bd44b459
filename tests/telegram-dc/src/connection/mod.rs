//! One client's connection: what it sends, what it is sent, and its end.

mod inbound;
mod outbound;
mod service;

use std::sync::Arc;

use tokio::net::TcpStream;

use crate::framing::FrameError;
use crate::shared::Shared;
use crate::world::Link;

/// Why a connection ended.
#[derive(Debug)]
pub(crate) enum End {
    /// The client closed it, or the network did.
    Gone(std::io::Error),
    /// A test had it cut, or the client reads too slowly.
    Cut,
    /// The pings that were announced stayed away.
    Silent,
    /// A fault was ordered.
    Fault,
    /// A transport error was sent.
    Refused(i32),
    /// The bytes make no packet.
    Frame(FrameError),
    /// A packet cannot be understood.
    Malformed(&'static str),
}

impl std::fmt::Display for End {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Gone(error) => write!(f, "gone: {error}"),
            Self::Cut => write!(f, "cut"),
            Self::Silent => write!(f, "no ping"),
            Self::Fault => write!(f, "an ordered fault"),
            Self::Refused(code) => write!(f, "transport error {code}"),
            Self::Frame(error) => write!(f, "{error}"),
            Self::Malformed(what) => write!(f, "malformed {what}"),
        }
    }
}

/// Serves a client until the connection ends.
pub(crate) async fn serve(shared: Arc<Shared>, mut socket: TcpStream) {
    if let Err(error) = socket.set_nodelay(true) {
        tracing::debug!(%error, "cannot set TCP_NODELAY");
    }
    let (link, queue) = Link::new();
    let id = shared.world().links.add(link.clone());
    let (reader, writer) = socket.split();
    let mut inbound = inbound::Inbound::new(Arc::clone(&shared), link.clone(), id);
    let end = tokio::select! {
        end = inbound.run(reader) => end,
        end = outbound::run(&shared, queue, writer) => end,
        () = link.ended() => End::Cut,
    };
    shared.world().disconnect(id);
    match end {
        End::Gone(_) | End::Cut | End::Silent | End::Fault => {
            tracing::debug!(connection = id, %end, "ended");
        }
        End::Refused(_) | End::Frame(_) | End::Malformed(_) => {
            tracing::warn!(connection = id, %end, "closed");
        }
    }
}

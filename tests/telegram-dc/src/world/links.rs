//! Live connections as the world sees them: somewhere to push updates to.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::{Notify, mpsc};

/// How many messages may wait for a client before it is cut off.
const QUEUE: usize = 65_536;

/// Something to be written to a connection.
pub(crate) enum Outgoing {
    /// The answer to a request.
    Answer { request: i64, body: Vec<u8> },
    /// An update, or a service message that wants acknowledging.
    Push(Vec<u8>),
    /// A service message that wants no acknowledging.
    Service(Vec<u8>),
    /// An unencrypted message of the key exchange.
    Plain(Vec<u8>),
    /// A transport error, after which the connection ends.
    TransportError(i32),
    /// From here on, with this key and session.
    Session {
        key: Arc<crate::mtproto::crypto::AuthKey>,
        session: i64,
    },
    /// The transport that the client chose.
    Transport(crate::framing::Transport),
}

/// The way to one connection.
#[derive(Clone)]
pub(crate) struct Link {
    queue: mpsc::Sender<Outgoing>,
    cut: Arc<Notify>,
}

impl Link {
    /// A link, and the queue that the connection writes from.
    pub(crate) fn new() -> (Self, mpsc::Receiver<Outgoing>) {
        let (queue, receiver) = mpsc::channel(QUEUE);
        (
            Self {
                queue,
                cut: Arc::new(Notify::new()),
            },
            receiver,
        )
    }

    /// Queues something; a client that reads too slowly is cut off instead.
    pub(crate) fn send(&self, outgoing: Outgoing) {
        if self.queue.try_send(outgoing).is_err() && !self.queue.is_closed() {
            tracing::warn!(queue = QUEUE, "a client reads too slowly and is cut off");
            self.cut();
        }
    }

    /// Ends the connection.
    pub(crate) fn cut(&self) {
        self.cut.notify_one();
    }

    /// Returns when the connection is to end.
    pub(crate) async fn ended(&self) {
        self.cut.notified().await;
    }
}

/// A connection in the register.
pub(crate) struct Connection {
    pub(crate) link: Link,
    /// The key it uses, once it has sent an encrypted packet.
    pub(crate) key: Option<i64>,
    /// The last update it was sent, for sending it again.
    pub(crate) last_update: Option<Vec<u8>>,
}

/// All live connections.
#[derive(Default)]
pub(crate) struct Links {
    connections: HashMap<u64, Connection>,
    last: u64,
}

impl Links {
    pub(crate) fn add(&mut self, link: Link) -> u64 {
        self.last += 1;
        self.connections.insert(
            self.last,
            Connection {
                link,
                key: None,
                last_update: None,
            },
        );
        self.last
    }

    pub(crate) fn get(&self, id: u64) -> Option<&Connection> {
        self.connections.get(&id)
    }

    pub(crate) fn get_mut(&mut self, id: u64) -> Option<&mut Connection> {
        self.connections.get_mut(&id)
    }

    pub(crate) fn remove(&mut self, id: u64) -> Option<Connection> {
        self.connections.remove(&id)
    }

    pub(crate) fn len(&self) -> usize {
        self.connections.len()
    }

    pub(crate) fn cut_all(&self) {
        for connection in self.connections.values() {
            connection.link.cut();
        }
    }
}

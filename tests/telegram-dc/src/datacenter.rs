//! Starting, addressing and stopping a datacenter.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::connection;
use crate::control::lock;
use crate::shared::Shared;

/// How often the datacenter looks for what is due.
const TICK: std::time::Duration = std::time::Duration::from_millis(50);

/// How a datacenter is started.
#[derive(Debug, Clone)]
pub struct Options {
    /// The number clients know it by.
    pub dc_id: i32,
    /// The port on 127.0.0.1; 0 takes a free one.
    pub port: u16,
}

impl Default for Options {
    fn default() -> Self {
        Self { dc_id: 2, port: 0 }
    }
}

/// A running datacenter. Clones are the same datacenter, and those that
/// [`open_another`](Self::open_another) made share its world; the last one dropped stops
/// them all.
#[derive(Clone)]
pub struct Datacenter {
    pub(crate) shared: Arc<Shared>,
    tasks: Arc<Mutex<JoinSet<()>>>,
}

impl std::fmt::Debug for Datacenter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Datacenter")
            .field("address", &self.address())
            .finish_non_exhaustive()
    }
}

impl Datacenter {
    /// Binds to the loopback interface and serves clients from now on.
    ///
    /// # Errors
    /// If the port cannot be bound.
    pub async fn start(options: Options) -> std::io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, options.port)).await?;
        let shared = Arc::new(Shared::new(options.dc_id, listener.local_addr()?));
        let mut tasks = JoinSet::new();
        tasks.spawn(keep_time(Arc::clone(&shared)));
        tasks.spawn(accept(listener, Arc::clone(&shared)));
        Ok(Self {
            shared,
            tasks: Arc::new(Mutex::new(tasks)),
        })
    }

    /// Opens another datacenter of the same world.
    ///
    /// Accounts live in the first one unless [`User::home`](crate::User::home) says
    /// otherwise. Faults, counts and `stop` are common to all; an auth key is good for
    /// the one datacenter that made or provisioned it.
    ///
    /// # Errors
    /// If the world has a datacenter with this id, or the port cannot be bound.
    pub async fn open_another(&self, options: Options) -> std::io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, options.port)).await?;
        let address = listener.local_addr()?;
        if self.shared.world().address_of(options.dc_id).is_some() {
            return Err(std::io::ErrorKind::AlreadyExists.into());
        }
        let shared = Arc::new(self.shared.beside(options.dc_id, address));
        lock(&self.tasks).spawn(accept(listener, Arc::clone(&shared)));
        Ok(Self {
            shared,
            tasks: Arc::clone(&self.tasks),
        })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.shared.address
    }

    /// The number clients know it by.
    #[must_use]
    pub fn id(&self) -> i32 {
        self.shared.dc_id
    }

    /// The RSA key for clients that make their own auth key, as PKCS#1 PEM.
    #[must_use]
    pub fn public_key_pem(&self) -> String {
        self.shared.rsa.public_pem()
    }

    /// Stops serving and closes every connection.
    pub async fn stop(&self) {
        let mut tasks = std::mem::take(&mut *lock(&self.tasks));
        tasks.shutdown().await;
    }
}

/// Does what is due, such as telling that a bot was too slow.
async fn keep_time(shared: Arc<Shared>) {
    let mut ticks = tokio::time::interval(TICK);
    loop {
        let now = ticks.tick().await;
        shared.world().tick(now);
    }
}

/// Accepts connections; they end with this task.
async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((socket, _)) if shared.control.refuses() => drop(socket),
                Ok((socket, peer)) => {
                    tracing::debug!(%peer, "connected");
                    connections.spawn(connection::serve(Arc::clone(&shared), socket));
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot accept");
                    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
                }
            },
            Some(ended) = connections.join_next() => {
                if let Err(error) = ended {
                    tracing::error!(%error, "a connection's task failed");
                }
            }
        }
    }
}

//! One node of etcd's, connected when it is needed.

use std::sync::Arc;

use etcd_client::{Client, KvClient, LeaseClient, WatchClient};
use tokio::sync::Mutex;

use crate::coordination::etcd::failure::Failure;
use crate::coordination::etcd::settings::Reach;

/// Largest answer, in bytes: the largest page (`client.rs`) of the largest values, and some more.
const MAX_ANSWER: usize = 64 << 20;

/// A node.
pub(super) struct Node {
    endpoint: String,
    connection: Mutex<Option<Arc<Connection>>>,
}

/// A connection to a node; one that is lost is made anew by its client, but with the old
/// certificates, so after a failure it is left for another.
pub(super) struct Connection {
    pub(super) kv: KvClient,
    pub(super) lease: LeaseClient,
    pub(super) watch: WatchClient,
    /// Everything else.
    pub(super) client: Client,
}

impl Node {
    pub(super) fn new(endpoint: String) -> Self {
        Self {
            endpoint,
            connection: Mutex::default(),
        }
    }

    pub(super) fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// The connection, which may have to be made, with whatever the files hold now.
    pub(super) async fn connection(&self, reach: &Reach) -> Result<Arc<Connection>, Failure> {
        let mut connection = self.connection.lock().await;
        if let Some(connection) = &*connection {
            return Ok(Arc::clone(connection));
        }
        let mut options = reach.options().await.map_err(Failure::NotDone)?;
        if let Some((name, password)) = &reach.user {
            #[expect(clippy::disallowed_methods, reason = "etcd wants to see it")]
            let password = String::from_utf8_lossy(password.expose_secret());
            options = options.with_user(name, password);
        }
        let client = Client::connect([&self.endpoint], Some(options)).await;
        // Whatever it was, it was not what is to be asked.
        let client = client.map_err(|error| match Failure::of(&error) {
            Failure::Unclear(text) => Failure::NotDone(text),
            known @ (Failure::No(_) | Failure::NoLease | Failure::NotDone(_)) => known,
        })?;
        let made = Arc::new(Connection {
            kv: client.kv_client().max_decoding_message_size(MAX_ANSWER),
            lease: client.lease_client(),
            watch: client.watch_client().max_decoding_message_size(MAX_ANSWER),
            client,
        });
        *connection = Some(Arc::clone(&made));
        Ok(made)
    }

    /// Leaves `lost`; whether it is this node's, and nobody has done so before.
    pub(super) async fn leave(&self, lost: &Arc<Connection>) -> bool {
        let mut connection = self.connection.lock().await;
        let left = connection.take_if(|connection| Arc::ptr_eq(connection, lost));
        left.is_some()
    }
}

//! The store that the configuration names: a file of this process's own, or etcd with other replicas.

use std::sync::Arc;
use std::time::Duration;

use grammers_session::Session;
use sha2::{Digest, Sha256};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::broker::ports::{Clock, Coordination, CoordinationError, SystemRandom};
use crate::cli::exit::{Exit, Failure};
use crate::config::StateConfig;
use crate::coordination::LocalStore;
use crate::coordination::etcd::{AtRest, EtcdClient, EtcdStore};
use crate::daemon::cluster::Replicas;
use crate::daemon::settings;
use crate::telegram::FileSession;

/// How long a replica may take to join the others before its start counts as failed: longer than
/// a session of its own from before a crash is held.
const JOIN: Duration = Duration::from_secs(30);

/// The store, and what keeps it going.
pub(super) enum State {
    /// One process's own.
    File(Arc<LocalStore>),
    /// Shared.
    Etcd {
        /// What replicas do.
        store: Arc<EtcdStore>,
        /// What is there without them.
        at_rest: AtRest,
        /// Both speak by it.
        client: Arc<EtcdClient>,
        /// What is known of the others.
        replicas: Arc<Replicas>,
    },
}

impl State {
    /// Opens a file, which takes the disk, or gets ready to join replicas as the owner of
    /// `session`, which takes nothing yet.
    pub(super) fn open(
        config: StateConfig,
        session: Option<&FileSession>,
        clock: &Arc<dyn Clock>,
    ) -> Result<Self, Failure> {
        let mut config = match config {
            StateConfig::Etcd(config) => config,
            StateConfig::File(file) => {
                let store = LocalStore::open(file, Arc::clone(clock))
                    .map_err(|error| Failure::new(Exit::CannotCreate, error))?;
                return Ok(Self::File(Arc::new(store)));
            }
        };
        let wrong = |error| Failure::new(Exit::Config, error);
        let session = session.map(session_name).transpose().map_err(wrong)?;
        let client = Arc::new(EtcdClient::new(settings::etcd(&mut config)));
        let keys = || settings::sealing(&config);
        let at_rest = AtRest::new(
            Arc::clone(&client) as _,
            &config.prefix,
            keys().map_err(wrong)?,
        );
        let store = EtcdStore::new(
            Arc::clone(&client) as _,
            &settings::replica(&config, session),
            keys().map_err(wrong)?,
            Arc::clone(clock),
            Arc::new(SystemRandom),
        );
        let store = store.map_err(|error| Failure::new(Exit::Config, error))?;
        let store = Arc::new(store);
        let replicas = Replicas::new(&store, &client, config.replica, clock.now());
        Ok(Self::Etcd {
            store,
            at_rest,
            client,
            replicas: Arc::new(replicas),
        })
    }

    /// As the broker knows it.
    pub(super) fn port(&self) -> Arc<dyn Coordination> {
        match self {
            Self::File(store) => Arc::clone(store) as _,
            Self::Etcd { store, .. } => Arc::clone(store) as _,
        }
    }

    /// Those that share it, where it can be shared.
    pub(super) fn replicas(&self) -> Option<&Arc<Replicas>> {
        match self {
            Self::File(_) => None,
            Self::Etcd { replicas, .. } => Some(replicas),
        }
    }

    /// What keeps it going until `stop`.
    pub(super) fn run(&self, stop: CancellationToken) -> impl Future<Output = ()> + use<> {
        let store = match self {
            Self::File(_) => None,
            Self::Etcd { store, .. } => Some(Arc::clone(store)),
        };
        async move {
            match store {
                Some(store) => store.run(stop).await,
                None => stop.cancelled().await,
            }
        }
    }

    /// Returns once this process may act, while [`State::run`] runs.
    pub(super) async fn ready(&self) -> Result<(), Failure> {
        let Self::Etcd {
            store,
            at_rest,
            client,
            ..
        } = self
        else {
            return Ok(());
        };
        // No waiting for what cannot become right.
        let files = client.check().await;
        files.map_err(|error| Failure::new(Exit::Config, error))?;
        match timeout(JOIN, store.ready()).await {
            Ok(Ok(())) => {}
            // For ever, says the store: somebody else has the session, and lives.
            Ok(Err(CoordinationError(why))) => {
                return Err(Failure::new(Exit::TryAgain, why)
                    .hint("stop the other one first, or start this one with a login of its own"));
            }
            Err(_) => {
                let why = store.trouble().unwrap_or_default();
                return Err(
                    Failure::new(Exit::Unavailable, why).hint("vaultgram doctor says how etcd is")
                );
            }
        }
        // Looked at as a member: whoever moves the state sets the mark first, then looks for members.
        let moved = at_rest.moved().await;
        match moved.map_err(|error| Failure::new(Exit::Unavailable, error))? {
            None => Ok(()),
            Some(mark) => Err(Failure::new(Exit::Config, mark.problem())),
        }
    }

    /// Ends it, with everything in it.
    pub(super) async fn close(&self) -> Result<(), CoordinationError> {
        match self {
            Self::File(store) => store.close().await,
            Self::Etcd { store, .. } => store.close().await,
        }
    }
}

/// What replicas call the session by, so that no two use the same: the hash of its key in its
/// home datacenter, from which nobody learns the key.
fn session_name(session: &FileSession) -> Result<String, String> {
    let home = session.home_dc_id().map_err(|error| error.to_string())?;
    let home = session.dc_option(home).map_err(|error| error.to_string())?;
    let key = home.and_then(|home| home.auth_key);
    let key = key.ok_or("the session has no key; run `vaultgram login`")?;
    let mut name = Sha256::new_with_prefix("vaultgram session 1");
    name.update(key);
    let mut name = hex::encode(name.finalize());
    name.truncate(32);
    Ok(name)
}

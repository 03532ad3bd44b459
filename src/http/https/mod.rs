//! The HTTPS front end: the API of the socket, for jobs elsewhere, which prove who they are.
//!
//! `proof` finds out whose a request is. From there on it is the road of the socket ([`VaultApi`]).

mod login;
mod proof;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use hyper::Request;
use hyper::body::Incoming;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::proof::Proofs;
use crate::broker::Broker;
use crate::http::connection::Timeouts;
use crate::http::limits::Limits;
use crate::http::network::{AnswersNetwork, Network};
use crate::http::reply::Reply;
use crate::http::tls::TlsFiles;
use crate::http::vault_api::VaultApi;

pub use self::proof::Identity;

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
pub struct Https(Network);

impl Https {
    /// Listens, and reads the certificate.
    ///
    /// # Errors
    /// Says what cannot be used, and what to do.
    pub fn bind(settings: Settings) -> Result<Self, String> {
        let Settings {
            listen,
            tls,
            limits,
            timeouts,
        } = settings;
        Network::bind(listen, Some(tls), limits, timeouts).map(Self)
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
        tracing::info!(event = "https.serving", at = %self.0.address()?);
        let tasks = TaskTracker::new();
        let time_limit = self.0.timeouts().answer;
        let proofs = Arc::new(Proofs::new(Arc::clone(&broker), identity));
        tasks.spawn(prune(Arc::clone(&proofs), stop.clone()));
        let jobs = ForJobs {
            api: VaultApi::new(broker, tasks.clone(), time_limit),
            proofs,
        };
        self.0.serve(jobs, tasks, stop).await?;
        tracing::info!(event = "https.stopped");
        Ok(())
    }
}

/// Forgets sessions that have run out, until `stop`.
async fn prune(proofs: Arc<Proofs>, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = sleep(PRUNE_EVERY.mul_f64(rand::random_range(1.0..1.5))) => {}
        }
        proofs.prune().await;
    }
}

/// Answers whoever proves who they are.
struct ForJobs {
    api: VaultApi,
    proofs: Arc<Proofs>,
}

impl AnswersNetwork for ForJobs {
    async fn answer(&self, request: Request<Incoming>, from: IpAddr) -> Reply {
        self.proofs.answer(&self.api, request, from).await
    }
}

//! The server's own word on its state, asked at most once a second however many want to know.

use std::time::Duration;

use serde::Deserialize;
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};

use crate::broker::ports::{Clock, Serving, StoreHealth, SystemClock};
use crate::vault::client::{Client, Failure};
use crate::vault::leases::Leases;
use crate::vault::login::{Login, State};
use crate::vault::request::Request;

/// How long an answer is good for.
const FRESH: Duration = Duration::from_secs(1);
/// The longest wait for it.
const PATIENCE: Duration = Duration::from_secs(2);

/// Asks `sys/health`, which needs no token, and remembers the answer for a moment.
#[derive(Default)]
pub(super) struct Probe(Mutex<Option<(Instant, Server)>>);

/// What the server says of itself.
#[derive(Clone)]
enum Server {
    /// It serves, itself or through the active node it stands by for.
    Serving {
        version: String,
        /// How far its clock was ahead of ours when we asked, in seconds.
        drift: i64,
    },
    Sealed,
    Uninitialized,
    Unreachable {
        reason: String,
    },
}

impl Probe {
    /// The server's state and ours.
    pub(super) async fn health(
        &self,
        client: &Client,
        login: &Login,
        leases: &Leases,
    ) -> StoreHealth {
        match self.server(client).await {
            Server::Sealed => StoreHealth::Sealed,
            Server::Uninitialized => StoreHealth::Uninitialized,
            Server::Unreachable { reason } => StoreHealth::Unreachable { reason },
            Server::Serving { version, drift } => match login.state() {
                State::In(session) => StoreHealth::Ready(Serving {
                    version,
                    drift,
                    token_left: session
                        .ends()
                        .map(|ends| ends.saturating_duration_since(Instant::now())),
                    token_ttl: session.term().0.left,
                    leases: leases.count(),
                }),
                State::Starting => StoreHealth::LoggedOut {
                    reason: "the first login is under way".to_owned(),
                },
                State::Out(problem) => StoreHealth::LoggedOut {
                    reason: problem.reason(),
                },
            },
        }
    }

    /// Whoever comes while the question is out waits for the same answer.
    async fn server(&self, client: &Client) -> Server {
        let mut known = self.0.lock().await;
        if let Some((at, server)) = &*known
            && at.elapsed() < FRESH
        {
            return server.clone();
        }
        let server = timeout(PATIENCE, ask(client))
            .await
            .unwrap_or_else(|_| unreachable("no answer in time"));
        *known = Some((Instant::now(), server.clone()));
        server
    }
}

async fn ask(client: &Client) -> Server {
    #[derive(Deserialize)]
    struct Health {
        initialized: bool,
        sealed: bool,
        version: String,
        /// Unix seconds.
        server_time_utc: i64,
    }
    let request = Request::get(&"sys/health");
    let answer = match client.call_now(&Client::outside(), request).await {
        Ok(answer) => answer,
        Err(Failure::Unavailable(cause) | Failure::Unclear(cause)) => return unreachable(&cause),
        Err(failure @ (Failure::Sealed | Failure::Refused(_) | Failure::Invalid(_))) => {
            return unreachable(&failure.to_string());
        }
    };
    // The body says it all; statuses differ (429 and 473 are standbys, which forward).
    match serde_json::from_slice(&answer.body) {
        Ok(Health {
            initialized: false, ..
        }) => Server::Uninitialized,
        Ok(Health { sealed: true, .. }) => Server::Sealed,
        Ok(Health {
            version,
            server_time_utc,
            ..
        }) => Server::Serving {
            version,
            drift: server_time_utc - SystemClock.now().unix_timestamp(),
        },
        Err(_) => unreachable("what answers is not Vault"),
    }
}

fn unreachable(reason: &str) -> Server {
    Server::Unreachable {
        reason: reason.to_owned(),
    }
}

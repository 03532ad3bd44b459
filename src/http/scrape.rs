//! Where Prometheus scrapes: metrics and the answers to probes, and nothing else, for whoever
//! connects.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use hyper::body::{Body, Incoming};
use hyper::header::{CONNECTION, HeaderValue};
use hyper::{Request, StatusCode};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::broker::Broker;
use crate::http::connection::Timeouts;
use crate::http::error::Refusal;
use crate::http::limits::Limits;
use crate::http::network::{AnswersNetwork, Network};
use crate::http::reply::Reply;
use crate::http::route::{Route, only};
use crate::http::tls::TlsFiles;
use crate::http::vault_api::VaultApi;

/// Connections at once: scrapers and probes are few.
pub const SCRAPERS: usize = 32;
/// Requests a second of one address, and of all. Each looks at what vaultgram stands on.
const RATE: (u32, u32) = (50, 100);

/// An address that is listened at, and not served yet.
pub struct Scrape(Network);

impl Scrape {
    /// Listens `at` an address, by TLS where there are files for it.
    ///
    /// # Errors
    /// Says what cannot be used, and what to do.
    pub fn bind(at: SocketAddr, tls: Option<TlsFiles>) -> Result<Self, String> {
        let limits = Limits {
            rate_per_user: RATE.0,
            rate: RATE.1,
            ..Limits::of(SCRAPERS)
        };
        Network::bind(at, tls, limits, Timeouts::default()).map(Self)
    }

    /// Answers until `stop`.
    ///
    /// # Errors
    /// When the runtime cannot watch the listener.
    pub async fn serve(self, broker: Arc<Broker>, stop: CancellationToken) -> io::Result<()> {
        tracing::info!(event = "metrics.serving", at = %self.0.address()?);
        let tasks = TaskTracker::new();
        let api = VaultApi::new(broker, tasks.clone(), self.0.timeouts().answer);
        self.0.serve(ForScrapers(api), tasks, stop).await
    }
}

struct ForScrapers(VaultApi);

impl AnswersNetwork for ForScrapers {
    async fn answer(&self, request: Request<Incoming>, _: IpAddr) -> Reply {
        let (api, method) = (&self.0, request.method());
        let answer = async {
            match request.uri().path() {
                "/metrics" => {
                    only(method, "GET, HEAD", Route::Metrics)?;
                    Ok(api.metrics().await)
                }
                "/healthz" | "/readyz" => Ok(api.answer_anybody(&request).await),
                _ => Err(Refusal::new(
                    StatusCode::NOT_FOUND,
                    "only /metrics, /healthz and /readyz are here",
                )),
            }
        };
        let mut reply = api.in_time(method, answer).await;
        if !request.body().is_end_stream() {
            // Nobody reads what is sent.
            let close = HeaderValue::from_static("close");
            reply.headers_mut().insert(CONNECTION, close);
        }
        reply
    }
}

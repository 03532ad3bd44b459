//! Metrics, put together: where they are scraped, and what is looked at for them now and then.

use std::path::PathBuf;
use std::time::Duration;

use metrics::gauge;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::broker::ports::{Clock, SystemClock};
use crate::cli::exit::{Exit, Failure};
use crate::config::{Config, MetricsConfig, StateConfig};
use crate::http::{Scrape, TlsFiles, certificate_ends};
use crate::telemetry::metrics::{self as telemetry, CERTIFICATE_ENDS, STARTED};

/// How often it is looked until when certificates hold.
const LOOK_EVERY: Duration = Duration::from_mins(1);

/// Begins to record.
pub(super) fn start() {
    telemetry::start();
    #[expect(clippy::cast_precision_loss, reason = "seconds, far below 2^52")]
    gauge!(STARTED).set(SystemClock.now().unix_timestamp() as f64);
}

/// Listens where `config` says.
///
/// # Errors
/// Says what cannot be used, and what to do.
pub(super) fn open(config: MetricsConfig) -> Result<Scrape, Failure> {
    let tls = config.tls.map(|tls| TlsFiles {
        certificate: tls.certificate,
        key: tls.key,
        client_authority: tls.client_authority,
    });
    let scrape = Scrape::bind(config.listen, tls);
    scrape.map_err(|error| Failure::new(Exit::CannotCreate, format!("[metrics] {error}")))
}

/// The certificates that are shown, each by what it is for.
pub(super) struct Certificates(Vec<(&'static str, PathBuf)>);

impl Certificates {
    /// Those that `config` names.
    pub(super) fn of(config: &Config) -> Self {
        let https = config.https.as_ref().map(|it| &it.certificate);
        let metrics = config.metrics.as_ref().and_then(|it| it.tls.as_ref());
        let etcd = match &config.state {
            StateConfig::File(_) => None,
            StateConfig::Etcd(etcd) => etcd.tls.as_ref().and_then(|tls| tls.identity.as_ref()),
        };
        let all = [
            ("https", https),
            ("metrics", metrics.map(|tls| &tls.certificate)),
            ("vault", config.vault.tls.client_cert.as_ref()),
            ("etcd", etcd.map(|(certificate, _)| certificate)),
        ];
        let named = all.into_iter();
        Self(
            named
                .filter_map(|(of, path)| Some((of, path?.clone())))
                .collect(),
        )
    }

    /// Looks at them, until `stop`. One that cannot be read keeps the end that it had.
    pub(super) async fn watch(self, stop: CancellationToken) {
        while !self.0.is_empty() {
            let all = self.0.clone();
            let looked = tokio::task::spawn_blocking(move || {
                let ends = |(of, path): (_, PathBuf)| Some((of, certificate_ends(&path).ok()?));
                all.into_iter().filter_map(ends).collect::<Vec<_>>()
            });
            for (of, ends) in looked.await.unwrap_or_default() {
                #[expect(clippy::cast_precision_loss, reason = "seconds, far below 2^52")]
                gauge!(CERTIFICATE_ENDS, "of" => of).set(ends.unix_timestamp() as f64);
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = sleep(LOOK_EVERY) => {}
            }
        }
        stop.cancelled().await;
    }
}

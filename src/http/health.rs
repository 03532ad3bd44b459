//! The paths for probes and dashboards, outside of Vault's API: `/health`, `/healthz`, `/readyz`,
//! `/cluster`.

use hyper::{Method, StatusCode};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::api::{HealthCheck, HealthReport};
use crate::broker::ports::Condition;
use crate::broker::{Check, Health};
use crate::domain::signs::one_line;
use crate::http::error::Refusal;
use crate::http::reply::{self, Reply};
use crate::http::route::{Route, only};
use crate::http::vault_api::VaultApi;

/// What `path` asks for, if it is one of these.
pub(super) fn route(method: &Method, path: &str) -> Result<Option<Route>, Refusal> {
    let route = match path {
        "/health" => Route::Report,
        "/healthz" => Route::Alive,
        "/readyz" => Route::Ready,
        "/cluster" => Route::Cluster,
        _ => return Ok(None),
    };
    only(method, "GET, HEAD", route).map(Some)
}

/// Whoever hears this knows all there is to know.
pub(super) fn alive() -> Reply {
    reply::text(StatusCode::OK, "alive\n".to_owned())
}

impl VaultApi {
    /// How everything is.
    pub(super) async fn report(&self) -> Reply {
        let broker = &self.asker.broker;
        let health = broker.health().await;
        let checks = health.checks.iter().map(check);
        let document = HealthReport {
            state: health.condition.name().to_owned(),
            ready: health.is_ready(),
            time: format(broker.now()),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            checks: checks.collect(),
            figures: health
                .figures
                .iter()
                .map(|(name, figure)| ((*name).to_owned(), *figure))
                .collect(),
        };
        reply::json(status(&health), &document)
    }

    /// Whether secrets can be served, and if not, why.
    pub(super) async fn ready(&self) -> Reply {
        let health = self.asker.broker.health().await;
        if health.is_ready() {
            return reply::text(StatusCode::OK, "ready\n".to_owned());
        }
        let missing = |check: &&Check| check.needed && check.condition == Condition::Down;
        let missing = health.checks.iter().filter(missing);
        let missing = missing.map(|check| format!("{}: {}\n", check.name, one_line(&check.text)));
        let text = format!("not ready\n{}", missing.collect::<String>());
        reply::text(StatusCode::SERVICE_UNAVAILABLE, text)
    }
}

fn status(health: &Health) -> StatusCode {
    if health.is_ready() {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    }
}

fn check(check: &Check) -> HealthCheck {
    HealthCheck {
        name: check.name.to_owned(),
        state: check.condition.name().to_owned(),
        text: one_line(&check.text),
        since: format(check.since),
        needed: check.needed,
    }
}

/// To the second, in UTC. Times beyond year 9999 do not come up.
/// RFC 3339, in whole seconds.
pub(super) fn format(at: OffsetDateTime) -> String {
    let seconds = at.replace_nanosecond(0).unwrap_or(at);
    seconds.format(&Rfc3339).unwrap_or_default()
}

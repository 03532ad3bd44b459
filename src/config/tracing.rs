//! The `[tracing]` section: where traces are sent.

use serde::Deserialize;
use url::Url;

use crate::config::state::is_here;
use crate::config::{Environment, Problems};

/// What the exporter would send to the collector: a secret in the environment, and on the network.
const HEADERS: [&str; 2] = [
    "OTEL_EXPORTER_OTLP_HEADERS",
    "OTEL_EXPORTER_OTLP_TRACES_HEADERS",
];

/// Where traces are sent, and of which share of requests.
#[derive(Debug, Clone, PartialEq)]
pub struct TracingConfig {
    /// Where OTLP is taken over HTTP.
    pub endpoint: String,
    /// From 0 to 1.
    pub share: f64,
}

/// The section as it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Tracing {
    otlp_endpoint: Option<String>,
    share: f64,
    /// Whether a collector elsewhere may be told without TLS.
    plaintext: bool,
}

impl Default for Tracing {
    fn default() -> Self {
        Self {
            otlp_endpoint: None,
            share: 1.0,
            plaintext: false,
        }
    }
}

/// `None` where it is not configured, or something is wrong, which is among the problems.
pub(super) fn typed(
    raw: Option<Tracing>,
    environment: &Environment,
    problems: &mut Problems,
) -> Option<TracingConfig> {
    let raw = raw?;
    let url = raw
        .otlp_endpoint
        .as_deref()
        .and_then(|it| Url::parse(it).ok());
    // Who it is sent as would be a secret in this file.
    let usable = |url: &Url| {
        let plain = url.username().is_empty() && url.password().is_none() && url.query().is_none();
        ["http", "https"].contains(&url.scheme()) && url.has_host() && plain
    };
    let endpoint = url.filter(usable);
    if endpoint.is_none() {
        problems.push(
            "[tracing] otlp_endpoint: where OTLP is taken over HTTP, such as \
             \"http://127.0.0.1:4318\"; without a user and a query",
        );
    }
    if let Some(url) = &endpoint
        && url.scheme() == "http"
        && !is_here(url)
        && !raw.plaintext
    {
        problems.push(format!(
            "[tracing] otlp_endpoint: {} would be told without TLS, so that others on the network could \
             read along; use https://, or say plaintext = true",
            url.host_str().unwrap_or_default()
        ));
    }
    for name in HEADERS {
        if environment.told(name).is_some_and(|it| !it.is_empty()) {
            problems.push(format!(
                "[tracing]: {name} is set, and vaultgram sends no such headers, for they hold secrets; \
                 unset it, and have a collector of your own add what another wants"
            ));
        }
    }
    let shares = (0.0..=1.0).contains(&raw.share);
    if !shares {
        problems.push("[tracing] share: from 0 to 1, of requests that are traced");
    }
    Some(TracingConfig {
        endpoint: endpoint?.to_string(),
        share: shares.then_some(raw.share)?,
    })
}

//! The `[metrics]` section: where metrics are scraped over the network.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::config::Problems;

/// Where metrics are told to whoever connects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetricsConfig {
    /// Where it listens.
    pub listen: SocketAddr,
    /// The PEM files of its certificate; `None` where it speaks plain HTTP.
    pub tls: Option<MetricsTls>,
}

/// PEM files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetricsTls {
    /// The certificate.
    pub certificate: PathBuf,
    /// Its key.
    pub key: PathBuf,
    /// The authorities of clients' certificates, where these are wanted.
    pub client_authority: Option<PathBuf>,
}

/// The section as it is written.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Metrics {
    listen: Option<String>,
    cert_file: Option<PathBuf>,
    key_file: Option<PathBuf>,
    client_ca_file: Option<PathBuf>,
    /// Whether other machines may be told without TLS.
    plaintext: bool,
}

/// `None` where it is not configured, or something is wrong, which is among the problems.
pub(super) fn typed(
    raw: Option<Metrics>,
    directory: &Path,
    problems: &mut Problems,
) -> Option<MetricsConfig> {
    let raw = raw?;
    let before = problems.found.len();
    let listen = raw.listen.as_deref().unwrap_or("127.0.0.1:9464").parse();
    let listen: Option<SocketAddr> = listen.ok();
    if listen.is_none() {
        problems.push("[metrics] listen: an address and a port, such as \"127.0.0.1:9464\"");
    }
    let path = |file: PathBuf| directory.join(file);
    let client_authority = raw.client_ca_file.map(path);
    let tls = match (raw.cert_file.map(path), raw.key_file.map(path)) {
        (Some(certificate), Some(key)) => Some(MetricsTls {
            certificate,
            key,
            client_authority,
        }),
        (None, None) if client_authority.is_none() => None,
        _ => {
            problems.push("[metrics]: cert_file and key_file go together; name both, or neither");
            None
        }
    };
    let far = listen.is_some_and(|at| !at.ip().is_loopback());
    if far && tls.is_none() && !raw.plaintext && problems.found.len() == before {
        problems.push(
            "[metrics] listen: other machines would be told in plain HTTP; add cert_file and \
             key_file, or plaintext = true where the network keeps others out",
        );
    }
    (problems.found.len() == before).then_some(())?;
    Some(MetricsConfig {
        listen: listen?,
        tls,
    })
}

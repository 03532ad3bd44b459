//! The `[state]` and `[log]` sections.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use url::Url;

use crate::config::{Environment, Problems, files, raw};
use crate::domain::SecretValue;
use crate::domain::signs::is_invisible;

/// The setting with the key that replicas seal their state with.
pub const STATE_KEY: &str = "VAULTGRAM_STATE_KEY";
/// The setting with the key of before, while it is changed.
pub const PREVIOUS_STATE_KEY: &str = "VAULTGRAM_STATE_KEY_PREVIOUS";
/// The setting with the password in etcd.
const PASSWORD: &str = "VAULTGRAM_ETCD_PASSWORD";
/// Largest private key read, in bytes.
const MAX_KEY: u64 = 64 << 10;
/// The most nodes named; more than etcd works with.
const MAX_ENDPOINTS: usize = 32;
/// Longest prefix of keys, in bytes.
const MAX_PREFIX: usize = 64;
/// Longest name of a replica, in bytes.
const MAX_NAME: usize = 100;

/// Where the state is.
pub enum StateConfig {
    /// In a file, for one vaultgram alone.
    File(PathBuf),
    /// In etcd, for several.
    Etcd(Box<EtcdConfig>),
}

/// The etcd that replicas share.
pub struct EtcdConfig {
    /// `https://host:port` of each node, at least one.
    pub endpoints: Vec<String>,
    /// What all keys begin with; it ends with a slash.
    pub prefix: String,
    /// PEM files of TLS: whom to trust, and the certificate to show with its key.
    pub tls: Option<EtcdTls>,
    /// The name and the password in etcd, where certificates do not say it.
    pub user: Option<(String, SecretValue)>,
    /// What people see of this replica.
    pub replica: String,
    /// How long others wait before they take this one for ended.
    pub lease: Duration,
    /// The key that everything is sealed with, and where it is from.
    pub key: (SecretValue, String),
    /// Another that things may still be sealed with.
    pub previous_key: Option<(SecretValue, String)>,
}

/// PEM files for etcd.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EtcdTls {
    /// The authorities that may have signed the nodes' certificates.
    pub authority: PathBuf,
    /// The certificate to show, and its key.
    pub identity: Option<(PathBuf, PathBuf)>,
}

impl StateConfig {
    /// The file where none is named, beside the configuration.
    pub const DEFAULT_FILE: &str = "state.redb";
}

/// Logs.
#[derive(Debug, Clone)]
pub struct LogConfig {
    /// Their form.
    pub format: LogFormat,
    /// What is shown, in `RUST_LOG`'s notation.
    pub filter: String,
}

/// The form of the log.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// Text on a terminal, else JSON.
    #[default]
    Auto,
    /// A line for people.
    Text,
    /// A JSON object a line.
    Json,
}

pub(super) fn log(log: &raw::Log, environment: &Environment) -> LogConfig {
    LogConfig {
        format: log.format,
        filter: environment
            .variable("RUST_LOG")
            .unwrap_or(log.level.name())
            .to_owned(),
    }
}

/// `None` when something is wrong, which is among the problems.
pub(super) fn typed(
    raw: raw::State,
    directory: &Path,
    environment: &Environment,
    problems: &mut Problems,
) -> Option<StateConfig> {
    match (raw.file, raw.etcd) {
        (Some(_), Some(_)) => {
            problems.push(
                "[state] file and [state.etcd]: the state is in one place; remove one of them \
                 (vaultgram state migrate copies it from one to the other)",
            );
            None
        }
        (None, Some(raw)) => etcd(raw, directory, environment, problems)
            .map(|etcd| StateConfig::Etcd(Box::new(etcd))),
        (file, None) => {
            let file = file.unwrap_or(StateConfig::DEFAULT_FILE.into());
            Some(StateConfig::File(directory.join(file)))
        }
    }
}

fn etcd(
    raw: raw::Etcd,
    directory: &Path,
    environment: &Environment,
    problems: &mut Problems,
) -> Option<EtcdConfig> {
    let before = problems.found.len();
    let encrypted = endpoints(&raw, problems);
    let fits = |text: &str| (1..=MAX_NAME).contains(&text.len()) && !text.contains(is_invisible);
    let plain = |c: char| c.is_ascii_alphanumeric() || "/-_.".contains(c);
    let prefix = raw.prefix.as_str();
    if prefix.len() > MAX_PREFIX || !prefix.ends_with('/') || !prefix.chars().all(plain) {
        problems.push(
            "[state.etcd] prefix: what the keys begin with: letters, digits, '/', '-', '_' and '.', at \
             most 64, with a slash at the end, such as \"/vaultgram/\"",
        );
    }
    let name = || {
        let name = rustix::system::uname();
        name.nodename().to_string_lossy().into_owned()
    };
    let replica = raw.replica.clone().unwrap_or_else(name);
    if !fits(&replica) {
        problems.push("[state.etcd] replica: a name of at most 100 bytes");
    }
    let (least, most) = (Duration::from_secs(2), Duration::from_mins(1));
    if raw.lease < least || raw.lease > most || raw.lease.subsec_nanos() != 0 {
        problems.push("[state.etcd] lease: must be from 2s to 60s, in whole seconds");
    }
    let tls = tls(&raw, encrypted, directory, environment, problems);
    let mut secret = |name: &str| {
        environment.sourced(name).unwrap_or_else(|problem| {
            problems.elsewhere(problem);
            None
        })
    };
    let (key, previous_key) = (secret(STATE_KEY), secret(PREVIOUS_STATE_KEY));
    let password = secret(PASSWORD).map(|(password, _)| password);
    if key.is_none() {
        problems.tokens.push(format!(
            "{STATE_KEY} is not set, and what is in etcd is sealed with it; `vaultgram state keygen` \
             makes it; all replicas have the same (as {STATE_KEY}_FILE, a systemd credential or a \
             Docker secret)"
        ));
    }
    let user = match (raw.user, password) {
        (Some(user), Some(password)) => Some((user, password)),
        (Some(_), None) => {
            problems.elsewhere(format!(
                "[state.etcd] user: its password is missing: {PASSWORD}"
            ));
            None
        }
        (None, Some(_)) => {
            problems.push(format!("[state.etcd] user: missing, and {PASSWORD} is set"));
            None
        }
        (None, None) => None,
    };
    if problems.found.len() > before {
        return None;
    }
    Some(EtcdConfig {
        endpoints: raw.endpoints,
        prefix: raw.prefix,
        tls,
        user,
        replica,
        lease: raw.lease,
        key: key?,
        previous_key,
    })
}

/// Whether they are reached by TLS.
fn endpoints(raw: &raw::Etcd, problems: &mut Problems) -> bool {
    let name = "[state.etcd] endpoints";
    if raw.endpoints.is_empty() || raw.endpoints.len() > MAX_ENDPOINTS {
        problems.push(format!(
            "{name}: name etcd's nodes, like endpoints = [\"https://etcd-1.example.org:2379\"]"
        ));
    }
    let mut encrypted = 0;
    for endpoint in &raw.endpoints {
        let Some(url) = url(endpoint) else {
            problems.push(format!(
                "{name}: write each like \"https://etcd-1.example.org:2379\", with nothing after the port"
            ));
            continue;
        };
        if url.scheme() == "https" {
            encrypted += 1;
        } else if !is_here(&url) && !raw.plaintext {
            problems.push(format!(
                "{name}: {} would be spoken to without TLS, so that others on the network could take \
                 part; use https://, or say plaintext = true",
                url.host_str().unwrap_or_default()
            ));
        }
    }
    if encrypted != 0 && encrypted != raw.endpoints.len() {
        problems.push(format!("{name}: either all are https://, or none is"));
    }
    encrypted != 0
}

fn url(endpoint: &str) -> Option<Url> {
    let url = Url::parse(endpoint).ok()?;
    let bare = url.username().is_empty()
        && url.password().is_none()
        && url.path() == "/"
        && url.query().is_none()
        && url.fragment().is_none()
        // The client takes the port as it is written.
        && endpoint.trim_end_matches('/').rsplit(':').next()?.parse::<u16>().is_ok();
    (bare && matches!(url.scheme(), "http" | "https") && url.host_str().is_some()).then_some(url)
}

/// Whether it is on this machine.
pub(super) fn is_here(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost"
        || bare
            .parse()
            .is_ok_and(|address: IpAddr| address.is_loopback())
}

fn tls(
    raw: &raw::Etcd,
    encrypted: bool,
    directory: &Path,
    environment: &Environment,
    problems: &mut Problems,
) -> Option<EtcdTls> {
    let path = |path: &Option<PathBuf>| path.as_ref().map(|path| directory.join(path));
    let (authority, certificate, key) = (
        path(&raw.ca_file),
        path(&raw.cert_file),
        path(&raw.key_file),
    );
    if !encrypted {
        if authority.or(certificate).or(key).is_some() {
            problems.push(
                "[state.etcd] ca_file, cert_file, key_file: have no effect on http:// endpoints; make \
                 these https://, or leave the files out",
            );
        }
        return None;
    }
    if authority.is_none() {
        problems.push(
            "[state.etcd] ca_file: missing; it is the PEM file of the authority that signed the \
             certificates of etcd's nodes",
        );
    }
    let identity = match (certificate, key) {
        (Some(certificate), Some(key)) => {
            if let Err(problem) = files::read(&key, MAX_KEY, environment.guard(&key)) {
                problems.elsewhere(problem);
            }
            Some((certificate, key))
        }
        (None, None) => None,
        (Some(_), None) | (None, Some(_)) => {
            problems.push("[state.etcd] cert_file and key_file: set both, or neither");
            None
        }
    };
    Some(EtcdTls {
        authority: authority?,
        identity,
    })
}

//! The `[https]` section, and who is believed there: `[issuers.NAME]` and `[signing]`.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;

use crate::config::{Problems, files, raw};
use crate::domain::job::is_issuer;
use crate::domain::person::Account;
use crate::domain::{Mounts, SecretPath};

/// Largest file of authorities read, in bytes.
const MAX_AUTHORITIES: u64 = 1 << 20;
/// The name of the issuer that is known without being said.
const GITHUB: &str = "github";
/// What GitHub's tokens say of their issuer.
const GITHUB_ISSUER: &str = "https://token.actions.githubusercontent.com";

/// HTTPS for jobs elsewhere.
#[derive(Debug)]
pub struct HttpsConfig {
    /// Where it listens.
    pub listen: SocketAddr,
    /// The PEM file of its certificate.
    pub certificate: PathBuf,
    /// That of its key.
    pub key: PathBuf,
    /// That of the authorities of clients' certificates, where these are wanted.
    pub client_authority: Option<PathBuf>,
    /// How many connections are served at once.
    pub max_connections: usize,
    /// Whose tokens are taken.
    pub issuers: Vec<IssuerConfig>,
}

/// An issuer whose tokens are taken.
#[derive(Debug, Clone)]
pub struct IssuerConfig {
    /// What policies call it.
    pub name: String,
    /// What its tokens call it.
    pub issuer: String,
    /// For whom its tokens must be.
    pub audience: String,
    /// Where its keys are, if not where it says itself.
    pub jwks_url: Option<String>,
    /// The longest that a session lasts.
    pub session_ttl: Duration,
    /// Authorities to trust there instead of the system's, in PEM.
    pub authorities: Option<Vec<u8>>,
}

/// The section as it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Https {
    pub(super) listen: Option<String>,
    pub(super) cert_file: Option<PathBuf>,
    pub(super) key_file: Option<PathBuf>,
    pub(super) client_ca_file: Option<PathBuf>,
    pub(super) max_connections: usize,
}

impl Default for Https {
    fn default() -> Self {
        Self {
            listen: None,
            cert_file: None,
            key_file: None,
            client_ca_file: None,
            max_connections: 1024,
        }
    }
}

/// Whose tokens are taken.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Issuer {
    #[serde(rename = "issuer")]
    pub(super) says: Option<String>,
    pub(super) audience: Option<String>,
    pub(super) jwks_url: Option<String>,
    #[serde(deserialize_with = "raw::duration")]
    pub(super) session_ttl: Duration,
    pub(super) ca_file: Option<PathBuf>,
}

impl Default for Issuer {
    fn default() -> Self {
        Self {
            says: None,
            audience: None,
            jwks_url: None,
            session_ttl: Duration::from_mins(15),
            ca_file: None,
        }
    }
}

/// Where the keys are that requests are signed with.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Signing {
    pub(super) path: String,
}

/// Where the keys of those who sign are; `None` where nobody does, or that is among the problems.
/// `used`: whether what they sign can come in.
pub(super) fn signing(
    raw: &Signing,
    used: bool,
    mounts: Option<&Mounts>,
    problems: &mut Problems,
) -> Option<SecretPath> {
    let target = mounts?.parse(&raw.path);
    let target = target
        .ok()
        .filter(|it| it.field.is_none() && it.version.is_none());
    if target.is_none() {
        problems.push(
            "[signing] path: not the path of a secret; write it like \
             path = \"secret/vaultgram/signing\"",
        );
    }
    if !used {
        problems.push(
            "[signing]: what is signed comes by HTTPS or by chat; add an [https] section, or \
             [telegram.jobs.OWNER]",
        );
    }
    target.map(|target| target.path)
}

/// `None` where it is not configured, or something is wrong, which is among the problems. Who can prove
/// something there are issuers, those who sign where `signing`, and GitHub by its `webhooks`.
pub(super) fn typed(
    https: Option<Https>,
    (issuers, signing, webhooks): (BTreeMap<String, Issuer>, bool, bool),
    directory: &Path,
    problems: &mut Problems,
) -> Option<HttpsConfig> {
    let before = problems.found.len();
    let named: Vec<_> = issuers.into_iter().collect();
    let issuers = named
        .into_iter()
        .filter_map(|(name, raw)| issuer(name, raw, directory, problems));
    let issuers: Vec<_> = issuers.collect();
    let mut known = BTreeMap::new();
    for issuer in &issuers {
        if let Some(other) = known.insert((&issuer.issuer, &issuer.audience), &issuer.name) {
            problems.push(format!(
                "[issuers.{}]: takes the same tokens as [issuers.{other}], as issuer and audience are \
                 the same; leave it out, or give it an audience of its own",
                issuer.name
            ));
        }
    }
    let Some(raw) = https else {
        if !issuers.is_empty() {
            problems.push("[issuers]: their tokens are for HTTPS; add an [https] section");
        }
        if webhooks {
            problems.push("[github]: webhooks come by HTTPS; add an [https] section");
        }
        return None;
    };
    let anybody = !issuers.is_empty() || signing || webhooks;
    if !anybody && problems.found.len() == before {
        problems.push(
            "[https]: nobody could prove who they are; add an [issuers.github] section (or another \
             issuer's), or [signing]",
        );
    }
    let listen = raw.listen.as_deref().map(str::parse::<SocketAddr>);
    if !matches!(listen, Some(Ok(_))) {
        problems.push("[https] listen: an address and a port, such as \"0.0.0.0:8443\"");
    }
    if webhooks && raw.client_ca_file.is_some() {
        problems.push(
            "[https] client_ca_file: GitHub has no certificate to show, so none of its webhooks would \
             come in; leave it out, or have no [github] webhook_secret_path (or \
             VAULTGRAM_GITHUB_WEBHOOK_SECRET)",
        );
    }
    let mut file = |name: &str, path: Option<PathBuf>| {
        if path.is_none() {
            problems.push(format!("[https] {name}: missing; name a file in PEM"));
        }
        path.map(|path| directory.join(path))
    };
    let certificate = file("cert_file", raw.cert_file);
    let key = file("key_file", raw.key_file);
    if raw.max_connections == 0 {
        problems.push("[https] max_connections: must be at least 1");
    }
    if problems.found.len() > before {
        return None;
    }
    Some(HttpsConfig {
        listen: listen?.ok()?,
        certificate: certificate?,
        key: key?,
        client_authority: raw.client_ca_file.map(|path| directory.join(path)),
        max_connections: raw.max_connections,
        issuers,
    })
}

fn issuer(
    name: String,
    raw: Issuer,
    directory: &Path,
    problems: &mut Problems,
) -> Option<IssuerConfig> {
    let before = problems.found.len();
    if !is_issuer(&name) {
        problems.push(format!(
            "[issuers] {name:?}: a name has up to 32 small letters, digits and \"-\", begins with a \
             letter, and is not \"telegram\", \"uid\", \"gid\", \"unit\", \"person\" or \"group\""
        ));
    }
    let known = (name == GITHUB).then(|| GITHUB_ISSUER.to_owned());
    let issuer = raw.says.or(known);
    if issuer.is_none() {
        problems.push(format!(
            "[issuers.{name}] issuer: missing; it is what its tokens say in `iss`, such as \
             \"https://gitlab.example.com\""
        ));
    }
    if raw.audience.is_none() {
        problems.push(format!(
            "[issuers.{name}] audience: missing; name what its tokens must be for, such as \
             \"https://vaultgram.example.com\", so that one for somebody else is not taken"
        ));
    }
    let authorities = raw.ca_file.and_then(|path| {
        let path = directory.join(path);
        let read = files::read(&path, MAX_AUTHORITIES, files::Guard::Change);
        let missing = || Err(format!("{}: no such file", path.display()));
        let read = read.and_then(|read| read.map_or_else(missing, Ok));
        let read = read.map(|content| content.to_vec());
        read.map_err(|problem| problems.push(format!("[issuers.{name}] ca_file: {problem}")))
            .ok()
    });
    if problems.found.len() > before {
        return None;
    }
    Some(IssuerConfig {
        name,
        issuer: issuer?,
        audience: raw.audience?,
        jwks_url: raw.jwks_url,
        session_ttl: raw.session_ttl,
        authorities,
    })
}

/// Finds accounts in `entries` at issuers that are not among those in `raw`: a misspelt
/// `telegram:1001` would look like one.
pub(super) fn check_accounts(raw: &raw::Raw, problems: &mut Problems) {
    for (section, entries) in [("[people]", &raw.people), ("[groups]", &raw.groups)] {
        for (name, texts) in entries {
            for text in texts {
                if let Ok(Account::Issuer { issuer, .. }) = text.parse()
                    && !raw.issuers.contains_key(&issuer)
                {
                    problems.push(format!(
                        "{section} {name}: no issuer is called {issuer:?}; there is no \
                         [issuers.{issuer}]"
                    ));
                }
            }
        }
    }
}

//! Configuration: `vaultgram.toml` and the environment, from raw text to typed values.
//!
//! One file per section. What is wrong is collected, so that one run of `vaultgram check`
//! shows every mistake with its place and what to do.

mod application;
mod approvals;
mod audit;
mod credentials;
mod dotenv;
pub mod environment;
mod files;
mod github;
mod groups;
mod https;
mod limits;
mod metrics;
mod policy;
mod proxy;
mod raw;
mod rules;
mod signers;
mod socket;
mod state;
mod telegram;
mod tracing;
mod vault;
mod vault_auth;
mod vault_tls;

use std::fmt;
use std::path::{Path, PathBuf};

pub use application::{ApplicationConfig, KEYS_FORM, api_hash, api_id};
pub use approvals::{ApprovalsConfig, PER_DAY};
pub use audit::{AUDIT_KEY, AuditConfig, AuditSinkConfig, WitnessConfig};
pub use credentials::CredentialsConfig;
pub use environment::Environment;
pub use github::{GitHubConfig, GitHubIdentity, WebhookConfig};
pub use https::{HttpsConfig, IssuerConfig};
pub use limits::LimitsConfig;
pub use metrics::{MetricsConfig, MetricsTls};
pub use proxy::ProxyConfig;
pub use rules::{HangsOn, RulesConfig, other_sections, policies_in, watched};
pub use signers::SignerConfig;
pub use socket::SocketConfig;
pub use state::{
    EtcdConfig, EtcdTls, LogConfig, LogFormat, PREVIOUS_STATE_KEY, STATE_KEY, StateConfig,
};
pub use telegram::{SessionKeyConfig, StrangerReply, TelegramConfig, WatchedChats};
pub use tracing::TracingConfig;
pub use vault::VaultConfig;
pub use vault_auth::{VaultAuth, VaultJwt, VaultMethod, VaultSecretId};
pub use vault_tls::VaultTls;

use zeroize::Zeroizing;

use crate::domain::SecretPath;

/// Largest configuration or policy file read, in bytes.
pub(crate) const MAX_FILE: u64 = 1 << 20;

/// Largest file with a one-time code, in bytes.
const MAX_CODE: u64 = 1 << 10;

/// Everything the daemon is told.
pub struct Config {
    /// The Telegram account; `None` where only the socket is served.
    pub telegram: Option<TelegramConfig>,
    /// The secret store.
    pub vault: VaultConfig,
    /// Who may have what.
    pub rules: RulesConfig,
    /// The Unix sockets, that of `[socket]` first; none where only Telegram is served.
    pub sockets: Vec<SocketConfig>,
    /// What may be taken of each.
    pub limits: LimitsConfig,
    /// How many requests for approval there may be.
    pub approvals: ApprovalsConfig,
    /// The socket for systemd's credentials.
    pub credentials: Option<CredentialsConfig>,
    /// HTTPS for jobs elsewhere, where it is served.
    pub https: Option<HttpsConfig>,
    /// Pipelines, where any are served.
    pub github: Option<GitHubConfig>,
    /// Where metrics are scraped over the network, where they are.
    pub metrics: Option<MetricsConfig>,
    /// Where the keys of those who sign are, where somebody may.
    pub signing: Option<SecretPath>,
    /// Where traces are sent, where they are.
    pub tracing: Option<TracingConfig>,
    /// The audit.
    pub audit: AuditConfig,
    /// Where the state is.
    pub state: StateConfig,
    /// Logs.
    pub log: LogConfig,
}

/// The part that concerns the Telegram account alone. It can be read where Vault's token is
/// not at hand.
pub struct AccountConfig {
    /// The account; `None` where there is no such section.
    pub telegram: Option<TelegramConfig>,
    /// The secret store, where its token is at hand.
    pub vault: Option<VaultConfig>,
    /// Where the state is.
    pub state: Option<StateConfig>,
}

impl Config {
    /// Reads `file` and what the environment adds to it.
    ///
    /// # Errors
    /// Lists everything that is wrong, a line each. No value is repeated, only names.
    pub fn load(file: &Path, environment: &Environment) -> Result<Self, ConfigError> {
        let (parts, mut problems) = Parts::read(file, environment)?;
        problems.found.append(&mut problems.tokens);
        match (parts.vault, parts.rules, parts.state) {
            (Some(vault), Some(rules), Some(state)) if problems.found.is_empty() => Ok(Self {
                telegram: parts.telegram,
                vault,
                rules,
                sockets: parts.sockets,
                limits: parts.limits,
                approvals: parts.approvals,
                credentials: parts.credentials,
                https: parts.https,
                github: parts.github,
                metrics: parts.metrics,
                signing: parts.signing,
                tracing: parts.tracing,
                audit: parts.audit,
                state,
                log: parts.log,
            }),
            _ => Err(ConfigError(problems.found)),
        }
    }
}

impl AccountConfig {
    /// Reads `file` and what the environment adds to it, as [`Config::load`] does, but that
    /// Vault's token may be missing unless the account's own keys are in Vault.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn load(file: &Path, environment: &Environment) -> Result<Self, ConfigError> {
        let (parts, mut problems) = Parts::read(file, environment)?;
        let telegram = parts.telegram;
        let application = telegram.as_ref().map(|telegram| &telegram.application);
        if matches!(application, Some(ApplicationConfig::InVault(_))) {
            problems.found.append(&mut problems.tokens);
        }
        if !problems.found.is_empty() {
            return Err(ConfigError(problems.found));
        }
        Ok(Self {
            telegram,
            vault: parts.vault,
            state: parts.state,
        })
    }
}

/// Every section, as far as it could be understood.
struct Parts {
    telegram: Option<TelegramConfig>,
    vault: Option<VaultConfig>,
    rules: Option<RulesConfig>,
    sockets: Vec<SocketConfig>,
    limits: LimitsConfig,
    approvals: ApprovalsConfig,
    credentials: Option<CredentialsConfig>,
    https: Option<HttpsConfig>,
    github: Option<GitHubConfig>,
    metrics: Option<MetricsConfig>,
    signing: Option<SecretPath>,
    tracing: Option<TracingConfig>,
    audit: AuditConfig,
    state: Option<StateConfig>,
    log: LogConfig,
}

impl Parts {
    fn read(file: &Path, environment: &Environment) -> Result<(Self, Problems), ConfigError> {
        let text = read_deciding(file).map_err(|problem| ConfigError(vec![problem]))?;
        let raw = raw::parse(file, &text).map_err(|problem| ConfigError(vec![problem]))?;
        let directory = directory(file).map_err(|problem| ConfigError(vec![problem]))?;
        let mut problems = Problems::of(file);

        let mounts = vault::mounts(&raw, &mut problems);
        let rules = rules::typed(&raw, mounts.as_ref(), &directory, &mut problems);
        let no_socket = raw.socket.is_none() && raw.sockets.is_empty();
        let credentials = raw.credentials.filter(|it| !it.units.is_empty());
        let nothing = raw.telegram.is_none() && no_socket && credentials.is_none();
        if nothing && raw.https.is_none() {
            problems.push("nothing to serve: add a [telegram], a [socket] or an [https] section");
        }
        if no_socket
            && raw
                .telegram
                .as_ref()
                .is_some_and(|it| it.lock_on_new_device)
        {
            problems.push(
                "[telegram] lock_on_new_device: needs a [socket] section, for `vaultgram unlock` \
                 opens the lock over the socket",
            );
        }
        let in_chat = raw.telegram.is_some();
        let jobs_in_chat = raw.telegram.as_ref().is_some_and(|it| !it.jobs.is_empty());
        if let Some(telegram) = &raw.telegram
            && let Some(name) = telegram
                .jobs
                .keys()
                .find(|it| raw.issuers.contains_key(*it))
        {
            problems.push(format!(
                "[telegram.jobs.{name}]: an issuer is called so, and it could not own a key"
            ));
        }
        let telegram = raw.telegram.and_then(|raw| {
            telegram::typed(raw, mounts.as_ref(), &directory, environment, &mut problems)
        });
        let sockets = socket::typed(raw.socket, raw.sockets, &directory, &mut problems);
        let credentials = credentials.map(|raw| {
            credentials::typed(raw, mounts.as_ref(), &sockets, &directory, &mut problems)
        });
        let github = raw
            .github
            .and_then(|raw| github::typed(raw, mounts.as_ref(), environment, &mut problems));
        let webhooks = github.as_ref().is_some_and(|it| it.webhook.is_some());
        let metrics = metrics::typed(raw.metrics, &directory, &mut problems);
        let signs = raw.signing.is_some();
        if jobs_in_chat && !signs {
            problems.push(
                "[telegram.jobs]: what they sign cannot be checked; say in [signing] where the keys are",
            );
        }
        let used = raw.https.is_some() || jobs_in_chat;
        let signing = raw
            .signing
            .as_ref()
            .and_then(|raw| https::signing(raw, used, mounts.as_ref(), &mut problems));
        let provers = (raw.issuers, signs, webhooks);
        let https = https::typed(raw.https, provers, &directory, &mut problems);
        let tracing = tracing::typed(raw.tracing, environment, &mut problems);
        let vault = vault::typed(raw.vault, mounts, &directory, environment, &mut problems);
        if let Err(problem) = raw.approvals.check() {
            problems.push(problem);
        }
        let audit = audit::typed(raw.audit, in_chat, &directory, environment, &mut problems);
        let state = state::typed(raw.state, &directory, environment, &mut problems);
        let log = state::log(&raw.log, environment);
        let parts = Self {
            telegram,
            vault,
            rules,
            sockets,
            limits: raw.limits,
            approvals: raw.approvals,
            credentials,
            https,
            github,
            metrics,
            signing,
            tracing,
            audit,
            state,
            log,
        };
        Ok((parts, problems))
    }
}

/// The folder that the paths in `file` are seen from.
fn directory(file: &Path) -> Result<PathBuf, String> {
    std::path::absolute(file.parent().unwrap_or(Path::new("")).join("."))
        .map_err(|error| format!("the current folder: {error}"))
}

/// What is wrong so far.
struct Problems {
    file: PathBuf,
    found: Vec<String>,
    /// Of Vault's token and the key of the state alone, which not every command needs.
    tokens: Vec<String>,
}

impl Problems {
    fn of(file: &Path) -> Self {
        Self {
            file: file.to_owned(),
            found: vec![],
            tokens: vec![],
        }
    }

    /// A mistake in the configuration file.
    fn push(&mut self, problem: impl fmt::Display) {
        self.found
            .push(format!("{}: {problem}", self.file.display()));
    }

    /// A mistake elsewhere, which `problem` names itself.
    fn elsewhere(&mut self, problem: impl fmt::Display) {
        self.found.push(problem.to_string());
    }
}

/// Everything that is wrong with the configuration, a line each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError(pub Vec<String>);

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("\n"))
    }
}

impl std::error::Error for ConfigError {}

/// The content of a file that somebody puts a one-time code into; `None` before it is there.
///
/// # Errors
/// When it is too large, no text, or open to everybody.
pub(crate) fn one_time_code(path: &Path) -> Result<Option<Zeroizing<String>>, String> {
    files::read_text(path, MAX_CODE, files::Guard::Others)
}

/// Reads a text file that decides who gets what.
fn read_deciding(path: &Path) -> Result<Zeroizing<String>, String> {
    files::read_text(path, MAX_FILE, files::Guard::Change)?.ok_or_else(|| {
        format!(
            "{}: no such file; `vaultgram init` writes one to start from",
            path.display()
        )
    })
}

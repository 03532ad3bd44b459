//! Configuration: `vaultgram.toml` and the environment, from raw text to typed values.
//!
//! One file per section. What is wrong is collected, so that one run of `vaultgram check`
//! shows every mistake with its place and what to do.

mod dotenv;
pub mod environment;
mod files;
mod policy;
mod proxy;
mod raw;
mod socket;
mod state;
mod telegram;
mod vault;

use std::fmt;
use std::path::{Path, PathBuf};

pub use environment::Environment;
pub use proxy::ProxyConfig;
pub use socket::SocketConfig;
pub use state::{AuditConfig, LogConfig, LogFormat, StateConfig};
pub use telegram::{StrangerReply, TelegramConfig};
pub use vault::{VaultAuth, VaultConfig};

use zeroize::Zeroizing;

use crate::domain::Policy;

/// Largest configuration or policy file read, in bytes.
pub(crate) const MAX_FILE: u64 = 1 << 20;

/// Everything the daemon is told.
pub struct Config {
    /// The Telegram account; `None` where only the socket is served.
    pub telegram: Option<TelegramConfig>,
    /// The secret store.
    pub vault: VaultConfig,
    /// Who may have what.
    pub policy: Policy,
    /// The Unix socket; `None` where only Telegram is served.
    pub socket: Option<SocketConfig>,
    /// The audit.
    pub audit: AuditConfig,
    /// The embedded state store.
    pub state: StateConfig,
    /// Logs.
    pub log: LogConfig,
}

impl Config {
    /// Reads `file` and what the environment adds to it.
    ///
    /// # Errors
    /// Lists everything that is wrong, a line each. No value is repeated, only names.
    pub fn load(file: &Path, environment: &Environment) -> Result<Self, ConfigError> {
        let text = read_deciding(file).map_err(|problem| ConfigError(vec![problem]))?;
        let raw = raw::parse(file, &text).map_err(|problem| ConfigError(vec![problem]))?;
        let directory = std::path::absolute(file.parent().unwrap_or(Path::new("")).join("."))
            .map_err(|error| ConfigError(vec![format!("the current folder: {error}")]))?;
        let mut problems = Problems {
            file: file.to_owned(),
            found: vec![],
        };

        let telegram = raw
            .telegram
            .map(|raw| telegram::typed(raw, &directory, environment, &mut problems));
        let socket = raw
            .socket
            .map(|raw| socket::typed(raw, &directory, &mut problems));
        if telegram.is_none() && socket.is_none() {
            problems.push("nothing to serve: add a [telegram] or a [socket] section");
        }
        let mounts = vault::mounts(raw.vault.mounts.clone(), &mut problems);
        let policy = policy::typed(
            raw.policy,
            &raw.groups,
            mounts.as_ref(),
            &directory,
            &mut problems,
        );
        let vault = vault::typed(raw.vault, mounts, &directory, environment, &mut problems);
        let (audit, state, log) =
            state::typed(raw.audit, raw.state, &raw.log, &directory, environment);

        match (vault, policy) {
            (Some(vault), Some(policy)) if problems.found.is_empty() => Ok(Self {
                telegram: telegram.flatten(),
                vault,
                policy,
                socket: socket.flatten(),
                audit,
                state,
                log,
            }),
            _ => Err(ConfigError(problems.found)),
        }
    }
}

/// What is wrong so far.
struct Problems {
    file: PathBuf,
    found: Vec<String>,
}

impl Problems {
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

/// Reads a text file that decides who gets what.
fn read_deciding(path: &Path) -> Result<Zeroizing<String>, String> {
    files::read_text(path, MAX_FILE, files::Guard::Change)?.ok_or_else(|| {
        format!(
            "{}: no such file; `vaultgram init` writes one to start from",
            path.display()
        )
    })
}

//! The composition root: reads the configuration, puts the broker together, runs and stops it.

mod activation;
mod application;
mod approvals;
mod check;
mod cluster;
mod descriptors;
mod doctor;
mod doctor_etcd;
mod doctor_https;
mod github;
mod https;
mod login;
mod logout;
mod migrate;
mod notify;
mod own_keys;
mod parts;
mod policy;
mod registering;
mod reload;
mod serve;
mod session;
mod session_key;
mod settings;
mod signals;
mod state;
mod terminal;

use std::io::IsTerminal;
use std::path::Path;

pub use check::check;
pub use doctor::doctor;
pub use login::login;
pub use logout::logout;
pub use migrate::state;
pub use policy::policy;
pub use serve::serve;
pub use session::session_show;

use crate::cli::exit::{Exit, Failure};
use crate::config::{AccountConfig, Config, Environment, LogConfig, LogFormat, TelegramConfig};
use crate::telemetry;

/// What to do about an audit without checkpoints.
const UNSIGNED: &str =
    "`vaultgram audit keygen` makes a key for checkpoints (VAULTGRAM_AUDIT_KEY_FILE)";

/// Reads `file` and the environment.
///
/// # Errors
/// Lists everything that is wrong.
fn load(file: &Path) -> Result<Config, Failure> {
    load_all(file).map(|(config, _)| config)
}

/// As [`load`]; and the environment.
fn load_all(file: &Path) -> Result<(Config, Environment), Failure> {
    let environment = environment(file)?;
    let config =
        Config::load(file, &environment).map_err(|error| Failure::new(Exit::Config, error))?;
    Ok((config, environment))
}

/// As [`load`], of what concerns the Telegram account alone; and the environment, which may
/// have answers to what its owner would be asked.
fn load_account(file: &Path) -> Result<(AccountConfig, Environment), Failure> {
    let environment = environment(file)?;
    let config = AccountConfig::load(file, &environment)
        .map_err(|error| Failure::new(Exit::Config, error))?;
    Ok((config, environment))
}

/// As [`load_account`], for commands that need the account.
fn load_telegram(file: &Path) -> Result<(TelegramConfig, Environment), Failure> {
    let (config, environment) = load_account(file)?;
    let telegram = config.telegram.ok_or_else(|| {
        let what = format!("{}: there is no [telegram] section", file.display());
        Failure::new(Exit::Config, what)
    })?;
    Ok((telegram, environment))
}

fn environment(file: &Path) -> Result<Environment, Failure> {
    let directory = file.parent().unwrap_or(Path::new(""));
    Environment::of_process(directory).map_err(|what| Failure::new(Exit::Config, what))
}

fn start_log(log: &LogConfig) -> Result<(), Failure> {
    let json = match log.format {
        LogFormat::Auto => !std::io::stderr().is_terminal(),
        LogFormat::Text => false,
        LogFormat::Json => true,
    };
    telemetry::start(&log.filter, json).map_err(|error| Failure::new(Exit::Config, error))
}

/// `1 policy`, `2 policies`.
fn policies(count: usize) -> String {
    if count == 1 {
        "1 policy".to_owned()
    } else {
        format!("{count} policies")
    }
}

/// `1 person`, `2 people`.
fn people(count: usize) -> String {
    if count == 1 {
        "1 person".to_owned()
    } else {
        format!("{count} people")
    }
}

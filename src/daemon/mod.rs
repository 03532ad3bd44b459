//! The composition root: reads the configuration, puts the broker together, runs and stops it.

mod check;
mod doctor;
mod login;
mod serve;
mod settings;
mod signals;

use std::io::IsTerminal;
use std::path::Path;

pub use check::check;
pub use doctor::doctor;
pub use login::login;
pub use serve::serve;

use crate::cli::exit::{Exit, Failure};
use crate::config::{Config, Environment, LogConfig, LogFormat};
use crate::telemetry;

/// Reads `file` and the environment.
///
/// # Errors
/// Lists everything that is wrong.
fn load(file: &Path) -> Result<Config, Failure> {
    let wrong = |what: String| Failure::new(Exit::Config, what);
    let directory = file.parent().unwrap_or(Path::new(""));
    let environment = Environment::of_process(directory).map_err(wrong)?;
    Config::load(file, &environment).map_err(|error| wrong(error.to_string()))
}

fn start_log(log: &LogConfig) -> Result<(), Failure> {
    let json = match log.format {
        LogFormat::Auto => !std::io::stderr().is_terminal(),
        LogFormat::Text => false,
        LogFormat::Json => true,
    };
    telemetry::start(&log.filter, json).map_err(|error| Failure::new(Exit::Config, error))
}

/// `1 person`, `2 people`.
fn people(count: usize) -> String {
    if count == 1 {
        "1 person".to_owned()
    } else {
        format!("{count} people")
    }
}

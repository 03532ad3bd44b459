//! The composition root: reads the configuration, puts the broker together, runs and stops it.

mod check;

use std::path::Path;

pub use check::check;

use crate::cli::exit::{Exit, Failure};
use crate::config::{Config, Environment};

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

//! The `[state]` and `[log]` sections.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::config::{Environment, raw};

/// The embedded state store.
#[derive(Debug, Clone)]
pub struct StateConfig {
    /// The file.
    pub file: PathBuf,
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

pub(super) fn typed(
    state: raw::State,
    log: &raw::Log,
    directory: &Path,
    environment: &Environment,
) -> (StateConfig, LogConfig) {
    (
        StateConfig {
            file: directory.join(state.file),
        },
        LogConfig {
            format: log.format,
            filter: environment
                .variable("RUST_LOG")
                .unwrap_or(log.level.name())
                .to_owned(),
        },
    )
}

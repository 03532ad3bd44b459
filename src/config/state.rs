//! The `[audit]`, `[state]` and `[log]` sections.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::config::raw;

/// The audit.
#[derive(Debug, Clone)]
pub struct AuditConfig {
    /// The file, JSON Lines.
    pub file: PathBuf,
    /// Whether each record waits for the disk before anything follows from it.
    pub strict: bool,
}

/// The embedded state store.
#[derive(Debug, Clone)]
pub struct StateConfig {
    /// The file.
    pub file: PathBuf,
}

/// Logs.
#[derive(Debug, Clone, Default)]
pub struct LogConfig {
    /// Their form.
    pub format: LogFormat,
    /// The least important level shown.
    pub level: LogLevel,
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

/// A log level; `RUST_LOG` overrides it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    /// Only failures.
    Error,
    /// And what may become one.
    Warn,
    /// And what happens.
    #[default]
    Info,
    /// And how.
    Debug,
    /// Everything.
    Trace,
}

impl LogLevel {
    /// Its name as `RUST_LOG` has it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }
}

impl From<raw::Log> for LogConfig {
    fn from(raw: raw::Log) -> Self {
        Self {
            format: raw.format,
            level: raw.level,
        }
    }
}

pub(super) fn typed(
    audit: raw::Audit,
    state: raw::State,
    directory: &Path,
) -> (AuditConfig, StateConfig) {
    let strict = match audit.durability {
        raw::Durability::Grouped => false,
        raw::Durability::Strict => true,
    };
    (
        AuditConfig {
            file: directory.join(audit.file),
            strict,
        },
        StateConfig {
            file: directory.join(state.file),
        },
    )
}

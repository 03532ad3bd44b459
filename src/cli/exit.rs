//! How commands end: sysexits codes, and failures that say what to do.

use std::fmt;
use std::process::ExitCode;

use clap::builder::styling::{AnsiColor, Style};

/// Exit codes, from `sysexits.h` but for the last ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// What was to be checked is not as it should be.
    Failed = 1,
    /// `EX_USAGE`: the command was typed wrong.
    Usage = 64,
    /// `EX_DATAERR`: the data is not what it should be.
    Data = 65,
    /// `EX_NOINPUT`: what was asked for does not exist.
    NotFound = 66,
    /// `EX_UNAVAILABLE`: something needed cannot be reached.
    Unavailable = 69,
    /// `EX_SOFTWARE`: a fault of vaultgram's own.
    Software = 70,
    /// `EX_CANTCREAT`: a file cannot be written.
    CannotCreate = 73,
    /// `EX_IOERR`: a program or a file that was needed failed.
    Io = 74,
    /// `EX_TEMPFAIL`: try again.
    TryAgain = 75,
    /// `EX_NOPERM`: policy says no.
    Denied = 77,
    /// `EX_CONFIG`: the configuration is wrong.
    Config = 78,
    /// What `env` says of a command that cannot be run.
    NotExecutable = 126,
    /// What `env` says of a command that does not exist.
    NoCommand = 127,
    /// What a shell says of a command that Ctrl-C ended.
    Cancelled = 130,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// A command's failure, in the two lines a person needs.
#[derive(Debug)]
pub struct Failure {
    /// The code the process ends with.
    pub exit: Exit,
    /// What went wrong; holds nothing secret.
    pub what: String,
    /// What to do about it.
    pub hint: Option<String>,
}

impl Failure {
    /// A failure without a hint.
    #[must_use]
    pub fn new(exit: Exit, what: impl fmt::Display) -> Self {
        Self {
            exit,
            what: what.to_string(),
            hint: None,
        }
    }

    /// Adds what to do about it.
    #[must_use]
    pub fn hint(self, hint: impl Into<String>) -> Self {
        Self {
            hint: Some(hint.into()),
            ..self
        }
    }

    /// As [`fmt::Display`], with what a terminal makes stand out.
    #[must_use]
    pub(super) fn styled(&self) -> String {
        let (bad, good) = (AnsiColor::Red.on_default().bold(), Style::new().bold());
        let hint = self.hint.as_ref();
        let hint = hint.map(|hint| format!("\n{good}hint:{good:#} {hint}"));
        format!(
            "{bad}error:{bad:#} {}{}",
            self.what,
            hint.unwrap_or_default()
        )
    }

    /// For programs.
    #[must_use]
    pub(super) fn json(&self) -> String {
        let (exit, what, hint) = (self.exit as u8, &self.what, &self.hint);
        serde_json::json!({"error": {"exit": exit, "what": what, "hint": hint}}).to_string()
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error: {}", self.what)?;
        match &self.hint {
            Some(hint) => write!(f, "\nhint: {hint}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Failure {}

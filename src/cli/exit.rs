//! How commands end: sysexits codes, and failures that say what to do.

use std::fmt;
use std::process::ExitCode;

/// Exit codes, from `sysexits.h` but for the last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// `EX_USAGE`: the command was typed wrong.
    Usage = 64,
    /// `EX_DATAERR`: the data is not what it should be.
    Data = 65,
    /// `EX_NOINPUT`: what was asked for does not exist.
    NotFound = 66,
    /// `EX_UNAVAILABLE`: something needed cannot be reached.
    Unavailable = 69,
    /// `EX_CANTCREAT`: a file cannot be written.
    CannotCreate = 73,
    /// `EX_TEMPFAIL`: try again.
    TryAgain = 75,
    /// `EX_NOPERM`: policy says no.
    Denied = 77,
    /// `EX_CONFIG`: the configuration is wrong.
    Config = 78,
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

//! `vaultgram audit …`: the audit is checked, read, and handed on; nobody running is asked.

mod csv;
mod export;
mod keygen;
mod ocsf;
mod record;
mod search;
mod select;
mod tail;
pub mod verify;

use std::io::{self, Write};
use std::path::Path;

use clap::Subcommand;

use crate::cli::exit::{Exit, Failure};

/// `vaultgram audit …`
#[derive(Debug, Subcommand)]
pub enum Audit {
    /// Check that no record was changed, removed, repeated or moved
    Verify(verify::Verify),
    /// Show the last records, and those that come
    Tail(tail::Tail),
    /// Find records by who, what and when
    Search(search::Search),
    /// Write records as CSV or in the Open Cybersecurity Schema (OCSF)
    Export(export::Export),
    /// Make the key that checkpoints are signed with
    Keygen(keygen::Keygen),
}

/// Runs a command on `out`, in `color`.
///
/// # Errors
/// With the exit codes that the command's help lists.
pub async fn run(audit: &Audit, out: &mut dyn Write) -> Result<(), Failure> {
    match audit {
        Audit::Verify(arguments) => verify::run(arguments, out),
        Audit::Tail(arguments) => tail::run(arguments, out).await,
        Audit::Search(arguments) => search::run(arguments, out),
        Audit::Export(arguments) => export::run(arguments, out),
        Audit::Keygen(arguments) => keygen::run(arguments, out),
    }
}

/// Why reading ended before the end.
#[derive(Debug)]
enum Ended {
    /// Whoever reads our output has had enough, which is no failure.
    ClosedPipe,
    /// Anything else.
    Failed(Failure),
}

/// What a failed write means.
fn unwritten(error: &io::Error) -> Ended {
    if error.kind() == io::ErrorKind::BrokenPipe {
        return Ended::ClosedPipe;
    }
    Ended::Failed(Failure::new(
        Exit::CannotCreate,
        format!("standard output: {error}"),
    ))
}

/// What a failed read means.
fn unread(path: &Path, error: &io::Error) -> Failure {
    let path = path.display().to_string();
    let text = error.to_string();
    let what = if text.starts_with(&path) {
        text
    } else {
        format!("{path}: {text}")
    };
    Failure::new(Exit::NotFound, what).hint("name a file or a folder you may read")
}

impl From<Failure> for Ended {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

/// A closed pipe is a good end.
fn settle(ended: Result<(), Ended>) -> Result<(), Failure> {
    match ended {
        Ok(()) | Err(Ended::ClosedPipe) => Ok(()),
        Err(Ended::Failed(failure)) => Err(failure),
    }
}

//! `vaultgram github`: secrets for the later steps of a GitHub job, masked in its log.

use std::io::Write;

use clap::Args;

use crate::cli::common::Common;
use crate::cli::exit::{Exit, Failure};

/// Arguments of `github`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  vaultgram github")]
pub struct GithubArgs {
    /// How to ask.
    #[command(flatten)]
    pub common: Common,
}

/// Runs the command.
///
/// # Errors
/// With the exit codes that `vaultgram github --help` lists.
pub async fn run(arguments: &GithubArgs, out: &mut dyn Write) -> Result<(), Failure> {
    let _ = (&arguments.common, out);
    Err(Failure::new(Exit::Software, "not there yet"))
}

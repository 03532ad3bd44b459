//! `vaultgram exec`: a command with secrets in its environment or in files.

pub mod environment;

use std::process::ExitCode;

use clap::Args;

use crate::cli::common::Common;
use crate::cli::exit::{Exit, Failure};

/// Arguments of `exec`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  vaultgram exec")]
pub struct ExecArgs {
    /// How to ask.
    #[command(flatten)]
    pub common: Common,
}

/// Runs the command.
///
/// # Errors
/// With the exit codes that `vaultgram exec --help` lists.
pub async fn run(arguments: &ExecArgs) -> Result<ExitCode, Failure> {
    let _ = &arguments.common;
    Err(Failure::new(Exit::Software, "not there yet"))
}

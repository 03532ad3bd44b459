//! `vaultgram render`: a file from a template with secrets in it.

use std::io::Write;

use clap::Args;

use crate::cli::common::Common;
use crate::cli::exit::{Exit, Failure};

/// Arguments of `render`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  vaultgram render")]
pub struct RenderArgs {
    /// How to ask.
    #[command(flatten)]
    pub common: Common,
}

/// Runs the command.
///
/// # Errors
/// With the exit codes that `vaultgram render --help` lists.
pub async fn run(arguments: &RenderArgs, out: &mut dyn Write) -> Result<(), Failure> {
    let _ = (&arguments.common, out);
    Err(Failure::new(Exit::Software, "not there yet"))
}

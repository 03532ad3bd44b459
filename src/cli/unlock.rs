//! `vaultgram unlock`: opens the lock on chat that a new device closed.

use std::io::Write;

use clap::Args;

use crate::api::{Envelope, Unlocked};
use crate::cli::common::Common;
use crate::cli::exit::Failure;
use crate::cli::secret::not_understood;
use crate::cli::show;

/// Arguments of `unlock`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  vaultgram unlock          only root and vaultgram's own user may

Exit codes: 0 done, or not locked, 69 not available, 75 try again, 77 denied.")]
pub struct UnlockArgs {
    /// How to ask.
    #[command(flatten)]
    pub common: Common,
}

/// Opens the lock.
///
/// # Errors
/// When no vaultgram answers, or this user may not.
pub async fn run(arguments: &UnlockArgs, out: &mut dyn Write) -> Result<(), Failure> {
    let socket = arguments.common.socket()?;
    let answer = socket.post("/v1/vaultgram/unlock", None).await?;
    if !answer.status.is_success() {
        return Err(answer.failure());
    }
    let said: Envelope<Unlocked> =
        serde_json::from_slice(&answer.body).map_err(|_| not_understood())?;
    if arguments.common.json {
        return show::json(&said.data, out);
    }
    let text = if said.data.was_locked {
        "unlocked: chat is answered again"
    } else {
        "chat was not locked"
    };
    show::line(text, out)
}

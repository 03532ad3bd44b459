//! `vaultgram unlock`: opens the lock on chat that a new device closed.

use std::io::Write;

use clap::Args;

use crate::api::{Envelope, Unlocked};
use crate::cli::client::{self, SocketArgs};
use crate::cli::exit::{Exit, Failure};

/// Arguments of `unlock`.
#[derive(Debug, Args)]
pub struct UnlockArgs {
    /// Where the running vaultgram is.
    #[command(flatten)]
    pub socket: SocketArgs,
}

/// Opens the lock.
///
/// # Errors
/// When no vaultgram answers, or this user may not.
pub async fn run(arguments: &UnlockArgs, out: &mut dyn Write) -> Result<(), Failure> {
    let answer = client::post(&arguments.socket.socket, "/v1/vaultgram/unlock").await?;
    if !answer.status.is_success() {
        return Err(answer.failure());
    }
    let said: Envelope<Unlocked> = serde_json::from_slice(&answer.body)
        .map_err(|_| Failure::new(Exit::Unavailable, "vaultgram's answer has no known form"))?;
    let text = if said.data.was_locked {
        "unlocked: chat is answered again"
    } else {
        "chat was not locked"
    };
    writeln!(out, "{text}")
        .map_err(|error| Failure::new(Exit::CannotCreate, format!("standard output: {error}")))
}

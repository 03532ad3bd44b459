//! `vaultgram collect`: what was asked for in chat with `socket`, once, by the asker's own user.

use std::io::Write;

use clap::Args;
use hyper::StatusCode;
use serde::Serialize;
use zeroize::Zeroizing;

use crate::api::{Envelope, KvVersion};
use crate::cli::client::{self, SocketArgs};
use crate::cli::exit::Failure;
use crate::cli::get::{explain, not_understood};
use crate::cli::show::{self, Values};

/// Arguments of `collect`.
#[derive(Debug, Args)]
#[command(after_help = "\
Ask in chat with: /get_secret PATH socket, and give the code of the answer here, on vaultgram's
host, within ten minutes. It works once. One value is printed as it is (on a terminal as JSON, if it
holds signs that cannot be seen), several as a table.

Exit codes: 0 done, 64 usage, 66 nothing waits for you, 69 not available, 75 try again, 77 denied.")]
pub struct CollectArgs {
    /// The code from the chat
    #[arg(value_parser = code)]
    pub code: String,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
    /// Where vaultgram is.
    #[command(flatten)]
    pub socket: SocketArgs,
}

/// What `--json` prints.
#[derive(Serialize)]
struct Printed<'a> {
    version: u64,
    created_time: &'a str,
    data: &'a std::collections::BTreeMap<String, &'a serde_json::value::RawValue>,
}

fn code(text: &str) -> Result<String, &'static str> {
    let good = |c: char| c.is_ascii_alphanumeric() || c == '-';
    if text.is_empty() || text.len() > 32 || !text.chars().all(good) {
        return Err("not a code: it is six letters and digits, such as R7K2XY");
    }
    Ok(text.to_owned())
}

/// Collects a secret and writes it to `out`. `terminal`: whether `out` is one.
///
/// # Errors
/// With the exit codes that `vaultgram collect --help` lists.
pub async fn run(
    arguments: &CollectArgs,
    out: &mut dyn Write,
    terminal: bool,
) -> Result<(), Failure> {
    let target = format!("/v1/vaultgram/collect/{}", arguments.code);
    let answer = client::post(&arguments.socket.socket, &target).await?;
    if answer.status != StatusCode::OK {
        return Err(explain(&answer));
    }
    let envelope: Envelope<KvVersion<Values<'_>>> =
        serde_json::from_slice(&answer.body).map_err(|_| not_understood())?;
    let (values, metadata) = (envelope.data.data, envelope.data.metadata);
    let mut text = Zeroizing::new(Vec::with_capacity(answer.body.len() + 256));
    if arguments.json {
        let printed = Printed {
            version: metadata.version,
            created_time: &metadata.created_time,
            data: &values.0,
        };
        serde_json::to_writer(&mut *text, &printed).map_err(|_| not_understood())?;
        text.push(b'\n');
    } else {
        show::values(&values, terminal, &mut text);
    }
    show::write(&text, out)
}

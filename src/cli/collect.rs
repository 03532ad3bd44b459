//! `vaultgram collect`: what was asked for in chat with `socket`, once, by the asker's own user.

use std::io::Write;

use clap::Args;
use hyper::StatusCode;

use crate::cli::address::explain;
use crate::cli::common::Common;
use crate::cli::exit::Failure;
use crate::cli::format::FormatArgs;
use crate::cli::secret::{Style, Told};
use crate::cli::show;

/// Arguments of `collect`.
#[derive(Debug, Args)]
#[command(after_help = "\
Ask in chat with: /get_secret PATH socket, and give the code of the answer here, on vaultgram's
host, within ten minutes. It works once. One value is printed as it is (on a terminal as JSON, if it
holds signs that cannot be seen), several as a table.

Examples:
  vaultgram collect R7K2XY
  vaultgram collect R7K2XY --format dotenv > .env

Exit codes: 0 done, 64 usage, 66 nothing waits for you, 69 not available, 75 try again, 77 denied.")]
pub struct CollectArgs {
    /// The code from the chat
    #[arg(value_parser = code)]
    pub code: String,
    /// How to print the values.
    #[command(flatten)]
    pub format: FormatArgs,
    /// How to ask.
    #[command(flatten)]
    pub common: Common,
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
    let answer = arguments.common.socket()?.post(&target, None).await?;
    if answer.status != StatusCode::OK {
        return Err(explain(&answer));
    }
    let told = Told::any(&answer)?;
    let style = Style {
        json: arguments.common.json,
        format: &arguments.format,
        path: None,
        field: None,
        terminal,
    };
    show::write(&told.print_compact(&style, &answer)?, out)
}

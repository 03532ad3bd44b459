//! `vaultgram audit search`: records by who, what and when.

use std::io::{BufWriter, Write};

use clap::Args;

use crate::cli::audit::select::Select;
use crate::cli::audit::{record, settle, unwritten};
use crate::cli::exit::Failure;

/// Arguments of `audit search`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  vaultgram audit search /var/lib/vaultgram/audit.jsonl --caller telegram:1001 --since 2d
  vaultgram audit search --path secret/production --event decided
  vaultgram audit search --id telegram-1001-7 --json | jq .

Exit codes: 0 done, 64 usage, 65 something there is no record, 66 it cannot be read.")]
pub struct Search {
    /// What is looked for.
    #[command(flatten)]
    select: Select,
    /// Print the records themselves, a JSON object a line
    #[arg(long)]
    json: bool,
}

/// Prints what is found, as it is found.
///
/// # Errors
/// With the exit codes that `vaultgram audit search --help` lists.
pub(super) fn run(arguments: &Search, out: &mut dyn Write) -> Result<(), Failure> {
    let mut out = BufWriter::new(out);
    let mut first = true;
    let read = arguments.select.each(|record, line| {
        let written = if arguments.json {
            out.write_all(line).and_then(|()| out.write_all(b"\n"))
        } else {
            let head = std::mem::take(&mut first).then(record::head);
            let head = head.map_or(Ok(()), |head| writeln!(out, "{head}"));
            head.and_then(|()| writeln!(out, "{}", record.line()))
        };
        written.map_err(|error| unwritten(&error))
    });
    let flushed = out.flush().map_err(|error| unwritten(&error));
    settle(read.and(flushed))
}

//! `vaultgram audit export`: records for a spreadsheet, or for a SIEM.

use std::io::{BufWriter, Write};

use clap::{Args, ValueEnum};

use crate::cli::audit::select::Select;
use crate::cli::audit::{csv, ocsf, settle, unwritten};
use crate::cli::exit::Failure;

/// Arguments of `audit export`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  vaultgram audit export --format csv --since 30d > audit.csv
  vaultgram audit export /var/lib/vaultgram/audit.jsonl --format ocsf | gzip > audit.ocsf.gz

Exit codes: 0 done, 64 usage, 65 something there is no record, 66 it cannot be read.")]
pub struct Export {
    /// What is exported.
    #[command(flatten)]
    select: Select,
    /// The form
    #[arg(long, value_enum)]
    format: Format,
}

/// The form.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum Format {
    /// A table (RFC 4180), whose cells no spreadsheet takes for formulas
    Csv,
    /// OCSF 1.3, class API Activity (6003), a JSON object a line
    Ocsf,
}

/// Prints the records, one after the other.
///
/// # Errors
/// With the exit codes that `vaultgram audit export --help` lists.
pub(super) fn run(arguments: &Export, out: &mut dyn Write) -> Result<(), Failure> {
    let mut out = BufWriter::new(out);
    let head = match arguments.format {
        Format::Csv => csv::head(),
        Format::Ocsf => String::new(),
    };
    let started = out.write_all(head.as_bytes());
    let started = started.map_err(|error| unwritten(&error));
    let read = started.and_then(|()| {
        arguments.select.each(|record, _| {
            let line = match arguments.format {
                Format::Csv => csv::row(record),
                Format::Ocsf => ocsf::event(record).to_string() + "\n",
            };
            out.write_all(line.as_bytes())
                .map_err(|error| unwritten(&error))
        })
    });
    let flushed = out.flush().map_err(|error| unwritten(&error));
    settle(read.and(flushed))
}

//! `vaultgram audit tail`: the last records, and those that come.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufReader, Seek, SeekFrom, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use tokio::time::sleep;

use crate::audit::series::{self, Part, each_line};
use crate::cli::audit::record::{self, Record};
use crate::cli::audit::select::failed;
use crate::cli::audit::{Ended, settle, unread, unwritten};
use crate::cli::exit::Failure;

/// How often is looked for more.
const PAUSE: Duration = Duration::from_millis(200);
/// What a record takes, as a first guess, in bytes.
const GUESS: u64 = 1024;

/// Arguments of `audit tail`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  vaultgram audit tail /var/lib/vaultgram/audit.jsonl
  vaultgram audit tail -f -n 50
  vaultgram audit tail -f --json | jq .

Exit codes: 0 done, 64 usage, 66 it cannot be read.")]
pub struct Tail {
    /// The audit file; those rotated away from it are read too
    #[arg(default_value = "audit.jsonl", value_name = "FILE")]
    file: PathBuf,
    /// How many records
    #[arg(short = 'n', long, value_name = "NUMBER", default_value_t = 10,
          value_parser = clap::value_parser!(u32).range(0..=10_000))]
    lines: u32,
    /// Go on with those that come, also in the next file
    #[arg(short, long)]
    follow: bool,
    /// Print the records themselves, a JSON object a line
    #[arg(long)]
    json: bool,
}

/// Prints them.
///
/// # Errors
/// With the exit codes that `vaultgram audit tail --help` lists.
pub(super) async fn run(arguments: &Tail, out: &mut dyn Write) -> Result<(), Failure> {
    let parts = series::with_rotated(&arguments.file);
    let parts = parts.map_err(|error| unread(&arguments.file, &error))?;
    settle(show(arguments, parts, out).await)
}

async fn show(arguments: &Tail, parts: Vec<Part>, out: &mut dyn Write) -> Result<(), Ended> {
    let wanted = usize::try_from(arguments.lines).unwrap_or(usize::MAX);
    let mut lines: VecDeque<Vec<u8>> = VecDeque::new();
    let mut end = 0;
    for (back, part) in parts.iter().rev().enumerate() {
        let missing = wanted.saturating_sub(lines.len());
        let file = part.file().map_err(failed(&part.path))?;
        let (mut found, read) = last(&file, missing).map_err(failed(&part.path))?;
        if back == 0 {
            end = read;
        }
        found.append(&mut lines);
        lines = found;
        if lines.len() >= wanted {
            break;
        }
    }
    if !arguments.json {
        writeln!(out, "{}", record::head()).map_err(|error| unwritten(&error))?;
    }
    for line in lines {
        print(&line, arguments.json, out)?;
    }
    out.flush().map_err(|error| unwritten(&error))?;
    match parts.into_iter().next_back() {
        Some(part) if arguments.follow => {
            let file = part.file().map_err(failed(&part.path))?;
            follow(arguments, file, end, out).await
        }
        Some(_) | None => Ok(()),
    }
}

/// The last whole lines of `file`, at most `wanted`, and where they end.
fn last(file: &File, wanted: usize) -> io::Result<(VecDeque<Vec<u8>>, u64)> {
    let size = file.metadata()?.len();
    let mut span = GUESS.saturating_mul(wanted as u64 + 1).max(64 * GUESS);
    loop {
        let start = size.saturating_sub(span);
        let mut lines = VecDeque::new();
        // What it begins with may be the rest of a line.
        let mut whole = start == 0;
        let read = read_from(file, start, |line| {
            if std::mem::replace(&mut whole, true) {
                lines.push_back(line.to_vec());
            }
            if lines.len() > wanted {
                lines.pop_front();
            }
            true
        })?;
        if start == 0 || lines.len() >= wanted {
            return Ok((lines, start + read));
        }
        span = span.saturating_mul(4);
    }
}

/// Hands the whole lines from byte `start` on to `take`; how many bytes they are.
fn read_from(file: &File, start: u64, take: impl FnMut(&[u8]) -> bool) -> io::Result<u64> {
    let mut reader = BufReader::new(file);
    reader.seek(SeekFrom::Start(start))?;
    each_line(reader, take)
}

/// Prints what comes, until the pipe is closed. A file that was rotated away is read to its end
/// before the next one.
async fn follow(
    arguments: &Tail,
    mut file: File,
    mut at: u64,
    out: &mut dyn Write,
) -> Result<(), Ended> {
    let path = arguments.file.as_path();
    loop {
        // Looked at first: what was written to the old one before it moved is there by now.
        let next = replaced(path, &file);
        let mut printed = Ok(());
        let read = read_from(&file, at, |line| {
            printed = print(line, arguments.json, out);
            printed.is_ok()
        });
        printed?;
        at += read.map_err(failed(path))?;
        out.flush().map_err(|error| unwritten(&error))?;
        match next {
            Some(next) => (file, at) = (next, 0),
            None => sleep(PAUSE).await,
        }
    }
}

/// The file at `path`, where it is another one than `file`.
fn replaced(path: &Path, file: &File) -> Option<File> {
    let next = File::open(path).ok()?;
    let (one, other) = (file.metadata().ok()?, next.metadata().ok()?);
    ((one.dev(), one.ino()) != (other.dev(), other.ino())).then_some(next)
}

fn print(line: &[u8], json: bool, out: &mut dyn Write) -> Result<(), Ended> {
    let written = match Record::read(line) {
        Some(record) if !json => writeln!(out, "{}", record.line()),
        Some(_) => out.write_all(line).and_then(|()| out.write_all(b"\n")),
        None => writeln!(out, "(a line that is not a record)"),
    };
    written.map_err(|error| unwritten(&error))
}

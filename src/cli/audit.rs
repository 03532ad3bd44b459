//! `vaultgram audit verify`: is the audit what was written?

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde_json::json;
use thiserror::Error;

use crate::audit::verify::{Flaw, Summary, VerifyError, verify_file};

/// `vaultgram audit …`
#[derive(Debug, Subcommand)]
pub enum Audit {
    /// Check that no record was changed, removed, repeated or moved
    Verify(Verify),
}

/// The arguments of `vaultgram audit verify`.
#[derive(Debug, Args)]
pub struct Verify {
    /// The audit file; by default the configured one
    file: Option<PathBuf>,
    /// A head noted earlier, which must be in the file: shows a removed end too
    #[arg(long, value_name = "HASH", value_parser = parse_hash)]
    head: Option<String>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// The answer, already printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing is wrong.
    Sound,
    /// Something is wrong with the audit: exit code 65, `EX_DATAERR`.
    Flawed,
}

/// Why there is no answer.
#[derive(Debug, Error)]
pub enum NoVerdict {
    /// The audit, or its `.head` file, cannot be read: exit code 66, `EX_NOINPUT`.
    #[error("{path}: {source}; run this as a user who may read the audit")]
    Read {
        /// The audit.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The answer cannot be printed: exit code 74, `EX_IOERR`.
    #[error("cannot print: {0}")]
    Print(#[from] io::Error),
}

impl Verify {
    /// Checks the file given, or the `configured` one, and prints the answer to `out`.
    ///
    /// # Errors
    /// See [`NoVerdict`].
    pub fn run(&self, configured: &Path, out: &mut dyn Write) -> Result<Verdict, NoVerdict> {
        let path = self.file.as_deref().unwrap_or(configured);
        let (text, json, verdict) = match verify_file(path, self.head.as_deref()) {
            Ok(summary) => (describe(&summary), to_json(&summary), Verdict::Sound),
            Err(VerifyError::Flaw(flaw)) => {
                (flaw.to_string(), flaw_to_json(&flaw), Verdict::Flawed)
            }
            Err(VerifyError::Read(source)) => {
                let path = path.to_owned();
                return Err(NoVerdict::Read { path, source });
            }
        };
        if self.json {
            writeln!(out, "{json}")?;
        } else {
            writeln!(out, "{}: {text}", path.display())?;
        }
        Ok(verdict)
    }
}

fn describe(summary: &Summary) -> String {
    let times = match (&summary.first, &summary.last) {
        (Some(first), Some(last)) => format!("{first} to {last}, "),
        (None, _) | (_, None) => String::new(),
    };
    let records = with_commas(summary.records);
    let head = &summary.head;
    format!("{records} records verified, {times}head {head}")
}

fn to_json(summary: &Summary) -> serde_json::Value {
    json!({
        "sound": true,
        "records": summary.records,
        "first": summary.first,
        "last": summary.last,
        "head": summary.head,
    })
}

fn flaw_to_json(flaw: &Flaw) -> serde_json::Value {
    json!({
        "sound": false,
        "line": flaw.line,
        "flaw": flaw.what.name(),
        "message": flaw.what.to_string(),
    })
}

/// `1234567` as `1,234,567`.
fn with_commas(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (position, digit) in digits.chars().enumerate() {
        if position > 0 && (digits.len() - position).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn parse_hash(text: &str) -> Result<String, String> {
    if text.len() == 64 && text.chars().all(|c| c.is_ascii_hexdigit()) {
        Ok(text.to_ascii_lowercase())
    } else {
        Err("a head is 64 hexadecimal digits, as `audit verify` prints it".into())
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(subcommand)]
        command: Audit,
    }

    /// Parses and runs a command line; what it printed, and the answer.
    fn run(path: &Path, arguments: &[&str]) -> (String, Result<Verdict, NoVerdict>) {
        let line = ["audit", "verify"].iter().chain(arguments);
        let Audit::Verify(verify) = Line::try_parse_from(line).unwrap().command;
        let mut out = vec![];
        let verdict = verify.run(path, &mut out);
        (String::from_utf8(out).unwrap(), verdict)
    }

    const GENESIS: &str = "0000000000000000000000000000000000000000000000000000000000000000";

    #[test]
    fn prints_the_head_of_a_sound_audit() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let (text, verdict) = run(file.path(), &[]);
        assert_eq!(verdict.unwrap(), Verdict::Sound);
        let path = file.path().display();
        assert_eq!(
            text,
            format!("{path}: 0 records verified, head {GENESIS}\n")
        );
        let (text, verdict) = run(file.path(), &["--json", "--head", GENESIS]);
        assert_eq!(verdict.unwrap(), Verdict::Sound);
        let json: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(
            (&json["sound"], &json["records"]),
            (&true.into(), &0.into())
        );
    }

    #[test]
    fn says_where_and_what_is_wrong() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "{}\n").unwrap();
        let path = file.path().to_str().unwrap();
        let (text, verdict) = run(Path::new("/nowhere"), &[path]);
        assert_eq!(verdict.unwrap(), Verdict::Flawed);
        assert_eq!(text, format!("{path}: line 1: this record was changed\n"));
        let (text, verdict) = run(file.path(), &["--json"]);
        assert_eq!(verdict.unwrap(), Verdict::Flawed);
        let json: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(
            (&json["line"], &json["flaw"]),
            (&1.into(), &"changed".into())
        );
    }

    #[test]
    fn names_a_file_that_cannot_be_read() {
        let (text, verdict) = run(Path::new("/nowhere/audit.jsonl"), &[]);
        assert_eq!(text, "");
        let error = verdict.unwrap_err().to_string();
        assert!(
            error.starts_with("/nowhere/audit.jsonl: No such file"),
            "{error}"
        );
    }

    #[test]
    fn a_head_must_look_like_one() {
        for head in ["", "abc", &GENESIS.replace('0', "x")] {
            let line = ["audit", "verify", "--head", head];
            assert!(Line::try_parse_from(line).is_err(), "{head}");
        }
        assert_eq!(
            parse_hash(&GENESIS.replace('0', "A")).unwrap(),
            GENESIS.replace('0', "a")
        );
    }

    #[test]
    fn numbers_are_grouped() {
        for (number, text) in [
            (0, "0"),
            (999, "999"),
            (1234, "1,234"),
            (1_234_567, "1,234,567"),
        ] {
            assert_eq!(with_commas(number), text);
        }
    }
}

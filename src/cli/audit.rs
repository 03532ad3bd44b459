//! `vaultgram audit verify`: is the audit what was written?

use std::io::Write;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::json;

use crate::audit::verify::{Flaw, Summary, VerifyError, verify_file};
use crate::cli::exit::{Exit, Failure};

/// `vaultgram audit …`
#[derive(Debug, Subcommand)]
pub enum Audit {
    /// Check that no record was changed, removed, repeated or moved
    Verify(Verify),
}

/// The arguments of `vaultgram audit verify`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  vaultgram audit verify /var/lib/vaultgram/audit.jsonl
  vaultgram audit verify --head 9a46de0f33f6fb5b9622fb44624e94956b4ef652d7760c5d81e9b010550eb3cb

Exit codes: 0 sound, 64 usage, 65 something is wrong with it, 66 it cannot be read.")]
pub struct Verify {
    /// The audit file
    #[arg(default_value = "audit.jsonl")]
    file: PathBuf,
    /// A head noted earlier, which must be in the file: shows a removed end too
    #[arg(long, value_name = "HASH", value_parser = parse_hash)]
    head: Option<String>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// Checks the file and prints the answer to `out`.
///
/// # Errors
/// When something is wrong with the audit, or it cannot be read.
pub fn run(arguments: &Verify, out: &mut dyn Write) -> Result<(), Failure> {
    let path = arguments.file.as_path();
    let (json, answer) = match verify_file(path, arguments.head.as_deref()) {
        Ok(summary) => (to_json(&summary), Ok(describe(&summary))),
        Err(VerifyError::Flaw(flaw)) => (flaw_to_json(&flaw), Err(flaw)),
        Err(VerifyError::Read(error)) => {
            let what = format!("{}: {error}", path.display());
            return Err(Failure::new(Exit::NotFound, what).hint("name a file you may read"));
        }
    };
    let printed = match &answer {
        _ if arguments.json => writeln!(out, "{json}"),
        Ok(text) => writeln!(out, "{}: {text}", path.display()),
        Err(_) => Ok(()),
    };
    printed
        .map_err(|error| Failure::new(Exit::CannotCreate, format!("standard output: {error}")))?;
    answer.map(drop).map_err(|flaw| {
        Failure::new(Exit::Data, format!("{}: {flaw}", path.display()))
            .hint("keep the file as evidence, and compare it with a copy or a noted head")
    })
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

    /// Parses and runs a command line; what it printed, and how it failed.
    fn run(arguments: &[&str]) -> (String, Result<(), Failure>) {
        let line = ["audit", "verify"].iter().chain(arguments);
        let Audit::Verify(verify) = Line::try_parse_from(line).unwrap().command;
        let mut out = vec![];
        let result = super::run(&verify, &mut out);
        (String::from_utf8(out).unwrap(), result)
    }

    const GENESIS: &str = "0000000000000000000000000000000000000000000000000000000000000000";

    #[test]
    fn prints_the_head_of_a_sound_audit() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let path = file.path().to_str().unwrap();
        let (text, result) = run(&[path]);
        assert!(result.is_ok());
        assert_eq!(
            text,
            format!("{path}: 0 records verified, head {GENESIS}\n")
        );
        let (text, result) = run(&[path, "--json", "--head", GENESIS]);
        assert!(result.is_ok());
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
        let (text, result) = run(&[path]);
        let failure = result.unwrap_err();
        assert_eq!((text.as_str(), failure.exit), ("", Exit::Data));
        assert_eq!(
            failure.what,
            format!("{path}: line 1: this record was changed")
        );
        let (text, result) = run(&[path, "--json"]);
        assert!(result.is_err());
        let json: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(
            (&json["line"], &json["flaw"]),
            (&1.into(), &"changed".into())
        );
    }

    #[test]
    fn names_a_file_that_cannot_be_read() {
        let (text, result) = run(&["/nowhere/audit.jsonl"]);
        let failure = result.unwrap_err();
        assert_eq!((text.as_str(), failure.exit), ("", Exit::NotFound));
        assert!(
            failure
                .what
                .starts_with("/nowhere/audit.jsonl: No such file"),
            "{failure}"
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

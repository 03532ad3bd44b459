//! `vaultgram audit verify`: is the audit what was written?

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;

use crate::audit::key::PublicKey;
use crate::audit::posted::{MAX_CHAT, Posted, read_chat};
use crate::audit::verify::{Demands, Flaw, Summary, VerifyError, verify_files};
use crate::cli::audit::unread;
use crate::cli::exit::{Exit, Failure};

/// The arguments of `vaultgram audit verify`.
#[derive(Debug, Args)]
#[command(after_help = "\
A chat is given as Telegram Desktop exports it (JSON), or as text that was copied from it. With --key
only the heads in it that are signed count, as anybody there can write a line. Each head names its chain by
the hash of its first record; heads of a chain that is not named with --other-chain are a find.

Examples:
  vaultgram audit verify /var/lib/vaultgram/audit.jsonl
  vaultgram audit verify /var/lib/vaultgram
  vaultgram audit verify --key ed25519:8f0c… --require-checkpoints
  vaultgram audit verify --against-chat result.json
  vaultgram audit verify --head 9a46de0f33f6fb5b9622fb44624e94956b4ef652d7760c5d81e9b010550eb3cb

Exit codes: 0 sound, 64 usage, 65 something is wrong with it, 66 it cannot be read.")]
pub struct Verify {
    /// The audit file, several whose chain goes on from one to the next, or the folder they are in
    #[arg(default_value = "audit.jsonl", value_name = "FILE")]
    files: Vec<PathBuf>,
    /// A head noted earlier, which must be in the file: shows a removed end too
    #[arg(long, value_name = "HASH", value_parser = parse_hash)]
    head: Option<String>,
    /// A public key that checkpoints are signed with, as `audit keygen` prints it; can be repeated
    #[arg(long = "key", value_name = "KEY")]
    keys: Vec<PublicKey>,
    /// Everything must be signed, but for the end of a file that is being written
    #[arg(long, requires = "keys")]
    require_checkpoints: bool,
    /// The chat that heads are posted to, all of which must be in the audit
    #[arg(long, value_name = "FILE")]
    against_chat: Option<PathBuf>,
    /// Another chain whose heads may stand in that chat: an earlier audit, or another vaultgram's;
    /// can be repeated
    #[arg(long = "other-chain", value_name = "HASH", value_parser = parse_hash, requires = "against_chat")]
    other_chains: Vec<String>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// Checks the files and prints the answer to `out`.
///
/// # Errors
/// When something is wrong with the audit, or it cannot be read.
pub(super) fn run(arguments: &Verify, out: &mut dyn Write) -> Result<(), Failure> {
    let posted = match &arguments.against_chat {
        Some(chat) => chat_heads(chat)?,
        None => vec![],
    };
    let demands = Demands {
        noted: arguments.head.clone().into_iter().collect(),
        keys: arguments.keys.clone(),
        signed: arguments.require_checkpoints,
        posted,
        other_chains: arguments.other_chains.clone(),
    };
    let path = match arguments.files.as_slice() {
        [file] => file.display().to_string(),
        files => format!("{} files", files.len()),
    };
    let (json, answer) = match verify_files(&arguments.files, demands) {
        Ok(summary) => (to_json(&summary), Ok(describe(&summary, arguments))),
        Err((file, VerifyError::Flaw(flaw))) => (flaw_to_json(&file, &flaw), Err((file, flaw))),
        Err((file, VerifyError::Read(error))) => return Err(unread(&file, &error)),
    };
    let printed = match &answer {
        _ if arguments.json => writeln!(out, "{json}"),
        Ok(text) => writeln!(out, "{path}: {text}"),
        Err(_) => Ok(()),
    };
    printed
        .map_err(|error| Failure::new(Exit::CannotCreate, format!("standard output: {error}")))?;
    answer.map(drop).map_err(|(file, flaw)| {
        Failure::new(Exit::Data, format!("{}: {flaw}", file.display()))
            .hint("keep the file as evidence, and compare it with a copy or a noted head")
    })
}

/// The heads in a chat, of which there must be some.
fn chat_heads(path: &Path) -> Result<Vec<Posted>, Failure> {
    let text = read_capped(path).map_err(|error| unread(path, &error))?;
    let posted = read_chat(&text);
    if posted.is_empty() {
        let what = format!("{}: no audit head stands in this chat", path.display());
        return Err(Failure::new(Exit::Data, what)
            .hint("export the chat that [audit] witness_chat names, as JSON"));
    }
    Ok(posted)
}

fn read_capped(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    File::open(path)?
        .take(MAX_CHAT + 1)
        .read_to_string(&mut text)?;
    if text.len() as u64 > MAX_CHAT {
        let text = format!(
            "is larger than {} MiB; export less of the chat",
            MAX_CHAT >> 20
        );
        return Err(io::Error::new(io::ErrorKind::InvalidData, text));
    }
    Ok(text)
}

fn describe(summary: &Summary, arguments: &Verify) -> String {
    let times = match (&summary.first, &summary.last) {
        (Some(first), Some(last)) => format!("{first} to {last}, "),
        (None, _) | (_, None) => String::new(),
    };
    let records = with_commas(summary.records);
    let head = &summary.head;
    let mut text = format!("{records} records verified, {times}head {head}");
    // Writing to a String cannot fail.
    if summary.from > 1 {
        let before = with_commas(summary.from - 1);
        let from = with_commas(summary.from);
        write!(
            text,
            "\n  begins with record {from}: those up to {before} are in older files"
        )
        .ok();
    }
    text += &signed(summary, !arguments.keys.is_empty());
    if arguments.against_chat.is_some() {
        text += &in_chat(summary);
    }
    text
}

/// What is said of the heads in a chat.
fn in_chat(summary: &Summary) -> String {
    let chat = &summary.chat;
    let found = with_commas(chat.found + chat.unnamed);
    let mut text = format!("\n  {found} heads in the chat are the audit's");
    if let Some(chain) = &summary.chain {
        write!(text, ", of chain {chain}").ok();
    }
    if chat.passed_over > 0 {
        let over = with_commas(chat.passed_over);
        let why = "not signed with these keys, or of older files, do not count";
        write!(text, "; {over} {why}").ok();
    }
    let more = [
        (
            chat.unnamed,
            "of them name no chain, as an older vaultgram posted them: they fit, but others of that \
             kind may be of an audit that this one replaced",
        ),
        (
            chat.unclear,
            "name no chain, and are not signed for this one: they prove nothing here, and may be of \
             an audit that this one replaced",
        ),
        (chat.elsewhere, "are of the other chains named"),
    ];
    for (count, what) in more.into_iter().filter(|(count, _)| *count > 0) {
        write!(text, "\n  {} {what}", with_commas(count)).ok();
    }
    text
}

/// What is said of signatures; nothing where there are none and none were asked for.
fn signed(summary: &Summary, checked: bool) -> String {
    let signed = &summary.signed;
    let (Some(up_to), Some(key)) = (signed.up_to, &signed.key) else {
        return if checked {
            "\n  nothing is signed".to_owned()
        } else {
            String::new()
        };
    };
    let how = if checked {
        "signed"
    } else {
        "signed (not checked: give --key)"
    };
    let last = summary.from + summary.records - 1;
    let mut text = format!(
        "\n  {how} up to record {} with key {key}, {} after it are not",
        with_commas(up_to),
        with_commas(last - up_to)
    );
    if signed.found > 0 {
        let found = with_commas(signed.found);
        let how = "of them were signed only at the start after a crash, as they were found";
        write!(text, "\n  {found} {how}").ok();
    }
    text
}

fn to_json(summary: &Summary) -> serde_json::Value {
    let signed = &summary.signed;
    json!({
        "sound": true,
        "records": summary.records,
        "from": summary.from,
        "first": summary.first,
        "last": summary.last,
        "head": summary.head,
        "checkpoints": signed.checkpoints,
        "signed_up_to": signed.up_to,
        "key": signed.key,
        "found_at_start": signed.found,
        "chain": summary.chain,
        "heads_in_chat": summary.chat.found + summary.chat.unnamed,
        "heads_naming_no_chain": summary.chat.unnamed,
        "heads_of_other_chains": summary.chat.elsewhere,
        "heads_passed_over": summary.chat.passed_over,
        "heads_unclear": summary.chat.unclear,
    })
}

fn flaw_to_json(file: &Path, flaw: &Flaw) -> serde_json::Value {
    json!({
        "sound": false,
        "file": file.display().to_string(),
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
        #[command(flatten)]
        verify: Verify,
    }

    /// Parses and runs a command line; what it printed, and how it failed.
    fn run(arguments: &[&str]) -> (String, Result<(), Failure>) {
        let line = ["verify"].iter().chain(arguments);
        let line = Line::try_parse_from(line).unwrap();
        let mut out = vec![];
        let result = super::run(&line.verify, &mut out);
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
            let line = ["verify", "--head", head];
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

//! `vaultgram sign`: a command for chat, signed, which a job's bot sends. Asks nobody.

use std::io::Write;

use clap::{Args, ValueEnum};

use crate::cli::client::proof::SigningKey;
use crate::cli::exit::{Exit, Failure};
use crate::domain::signs::is_invisible;

/// Longest command, in UTF-16 code units: what a message can hold.
const MAX_LENGTH: usize = 4096;

/// Arguments of `sign`.
#[derive(Debug, Args)]
#[command(after_help = "\
Prints one line, which counts once and for five minutes: send it as it is, from an account that
vaultgram's configuration names in [telegram.jobs]. It holds nothing secret; the answer does not
either, but a token that works once, or what your age key opens.

Examples:
  vaultgram sign django/database --signing-key-file shell/2026=key
  vaultgram sign django/database --delivery sealed --reason 'run 7 deploys' --signing-key-file shell/2026=key

Exit codes: 0 done, 64 usage, 65 not a key, 66 no such file.")]
pub struct SignArgs {
    /// The path of a secret, with or without its mount; one of its fields or versions
    #[arg(value_name = "PATH[#field][@version]", value_parser = path)]
    path: String,
    /// How the answer is to be handed over
    #[arg(long, value_name = "HOW", default_value = "wrapped")]
    delivery: ToChat,
    /// Ask others to approve it, for this reason, instead of reading it
    #[arg(long, value_name = "TEXT", value_parser = reason)]
    reason: Option<String>,
    /// Sign with the key in this file
    #[arg(
        long,
        value_name = "OWNER/KEYID=FILE",
        env = "VAULTGRAM_SIGNING_KEY_FILE"
    )]
    signing_key_file: SigningKey,
}

/// How a job can be answered in chat.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ToChat {
    /// A token of Vault's that unwraps the secret, once.
    Wrapped,
    /// Encrypted to the job's age keys.
    Sealed,
}

fn path(text: &str) -> Result<String, &'static str> {
    if text.is_empty() || text.contains(|sign: char| sign.is_whitespace() || is_invisible(sign)) {
        return Err("a path has no spaces, nor signs that cannot be seen");
    }
    Ok(text.to_owned())
}

/// On one line, as vaultgram reads it.
fn reason(text: &str) -> Result<String, &'static str> {
    let words: Vec<&str> = text.split_whitespace().collect();
    if words.is_empty() {
        return Err("say why");
    }
    Ok(words.join(" "))
}

impl SignArgs {
    /// What is signed.
    fn command(&self) -> String {
        let delivery = match self.delivery {
            ToChat::Wrapped => "wrapped",
            ToChat::Sealed => "sealed",
        };
        let path = &self.path;
        match &self.reason {
            Some(reason) => format!("/request_secret {path} {delivery} {reason}"),
            None => format!("/get_secret {path} {delivery}"),
        }
    }
}

/// Prints the message.
///
/// # Errors
/// When the key cannot be used, or the message would be too long.
pub fn run(arguments: &SignArgs, out: &mut dyn Write) -> Result<(), Failure> {
    let command = arguments.command();
    let key = &arguments.signing_key_file;
    let proved = key.prove(&[command.as_bytes()])?;
    let message = format!(
        "{command} id={} ts={} sig={} key={}",
        proved.id,
        proved.time,
        proved.signature,
        key.name()
    );
    if message.encode_utf16().nth(MAX_LENGTH).is_some() {
        let what = "that is more than a message can hold; give a shorter reason";
        return Err(Failure::new(Exit::Usage, what));
    }
    let said = writeln!(out, "{message}");
    said.map_err(|error| Failure::new(Exit::CannotCreate, format!("cannot write: {error}")))
}

//! `vaultgram approve`, `deny`, `cancel`, `revoke`, `reviewed`: what people do about requests.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;
use zeroize::Zeroizing;

use super::{act, because, id, said, standing, target};
use crate::api::{Because, RequestEntry};
use crate::cli::change::somebody_is_there;
use crate::cli::client::{Answer, Socket};
use crate::cli::common::Common;
use crate::cli::exit::{Exit, Failure};
use crate::cli::show;
use crate::domain::approval::ApprovalId;
use crate::domain::signs::one_line;

/// Longest code that is read, in bytes, with spaces around it.
const MAX_CODE: u8 = 64;

/// Arguments of `approve`.
#[derive(Debug, Args)]
#[command(after_help = "\
Where policy wants a code of your authenticator, it is asked for, and not shown.

Examples:
  vaultgram approve R7K2XQ
  oathtool --totp -b @seed | vaultgram approve R7K2XQ --code-file -

Exit codes: 0 your vote counts, 64 usage, 66 no such request, 69 not available, 75 try again, 77 your vote does
not count.")]
pub struct ApproveArgs {
    /// The request
    #[arg(value_name = "ID", value_parser = id)]
    pub id: ApprovalId,
    /// Take the code from this file, or with - from standard input
    #[arg(long, value_name = "FILE")]
    pub code_file: Option<PathBuf>,
    /// How to ask.
    #[command(flatten)]
    pub common: Common,
}

/// Arguments of `deny`.
#[derive(Debug, Args)]
#[command(after_help = "\
One who may approve it is enough to deny it. The requester reads the reason.

Examples:
  vaultgram deny R7K2XQ 'not during the freeze'

Exit codes: 0 denied, 64 usage, 66 no such request, 69 not available, 75 try again, 77 it is not for you to
decide.")]
pub struct DenyArgs {
    /// The request
    #[arg(value_name = "ID", value_parser = id)]
    pub id: ApprovalId,
    /// Why
    #[arg(value_name = "REASON", required = true)]
    pub reason: Vec<String>,
    /// How to ask.
    #[command(flatten)]
    pub common: Common,
}

/// Arguments of `cancel`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  vaultgram cancel R7K2XQ

Exit codes: 0 cancelled, 64 usage, 66 no such request, 69 not available, 75 try again, 77 not yours, or over.")]
pub struct CancelArgs {
    /// Your request
    #[arg(value_name = "ID", value_parser = id)]
    pub id: ApprovalId,
    /// How to ask.
    #[command(flatten)]
    pub common: Common,
}

/// Arguments of `revoke`.
#[derive(Debug, Args)]
#[command(after_help = "\
Its requester may, those who may approve it, and administrators. Leases that were made under it end too.

Examples:
  vaultgram revoke R7K2XQ

Exit codes: 0 revoked, 64 usage, 66 no such request, 69 not available, 75 try again, 77 not granted, or not for
you to revoke.")]
pub struct RevokeArgs {
    /// The request that was granted
    #[arg(value_name = "ID", value_parser = id)]
    pub id: ApprovalId,
    /// How to ask.
    #[command(flatten)]
    pub common: Common,
}

/// Arguments of `reviewed`.
#[derive(Debug, Args)]
#[command(after_help = "\
Whoever broke the glass cannot review it.

Examples:
  vaultgram reviewed R7K2XQ 'was needed: the database was down'

Exit codes: 0 reviewed, 64 usage, 66 no such request, 69 not available, 75 try again, 77 not for you to review.")]
pub struct ReviewedArgs {
    /// The request in which the glass was broken
    #[arg(value_name = "ID", value_parser = id)]
    pub id: ApprovalId,
    /// What you found
    #[arg(value_name = "NOTE", required = true)]
    pub note: Vec<String>,
    /// How to ask.
    #[command(flatten)]
    pub common: Common,
}

/// Votes for a request.
///
/// # Errors
/// With the exit codes that `vaultgram approve --help` lists.
pub async fn approve(arguments: &ApproveArgs, out: &mut dyn Write) -> Result<(), Failure> {
    let (socket, id) = (arguments.common.socket()?, &arguments.id);
    let code = arguments.code_file.as_deref().map(code_in).transpose()?;
    let mut answer = vote(&socket, id, code.as_ref()).await?;
    if because(&answer) == Some(Because::CodeNeeded) && code.is_none() && somebody_is_there() {
        let typed = rpassword::prompt_password("code of your authenticator: ");
        let typed = typed.map_err(|error| Failure::new(Exit::Io, error))?;
        let code = digits(&Zeroizing::new(typed), "what was typed")?;
        answer = vote(&socket, id, Some(&code)).await?;
    }
    done(&answer, arguments.common.json, out)
}

async fn vote(
    socket: &Socket,
    id: &ApprovalId,
    code: Option<&Zeroizing<String>>,
) -> Result<Answer, Failure> {
    let body = code.map(|code| {
        // In full from the beginning, so that it does not move.
        let mut body = Zeroizing::new(Vec::with_capacity(code.len() + 16));
        for part in ["{\"code\":\"", code, "\"}"] {
            body.extend_from_slice(part.as_bytes());
        }
        body
    });
    let target = format!("{}/approve", target(id.as_str()));
    socket.post(&target, body).await
}

/// The code in a file, or on standard input.
fn code_in(file: &Path) -> Result<Zeroizing<String>, Failure> {
    let name = file.display().to_string();
    let most = u64::from(MAX_CODE) + 1;
    let mut text = Zeroizing::new(String::with_capacity(usize::from(MAX_CODE) + 1));
    let read = if file.as_os_str() == "-" {
        io::stdin().take(most).read_to_string(&mut text)
    } else {
        File::open(file).and_then(|file| file.take(most).read_to_string(&mut text))
    };
    read.map_err(|error| Failure::new(Exit::NotFound, format!("{name}: {error}")))?;
    digits(&text, &name)
}

/// The digits of a code, without what people put between them. `from`: where it is from; it is never
/// repeated itself.
fn digits(text: &str, from: &str) -> Result<Zeroizing<String>, Failure> {
    let mut code = Zeroizing::new(String::with_capacity(text.len()));
    code.extend(text.chars().filter(|sign| !sign.is_whitespace()));
    let fits = (6..=8).contains(&code.len()) && code.bytes().all(|byte| byte.is_ascii_digit());
    if fits {
        return Ok(code);
    }
    let what = format!("{from}: not the 6 to 8 digits of a code");
    Err(Failure::new(Exit::Usage, what))
}

/// Votes against a request.
///
/// # Errors
/// With the exit codes that `vaultgram deny --help` lists.
pub async fn deny(arguments: &DenyArgs, out: &mut dyn Write) -> Result<(), Failure> {
    let body = json!({ "reason": arguments.reason.join(" ") });
    let socket = arguments.common.socket()?;
    let answer = act(&socket, &arguments.id, "deny", Some(&body)).await?;
    done(&answer, arguments.common.json, out)
}

/// Takes a request back.
///
/// # Errors
/// With the exit codes that `vaultgram cancel --help` lists.
pub async fn cancel(arguments: &CancelArgs, out: &mut dyn Write) -> Result<(), Failure> {
    let answer = act(&arguments.common.socket()?, &arguments.id, "cancel", None).await?;
    done(&answer, arguments.common.json, out)
}

/// Takes back what was granted.
///
/// # Errors
/// With the exit codes that `vaultgram revoke --help` lists.
pub async fn revoke(arguments: &RevokeArgs, out: &mut dyn Write) -> Result<(), Failure> {
    let answer = act(&arguments.common.socket()?, &arguments.id, "revoke", None).await?;
    done(&answer, arguments.common.json, out)
}

/// Says what was found about broken glass.
///
/// # Errors
/// With the exit codes that `vaultgram reviewed --help` lists.
pub async fn reviewed(arguments: &ReviewedArgs, out: &mut dyn Write) -> Result<(), Failure> {
    let body = json!({ "note": arguments.note.join(" ") });
    let socket = arguments.common.socket()?;
    let answer = act(&socket, &arguments.id, "reviewed", Some(&body)).await?;
    let entry: RequestEntry = said(&answer)?;
    let text = format!("request {} is reviewed", one_line(&entry.id));
    show::either(arguments.common.json, &entry, &text, out)
}

fn done(answer: &Answer, json: bool, out: &mut dyn Write) -> Result<(), Failure> {
    let entry: RequestEntry = said(answer)?;
    show::either(json, &entry, &standing(&entry), out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_digits_and_is_never_repeated() {
        for (text, code) in [
            ("123456\n", "123456"),
            (" 123 456 ", "123456"),
            ("12345678", "12345678"),
        ] {
            assert_eq!(digits(text, "f").unwrap().as_str(), code);
        }
        for wrong in ["", "12345", "123456789", "12345x", "１２３４５６"] {
            let failure = digits(wrong, "f").unwrap_err();
            assert_eq!(failure.exit, Exit::Usage);
            assert_eq!(failure.what, "f: not the 6 to 8 digits of a code");
        }
    }
}

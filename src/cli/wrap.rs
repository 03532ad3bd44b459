//! `vaultgram wrap` and `vaultgram unwrap`: a secret behind a token that works once.

use std::fs::File;
use std::io::{self, IsTerminal, Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use hyper::{Method, StatusCode};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::cli::address::{Address, explain, find_mount};
use crate::cli::common::Common;
use crate::cli::exit::{Exit, Failure};
use crate::cli::format::FormatArgs;
use crate::cli::secret::{Style, Told, not_understood};
use crate::cli::show;
use crate::domain::span;

/// Longest token taken, in bytes.
const MAX_TOKEN: u16 = 4096;

/// What to think of a token that does not work.
const SPENT: &str = "it was used before, or is too old; if it was not you who used it, somebody else \
                     has the secret: change it";

/// Arguments of `wrap`.
#[derive(Debug, Args)]
#[command(after_help = "\
The token is Vault's: whoever has it can unwrap the secret, once, within its time. Should unwrapping
fail, somebody else was there before.

Examples:
  vaultgram wrap django/database
  vaultgram wrap django/database --ttl 1h | ssh build vaultgram unwrap

Exit codes: 0 done, 64 usage, 66 no such secret, 69 not available, 75 try again, 77 denied.")]
pub struct WrapArgs {
    /// The path of a secret, with or without its mount; one of its versions
    #[arg(value_name = "PATH[@version]")]
    pub address: Address,
    /// For how long the token works, such as 90s, 5m or 1h; vaultgram may shorten it
    #[arg(long, value_name = "TIME", default_value = "5m", value_parser = time)]
    pub ttl: Duration,
    /// How to ask.
    #[command(flatten)]
    pub common: Common,
}

/// Arguments of `unwrap`.
#[derive(Debug, Args)]
#[command(after_help = "\
The token is read from a file, from standard input, or typed unseen at a terminal: on the command
line, others could see it. One value is printed as it is (on a terminal as JSON, if it holds signs
that cannot be seen), several as a table.

Examples:
  vaultgram unwrap                      asks for the token
  vaultgram unwrap token --format export

Exit codes: 0 done, 64 usage, or the token was used or is too old, 66 no such file, 69 not available,
75 try again, 77 denied.")]
pub struct UnwrapArgs {
    /// The file of the token; - or nothing: standard input
    #[arg(value_name = "FILE", default_value = "-")]
    pub file: PathBuf,
    /// How to print the values.
    #[command(flatten)]
    pub format: FormatArgs,
    /// How to ask.
    #[command(flatten)]
    pub common: Common,
}

fn time(text: &str) -> Result<Duration, &'static str> {
    span::read(text).ok_or("not a time: write it like 90s, 5m or 1h")
}

/// What Vault answers instead of what it wrapped.
#[derive(Deserialize)]
struct Wrapped {
    wrap_info: Ticket,
    warnings: Option<Vec<String>>,
}

/// A token, and what `--json` prints of it.
#[derive(Serialize, Deserialize)]
struct Ticket {
    token: Zeroizing<String>,
    accessor: String,
    ttl: u64,
    creation_time: String,
    creation_path: String,
}

/// Wraps a secret, and prints the token to `out`.
///
/// # Errors
/// With the exit codes that `vaultgram wrap --help` lists.
pub async fn wrap(arguments: &WrapArgs, out: &mut dyn Write) -> Result<(), Failure> {
    let (path, version) = (arguments.address.path_alone()?, arguments.address.version);
    let socket = arguments.common.socket()?;
    let path = find_mount(&socket, path).await?;
    let ttl = format!("{}s", arguments.ttl.as_secs());
    let header = [("x-vault-wrap-ttl", ttl.as_str())];
    let answer = socket
        .send(Method::GET, &path.values(None, version), &header, None)
        .await?;
    if answer.status != StatusCode::OK {
        return Err(explain(&answer));
    }
    let said: Wrapped = serde_json::from_slice(&answer.body).map_err(|_| not_understood())?;
    show::warnings(said.warnings.as_deref());
    if arguments.common.json {
        return show::json(&said.wrap_info, out);
    }
    show::line(&said.wrap_info.token, out)
}

/// Unwraps what is behind a token, and writes it to `out`. `terminal`: whether `out` is one.
///
/// # Errors
/// With the exit codes that `vaultgram unwrap --help` lists.
pub async fn unwrap(
    arguments: &UnwrapArgs,
    out: &mut dyn Write,
    terminal: bool,
) -> Result<(), Failure> {
    let token = token(&arguments.file)?;
    let token = token.trim();
    if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(Failure::new(Exit::Usage, "this is no token")
            .hint("give what `vaultgram wrap` printed"));
    }
    // In full from the beginning, so that it does not move.
    let mut body = Zeroizing::new(Vec::with_capacity(6 * token.len() + 16));
    serde_json::to_writer(&mut *body, &serde_json::json!({ "token": token }))
        .map_err(|error| Failure::new(Exit::Software, error))?;
    let socket = arguments.common.socket()?;
    let answer = socket.post("/v1/sys/wrapping/unwrap", Some(body)).await?;
    match answer.status {
        StatusCode::OK => {}
        StatusCode::BAD_REQUEST => return Err(answer.failure().hint(SPENT)),
        _ => return Err(explain(&answer)),
    }
    let style = Style {
        json: arguments.common.json,
        format: &arguments.format,
        path: None,
        field: None,
        terminal,
    };
    show::write(&Told::any(&answer)?.print_compact(&style, &answer)?, out)
}

fn token(file: &Path) -> Result<Zeroizing<String>, Failure> {
    let name = file.display();
    let unread = |error: io::Error| Failure::new(Exit::NotFound, format!("{name}: {error}"));
    let mut token = Zeroizing::new(String::with_capacity(usize::from(MAX_TOKEN) + 1));
    let read = if file.as_os_str() != "-" {
        File::open(file).and_then(|file| {
            file.take(u64::from(MAX_TOKEN) + 1)
                .read_to_string(&mut token)
        })
    } else if io::stdin().is_terminal() {
        return rpassword::prompt_password("token: ")
            .map(Zeroizing::new)
            .map_err(unread);
    } else {
        io::stdin()
            .take(u64::from(MAX_TOKEN) + 1)
            .read_to_string(&mut token)
    };
    if read.map_err(unread)? > usize::from(MAX_TOKEN) {
        return Err(Failure::new(
            Exit::Usage,
            format!("{name}: too long for a token"),
        ));
    }
    Ok(token)
}

//! `vaultgram invoke`: asks a secrets engine to do something with parameters, and prints its answer.

use std::io::Write;

use clap::Args;
use hyper::StatusCode;

use crate::cli::address::{Address, Kind, explain, find_mount};
use crate::cli::common::Common;
use crate::cli::exit::{Exit, Failure};
use crate::cli::format::FormatArgs;
use crate::cli::parameter::{self, Unread};
use crate::cli::secret::{Style, Told};
use crate::cli::show;

/// Arguments of `invoke`.
#[derive(Debug, Args)]
#[command(after_help = "\
What a value should not be seen by others in the list of processes goes into a file or to standard
input; both are taken byte for byte. A value that begins with @ is written \\@.

Examples:
  vaultgram invoke pki/issue/web common_name=www.example.org ttl=24h
  vaultgram invoke pki/sign/web#certificate csr=@www.csr common_name=www.example.org
  base64 -w0 letter | vaultgram invoke transit/encrypt/mail#ciphertext plaintext=-
  vaultgram invoke ssh/sign/ops#signed_key public_key=@$HOME/.ssh/id_ed25519.pub

Exit codes: 0 done, 64 usage or refused parameters, 66 no such path, 69 not available, 75 try again,
77 denied.")]
pub struct InvokeArgs {
    /// A path of an engine, its mount first; one field of the answer
    #[arg(value_name = "PATH[#field]")]
    pub address: Address,
    /// A parameter: its value, @FILE that holds it, or - for standard input
    #[arg(value_name = "NAME=VALUE")]
    pub parameters: Vec<Unread>,
    /// How to print the values.
    #[command(flatten)]
    pub format: FormatArgs,
    /// How to ask.
    #[command(flatten)]
    pub common: Common,
}

/// Invokes an engine and writes its answer to `out`. `terminal`: whether `out` is one; else a
/// single value is written byte for byte.
///
/// # Errors
/// With the exit codes that `vaultgram invoke --help` lists.
pub async fn run(
    arguments: &InvokeArgs,
    out: &mut dyn Write,
    terminal: bool,
) -> Result<(), Failure> {
    let address = &arguments.address;
    if address.version.is_some() {
        return Err(Failure::new(Exit::Usage, "an engine has no versions").hint("leave @ out"));
    }
    let body = parameter::object(&arguments.parameters, &[])?;
    let socket = arguments.common.socket()?;
    let path = find_mount(&socket, &address.path).await?;
    if path.kind != Kind::Engine {
        let what = format!("\"{}\" is no engine, but a mount of secrets", path.mount);
        return Err(Failure::new(Exit::Usage, what)
            .hint("begin the path with a mount that [vault] engines lists"));
    }
    let field = address.field.as_deref();
    let answer = socket.post(&path.values(field, None), Some(body)).await?;
    if !matches!(answer.status, StatusCode::OK | StatusCode::NO_CONTENT) {
        return Err(explain(&answer));
    }
    let style = Style {
        json: arguments.common.json,
        format: &arguments.format,
        path: Some(&path.full()),
        field,
        terminal,
    };
    show::write(&Told::of(path.kind, &answer)?.print(&style, &answer)?, out)
}

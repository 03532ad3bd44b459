//! `vaultgram get`: one secret, or one of its fields, from a running vaultgram.

use std::io::Write;

use clap::Args;
use hyper::StatusCode;

use crate::cli::address::{Address, explain, find_mount};
use crate::cli::approvals::{WaitArgs, when_granted};
use crate::cli::common::Common;
use crate::cli::exit::Failure;
use crate::cli::format::FormatArgs;
use crate::cli::secret::{Style, Told};
use crate::cli::show;

/// Arguments of `get`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  vaultgram get django/database               all fields, for people
  vaultgram get django/database#password      one value, as it is
  vaultgram get secret/django/database@3      version 3, the mount named
  vaultgram get --json django/database | jq -r .data.user
  eval \"$(vaultgram get django/database --format export --prefix DB_)\"
  vaultgram get database/creds/app            what an engine makes, and its lease
  vaultgram get prod/database --wait          once others have approved it

On a terminal, a value with signs that cannot be seen is printed as JSON; a pipe or a file gets it
byte for byte.

Where others must approve it first, `vaultgram request` says why; a request that waits already is waited for
with --wait.

Exit codes: 0 done, 64 usage, 66 no such secret, 69 not available, 75 try again, or others must approve it first,
77 denied.")]
pub struct GetArgs {
    /// The path of a secret, with or without its mount; one of its fields; one of its versions
    #[arg(value_name = "PATH[#field][@version]")]
    pub address: Address,
    /// How to print the values.
    #[command(flatten)]
    pub format: FormatArgs,
    /// Whether to wait for others.
    #[command(flatten)]
    pub wait: WaitArgs,
    /// How to ask.
    #[command(flatten)]
    pub common: Common,
}

/// Gets a secret and writes it to `out`. `terminal`: whether `out` is one; else a single value is
/// written byte for byte.
///
/// # Errors
/// With the exit codes that `vaultgram get --help` lists.
pub async fn run(arguments: &GetArgs, out: &mut dyn Write, terminal: bool) -> Result<(), Failure> {
    let address = &arguments.address;
    let socket = arguments.common.socket()?;
    let path = find_mount(&socket, &address.path).await?;
    let field = address.field.as_deref();
    let target = path.values(field, address.version);
    let ask = async || socket.get(&target).await;
    let answer = when_granted(&socket, &arguments.wait, ask).await?;
    if answer.status != StatusCode::OK {
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

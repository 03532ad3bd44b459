//! `vaultgram delete`, `undelete` and `destroy`: versions taken away and brought back.

use std::io::Write;

use clap::Args;
use hyper::Method;
use zeroize::Zeroizing;

use crate::cli::address::{Address, Kind, MountedPath, find_mount};
use crate::cli::change::{self, confirm};
use crate::cli::client::{Answer, Socket};
use crate::cli::common::Common;
use crate::cli::exit::{Exit, Failure};
use crate::cli::versions;

/// Arguments of `delete`.
#[derive(Debug, Args)]
#[command(after_help = "\
A deleted version can be undeleted; where a mount keeps no versions, the secret is gone for good, and
nobody who could be asked, --yes is needed. As with Vault, there need be nothing to delete.

Examples:
  vaultgram delete django/cache         the newest version
  vaultgram delete django/cache@3 --yes

Exit codes: 0 done, 64 usage, 69 not available, 75 try again, 77 denied, 130 not confirmed.")]
pub struct DeleteArgs {
    /// The path of a secret, with or without its mount; one of its versions
    #[arg(value_name = "PATH[@version]")]
    pub address: Address,
    /// Do not ask first
    #[arg(long, short)]
    pub yes: bool,
    /// How to ask.
    #[command(flatten)]
    pub common: Common,
}

/// Arguments of `undelete`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  vaultgram undelete django/cache       the newest version that is deleted
  vaultgram undelete django/cache@3

Exit codes: 0 done, 64 usage, 66 nothing is deleted, 69 not available, 75 try again, 77 denied.")]
pub struct UndeleteArgs {
    /// The path of a secret, with or without its mount; one of its versions
    #[arg(value_name = "PATH[@version]")]
    pub address: Address,
    /// How to ask.
    #[command(flatten)]
    pub common: Common,
}

/// Arguments of `destroy`.
#[derive(Debug, Args)]
#[command(after_help = "\
Where nobody can be asked, --yes is needed: a destroyed version cannot be brought back.

Examples:
  vaultgram destroy django/cache@3
  vaultgram destroy django/cache@3 --yes --json

Exit codes: 0 done, 64 usage, 69 not available, 75 try again, 77 denied, 130 not confirmed.")]
pub struct DestroyArgs {
    /// The path of a secret, with or without its mount, and one of its versions
    #[arg(value_name = "PATH@version")]
    pub address: Address,
    /// Do not ask first
    #[arg(long, short)]
    pub yes: bool,
    /// How to ask.
    #[command(flatten)]
    pub common: Common,
}

/// Deletes a version, and says so on `out`.
///
/// # Errors
/// With the exit codes that `vaultgram delete --help` lists.
pub async fn delete(arguments: &DeleteArgs, out: &mut dyn Write) -> Result<(), Failure> {
    let (version, json) = (arguments.address.version, arguments.common.json);
    let path = arguments.address.path_alone()?;
    let socket = arguments.common.socket()?;
    let mut path = find_mount(&socket, path).await?;
    if path.kind == Kind::Engine {
        return Err(change::engine(&path));
    }
    if version.is_some() {
        path = path.has_versions()?;
    }
    let (full, for_good) = (path.full(), path.kind == Kind::Kv1);
    let which = version.map_or_else(String::new, |version| format!("version {version} of "));
    let warning = if for_good {
        " This cannot be undone."
    } else {
        ""
    };
    let question = format!("Delete {which}{full}?{warning}");
    confirm(&question, arguments.yes, for_good)?;
    let answer = match version {
        Some(version) => about_version(&socket, &path, "delete", version).await?,
        None => {
            socket
                .send(Method::DELETE, &path.target(), &[], None)
                .await?
        }
    };
    let text = if for_good {
        format!("{full} is deleted")
    } else {
        let at = version.map_or_else(String::new, |version| format!("@{version}"));
        // The server does not say whether there was one.
        format!(
            "{which}{full} is deleted, if it was there; `vaultgram undelete {full}{at}` brings it back"
        )
    };
    change::done(&path, version, &text, &answer, (json, out))
}

/// Brings a version back, and says so on `out`.
///
/// # Errors
/// With the exit codes that `vaultgram undelete --help` lists.
pub async fn undelete(arguments: &UndeleteArgs, out: &mut dyn Write) -> Result<(), Failure> {
    let path = arguments.address.path_alone()?;
    let socket = arguments.common.socket()?;
    let path = find_mount(&socket, path).await?.has_versions()?;
    let full = path.full();
    let version = if let Some(version) = arguments.address.version {
        version
    } else {
        let history = versions::history(&socket, &path).await?;
        history.newest_deleted().ok_or_else(|| {
            Failure::new(Exit::NotFound, format!("no version of {full} is deleted"))
                .hint("`vaultgram versions` lists them")
        })?
    };
    let answer = about_version(&socket, &path, "undelete", version).await?;
    let text = format!("version {version} of {full} is back");
    let output = (arguments.common.json, out);
    change::done(&path, Some(version), &text, &answer, output)
}

/// Removes a version for good, and says so on `out`.
///
/// # Errors
/// With the exit codes that `vaultgram destroy --help` lists.
pub async fn destroy(arguments: &DestroyArgs, out: &mut dyn Write) -> Result<(), Failure> {
    let path = arguments.address.path_alone()?;
    let version = arguments
        .address
        .version
        .ok_or_else(|| Failure::new(Exit::Usage, "which version?").hint("name it: PATH@VERSION"))?;
    let socket = arguments.common.socket()?;
    let path = find_mount(&socket, path).await?.has_versions()?;
    let what = format!("version {version} of {}", path.full());
    let question = format!("Destroy {what}? This cannot be undone.");
    confirm(&question, arguments.yes, true)?;
    let answer = about_version(&socket, &path, "destroy", version).await?;
    let output = (arguments.common.json, out);
    change::done(
        &path,
        Some(version),
        &format!("{what} is destroyed, if it was there"),
        &answer,
        output,
    )
}

/// Asks for something to be done to one version.
async fn about_version(
    socket: &Socket,
    path: &MountedPath,
    what: &str,
    version: u64,
) -> Result<Answer, Failure> {
    let body = format!(r#"{{"versions":[{version}]}}"#);
    let body = Zeroizing::new(body.into_bytes());
    socket.post(&path.kv2(what), Some(body)).await
}

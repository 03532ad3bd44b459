//! `vaultgram put` and `vaultgram patch`: a secret written anew, or changed in part.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use clap::Args;
use hyper::Method;
use serde_json::value::RawValue;
use zeroize::Zeroizing;

use crate::cli::address::{Address, Kind, MountedPath, find_mount};
use crate::cli::change::{self, body, confirm};
use crate::cli::client::Socket;
use crate::cli::common::Common;
use crate::cli::exit::{Exit, Failure};
use crate::cli::parameter::{self, MAX_VALUE, Unread};
use crate::cli::show::Values;
use crate::cli::versions::{self, History};

/// Arguments of `put`.
#[derive(Debug, Args)]
#[command(after_help = "\
The new version holds these fields and no others: `vaultgram patch` keeps the others. Where the
secret exists, a person at a terminal is asked first.

What a value should not be seen by others in the list of processes goes into a file or to standard
input; both are taken byte for byte. A value that begins with @ is written \\@.

Examples:
  vaultgram put django/cache url=redis://cache password=@password.txt
  pwgen 32 1 | tr -d '\\n' | vaultgram put --new django/admin password=-
  vaultgram put django/database --cas 3 --from fields.json

Exit codes: 0 done, 64 usage or refused values, 66 no such file, 69 not available, 75 somebody else
changed it or try again, 77 denied, 130 not confirmed.")]
pub struct PutArgs {
    /// The path of a secret, with or without its mount
    #[arg(value_name = "PATH")]
    pub address: Address,
    /// A field: its value, @FILE that holds it, or - for standard input
    #[arg(value_name = "NAME=VALUE", required_unless_present = "from")]
    pub fields: Vec<Unread>,
    /// Take all fields from a file that holds a JSON object; - for standard input
    #[arg(long, value_name = "FILE", conflicts_with = "fields")]
    pub from: Option<PathBuf>,
    /// Only if this is the secret's newest version
    #[arg(long, value_name = "VERSION")]
    pub cas: Option<u64>,
    /// Only if there is no such secret
    #[arg(long, conflicts_with = "cas")]
    pub new: bool,
    /// Do not ask first
    #[arg(long, short)]
    pub yes: bool,
    /// How to ask.
    #[command(flatten)]
    pub common: Common,
}

/// Writes a secret, and says so on `out`.
///
/// # Errors
/// With the exit codes that `vaultgram put --help` lists.
pub async fn put(arguments: &PutArgs, out: &mut dyn Write) -> Result<(), Failure> {
    let path = arguments.address.whole()?;
    let fields = match &arguments.from {
        Some(file) => object_in(file)?,
        None => parameter::object(&arguments.fields, &[])?,
    };
    let socket = arguments.common.socket()?;
    let path = find_mount(&socket, path).await?;
    let over = if arguments.new {
        Some(0)
    } else {
        arguments.cas
    };
    let body = |over| body(&path, fields.clone(), over);
    let body = match over {
        Some(_) => body(over)?,
        None if arguments.yes || !change::somebody_is_there() => body(None)?,
        None => body(ask_to_replace(&socket, &path).await?)?,
    };
    let answer = socket
        .send(Method::POST, &path.target(), &[], Some(body))
        .await?;
    change::written(&path, "is written", &answer, arguments.common.json, out)
}

/// Asks whether to replace what is there; the version that was shown, so that no other is replaced.
async fn ask_to_replace(socket: &Socket, path: &MountedPath) -> Result<Option<u64>, Failure> {
    let full = path.full();
    let shown = match path.kind {
        Kind::Kv2 => match versions::history(socket, path).await {
            Ok(History {
                current_version: version @ 1..,
                ..
            }) => Some(version),
            Ok(_) => return Ok(Some(0)),
            Err(failure) if failure.exit == Exit::NotFound => return Ok(Some(0)),
            // Who may not see whether it is there may all the same be permitted to write it.
            Err(failure) if failure.exit == Exit::Denied => None,
            Err(failure) => return Err(failure),
        },
        Kind::Kv1 => None,
        Kind::Engine => return Err(change::engine(path)),
    };
    let question = match shown {
        Some(version) => format!("Replace all fields of {full}, which is at version {version}?"),
        None => format!("Write {full}, and replace all fields it may have?"),
    };
    confirm(&question, false, false)?;
    Ok(shown)
}

/// The JSON object in a file.
fn object_in(file: &Path) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let unread =
        |error: io::Error| Failure::new(Exit::NotFound, format!("{}: {error}", file.display()));
    let most = MAX_VALUE + 1;
    let mut text = Zeroizing::new(Vec::with_capacity(usize::try_from(most).unwrap_or(0)));
    if file.as_os_str() == "-" {
        io::stdin().take(most).read_to_end(&mut text)
    } else {
        File::open(file).and_then(|file| file.take(most).read_to_end(&mut text))
    }
    .map_err(unread)?;
    let name = file.display();
    if text.len() as u64 == most {
        let what = format!("{name}: larger than {MAX_VALUE} bytes");
        return Err(Failure::new(Exit::Data, what));
    }
    // What serde says of a mistake could hold a part of a value.
    if serde_json::from_slice::<&RawValue>(&text).is_err()
        || serde_json::from_slice::<Values<'_>>(&text).is_err()
    {
        let what = format!("{name}: not a JSON object");
        return Err(Failure::new(Exit::Data, what)
            .hint("write it like {\"user\": \"django\", \"port\": 5432}"));
    }
    Ok(text)
}

/// Arguments of `patch`.
#[derive(Debug, Args)]
#[command(after_help = "\
Writes a new version in which these fields are changed, added or removed; the others stay.

What a value should not be seen by others in the list of processes goes into a file or to standard
input; both are taken byte for byte. A value that begins with @ is written \\@.

Examples:
  vaultgram patch django/database password=@new.txt
  vaultgram patch django/database --cas 3 host=db2 --remove port

Exit codes: 0 done, 64 usage or refused values, 66 no such secret or file, 69 not available,
75 somebody else changed it or try again, 77 denied.")]
pub struct PatchArgs {
    /// The path of a secret, with or without its mount
    #[arg(value_name = "PATH")]
    pub address: Address,
    /// A field: its value, @FILE that holds it, or - for standard input
    #[arg(value_name = "NAME=VALUE", required_unless_present = "remove")]
    pub fields: Vec<Unread>,
    /// A field to remove; can be repeated
    #[arg(long, value_name = "NAME")]
    pub remove: Vec<String>,
    /// Only if this is the secret's newest version
    #[arg(long, value_name = "VERSION")]
    pub cas: Option<u64>,
    /// How to ask.
    #[command(flatten)]
    pub common: Common,
}

/// Changes a secret, and says so on `out`.
///
/// # Errors
/// With the exit codes that `vaultgram patch --help` lists.
pub async fn patch(arguments: &PatchArgs, out: &mut dyn Write) -> Result<(), Failure> {
    let path = arguments.address.whole()?;
    let fields = parameter::object(&arguments.fields, &arguments.remove)?;
    let socket = arguments.common.socket()?;
    let path = find_mount(&socket, path).await?.has_versions()?;
    let body = body(&path, fields, arguments.cas)?;
    let merge = [("content-type", "application/merge-patch+json")];
    let answer = socket
        .send(Method::PATCH, &path.target(), &merge, Some(body))
        .await?;
    change::written(&path, "is changed", &answer, arguments.common.json, out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_come_from_a_json_object_alone() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("fields.json");
        std::fs::write(&file, "{\"a\": {\"b\": 1.50}}\n").unwrap();
        assert_eq!(*object_in(&file).unwrap(), b"{\"a\": {\"b\": 1.50}}\n");
        let large = format!("{{\"a\":\"{}\"}}", "x".repeat(1 << 20));
        for (text, said) in [
            ("[\"hunter2\"]", "not a JSON object"),
            ("hunter2", "not a JSON object"),
            ("", "not a JSON object"),
            (&large, "larger than"),
        ] {
            std::fs::write(&file, text).unwrap();
            let failure = object_in(&file).unwrap_err();
            assert_eq!(failure.exit, Exit::Data);
            assert!(failure.what.contains(said), "{failure}");
            assert!(!failure.to_string().contains("hunter2"), "{failure}");
        }
        let failure = object_in(Path::new("/nowhere/x")).unwrap_err();
        assert_eq!(failure.exit, Exit::NotFound);
    }
}

//! `vaultgram get`: one secret, or one of its fields, from a running vaultgram.

use std::fmt::Write as _;
use std::io::Write;
use std::str::FromStr;

use clap::Args;
use hyper::StatusCode;

use crate::api::{Envelope, KvVersion, MountInfo};
use crate::cli::client::{self, SocketArgs};
use crate::cli::exit::{Exit, Failure};
use crate::cli::secret::{Kind, Style, Told, not_understood};
use crate::cli::show;

/// Arguments of `get`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  vaultgram get django/database               all fields, for people
  vaultgram get django/database#password      one value, as it is
  vaultgram get secret/django/database@3      version 3, the mount named
  vaultgram get --json django/database | jq -r .data.user
  vaultgram get database/creds/app            what an engine makes, and its lease

On a terminal, a value with signs that cannot be seen is printed as JSON; a pipe or a file gets it
byte for byte.

Exit codes: 0 done, 64 usage, 66 no such secret, 69 not available, 75 try again, 77 denied.")]
pub struct GetArgs {
    /// The path of a secret, with or without its mount; one of its fields; one of its versions
    #[arg(value_name = "PATH[#field][@version]")]
    pub address: Address,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
    /// Where vaultgram is.
    #[command(flatten)]
    pub socket: SocketArgs,
}

/// `PATH[#field][@version]`, taken apart; whether it is well-formed, the server says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    pub(super) path: String,
    pub(super) field: Option<String>,
    pub(super) version: Option<u64>,
}

impl FromStr for Address {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (text, version) = match text.rsplit_once('@') {
            Some((text, version)) => (text, Some(version)),
            None => (text, None),
        };
        let version = version.map(str::parse).transpose().ok();
        let version = version
            .filter(|version| *version != Some(0))
            .ok_or("what follows @ must be a version's number, from 1")?;
        let (path, field) = match text.split_once('#') {
            Some((_, "")) => return Err("what follows # must be a field's name"),
            Some((path, field)) => (path, Some(field.to_owned())),
            None => (text, None),
        };
        let path = path.trim_matches('/').to_owned();
        if path.is_empty() {
            return Err("the path is missing");
        }
        Ok(Self {
            path,
            field,
            version,
        })
    }
}

/// Gets a secret and writes it to `out`. `terminal`: whether `out` is one; else a single value is
/// written byte for byte.
///
/// # Errors
/// With the exit codes that `vaultgram get --help` lists.
pub async fn run(arguments: &GetArgs, out: &mut dyn Write, terminal: bool) -> Result<(), Failure> {
    let address = &arguments.address;
    let socket = &arguments.socket.socket;
    let path = find_mount(socket, &address.path).await?;

    let (mount, rest) = (encode(&path.mount), encode(&path.rest));
    let mut target = match path.kind {
        Kind::Kv2 => format!("/v1/{mount}/data/{rest}"),
        Kind::Kv1 | Kind::Engine => format!("/v1/{mount}/{rest}"),
    };
    let field = address.field.as_deref().map(encode);
    let field = field.map(|field| format!("field={field}"));
    let version = address.version.map(|version| format!("version={version}"));
    let query: Vec<String> = field.into_iter().chain(version).collect();
    if !query.is_empty() {
        target = format!("{target}?{}", query.join("&"));
    }
    let answer = client::get(socket, &target).await?;
    if answer.status != StatusCode::OK {
        return Err(explain(&answer));
    }
    let told = match path.kind {
        Kind::Kv2 => Told::version(&answer)?,
        Kind::Kv1 | Kind::Engine => Told::plain(&answer)?,
    };
    let style = Style {
        json: arguments.json,
        path: Some(&format!("{}/{}", path.mount, path.rest)),
        field: address.field.as_deref(),
        terminal,
    };
    show::write(&told.print(&style, &answer)?, out)
}

/// A path with its mount found.
pub(super) struct MountedPath {
    pub(super) mount: String,
    pub(super) rest: String,
    pub(super) kind: Kind,
}

/// Asks which mount `path` is in: only the server knows its mounts and which is the default.
pub(super) async fn find_mount(
    socket: &std::path::Path,
    path: &str,
) -> Result<MountedPath, Failure> {
    let target = format!(
        "/v1/sys/internal/ui/mounts/{}?default_mount=true",
        encode(path)
    );
    let answer = client::get(socket, &target).await?;
    if answer.status != StatusCode::OK {
        return Err(answer.failure());
    }
    let envelope: Envelope<MountInfo> =
        serde_json::from_slice(&answer.body).map_err(|_| not_understood())?;
    let rest = match path.strip_prefix(&envelope.data.path) {
        Some(rest) => rest,
        None if format!("{path}/") == envelope.data.path => {
            let what = format!("\"{path}\" is a mount, not a secret");
            return Err(Failure::new(Exit::Usage, what).hint("add the secret's path below it"));
        }
        None => path,
    };
    Ok(MountedPath {
        mount: envelope.data.path.trim_end_matches('/').to_owned(),
        rest: rest.to_owned(),
        kind: Kind::of(&envelope.data),
    })
}

/// Why there is no value, for a person.
pub(super) fn explain(answer: &client::Answer) -> Failure {
    let gone: Result<Envelope<KvVersion<Option<()>>>, _> = serde_json::from_slice(&answer.body);
    if let Ok(envelope) = gone {
        let metadata = envelope.data.metadata;
        let how = if metadata.destroyed {
            "destroyed"
        } else {
            "deleted"
        };
        let what = format!("version {} of the secret is {how}", metadata.version);
        return Failure::new(Exit::NotFound, what).hint("ask for another version with @NUMBER");
    }
    let failure = answer.failure();
    if failure.exit == Exit::Denied {
        failure.hint("ask an operator for a policy that permits it")
    } else if failure.exit == Exit::Unavailable {
        failure.hint("`vaultgram doctor` tells what is wrong")
    } else {
        failure
    }
}

/// Percent-encodes all but what needs none in a path or a query.
pub(super) fn encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~/:,".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            write!(encoded, "%{byte:02X}").ok();
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_addresses_apart() {
        let address = |path: &str, field: Option<&str>, version| {
            Ok(Address {
                path: path.to_owned(),
                field: field.map(str::to_owned),
                version,
            })
        };
        assert_eq!("a/b".parse(), address("a/b", None, None));
        assert_eq!("/a/b@3".parse(), address("a/b", None, Some(3)));
        assert_eq!("a#p@3".parse(), address("a", Some("p"), Some(3)));
        for wrong in ["", "/", "#p", "a#", "a@", "a@0", "a@x", "a@-1"] {
            assert!(wrong.parse::<Address>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn nothing_in_an_address_ends_the_path_or_the_parameter() {
        assert_eq!(encode("a/b-_.~:,"), "a/b-_.~:,");
        assert_eq!(encode("a?b&c#d%e f+ü"), "a%3Fb%26c%23d%25e%20f%2B%C3%BC");
    }
}

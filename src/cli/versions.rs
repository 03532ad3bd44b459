//! `vaultgram versions`: the versions a secret has.

use std::collections::BTreeMap;
use std::io::Write;

use clap::Args;
use hyper::StatusCode;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::api::Envelope;
use crate::cli::address::{Address, MountedPath, explain, find_mount};
use crate::cli::client::Socket;
use crate::cli::common::Common;
use crate::cli::exit::Failure;
use crate::cli::secret::not_understood;
use crate::cli::show;
use crate::cli::table::{Look, Table};
use crate::domain::signs::one_line;

/// Arguments of `versions`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  vaultgram versions django/database
  vaultgram versions django/database --limit 1 --json | jq .current

A deleted version can be undeleted; a destroyed one is gone for good.

Exit codes: 0 done, 64 usage, 66 no such secret, 69 not available, 75 try again, 77 denied.")]
pub struct VersionsArgs {
    /// The path of a secret, with or without its mount
    #[arg(value_name = "PATH")]
    pub address: Address,
    /// Only the newest so many
    #[arg(long, value_name = "NUMBER")]
    pub limit: Option<usize>,
    /// How to ask.
    #[command(flatten)]
    pub common: Common,
}

/// What a mount of KV version 2 says of a secret.
#[derive(Deserialize)]
pub(super) struct History {
    /// The newest version; 0 where there is none yet.
    pub(super) current_version: u64,
    custom_metadata: Option<BTreeMap<String, String>>,
    versions: BTreeMap<u64, Facts>,
}

#[derive(Deserialize)]
struct Facts {
    created_time: String,
    deletion_time: String,
    destroyed: bool,
}

/// What has become of a version.
#[derive(Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum State {
    Live,
    Deleted,
    Destroyed,
}

impl State {
    fn name(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Deleted => "deleted",
            Self::Destroyed => "destroyed",
        }
    }

    fn look(self) -> Look {
        match self {
            Self::Live => Look::Plain,
            Self::Deleted | Self::Destroyed => Look::Faint,
        }
    }
}

impl Facts {
    /// A time of deletion may lie ahead.
    fn state(&self, now: OffsetDateTime) -> State {
        let deleted = OffsetDateTime::parse(&self.deletion_time, &Rfc3339);
        if self.destroyed {
            State::Destroyed
        } else if deleted.is_ok_and(|deleted| deleted <= now) {
            State::Deleted
        } else {
            State::Live
        }
    }
}

impl History {
    /// The newest version that is deleted and not destroyed.
    pub(super) fn newest_deleted(&self) -> Option<u64> {
        let now = now();
        let mut newest = self.versions.iter().rev();
        let deleted = newest.find(|(_, facts)| facts.state(now) == State::Deleted);
        deleted.map(|(number, _)| *number)
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "a client has the clock of vaultgram's host, and no port for it"
)]
fn now() -> OffsetDateTime {
    OffsetDateTime::now_utc()
}

/// Asks for the versions of a secret.
///
/// # Errors
/// When there is none, or it may not be seen.
pub(super) async fn history(socket: &Socket, path: &MountedPath) -> Result<History, Failure> {
    let answer = socket.get(&path.kv2("metadata")).await?;
    if answer.status != StatusCode::OK {
        return Err(explain(&answer));
    }
    let said: Envelope<History> =
        serde_json::from_slice(&answer.body).map_err(|_| not_understood())?;
    Ok(said.data)
}

/// What `--json` prints.
#[derive(Serialize)]
struct Printed<'a> {
    path: &'a str,
    current: u64,
    custom_metadata: &'a Option<BTreeMap<String, String>>,
    versions: Vec<Row<'a>>,
}

#[derive(Serialize)]
struct Row<'a> {
    version: u64,
    created_time: &'a str,
    deletion_time: &'a str,
    state: State,
}

/// Prints the versions of a secret to `out`, in `color`.
///
/// # Errors
/// With the exit codes that `vaultgram versions --help` lists.
pub async fn run(
    arguments: &VersionsArgs,
    out: &mut dyn Write,
    color: bool,
) -> Result<(), Failure> {
    let path = arguments.address.whole()?;
    let socket = arguments.common.socket()?;
    let path = find_mount(&socket, path).await?.has_versions()?;
    let history = history(&socket, &path).await?;
    let now = now();
    let newest = history.versions.iter().rev();
    let versions = newest.take(arguments.limit.unwrap_or(usize::MAX));
    let versions = versions.map(|(number, facts)| Row {
        version: *number,
        created_time: &facts.created_time,
        deletion_time: &facts.deletion_time,
        state: facts.state(now),
    });
    let printed = Printed {
        path: &path.full(),
        current: history.current_version,
        custom_metadata: &history.custom_metadata,
        versions: versions.collect(),
    };
    if arguments.common.json {
        return show::json(&printed, out);
    }
    let mut table = Table::new(["VERSION", "CREATED", "STATE"]);
    for version in &printed.versions {
        let created = one_line(version.created_time);
        let state = version.state;
        let row = [
            version.version.to_string(),
            created,
            state.name().to_owned(),
        ];
        table.row(state.look(), row);
    }
    show::write(table.text(color).as_bytes(), out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deletion_that_lies_ahead_is_none_yet() {
        let history = r#"{"current_version":4,"custom_metadata":null,"versions":{
            "1":{"created_time":"","deletion_time":"2026-01-01T00:00:00Z","destroyed":true},
            "2":{"created_time":"","deletion_time":"2026-01-01T00:00:00Z","destroyed":false},
            "10":{"created_time":"","deletion_time":"9999-01-01T00:00:00Z","destroyed":false},
            "11":{"created_time":"","deletion_time":"","destroyed":false}}}"#;
        let history: History = serde_json::from_str(history).unwrap();
        let states = history
            .versions
            .values()
            .map(|facts| facts.state(now()).name());
        assert_eq!(
            states.collect::<Vec<_>>(),
            ["destroyed", "deleted", "live", "live"]
        );
        assert_eq!(history.newest_deleted(), Some(2));
    }
}

//! `vaultgram requests`: what was asked for, and what became of it.

use std::fmt::Write as _;
use std::io::{self, Write};
use std::time::Duration;

use clap::Args;

use super::{id, look, said, standing};
use crate::api::{RequestEntry, RequestList};
use crate::cli::common::Common;
use crate::cli::exit::Failure;
use crate::cli::show;
use crate::cli::table::{Look, Table};
use crate::domain::approval::ApprovalId;
use crate::domain::signs::one_line;
use crate::domain::span::spoken;

/// Arguments of `requests`.
#[derive(Debug, Args)]
#[command(after_help = "\
You see your own requests and those you may decide; administrators see all. Those that are over are kept for
30 days.

Examples:
  vaultgram requests                your own
  vaultgram requests --pending      those that wait: for you, too
  vaultgram requests R7K2XQ
  vaultgram requests --all --json | jq -r '.requests[] | select(.state == \"denied\").why'

Exit codes: 0 done, 64 usage, 66 no such request, 69 not available, 75 try again.")]
pub struct RequestsArgs {
    /// Show this request alone
    #[arg(value_name = "ID", value_parser = id, conflicts_with_all = ["pending", "all"])]
    pub id: Option<ApprovalId>,
    /// List those that wait for votes, or for somebody to look at broken glass
    #[arg(long, conflicts_with = "all")]
    pub pending: bool,
    /// List all that you may see, those that are over too
    #[arg(long)]
    pub all: bool,
    /// How to ask.
    #[command(flatten)]
    pub common: Common,
}

/// Lists requests, or shows one, on `out`, in `color`.
///
/// # Errors
/// With the exit codes that `vaultgram requests --help` lists.
pub async fn run(
    arguments: &RequestsArgs,
    out: &mut dyn Write,
    color: bool,
) -> Result<(), Failure> {
    let (socket, json) = (arguments.common.socket()?, arguments.common.json);
    if let Some(id) = &arguments.id {
        let entry = look(&socket, id.as_str()).await?;
        if json {
            return show::json(&entry, out);
        }
        return show::write(shown(&entry).as_bytes(), out);
    }
    let filter = match (arguments.pending, arguments.all) {
        (true, _) => "pending",
        (false, true) => "all",
        (false, false) => "mine",
    };
    let target = format!("/v1/vaultgram/requests?filter={filter}");
    let found: RequestList = said(&socket.get(&target).await?)?;
    if json {
        return show::json(&found, out);
    }
    show::write(list(&found, color).as_bytes(), out)?;
    let more = found.total.saturating_sub(found.requests.len());
    if more > 0 {
        drop(writeln!(
            io::stderr(),
            "note: {more} older ones are not listed"
        ));
    }
    Ok(())
}

fn list(found: &RequestList, color: bool) -> String {
    if found.requests.is_empty() {
        return "there are no requests\n".to_owned();
    }
    let mut table = Table::new([
        "ID", "STATE", "LEFT", "APPROVED", "WHO", "ACTION", "PATH", "REASON",
    ]);
    for entry in &found.requests {
        let look = if entry.ttl.is_some() {
            Look::Plain
        } else {
            Look::Faint
        };
        table.row(look, row(entry));
    }
    table.text(color)
}

fn row(entry: &RequestEntry) -> [String; 8] {
    let state = match (entry.broken_glass, &entry.review) {
        (true, None) => format!("{}, glass broken", entry.state),
        (true, Some(_)) => format!("{}, reviewed", entry.state),
        (false, _) => entry.state.clone(),
    };
    let counts = entry.asks.iter();
    let counts: Vec<_> = counts
        .map(|ask| format!("{}/{}", ask.have, ask.approvals))
        .collect();
    let action = match entry.delivery.as_deref() {
        Some("socket") | None => entry.action.clone(),
        Some(delivery) => format!("{} {delivery}", entry.action),
    };
    [
        one_line(&entry.id),
        one_line(&state),
        left(entry),
        counts.join(" "),
        one_line(&entry.requester),
        one_line(&action),
        one_line(&entry.path),
        one_line(&entry.reason),
    ]
}

fn left(entry: &RequestEntry) -> String {
    let left = entry.ttl.map(|ttl| spoken(Duration::from_secs(ttl)));
    left.unwrap_or_else(|| "-".to_owned())
}

/// All about one request, a line for each thing.
fn shown(entry: &RequestEntry) -> String {
    let mut lines = vec![
        ("", standing(entry)),
        ("who", format!("{} ({})", entry.requester, entry.account)),
    ];
    let mut add = |name, text: Option<String>| lines.extend(text.map(|text| (name, text)));
    add("program", entry.description.clone());
    let delivery = entry.delivery.as_ref();
    let delivery = delivery.map_or_else(String::new, |it| format!(" (delivery: {it})"));
    add(
        "wants",
        Some(format!("{} {}{delivery}", entry.action, entry.path)),
    );
    add(
        "reason",
        Some(entry.reason.clone()).filter(|it| !it.is_empty()),
    );
    add("extends", entry.extends.clone());
    add("opened", Some(entry.opened.clone()));
    add(
        "waits until",
        Some(entry.waits_until.clone()).filter(|_| entry.state == "pending"),
    );
    add("granted until", entry.granted_until.clone());
    for ask in &entry.asks {
        let code = if ask.code { ", with a code" } else { "" };
        let one = RequestEntry {
            asks: vec![ask.clone()],
            ..entry.clone()
        };
        let text = format!("{}{code} ({})", one.wanted(), one.progress());
        add("needs", Some(format!("{text}, says policy {}", ask.policy)));
    }
    for vote in &entry.votes {
        let code = if vote.code { ", with a code" } else { "" };
        add(
            "approved",
            Some(format!("{}, {}{code}", vote.person, vote.time)),
        );
    }
    let review = match (&entry.review, entry.broken_glass) {
        (Some(review), _) => Some(format!("{}, {}: {}", review.by, review.time, review.note)),
        (None, true) => Some("nobody yet has looked at why the glass was broken".to_owned()),
        (None, false) => None,
    };
    add("reviewed", review);
    let mut text = String::new();
    for (name, value) in lines {
        let value = one_line(&value);
        // Writing to a String cannot fail.
        if name.is_empty() {
            writeln!(text, "{value}").ok();
        } else {
            writeln!(text, "{name:13}  {value}").ok();
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::tests::entry;
    use super::*;

    #[test]
    fn requests_are_a_table() {
        let requests = vec![entry("pending")];
        let found = RequestList { requests, total: 1 };
        assert_eq!(
            list(&found, false),
            "\
ID      STATE    LEFT    APPROVED  WHO    ACTION  PATH            REASON
R7K2XQ  pending  30 min  1/2       alice  read    secret/prod/db  fix the login
"
        );
        let none = RequestList {
            requests: vec![],
            total: 0,
        };
        assert_eq!(list(&none, false), "there are no requests\n");
    }

    #[test]
    fn one_request_is_told_in_full() {
        let denied = RequestEntry {
            ttl: None,
            extends: None,
            ..entry("denied")
        };
        assert_eq!(
            shown(&denied),
            "\
bob denied request R7K2XQ: not now
who            alice (uid:990)
program        uid 990, /usr/bin/vaultgram
wants          read secret/prod/db (delivery: socket)
reason         fix the login
opened         2026-01-02T03:04:05Z
needs          2 of leads, ops, each of another group and 1 more of security (1 of 2 approved, not reviewed), says policy prod
approved       carol, 2026-01-02T03:05:05Z
"
        );
    }
}

//! `vaultgram leases`: the leases of dynamic secrets you got, kept for longer or ended.

use std::io::Write;
use std::time::Duration;

use clap::{Args, Subcommand};
use hyper::StatusCode;
use zeroize::Zeroizing;

use crate::api::{Envelope, LeaseKept, LeaseList};
use crate::cli::client::{self, Answer, SocketArgs};
use crate::cli::exit::{Exit, Failure};
use crate::domain::signs::one_line;
use crate::domain::span::{self, spoken};

/// Arguments of `leases`.
#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "\
A lease that is kept is renewed as often as needed until then, or as long as Vault lets it. All leases
end with the vaultgram that obtained them. You see your own; root and vaultgram's own user see all.

Examples:
  vaultgram leases
  vaultgram leases keep K7Q2 8h
  vaultgram leases revoke K7Q2

Exit codes: 0 done, 64 usage or not renewable, 69 not available, 75 try again, 77 not yours."
)]
pub struct LeasesArgs {
    /// What to do; without it, the leases are listed
    #[command(subcommand)]
    pub action: Option<LeasesAction>,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
    /// Where vaultgram is.
    #[command(flatten)]
    pub socket: SocketArgs,
}

/// What can be done with a lease.
#[derive(Debug, Subcommand)]
pub enum LeasesAction {
    /// Renew a lease as often as needed for a time
    Keep {
        /// The lease's code
        #[arg(value_parser = code)]
        code: String,
        /// For how long from now on, such as 30m, 8h or 2d
        #[arg(value_name = "TIME", value_parser = time)]
        time: Duration,
        /// Where vaultgram is.
        #[command(flatten)]
        socket: SocketArgs,
    },
    /// End a lease, and what hangs on it
    Revoke {
        /// The lease's code
        #[arg(value_parser = code)]
        code: String,
        /// Where vaultgram is.
        #[command(flatten)]
        socket: SocketArgs,
    },
}

fn code(text: &str) -> Result<String, &'static str> {
    let good = |c: char| c.is_ascii_alphanumeric();
    if text.is_empty() || text.len() > 32 || !text.chars().all(good) {
        return Err("not a code: `vaultgram leases` lists them, such as K7Q2");
    }
    Ok(text.to_owned())
}

fn time(text: &str) -> Result<Duration, &'static str> {
    span::read(text).ok_or("not a time: write it like 90s, 30m, 8h or 2d")
}

/// Lists leases, or does something with one, and says so on `out`.
///
/// # Errors
/// With the exit codes that `vaultgram leases --help` lists.
pub async fn run(arguments: &LeasesArgs, out: &mut dyn Write) -> Result<(), Failure> {
    let text = match &arguments.action {
        None => list(arguments).await?,
        Some(LeasesAction::Keep { code, time, socket }) => {
            let target = format!("/v1/vaultgram/leases/{code}/keep");
            let body = serde_json::json!({ "for": time.as_secs() }).to_string();
            let body = Zeroizing::new(body.into_bytes());
            let answer = client::post_json(&socket.socket, &target, body).await?;
            kept(&said::<LeaseKept>(&answer)?)
        }
        Some(LeasesAction::Revoke { code, socket }) => {
            let target = format!("/v1/vaultgram/leases/{code}/revoke");
            let answer = client::post(&socket.socket, &target).await?;
            if answer.status != StatusCode::NO_CONTENT {
                return Err(answer.failure());
            }
            "revoked: what hangs on the lease works no more".to_owned()
        }
    };
    writeln!(out, "{text}")
        .map_err(|error| Failure::new(Exit::CannotCreate, format!("standard output: {error}")))
}

async fn list(arguments: &LeasesArgs) -> Result<String, Failure> {
    let answer = client::get(&arguments.socket.socket, "/v1/vaultgram/leases").await?;
    let found: LeaseList = said(&answer)?;
    if arguments.json {
        return serde_json::to_string_pretty(&found)
            .map_err(|error| Failure::new(Exit::Unavailable, error));
    }
    if found.leases.is_empty() {
        return Ok("there are no leases".to_owned());
    }
    let head = ["CODE", "PATH", "ENDS IN", "KEPT FOR", "HOLDER"].map(str::to_owned);
    let rows = found.leases.into_iter().map(|lease| {
        let kept = lease.kept.map_or_else(|| "-".to_owned(), seconds);
        let ends = seconds(lease.ttl);
        [lease.code, one_line(&lease.path), ends, kept, lease.holder]
    });
    let rows: Vec<[String; 5]> = std::iter::once(head).chain(rows).collect();
    Ok(table(&rows))
}

/// Rows in columns.
fn table(rows: &[[String; 5]]) -> String {
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: [usize; 5] = std::array::from_fn(width);
    let line = |row: &[String; 5]| {
        let cells = row.iter().zip(widths);
        let cells: Vec<_> = cells
            .map(|(cell, width)| format!("{cell:width$}"))
            .collect();
        cells.join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}

fn kept(kept: &LeaseKept) -> String {
    let lease = &kept.lease;
    let until = seconds(lease.kept.unwrap_or(lease.ttl));
    if kept.cut {
        return format!("kept for {until}: Vault lets it last no longer");
    }
    format!("kept for {until}")
}

fn said<T: serde::de::DeserializeOwned>(answer: &Answer) -> Result<T, Failure> {
    if answer.status != StatusCode::OK {
        return Err(answer.failure());
    }
    let envelope: Envelope<T> = serde_json::from_slice(&answer.body)
        .map_err(|_| Failure::new(Exit::Unavailable, "vaultgram's answer has no known form"))?;
    Ok(envelope.data)
}

fn seconds(count: u64) -> String {
    spoken(Duration::from_secs(count))
}

//! `vaultgram leases`: the leases of dynamic secrets you got, kept for longer or ended.

use std::io::Write;
use std::time::Duration;

use clap::{Args, Subcommand};
use hyper::StatusCode;
use zeroize::Zeroizing;

use crate::api::{Envelope, LeaseKept, LeaseList};
use crate::cli::client::Answer;
use crate::cli::common::Common;
use crate::cli::exit::Failure;
use crate::cli::secret::not_understood;
use crate::cli::show;
use crate::cli::table::{Look, Table};
use crate::domain::signs::one_line;
use crate::domain::span::{self, spoken};

/// Arguments of `leases`.
#[derive(Debug, Args)]
#[command(after_help = "\
A lease that is kept is renewed as often as needed until then, or as long as Vault lets it. All leases
end with the vaultgram that obtained them. You see your own; root and vaultgram's own user see all.

Examples:
  vaultgram leases
  vaultgram leases keep K7Q2 8h
  vaultgram leases revoke K7Q2

Exit codes: 0 done, 64 usage or not renewable, 69 not available, 75 try again, 77 not yours.")]
pub struct LeasesArgs {
    /// What to do; without it, the leases are listed
    #[command(subcommand)]
    pub action: Option<LeasesAction>,
    /// How to ask.
    #[command(flatten)]
    pub common: Common,
}

/// What can be done with a lease.
#[derive(Debug, Subcommand)]
pub enum LeasesAction {
    /// Renew a lease as often as needed for a time
    #[command(after_help = "\
Examples:
  vaultgram leases keep K7Q2 8h")]
    Keep {
        /// The lease's code
        #[arg(value_parser = code)]
        code: String,
        /// For how long from now on, such as 30m, 8h or 2d
        #[arg(value_name = "TIME", value_parser = time)]
        time: Duration,
    },
    /// End a lease, and what hangs on it
    #[command(after_help = "\
Examples:
  vaultgram leases revoke K7Q2")]
    Revoke {
        /// The lease's code
        #[arg(value_parser = code)]
        code: String,
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

/// Lists leases, or does something with one, and says so on `out`, in `color`.
///
/// # Errors
/// With the exit codes that `vaultgram leases --help` lists.
pub async fn run(arguments: &LeasesArgs, out: &mut dyn Write, color: bool) -> Result<(), Failure> {
    let (socket, json) = (arguments.common.socket()?, arguments.common.json);
    match &arguments.action {
        None => {
            let found: LeaseList = said(&socket.get("/v1/vaultgram/leases").await?)?;
            if json {
                return show::json(&found, out);
            }
            show::write(list(found, color).as_bytes(), out)
        }
        Some(LeasesAction::Keep { code, time }) => {
            let target = format!("/v1/vaultgram/leases/{code}/keep");
            let body = serde_json::json!({ "for": time.as_secs() }).to_string();
            let body = Zeroizing::new(body.into_bytes());
            let done: LeaseKept = said(&socket.post(&target, Some(body)).await?)?;
            if json {
                return show::json(&done, out);
            }
            show::line(&kept(&done), out)
        }
        Some(LeasesAction::Revoke { code }) => {
            let target = format!("/v1/vaultgram/leases/{code}/revoke");
            let answer = socket.post(&target, None).await?;
            if answer.status != StatusCode::NO_CONTENT {
                return Err(answer.failure());
            }
            if json {
                return show::json(&serde_json::json!({ "code": code, "done": true }), out);
            }
            show::line("revoked: what hangs on the lease works no more", out)
        }
    }
}

fn list(found: LeaseList, color: bool) -> String {
    if found.leases.is_empty() {
        return "there are no leases\n".to_owned();
    }
    let mut table = Table::new(["CODE", "PATH", "ENDS IN", "KEPT FOR", "HOLDER"]);
    for lease in found.leases {
        let kept = lease.kept.map_or_else(|| "-".to_owned(), seconds);
        let ends = seconds(lease.ttl);
        table.row(
            Look::Plain,
            [lease.code, one_line(&lease.path), ends, kept, lease.holder],
        );
    }
    table.text(color)
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
    let envelope: Envelope<T> =
        serde_json::from_slice(&answer.body).map_err(|_| not_understood())?;
    Ok(envelope.data)
}

fn seconds(count: u64) -> String {
    spoken(Duration::from_secs(count))
}

//! `vaultgram request`, `extend`, `break-glass`: asks others to agree; or takes it, and answers for
//! it afterwards.

use std::io::Write;

use clap::Args;
use serde_json::json;
use zeroize::Zeroizing;

use super::wait::until_decided;
use super::{WaitArgs, act, because, id, look, said, standing};
use crate::api::{Because, RequestEntry};
use crate::cli::address::Address;
use crate::cli::client::{Answer, Socket};
use crate::cli::common::Common;
use crate::cli::exit::Failure;
use crate::cli::show;
use crate::domain::approval::ApprovalId;
use crate::domain::signs::one_line;

/// What is wanted, and why.
#[derive(Debug, Args)]
pub struct WantedArgs {
    /// The path of a secret, with or without its mount; one of its fields; one of its versions
    #[arg(value_name = "PATH[#field][@version]", value_parser = path)]
    pub path: String,
    /// Why, for those who decide
    #[arg(
        long,
        value_name = "TEXT",
        default_value = "",
        hide_default_value = true
    )]
    pub reason: String,
    /// What is to be done
    #[arg(long, value_name = "ACTION", default_value = "read", value_parser = [
        "read", "list", "versions", "put", "patch", "delete", "undelete", "destroy", "rotate",
        "invoke", "unwrap", "run", "runs", "rerun", "cancel_run", "approve_deployment",
        "deny_deployment", "watch", "unwatch",
    ])]
    pub action: String,
    /// How a secret is handed over: as it is, or behind a token that works once
    #[arg(long, value_name = "HOW", value_parser = ["socket", "wrapped"])]
    pub delivery: Option<String>,
}

/// As it was typed; the server looks closer.
fn path(text: &str) -> Result<String, &'static str> {
    text.parse::<Address>().map(|_| text.to_owned())
}

impl WantedArgs {
    fn body(&self) -> Zeroizing<Vec<u8>> {
        let mut body = json!({"path": self.path, "action": self.action, "reason": self.reason});
        if let (Some(delivery), Some(body)) = (&self.delivery, body.as_object_mut()) {
            body.insert("delivery".to_owned(), delivery.as_str().into());
        }
        Zeroizing::new(body.to_string().into_bytes())
    }
}

/// Arguments of `request`.
#[derive(Debug, Args)]
#[command(after_help = "\
Once it is granted, ask for it as always: `vaultgram get`. It is granted to you, by whatever account of
yours, for what was asked and for as long as policy says. What was requested before is waited for, not
requested twice. Where policy wants a reason and nobody's agreement, it is granted at once.

Examples:
  vaultgram request prod/database --reason 'migrate the orders table'
  vaultgram request prod/database#password --reason 'nightly report' --wait --timeout 1h
  vaultgram request prod/database --action put --reason 'new password from the vendor'
  vaultgram request 'github/acme/shop/deploy.yml#main?environment=production' --action run \
    --reason 'the fix for the till'

Exit codes: 0 requested or granted, with --wait granted, 64 usage, or needs no approval, 66 no such secret, 69 not
available, 75 try again, waits already, or not decided in time, 77 denied, 130 cancelled.")]
pub struct RequestArgs {
    /// What is wanted, and why.
    #[command(flatten)]
    pub wanted: WantedArgs,
    /// Whether to wait.
    #[command(flatten)]
    pub wait: WaitArgs,
    /// How to ask.
    #[command(flatten)]
    pub common: Common,
}

/// Arguments of `extend`.
#[derive(Debug, Args)]
#[command(after_help = "\
It is a request of its own, for the same people to decide.

Examples:
  vaultgram extend R7K2XQ --reason 'the migration still runs'
  vaultgram extend R7K2XQ --reason 'the migration still runs' --wait

Exit codes: 0 requested, or with --wait granted, 64 usage, 66 no such request, 69 not available, 75 try
again, or not decided in time, 77 denied, 130 cancelled.")]
pub struct ExtendArgs {
    /// The request whose grant is to last longer
    #[arg(value_name = "ID", value_parser = id)]
    pub id: ApprovalId,
    /// Why, for those who decide
    #[arg(
        long,
        value_name = "TEXT",
        default_value = "",
        hide_default_value = true
    )]
    pub reason: String,
    /// Whether to wait.
    #[command(flatten)]
    pub wait: WaitArgs,
    /// How to ask.
    #[command(flatten)]
    pub common: Common,
}

/// Arguments of `break-glass`.
#[derive(Debug, Args)]
#[command(after_help = "\
Everybody who would have decided is told at once, and somebody must look at it afterwards.

Examples:
  vaultgram break-glass prod/database --reason 'production is down, nobody answers'

Exit codes: 0 granted, 64 usage, 66 no such secret, 69 not available, 75 try again, 77 denied.")]
pub struct BreakGlassArgs {
    /// What is wanted, and why.
    #[command(flatten)]
    pub wanted: WantedArgs,
    /// How to ask.
    #[command(flatten)]
    pub common: Common,
}

/// Asks for approval.
///
/// # Errors
/// With the exit codes that `vaultgram request --help` lists.
pub async fn request(arguments: &RequestArgs, out: &mut dyn Write) -> Result<(), Failure> {
    let socket = arguments.common.socket()?;
    let body = arguments.wanted.body();
    let answer = socket.post("/v1/vaultgram/requests", Some(body)).await?;
    let (wait, json) = (&arguments.wait, arguments.common.json);
    follow(&socket, &answer, wait, json, out).await
}

/// Asks that a grant last longer.
///
/// # Errors
/// With the exit codes that `vaultgram extend --help` lists.
pub async fn extend(arguments: &ExtendArgs, out: &mut dyn Write) -> Result<(), Failure> {
    let socket = arguments.common.socket()?;
    let body = json!({ "reason": arguments.reason });
    let answer = act(&socket, &arguments.id, "extend", Some(&body)).await?;
    let (wait, json) = (&arguments.wait, arguments.common.json);
    follow(&socket, &answer, wait, json, out).await
}

/// Takes it at once.
///
/// # Errors
/// With the exit codes that `vaultgram break-glass --help` lists.
pub async fn break_glass(arguments: &BreakGlassArgs, out: &mut dyn Write) -> Result<(), Failure> {
    let (socket, body) = (arguments.common.socket()?, arguments.wanted.body());
    let answer = socket.post("/v1/vaultgram/break-glass", Some(body)).await?;
    let entry: RequestEntry = said(&answer)?;
    let text = format!(
        "the glass is broken: {}\nsomebody else must look at it afterwards: vaultgram reviewed {} NOTE",
        standing(&entry),
        one_line(&entry.id)
    );
    show::either(arguments.common.json, &entry, &text, out)
}

/// Says what was opened and, where that is wanted, waits for the end of it.
async fn follow(
    socket: &Socket,
    answer: &Answer,
    wait: &WaitArgs,
    json: bool,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    let entry = match because(answer).filter(|_| wait.wait) {
        // A job that starts again takes up where it was.
        Some(Because::Asked { id } | Because::Granted { id }) => look(socket, &id).await?,
        Some(Because::NotNeeded) => {
            let (state, text) = ("not_needed", "this needs no approval; just ask for it");
            return show::either(json, &json!({ "state": state }), text, out);
        }
        Some(Because::Pending { .. } | Because::ReasonNeeded { .. } | Because::CodeNeeded)
        | None => said(answer)?,
    };
    if wait.wait {
        let entry = until_decided(socket, entry, wait.timeout).await?;
        return show::either(json, &entry, &standing(&entry), out);
    }
    let id = one_line(&entry.id);
    let next = if entry.is_unasked() {
        format!("ask for it as always; what was granted is given back with: vaultgram revoke {id}")
    } else {
        format!(
            "they decide with: vaultgram approve {id}; it is taken back with: vaultgram cancel {id}"
        )
    };
    let text = format!("{}\n{next}", standing(&entry));
    show::either(json, &entry, &text, out)
}

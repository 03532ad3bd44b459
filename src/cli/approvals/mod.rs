//! Requests for approval on the command line: asked for, looked at, decided.

mod ask;
pub mod decide;
pub mod request;
pub mod requests;
mod wait;

use std::time::Duration;

use hyper::StatusCode;
use serde::de::DeserializeOwned;
use zeroize::Zeroizing;

pub(super) use self::ask::until_granted;
pub use self::wait::WaitArgs;
pub(super) use self::wait::when_granted;
use crate::api::{Because, Envelope, Explained, RequestEntry};
use crate::cli::client::{Answer, Socket};
use crate::cli::exit::{Exit, Failure};
use crate::cli::secret::not_understood;
use crate::domain::approval::ApprovalId;
use crate::domain::signs::one_line;
use crate::domain::span::spoken;

/// Reads the name of a request as people type it.
fn id(text: &str) -> Result<ApprovalId, &'static str> {
    let unfit = "not a request's id: `vaultgram requests` lists them, such as R7K2XQ";
    ApprovalId::read(text).ok_or(unfit)
}

fn target(id: &str) -> String {
    format!("/v1/vaultgram/requests/{id}")
}

/// The request `id` as it is now.
async fn look(socket: &Socket, id: &str) -> Result<RequestEntry, Failure> {
    said(&socket.get(&target(id)).await?)
}

/// Does `verb` to the request `id`, with `body` beside it.
async fn act(
    socket: &Socket,
    id: &ApprovalId,
    verb: &str,
    body: Option<&serde_json::Value>,
) -> Result<Answer, Failure> {
    let body = body.map(|body| Zeroizing::new(body.to_string().into_bytes()));
    let target = format!("{}/{verb}", target(id.as_str()));
    socket.post(&target, body).await
}

fn said<T: DeserializeOwned>(answer: &Answer) -> Result<T, Failure> {
    if answer.status != StatusCode::OK {
        return Err(answer.failure());
    }
    let envelope: Envelope<T> =
        serde_json::from_slice(&answer.body).map_err(|_| not_understood())?;
    Ok(envelope.data)
}

/// What can be done about a refusal, where the answer says so.
pub(super) fn because(answer: &Answer) -> Option<Because> {
    if answer.status.is_success() {
        return None;
    }
    let explained: Explained = serde_json::from_slice(&answer.body).ok()?;
    Some(explained.data)
}

/// The failure that a refusal stands for; `said`: in the server's words.
pub(super) fn failure(because: &Because, said: &str) -> Failure {
    match because {
        Because::Pending { request } => {
            let (id, who) = (one_line(&request.id), one_line(&request.wanted()));
            let progress = one_line(&request.progress());
            let what = format!("this needs approval by {who}: request {id} waits ({progress})");
            Failure::new(Exit::TryAgain, what).hint(format!(
                "ask again once it is granted: `vaultgram requests {id}` tells; \
                 `vaultgram get --wait` waits for it"
            ))
        }
        Because::ReasonNeeded { alone, .. } => {
            let (what, command) = (because.reason_wanted(), one_line(&because.command()));
            // What is granted at once need not be waited for.
            let wait = if *alone { "" } else { " --wait" };
            Failure::new(Exit::Denied, what).hint(format!("ask for it: {command}{wait}"))
        }
        Because::Asked { id } => Failure::new(Exit::TryAgain, said).hint(format!(
            "`vaultgram requests {0}` tells how it stands, and --wait waits for it",
            one_line(id)
        )),
        Because::Granted { .. } | Because::NotNeeded => {
            Failure::new(Exit::Usage, said).hint("`vaultgram get` gets it")
        }
        Because::CodeNeeded => Failure::new(Exit::Denied, said)
            .hint("type it at a terminal, or name a file it is in with --code-file"),
    }
}

/// How a request stands, in a line.
fn standing(entry: &RequestEntry) -> String {
    let id = one_line(&entry.id);
    let left = spoken(Duration::from_secs(entry.ttl.unwrap_or(0)));
    let by = || one_line(entry.by.as_deref().unwrap_or("somebody"));
    match entry.state.as_str() {
        "pending" => {
            let (progress, who) = (one_line(&entry.progress()), one_line(&entry.wanted()));
            format!("request {id} waits for {who}: {progress}, {left} left")
        }
        "granted" => {
            let once = if entry.once { ", for one use" } else { "" };
            let how = if entry.is_unasked() {
                " automatically"
            } else {
                ""
            };
            format!("request {id} is granted{how}, for {left}{once}")
        }
        "denied" => match entry.why.as_deref().filter(|why| !why.is_empty()) {
            Some(why) => format!("{} denied request {id}: {}", by(), one_line(why)),
            None => format!("{} denied request {id}", by()),
        },
        "cancelled" => format!("request {id} is cancelled"),
        "expired" => format!("nobody decided request {id} in time"),
        "used" => format!("request {id} was granted for one use, which was made"),
        "revoked" => format!("{} revoked what request {id} was granted", by()),
        "ended" => format!("what request {id} was granted is over"),
        "applied" => {
            let first = one_line(entry.extends.as_deref().unwrap_or("another"));
            format!("request {id} is granted: what {first} was granted lasts longer")
        }
        other => format!("request {id} is {}", one_line(other)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::{RequestAsk, RequestVote};

    pub(super) fn entry(state: &str) -> RequestEntry {
        RequestEntry {
            id: "R7K2XQ".to_owned(),
            state: state.to_owned(),
            since: "2026-01-02T03:04:05Z".to_owned(),
            by: Some("bob".to_owned()),
            why: Some("not\nnow".to_owned()),
            ttl: Some(1800),
            requester: "alice".to_owned(),
            account: "uid:990".to_owned(),
            description: Some("uid 990, /usr/bin/vaultgram".to_owned()),
            action: "read".to_owned(),
            delivery: Some("socket".to_owned()),
            path: "secret/prod/db".to_owned(),
            reason: "fix the login".to_owned(),
            opened: "2026-01-02T03:04:05Z".to_owned(),
            waits_until: "2026-01-03T03:04:05Z".to_owned(),
            granted_until: None,
            once: true,
            broken_glass: false,
            review: None,
            extends: Some("K2Q7XR".to_owned()),
            votes: vec![RequestVote {
                person: "carol".to_owned(),
                time: "2026-01-02T03:05:05Z".to_owned(),
                code: false,
            }],
            asks: vec![RequestAsk {
                policy: "prod".to_owned(),
                approvals: 2,
                have: 1,
                approvers: vec!["leads".to_owned(), "ops".to_owned()],
                separate: true,
                review: Some("security".to_owned()),
                reviewed: false,
                code: false,
            }],
        }
    }

    #[test]
    fn how_a_request_stands_is_one_line() {
        for (state, said) in [
            (
                "pending",
                "request R7K2XQ waits for 2 of leads, ops, each of another group and 1 more of \
                 security: 1 of 2 approved, not reviewed, 30 min left",
            ),
            (
                "granted",
                "request R7K2XQ is granted, for 30 min, for one use",
            ),
            ("denied", "bob denied request R7K2XQ: not now"),
            ("cancelled", "request R7K2XQ is cancelled"),
            ("expired", "nobody decided request R7K2XQ in time"),
            ("revoked", "bob revoked what request R7K2XQ was granted"),
            (
                "applied",
                "request R7K2XQ is granted: what K2Q7XR was granted lasts longer",
            ),
        ] {
            assert_eq!(standing(&entry(state)), said);
        }
    }
}

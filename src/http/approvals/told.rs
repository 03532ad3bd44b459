//! Requests for approval as programs are told them, and what to do about those that wait.

use hyper::StatusCode;
use time::format_description::well_known::Rfc3339;
use time::{Duration, OffsetDateTime};

use crate::api::{Because, RequestAsk, RequestEntry, RequestReview, RequestVote};
use crate::broker::{ApprovalError, ApprovalInfo, BrokerError, Waiting};
use crate::domain::approval::{Ask, Refusal as Refused, Review, State};
use crate::domain::{Action, Caller, Target};
use crate::http::ask::Unapproved;
use crate::http::error::Refusal;

/// What is answered where somebody must agree first.
pub(in crate::http) fn needed(unapproved: Unapproved) -> Refusal {
    let Unapproved { waiting, about } = unapproved;
    let (what, info) = match waiting {
        Waiting::Opened(info) => ("which waits for that since just now", info),
        Waiting::Known(info) => ("which still waits for that", info),
        Waiting::ReasonNeeded { characters, alone } => {
            return reason_needed(characters, alone, about);
        }
    };
    // Its time does not matter here: the entry says until when.
    let request = entry(&info, info.opened);
    let who = request.wanted();
    let id = &request.id;
    let said = format!(
        "this needs approval by {who}: it is request {id}, {what}; ask again once it is granted \
         (vaultgram requests {id}, or GET vaultgram/requests/{id})"
    );
    let request = Box::new(request);
    Refusal::new(StatusCode::FORBIDDEN, said).because(Because::Pending { request })
}

fn reason_needed(characters: usize, alone: bool, about: Option<(Action, Target)>) -> Refusal {
    let (action, target) = about.unzip();
    let delivery = action.and_then(Action::delivery);
    let because = Because::ReasonNeeded {
        characters,
        alone,
        path: target.map(|target| target.to_string()),
        action: action.map(|action| action.name().to_owned()),
        delivery: delivery.map(|delivery| delivery.name().to_owned()),
    };
    let command = because.command();
    let said = format!(
        "{}; request it: {command} (or POST vaultgram/requests)",
        because.reason_wanted()
    );
    Refusal::new(StatusCode::FORBIDDEN, said).because(because)
}

/// Why nothing came of it, with what programs go by.
pub(super) fn refused(error: &BrokerError) -> Refusal {
    let refusal = Refusal::from(error);
    let BrokerError::Approval(error) = error else {
        return refusal;
    };
    if let ApprovalError::Asked(id) = error {
        refusal.because(Because::Asked { id: id.to_string() })
    } else if let ApprovalError::Granted(id) = error {
        refusal.because(Because::Granted { id: id.to_string() })
    } else if let ApprovalError::NotNeeded = error {
        refusal.because(Because::NotNeeded)
    } else if let ApprovalError::Refused(Refused::CodeNeeded) = error {
        refusal.because(Because::CodeNeeded)
    } else {
        refusal
    }
}

/// A request as it is told at `now`.
pub(super) fn entry(info: &ApprovalInfo, now: OffsetDateTime) -> RequestEntry {
    let (by, why) = match &info.state {
        State::Denied { by, reason } => (Some(by.clone()), Some(reason.clone())),
        State::Revoked { by } => (Some(by.clone()), None),
        State::Pending
        | State::Granted
        | State::Cancelled
        | State::Expired
        | State::Used
        | State::Ended
        | State::Applied => (None, None),
    };
    let granted_until = info.grant.as_ref().map(|grant| grant.until);
    let ends = match info.state {
        State::Pending => Some(info.waits_until),
        State::Granted => granted_until,
        State::Denied { .. }
        | State::Cancelled
        | State::Expired
        | State::Used
        | State::Revoked { .. }
        | State::Ended
        | State::Applied => None,
    };
    let description = match &info.caller {
        Caller::Unix(peer) => Some(peer.describe()),
        Caller::Job(job) => Some(job.describe()),
        Caller::Telegram(_) => None,
    };
    let votes = info.votes.iter().map(|vote| RequestVote {
        person: vote.person.clone(),
        time: time_text(vote.at),
        code: vote.step_up.is_some(),
    });
    RequestEntry {
        id: info.id.to_string(),
        state: info.state.name().to_owned(),
        since: time_text(info.since),
        by,
        why,
        ttl: ends.map(|ends| seconds_left(ends - now)),
        requester: info.requester.clone(),
        account: info.caller.to_string(),
        description,
        action: info.action.name().to_owned(),
        delivery: info.action.delivery().map(|it| it.name().to_owned()),
        path: info.target.to_string(),
        reason: info.reason.clone(),
        opened: time_text(info.opened),
        waits_until: time_text(info.waits_until),
        granted_until: granted_until.map(time_text),
        once: info.grant.as_ref().is_some_and(|grant| grant.once),
        broken_glass: info.review.is_some(),
        review: info.review.as_ref().and_then(review),
        extends: info.extends.as_ref().map(ToString::to_string),
        votes: votes.collect(),
        asks: info.asks.iter().map(ask).collect(),
    }
}

/// Rounded up: what has just begun has all of its time.
fn seconds_left(left: Duration) -> u64 {
    let left = std::time::Duration::try_from(left).unwrap_or_default();
    left.as_secs() + u64::from(left.subsec_nanos() > 0)
}

fn ask(ask: &Ask) -> RequestAsk {
    RequestAsk {
        policy: ask.policy.clone(),
        approvals: ask.approvals,
        have: ask.have,
        approvers: ask.approvers.clone(),
        separate: ask.separate,
        review: ask.review.clone(),
        reviewed: ask.reviewed,
        code: ask.step_up.is_some(),
    }
}

fn review(review: &Review) -> Option<RequestReview> {
    match review {
        Review::Open { .. } => None,
        Review::Done { by, note, at } => Some(RequestReview {
            by: by.clone(),
            note: note.clone(),
            time: time_text(*at),
        }),
    }
}

fn time_text(at: OffsetDateTime) -> String {
    at.format(&Rfc3339).unwrap_or_default()
}

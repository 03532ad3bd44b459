//! A request for approval as it is kept: JSON, without plaintext.

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use crate::broker::wire::{StoredAction, StoredCaller, StoredId, StoredTarget};
use crate::domain::approval::{Ask, Grant, Review, State, Vote};
use crate::domain::{Approval, ApprovalId, Request};

/// `approval` as it is kept.
pub(super) fn write(approval: &Approval) -> Result<Vec<u8>, serde_json::Error> {
    serde_json::to_vec(&Stored::from(approval))
}

/// What was kept; `None` where it makes no sense.
pub(super) fn read(bytes: &[u8]) -> Option<Approval> {
    serde_json::from_slice::<Stored>(bytes).ok()?.approval()
}

#[derive(Serialize, Deserialize)]
struct Stored {
    id: String,
    request: StoredId,
    caller: StoredCaller,
    action: StoredAction,
    #[serde(flatten)]
    target: StoredTarget,
    requester: String,
    reason: String,
    opened: i64,
    waits_until: i64,
    extends: Option<String>,
    asks: Vec<KeptAsk>,
    votes: Vec<StoredVote>,
    #[serde(with = "StoredState")]
    state: State,
    since: i64,
    grant: Option<StoredGrant>,
    review: Option<StoredReview>,
    revision: u64,
}

#[derive(Serialize, Deserialize)]
struct KeptAsk(#[serde(with = "StoredAsk")] Ask);

#[derive(Serialize, Deserialize)]
#[serde(remote = "Ask")]
struct StoredAsk {
    policy: String,
    approvals: usize,
    have: usize,
    approvers: Vec<String>,
    separate: bool,
    review: Option<String>,
    reviewed: bool,
    step_up: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct StoredVote {
    account: String,
    person: String,
    at: i64,
    step_up: Option<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "State", rename_all = "snake_case")]
enum StoredState {
    Pending,
    Granted,
    Denied { by: String, reason: String },
    Cancelled,
    Expired,
    Used,
    Revoked { by: String },
    Ended,
    Applied,
}

#[derive(Serialize, Deserialize)]
struct StoredGrant {
    since: i64,
    until: i64,
    once: bool,
    warned: bool,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum StoredReview {
    Open { reminded: i64, reminders: u32 },
    Done { by: String, note: String, at: i64 },
}

impl Stored {
    fn approval(self) -> Option<Approval> {
        let request = Request {
            id: self.request.id()?,
            caller: self.caller.caller(),
            action: self.action.action()?,
            target: self.target.target()?,
        };
        let votes = self.votes.into_iter().map(StoredVote::vote);
        let extends = self.extends.map(|id| ApprovalId::read(&id).ok_or(()));
        Some(Approval {
            id: ApprovalId::read(&self.id)?,
            request,
            requester: self.requester,
            reason: self.reason,
            opened: at(self.opened)?,
            waits_until: at(self.waits_until)?,
            extends: extends.transpose().ok()?,
            asks: self.asks.into_iter().map(|KeptAsk(ask)| ask).collect(),
            votes: votes.collect::<Option<_>>()?,
            state: self.state,
            since: at(self.since)?,
            grant: match self.grant {
                Some(grant) => Some(grant.grant()?),
                None => None,
            },
            review: match self.review {
                Some(review) => Some(review.review()?),
                None => None,
            },
            revision: self.revision,
        })
    }
}

impl From<&Approval> for Stored {
    fn from(approval: &Approval) -> Self {
        let Approval {
            id,
            request,
            requester,
            reason,
            opened,
            waits_until,
            extends,
            asks,
            votes,
            state,
            since,
            grant,
            review,
            revision,
        } = approval.clone();
        Self {
            id: id.to_string(),
            request: request.id.into(),
            caller: request.caller.into(),
            action: request.action.into(),
            target: request.target.into(),
            requester,
            reason,
            opened: opened.unix_timestamp(),
            waits_until: waits_until.unix_timestamp(),
            extends: extends.map(|id| id.to_string()),
            asks: asks.into_iter().map(KeptAsk).collect(),
            votes: votes.into_iter().map(Into::into).collect(),
            state,
            since: since.unix_timestamp(),
            grant: grant.map(Into::into),
            review: review.map(Into::into),
            revision,
        }
    }
}

fn at(seconds: i64) -> Option<OffsetDateTime> {
    OffsetDateTime::from_unix_timestamp(seconds).ok()
}

impl StoredVote {
    fn vote(self) -> Option<Vote> {
        Some(Vote {
            account: self.account.parse().ok()?,
            person: self.person,
            at: at(self.at)?,
            step_up: self.step_up,
        })
    }
}

impl From<Vote> for StoredVote {
    fn from(vote: Vote) -> Self {
        Self {
            account: vote.account.to_string(),
            person: vote.person,
            at: vote.at.unix_timestamp(),
            step_up: vote.step_up,
        }
    }
}

impl StoredGrant {
    fn grant(self) -> Option<Grant> {
        Some(Grant {
            since: at(self.since)?,
            until: at(self.until)?,
            once: self.once,
            warned: self.warned,
        })
    }
}

impl From<Grant> for StoredGrant {
    fn from(grant: Grant) -> Self {
        Self {
            since: grant.since.unix_timestamp(),
            until: grant.until.unix_timestamp(),
            once: grant.once,
            warned: grant.warned,
        }
    }
}

impl StoredReview {
    fn review(self) -> Option<Review> {
        Some(match self {
            Self::Open {
                reminded,
                reminders,
            } => Review::Open {
                reminded: at(reminded)?,
                reminders,
            },
            Self::Done { by, note, at: when } => Review::Done {
                by,
                note,
                at: at(when)?,
            },
        })
    }
}

impl From<Review> for StoredReview {
    fn from(review: Review) -> Self {
        match review {
            Review::Open {
                reminded,
                reminders,
            } => Self::Open {
                reminded: reminded.unix_timestamp(),
                reminders,
            },
            Review::Done { by, note, at } => Self::Done {
                by,
                note,
                at: at.unix_timestamp(),
            },
        }
    }
}

#[cfg(test)]
mod tests;

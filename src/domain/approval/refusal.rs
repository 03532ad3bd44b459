//! Why a request for approval does not change as somebody wants: what happened before.

use std::fmt;
use std::time::Duration;

use crate::domain::approval::State;
use crate::domain::span::spoken;

/// Why nothing changed. `Display` is fit for who asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// It waits no more: what became of it, and how long ago.
    Over(State, Duration),
    /// It is granted already.
    Granted,
    /// It is not granted yet.
    NotGranted,
    /// It is their own, by this or another account of theirs.
    Own,
    /// It is somebody else's.
    NotOwn,
    /// They are none of those who may approve it.
    NotApprover,
    /// They approved it already.
    VotedAlready,
    /// Their vote only counts with a TOTP code.
    CodeNeeded,
    /// It is for one use, so there is nothing to extend.
    Once,
    /// Nobody has broken any glass.
    NothingToReview,
    /// Somebody has looked at it already.
    ReviewedAlready(String),
}

impl Refusal {
    /// The name in audit and logs.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Over(..) => "approval_over",
            Self::Granted => "approval_granted",
            Self::NotGranted => "approval_not_granted",
            Self::Own => "own_approval",
            Self::NotOwn => "not_own_approval",
            Self::NotApprover => "not_an_approver",
            Self::VotedAlready => "voted_already",
            Self::CodeNeeded => "code_needed",
            Self::Once => "approval_for_one_use",
            Self::NothingToReview => "nothing_to_review",
            Self::ReviewedAlready(_) => "reviewed_already",
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Over(state, ago) => {
                let happened = match state {
                    State::Denied { by, reason } if reason.is_empty() => {
                        format!("{by} denied it")
                    }
                    State::Denied { by, reason } => format!("{by} denied it ({reason})"),
                    State::Cancelled => "its requester cancelled it".to_owned(),
                    State::Expired => "nobody decided in time".to_owned(),
                    State::Used => "it was for one use, which was made".to_owned(),
                    State::Revoked { by } => format!("{by} revoked it"),
                    State::Ended => "its time is over".to_owned(),
                    State::Applied => "the grant it was about lasts longer since".to_owned(),
                    State::Pending => "it waits".to_owned(),
                    State::Granted => "it is granted".to_owned(),
                };
                write!(f, "this request is over: {happened}, {} ago", spoken(*ago))
            }
            Self::Granted => f.write_str("this request is granted already"),
            Self::NotGranted => f.write_str("this request is not granted"),
            Self::Own => f.write_str(
                "this request is your own, by this or another account of yours; somebody else \
                 must decide",
            ),
            Self::NotOwn => f.write_str("this request is somebody else's"),
            Self::NotApprover => f.write_str("you are none of those who may decide this request"),
            Self::VotedAlready => {
                f.write_str("you approved this request already; it waits for others")
            }
            Self::CodeNeeded => f.write_str(
                "your vote on this request needs a code of your authenticator beside it",
            ),
            Self::Once => f.write_str("this grant is for one use, so it cannot last longer"),
            Self::NothingToReview => f.write_str("no glass was broken in this request"),
            Self::ReviewedAlready(by) => write!(f, "{by} reviewed this already"),
        }
    }
}

impl std::error::Error for Refusal {}

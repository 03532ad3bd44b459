//! Why nothing came of what somebody wants of a request for approval.

use thiserror::Error;

use crate::domain::ApprovalId;
use crate::domain::approval::Refusal;

/// Why nothing came of it. `Display` is fit for the caller, wherever they ask.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ApprovalError {
    /// Policy allows it as it is.
    #[error("this needs no approval; just ask for it")]
    NotNeeded,
    /// Policy has changed since it was requested.
    #[error("policy refuses this by now, whoever agrees to it")]
    RefusedByNow,
    /// It waits already.
    #[error("this is requested already: {0}")]
    Asked(ApprovalId),
    /// It is granted already.
    #[error("this is granted already ({0}); just ask for it")]
    Granted(ApprovalId),
    /// More than one person needs.
    #[error("you have {0} requests that wait, which is the most; cancel some first")]
    TooMany(usize),
    /// More than anybody can look at.
    #[error("{0} requests were made today by all together, which is the most; tell an operator")]
    TooManyToday(u32),
    /// More than one person's share of these.
    #[error(
        "you made {0} requests today, which is the most; wait until tomorrow (UTC), or tell an operator"
    )]
    TooManyOfYoursToday(u32),
    /// Others come first.
    #[error("you broke the glass {0} times, and nobody has looked at it; somebody must first")]
    TooMuchBroken(usize),
    /// Not a reason.
    #[error("say why, in {0} characters or more")]
    ReasonTooShort(usize),
    /// Not to be shown to others.
    #[error("write it on one line of at most {0} characters, all of them visible")]
    UnfitReason(usize),
    /// No such request, or none of theirs to know of.
    #[error("there is no such request, or it is not for you to see")]
    Unknown,
    /// What happened before.
    #[error("{0}")]
    Refused(#[from] Refusal),
    /// Somebody was faster.
    #[error("what was granted for this was used or taken back just now; request it anew")]
    Over,
    /// What was opened without votes, or only extends.
    #[error("this cannot last longer; request it anew")]
    NotExtended,
    /// Policy lets nobody.
    #[error("policy lets nobody break the glass for this; request it, so that others can agree")]
    NoGlass,
    /// Not what the authenticator shows, or taken before.
    #[error("this is not the code your authenticator shows now, or it was used before")]
    WrongCode,
    /// More than anybody needs.
    #[error("you tried too many codes; try again in a few minutes")]
    TooManyCodes,
    /// Vault has no key for this person.
    #[error("Vault knows no authenticator of {0}; ask an operator to set one up")]
    NoAuthenticator(String),
    /// Others changed the same all the time.
    #[error("too many did this at once; try again")]
    Busy,
}

impl ApprovalError {
    /// The name in audit and logs.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::NotNeeded => "needs_no_approval",
            Self::RefusedByNow => "refused_by_now",
            Self::Asked(_) => "already_asked",
            Self::Granted(_) => "already_granted",
            Self::TooMany(_) => "too_many_approvals",
            Self::TooManyToday(_) => "too_many_today",
            Self::TooManyOfYoursToday(_) => "too_many_of_one_today",
            Self::TooMuchBroken(_) => "too_much_broken",
            Self::ReasonTooShort(_) => "reason_too_short",
            Self::UnfitReason(_) => "unfit_reason",
            Self::Unknown => "unknown_approval",
            Self::Refused(refusal) => refusal.name(),
            Self::Over => "grant_over",
            Self::NotExtended => "not_extended",
            Self::NoGlass => "no_glass",
            Self::WrongCode => "wrong_code",
            Self::TooManyCodes => "too_many_codes",
            Self::NoAuthenticator(_) => "no_authenticator",
            Self::Busy => "busy",
        }
    }
}

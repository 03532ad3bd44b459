//! A request for approval, and the grant that comes of it: a machine without time or place.
//!
//! [`Approval::step`] takes it from one state to the next. What votes mean, policy says anew each
//! time they are counted: nothing in here lets anybody have anything. A [`crate::domain::Permit`]
//! comes from [`crate::domain::Policy::decide_granted`] only:
//!
//! ```compile_fail
//! use vaultgram::domain::approval::Approval;
//! use vaultgram::domain::{Permit, Request};
//! fn forge(request: Request, approval: &Approval, now: time::OffsetDateTime) -> Permit {
//!     Permit::mint(request, vec![], Default::default(), approval.grant(), now)
//! }
//! ```
//!
//! Nor can anybody make one that is granted already, or change one that is not:
//!
//! ```compile_fail
//! use vaultgram::domain::approval::{Approval, State};
//! fn forge(approval: Approval) -> Approval {
//!     Approval { state: State::Granted, ..approval }
//! }
//! ```

mod count;
mod id;
mod record;
mod refusal;
mod step;

use time::OffsetDateTime;

pub use self::count::{Ask, Cast};
pub use self::id::{ApprovalId, LENGTH};
pub use self::record::{ApprovalRecord, ApprovalStep};
pub use self::refusal::Refusal;
pub use self::step::{Ballot, Effect, Event};
use crate::domain::group::Groups;
use crate::domain::need::Need;
use crate::domain::person::Account;
use crate::domain::{Caller, Request};

/// A request for approval.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Approval {
    pub(crate) id: ApprovalId,
    /// What is to be approved; policy decides on it anew when votes are counted.
    pub(crate) request: Request,
    /// Who asked, as they were called then.
    pub(crate) requester: String,
    pub(crate) reason: String,
    pub(crate) opened: OffsetDateTime,
    pub(crate) waits_until: OffsetDateTime,
    /// The grant that is to last longer, where this is about one.
    pub(crate) extends: Option<ApprovalId>,
    /// What people were told last of what it takes.
    pub(crate) asks: Vec<Ask>,
    pub(crate) votes: Vec<Vote>,
    pub(crate) state: State,
    /// Since when it is in that state.
    pub(crate) since: OffsetDateTime,
    /// What was granted, once something was.
    pub(crate) grant: Option<Grant>,
    /// Where the glass was broken: what became of that.
    pub(crate) review: Option<Review>,
    /// Counts its changes.
    pub(crate) revision: u64,
}

/// A vote for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vote {
    /// By this account.
    pub account: Account,
    /// Whose person was called so then.
    pub person: String,
    /// When.
    pub at: OffsetDateTime,
    /// Where the TOTP code that came with it was checked.
    pub step_up: Option<String>,
}

/// What became of it so far.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// It waits for votes.
    Pending,
    /// It is granted, until [`Grant::until`].
    Granted,
    /// An approver said no.
    Denied {
        /// Who.
        by: String,
        /// Why.
        reason: String,
    },
    /// Its requester wants it no more.
    Cancelled,
    /// Nobody decided in time.
    Expired,
    /// It was for one use, and that was made.
    Used,
    /// What was granted was taken back.
    Revoked {
        /// By whom.
        by: String,
    },
    /// The time that was granted is over.
    Ended,
    /// The grant that it was about lasts longer.
    Applied,
}

impl State {
    /// One word, for people, wire and metrics.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Granted => "granted",
            Self::Denied { .. } => "denied",
            Self::Cancelled => "cancelled",
            Self::Expired => "expired",
            Self::Used => "used",
            Self::Revoked { .. } => "revoked",
            Self::Ended => "ended",
            Self::Applied => "applied",
        }
    }

    /// Whether something can still come of it.
    #[must_use]
    pub fn is_open(&self) -> bool {
        matches!(self, Self::Pending | Self::Granted)
    }
}

/// What was granted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// Since when it holds, or was last extended.
    pub since: OffsetDateTime,
    /// Until when.
    pub until: OffsetDateTime,
    /// Whether it is for one use.
    pub once: bool,
    /// Whether people were warned that it is about to end.
    pub warned: bool,
}

/// What became of broken glass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Review {
    /// Nobody has looked at it.
    Open {
        /// When people were last reminded of it.
        reminded: OffsetDateTime,
        /// How often they were.
        reminders: u32,
    },
    /// Somebody has.
    Done {
        /// Who.
        by: String,
        /// What they found.
        note: String,
        /// When.
        at: OffsetDateTime,
    },
}

impl Approval {
    /// A request that waits for votes.
    #[must_use]
    pub fn open(
        id: ApprovalId,
        request: Request,
        reason: String,
        need: &Need,
        groups: &Groups,
        now: OffsetDateTime,
    ) -> Self {
        let requester = groups.person(&request.caller).to_string();
        let length = reason.chars().count();
        Self {
            id,
            request,
            requester,
            reason,
            opened: now,
            waits_until: now + need.waits(length),
            extends: None,
            asks: need.asks(&[], length),
            votes: vec![],
            state: State::Pending,
            since: now,
            grant: None,
            review: None,
            revision: 1,
        }
    }

    /// As [`Approval::open`], so that the grant `first` lasts longer.
    #[must_use]
    pub fn extending(self, first: &Self) -> Self {
        Self {
            extends: Some(first.id.clone()),
            ..self
        }
    }

    /// Granted at once, where policy wants a reason and nobody's agreement to it; else as it was.
    #[must_use]
    pub fn unasked(self, need: &Need) -> (Self, Option<Effect>) {
        match need.met(&[], self.reason_length()) {
            Some(met) => {
                let now = self.opened;
                let (granted, effect) = self.granted_as(met, now);
                (granted, Some(effect))
            }
            None => (self, None),
        }
    }

    /// In characters, as policies count.
    pub(in crate::domain) fn reason_length(&self) -> usize {
        self.reason.chars().count()
    }

    /// A grant without a vote, where policy lets anybody break the glass; `None` where it does not.
    #[must_use]
    pub fn broken(self, need: &Need) -> Option<Self> {
        let (met, _) = need.broken()?;
        let now = self.opened;
        Some(Self {
            state: State::Granted,
            grant: Some(Grant {
                since: now,
                until: now + met.grant,
                once: false,
                warned: true,
            }),
            review: Some(Review::Open {
                reminded: now,
                reminders: 0,
            }),
            ..self
        })
    }

    /// Whether `account` belongs to the requester, by whatever account they asked.
    #[must_use]
    pub fn is_of(&self, account: &Account, groups: &Groups) -> bool {
        let requester = Account::from(&self.request.caller);
        groups.people().of(&requester) == groups.people().of(account)
    }

    /// Whether it lets people have something at `now`, if policy agrees.
    #[must_use]
    pub fn is_live(&self, now: OffsetDateTime) -> bool {
        // What is to extend a grant does nothing but that.
        self.extends.is_none() && self.state_at(now) == State::Granted
    }

    /// Whether it is about `request`: the same to be done by the same person, or in the same attempt
    /// of the same run, with the same. What is about a whole secret is about each of its fields, and where it names no version, about
    /// each of these.
    #[must_use]
    pub fn covers(&self, request: &Request, groups: &Groups) -> bool {
        let (own, other) = (&self.request, request);
        let within = |own: &Option<_>, other: &Option<_>| own.is_none() || own == other;
        let version = own.target.version;
        own.action.name() == other.action.name()
            && own.action.delivery() == other.action.delivery()
            && own.target.path == other.target.path
            && within(&own.target.field, &other.target.field)
            && (version.is_none() || version == other.target.version)
            && match (&own.caller, &other.caller) {
                (Caller::Job(own), Caller::Job(other)) => own.is_same_run(other),
                (Caller::Job(_), Caller::Telegram(_) | Caller::Unix(_))
                | (Caller::Telegram(_) | Caller::Unix(_), Caller::Job(_)) => false,
                (Caller::Telegram(_) | Caller::Unix(_), Caller::Telegram(_) | Caller::Unix(_)) => {
                    self.is_of(&(&other.caller).into(), groups)
                }
            }
    }

    /// Whether it was granted so that another grant lasts longer, and that is still to be done.
    pub(crate) fn is_half_done(&self) -> bool {
        self.extends.is_some() && self.state == State::Granted
    }

    /// Whether what was made by it may last on at `now`: until its time is over, also where its one
    /// use is made.
    #[must_use]
    pub fn holds(&self, now: OffsetDateTime) -> bool {
        let granted = matches!(self.state, State::Granted | State::Used);
        granted && self.grant.as_ref().is_some_and(|grant| now < grant.until)
    }

    /// Whether nobody will do anything about it any more.
    #[must_use]
    pub fn is_over(&self, now: OffsetDateTime) -> bool {
        let review = matches!(self.review, Some(Review::Open { .. }));
        !self.state.is_open() && !review && !self.holds(now)
    }

    /// Its state at `now`: time passes without anybody's doing.
    pub(crate) fn state_at(&self, now: OffsetDateTime) -> State {
        match &self.state {
            State::Pending if now >= self.waits_until => State::Expired,
            State::Granted if self.grant.as_ref().is_none_or(|grant| now >= grant.until) => {
                State::Ended
            }
            State::Pending
            | State::Granted
            | State::Denied { .. }
            | State::Cancelled
            | State::Expired
            | State::Used
            | State::Revoked { .. }
            | State::Ended
            | State::Applied => self.state.clone(),
        }
    }
}

#[cfg(test)]
mod tests;

//! Requests for approval.

use serde::{Deserialize, Serialize};

/// What `vaultgram/requests` says.
#[derive(Debug, Serialize, Deserialize)]
pub struct RequestList {
    /// Those that were asked for and the caller may see, the newest first.
    pub requests: Vec<RequestEntry>,
    /// How many there are, also where not all are told.
    pub total: usize,
}

/// A request for approval, and what became of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestEntry {
    /// What people call it.
    pub id: String,
    /// One word: `pending`, `granted`, `denied`, `cancelled`, `expired`, `used`, `revoked`, `ended`,
    /// `applied`.
    pub state: String,
    /// Since when it is in that state, RFC 3339.
    pub since: String,
    /// Who denied or revoked it.
    pub by: Option<String>,
    /// Why it was denied.
    pub why: Option<String>,
    /// For how many seconds it still waits, or what is granted holds; null where it is over.
    pub ttl: Option<u64>,
    /// Who asked: the person.
    pub requester: String,
    /// Which account of theirs did: `telegram:1001`, `uid:990`.
    pub account: String,
    /// Of a program: what the kernel says of it.
    pub description: Option<String>,
    /// What is to be done, in the words of policies.
    pub action: String,
    /// How it is handed over, where it is a secret.
    pub delivery: Option<String>,
    /// With what: `MOUNT/PATH`, with field and version where these are named.
    pub path: String,
    /// Why, in their words.
    pub reason: String,
    /// When it was asked for, RFC 3339.
    pub opened: String,
    /// Until when it waits for votes, RFC 3339.
    pub waits_until: String,
    /// Until when what is granted holds, RFC 3339; null where nothing was granted.
    pub granted_until: Option<String>,
    /// Whether it is granted for one use.
    pub once: bool,
    /// Whether the glass was broken: it was taken without votes.
    pub broken_glass: bool,
    /// Who looked at that afterwards, and what they found.
    pub review: Option<RequestReview>,
    /// The request whose grant is to last longer, where it is about that.
    pub extends: Option<String>,
    /// The votes for it.
    pub votes: Vec<RequestVote>,
    /// What it takes: all of these.
    pub asks: Vec<RequestAsk>,
}

/// A vote for a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestVote {
    /// Whose.
    pub person: String,
    /// When, RFC 3339.
    pub time: String,
    /// Whether a code of their authenticator came with it.
    pub code: bool,
}

/// One thing that must be agreed to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestAsk {
    /// The policy that wants it.
    pub policy: String,
    /// So many people must approve.
    pub approvals: usize,
    /// So many have, whose votes count.
    pub have: usize,
    /// They are of these groups.
    pub approvers: Vec<String>,
    /// Each for another of these groups.
    pub separate: bool,
    /// And somebody else of this group must.
    pub review: Option<String>,
    /// That has happened.
    pub reviewed: bool,
    /// Whether votes carry a code of the voter's authenticator.
    pub code: bool,
}

/// What somebody found who looked at broken glass.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestReview {
    /// Who.
    pub by: String,
    /// What they found.
    pub note: String,
    /// When, RFC 3339.
    pub time: String,
}

/// An error with what programs go by, beside what people read.
#[derive(Debug, Serialize, Deserialize)]
pub struct Explained {
    /// What is wrong.
    pub errors: Vec<String>,
    /// Why.
    pub data: Because,
}

/// Why something is refused that can be had another way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "because", rename_all = "snake_case")]
pub enum Because {
    /// Others must agree, and were asked.
    Pending {
        /// The request that waits for them.
        request: Box<RequestEntry>,
    },
    /// The caller must request it, and say why; others must agree, unless that is enough.
    ReasonNeeded {
        /// In at least so many characters.
        characters: usize,
        /// That is enough: nobody need agree.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        alone: bool,
        /// What is to be done, and with what, where that is known.
        path: Option<String>,
        /// See above.
        action: Option<String>,
        /// See above.
        delivery: Option<String>,
    },
    /// It was asked for before, and waits.
    Asked {
        /// The request's id.
        id: String,
    },
    /// It is granted already.
    Granted {
        /// The request's id.
        id: String,
    },
    /// Nobody need agree.
    NotNeeded,
    /// The vote only counts with a code of the voter's authenticator.
    CodeNeeded,
}

impl RequestEntry {
    /// Whether nobody agreed to what was granted, as its reason was enough.
    #[must_use]
    pub fn is_unasked(&self) -> bool {
        self.granted_until.is_some() && self.votes.is_empty() && !self.broken_glass
    }

    /// Who must agree: `2 of platform-leads, security`.
    #[must_use]
    pub fn wanted(&self) -> String {
        let asks = self.asks.iter().map(RequestAsk::wanted);
        asks.collect::<Vec<_>>().join(", and by ")
    }

    /// How far that is met: `1 of 2 approved`.
    #[must_use]
    pub fn progress(&self) -> String {
        let asks = self.asks.iter().map(RequestAsk::progress);
        asks.collect::<Vec<_>>().join(", ")
    }
}

impl RequestAsk {
    fn wanted(&self) -> String {
        let (count, groups) = (self.approvals, self.approvers.join(", "));
        let each = if self.separate {
            ", each of another group"
        } else {
            ""
        };
        let review = self.review.as_ref();
        let review = review.map_or_else(String::new, |group| format!(" and 1 more of {group}"));
        format!("{count} of {groups}{each}{review}")
    }

    fn progress(&self) -> String {
        let (have, count) = (self.have, self.approvals);
        let review = match (&self.review, self.reviewed) {
            (None, _) => "",
            (Some(_), true) => ", reviewed",
            (Some(_), false) => ", not reviewed",
        };
        format!("{have} of {count} approved{review}")
    }
}

impl Because {
    /// What is wanted of who must say why.
    #[must_use]
    pub fn reason_wanted(&self) -> String {
        let (characters, alone) = match self {
            Self::ReasonNeeded {
                characters, alone, ..
            } => (*characters, *alone),
            Self::Pending { .. }
            | Self::Asked { .. }
            | Self::Granted { .. }
            | Self::NotNeeded
            | Self::CodeNeeded => (0, false),
        };
        let what = if alone { "a" } else { "approval, and a" };
        format!("this needs {what} reason of {characters} characters or more")
    }

    /// The command that asks for approval.
    #[must_use]
    pub fn command(&self) -> String {
        let (path, action, delivery) = match self {
            Self::ReasonNeeded {
                path,
                action,
                delivery,
                ..
            } => (path.as_deref(), action.as_deref(), delivery.as_deref()),
            Self::Pending { .. }
            | Self::Asked { .. }
            | Self::Granted { .. }
            | Self::NotNeeded
            | Self::CodeNeeded => (None, None, None),
        };
        let path = path.unwrap_or("PATH");
        let action = action.filter(|action| *action != "read");
        let action = action.map_or_else(String::new, |name| format!(" --action {name}"));
        let delivery = delivery.filter(|delivery| *delivery == "wrapped");
        let delivery = delivery.map_or_else(String::new, |name| format!(" --delivery {name}"));
        format!("vaultgram request {path}{action}{delivery} --reason TEXT")
    }
}

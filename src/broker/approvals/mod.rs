//! Requests for approval: opened, voted on, granted, used, taken back.
//!
//! Each is one value in the coordination store, changed by one swap at a time: what a step means is
//! read, taken ([`crate::domain::Approval::step`]), put on record, and swapped in; where somebody
//! was faster, all of that again. So a process can end between any two writes: what the value says
//! has happened, and what follows from that is done by whoever looks next ([`keeper`]).

pub(in crate::broker) mod change;
mod error;
mod extend;
mod glass;
mod grants;
mod info;
mod keeper;
mod limits;
mod open;
mod promise;
mod step_up;
mod store;
mod wire;
pub(in crate::broker) mod words;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use time::OffsetDateTime;
use tokio::sync::watch;

pub use self::error::ApprovalError;
pub use self::info::{ApprovalInfo, Filter, Told};
pub use self::open::{Opened, Waiting};
pub use self::promise::Promise;
use crate::domain::{Approval, ApprovalId};

/// What is allowed of requests for approval.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ApprovalRules {
    /// How many one person may have open at once.
    pub per_person: usize,
    /// How many are asked for in a day, by all together.
    pub per_day: u32,
    /// And by one person, so that nobody uses up what is everybody's.
    pub per_person_per_day: u32,
    /// How long those that are over are kept.
    pub keep: Duration,
}

impl Default for ApprovalRules {
    fn default() -> Self {
        Self {
            per_person: 10,
            per_day: 200,
            per_person_per_day: 50,
            keep: Duration::from_hours(30 * 24),
        }
    }
}

/// How long what was seen of them is taken for what is: other replicas change them too. Nothing is
/// granted by it: whichever grant is used is read anew.
const SEEN_FOR: Duration = Duration::from_secs(1);

/// What this process remembers of requests for approval; all of it can be lost.
pub(super) struct Desk {
    /// Held while one is opened, so that two at once are not more than there may be.
    opening: tokio::sync::Mutex<()>,
    /// Counts the changes made here, of requests and of policies.
    changed: watch::Sender<u64>,
    /// Those that are open, as they were last seen.
    seen: Mutex<Seen>,
    /// Since when this process knows of those that are over but still among the open ones.
    over: Mutex<BTreeMap<ApprovalId, OffsetDateTime>>,
}

/// A request for approval, and the bytes that it was.
#[derive(Clone)]
pub(in crate::broker) struct Read {
    bytes: Arc<[u8]>,
    approval: Arc<Approval>,
}

/// Those that are open, in the order of their names.
#[derive(Default)]
struct Seen {
    all: Arc<[Read]>,
    /// When that was; `None` where something may have changed since.
    at: Option<OffsetDateTime>,
    /// Counts what may have changed: who began to look before has not seen it.
    changes: u64,
}

impl Default for Desk {
    fn default() -> Self {
        Self {
            opening: tokio::sync::Mutex::new(()),
            changed: watch::Sender::new(0),
            seen: Mutex::default(),
            over: Mutex::default(),
        }
    }
}

impl Desk {
    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Those that are open, if that was seen just before `now`. A clock that was set back says nothing.
    fn just_seen(&self, now: OffsetDateTime) -> Option<Arc<[Read]>> {
        let seen = self.seen();
        let just = seen.at.is_some_and(|at| (at..at + SEEN_FOR).contains(&now));
        just.then(|| Arc::clone(&seen.all))
    }

    /// What was seen is so no more, or may not be.
    fn look_again(&self) {
        let mut seen = self.seen();
        seen.at = None;
        seen.changes += 1;
    }

    fn over(&self) -> MutexGuard<'_, BTreeMap<ApprovalId, OffsetDateTime>> {
        self.over.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn note_change(&self) {
        self.changed.send_modify(|count| *count += 1);
    }
}

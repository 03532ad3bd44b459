//! What was last seen of claims, so that who comes second need not ask etcd.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::envelope::{Head, Kind};
use crate::coordination::etcd::kv::Revision;

/// Most keys that are remembered: in the minute that a secret usually stands two hundred answers a second
/// leave fewer, and to delete what is remembered takes one call and not two.
const MOST: usize = 16_384;

/// How a key stood at a revision; `None`: it was not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sight {
    pub(super) revision: Revision,
    pub(super) head: Option<Head>,
}

impl Sight {
    /// The later of two.
    pub(super) fn later(one: Option<Self>, other: Option<Self>) -> Option<Self> {
        match (one, other) {
            (Some(one), Some(other)) if one.revision < other.revision => Some(other),
            (Some(one), _) => Some(one),
            (None, other) => other,
        }
    }
}

/// The latest sights of keys. The answers to our own changes and what the watch tells come in any order.
#[derive(Default)]
pub(super) struct Seen(Mutex<Memory>);

#[derive(Default)]
struct Memory {
    sights: HashMap<String, Sight>,
    /// The keys of `sights`, the oldest first.
    order: VecDeque<String>,
    /// What is older than this may be of a key about which something later was forgotten.
    floor: Revision,
}

impl Seen {
    pub(super) fn get(&self, key: &str) -> Option<Sight> {
        self.lock().sights.get(key).copied()
    }

    /// Remembers what was seen by the watch. Of values that is only worth it where something else was
    /// remembered.
    pub(super) fn watched(&self, key: &str, sight: Sight) {
        let worth = match sight.head.map(|head| head.kind) {
            Some(Kind::Claimed { .. } | Kind::Done { .. }) => true,
            Some(Kind::Set | Kind::Member) | None => self.get(key).is_some(),
        };
        if worth {
            self.note(key, sight);
        }
    }

    /// Remembers what we did or found.
    pub(super) fn note(&self, key: &str, sight: Sight) {
        let mut memory = self.lock();
        if sight.revision <= memory.floor {
            return;
        }
        if let Some(known) = memory.sights.get_mut(key) {
            if known.revision <= sight.revision {
                *known = sight;
            }
            return;
        }
        memory.sights.insert(key.to_owned(), sight);
        memory.order.push_back(key.to_owned());
        if memory.order.len() > MOST
            && let Some(oldest) = memory.order.pop_front()
            && let Some(forgotten) = memory.sights.remove(&oldest)
        {
            memory.floor = memory.floor.max(forgotten.revision);
        }
    }

    /// Forgets everything up to `revision`: changes may have been missed.
    pub(super) fn forget(&self, revision: Revision) {
        let mut memory = self.lock();
        memory.floor = memory.floor.max(revision);
        memory.sights.retain(|_, sight| sight.revision > revision);
        let Memory { sights, order, .. } = &mut *memory;
        order.retain(|key| sights.contains_key(key));
    }

    fn lock(&self) -> MutexGuard<'_, Memory> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::coordination::etcd::store::layout::MemberId;

    fn sight(revision: Revision, kind: Option<Kind>) -> Sight {
        let owner = MemberId::NOBODY;
        let head = kind.map(|kind| Head { owner, kind });
        Sight { revision, head }
    }

    const DONE: Option<Kind> = Some(Kind::Done { until: 0 });

    #[test]
    fn the_later_counts_whenever_it_is_told() {
        let seen = Seen::default();
        seen.note("a", sight(5, None));
        seen.watched("a", sight(3, DONE));
        assert_eq!(
            seen.get("a"),
            Some(sight(5, None)),
            "our own deletion was later"
        );
        seen.watched("a", sight(7, DONE));
        assert_eq!(seen.get("a"), Some(sight(7, DONE)));
        seen.watched("a", sight(8, None));
        seen.watched("a", sight(9, Some(Kind::Set)));
        assert_eq!(seen.get("a"), Some(sight(9, Some(Kind::Set))));
        let later = Sight::later(Some(sight(1, DONE)), Some(sight(2, None)));
        assert_eq!(later, Some(sight(2, None)));
    }

    #[test]
    fn values_of_others_are_not_remembered() {
        let seen = Seen::default();
        seen.watched("a", sight(1, Some(Kind::Set)));
        seen.watched("b", sight(2, None));
        assert_eq!((seen.get("a"), seen.get("b")), (None, None));
        seen.note("a", sight(1, Some(Kind::Set)));
        assert!(seen.get("a").is_some());
    }

    #[test]
    fn the_oldest_is_forgotten_and_nothing_older_is_believed() {
        let seen = Seen::default();
        for number in 0..=MOST {
            let revision = 10 + Revision::try_from(number).unwrap();
            seen.note(&number.to_string(), sight(revision, None));
        }
        assert_eq!(seen.get("0"), None);
        assert_eq!(seen.lock().order.len(), MOST);
        seen.watched("0", sight(9, DONE));
        assert_eq!(seen.get("0"), None, "it was gone at 10");
        seen.watched("0", sight(100_000, DONE));
        assert!(seen.get("0").is_some());
    }

    #[test]
    fn after_a_break_only_what_is_newer_is_known() {
        let seen = Seen::default();
        seen.note("a", sight(1, DONE));
        seen.note("b", sight(3, DONE));
        seen.forget(2);
        assert_eq!((seen.get("a"), seen.get("b")), (None, Some(sight(3, DONE))));
        assert_eq!(seen.lock().order, ["b"]);
        seen.watched("a", sight(2, DONE));
        assert_eq!(seen.get("a"), None);
    }
}

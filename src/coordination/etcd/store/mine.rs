//! What this process holds: the claims that somebody in it was told are theirs.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::layout::MemberId;
use crate::coordination::etcd::kv::Revision;

/// Claims that are kept before those that ended are swept out.
const SWEEP: usize = 1024;

/// A claim that is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Hold {
    pub(super) member: MemberId,
    pub(super) revision: Revision,
    /// In milliseconds since 1970.
    pub(super) until: i64,
}

/// The claims held.
#[derive(Default)]
pub(super) struct Mine(Mutex<Holds>);

#[derive(Default)]
struct Holds {
    by_key: HashMap<String, Hold>,
    /// At how many to sweep next.
    sweep: usize,
}

impl Mine {
    /// Somebody is told that `key` is theirs, at the time `now`.
    pub(super) fn hold(&self, key: &str, hold: Hold, now: i64) {
        let mut holds = self.lock();
        holds.by_key.insert(key.to_owned(), hold);
        if holds.by_key.len() >= holds.sweep.max(SWEEP) {
            holds.by_key.retain(|_, hold| hold.until > now);
            holds.sweep = holds.by_key.len() * 2;
        }
    }

    pub(super) fn get(&self, key: &str) -> Option<Hold> {
        self.lock().by_key.get(key).copied()
    }

    /// Whether somebody was told that `key` is theirs under membership `me`.
    pub(super) fn has(&self, key: &str, me: MemberId) -> bool {
        self.get(key).is_some_and(|hold| hold.member == me)
    }

    /// Nobody holds `key` any more.
    pub(super) fn forget(&self, key: &str) {
        self.lock().by_key.remove(key);
    }

    /// `hold` of `key` is over; what came after it stays.
    pub(super) fn end(&self, key: &str, hold: Hold) {
        let mut holds = self.lock();
        if holds.by_key.get(key) == Some(&hold) {
            holds.by_key.remove(key);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Holds> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hold(revision: Revision, until: i64) -> Hold {
        Hold {
            member: MemberId::NOBODY,
            revision,
            until,
        }
    }

    #[test]
    fn what_ended_is_swept_out() {
        let mine = Mine::default();
        for number in 0..100_000 {
            mine.hold(&number.to_string(), hold(1, number), number - 10);
        }
        assert!(mine.lock().by_key.len() <= SWEEP);
        assert!(mine.get("99999").is_some());
    }

    #[test]
    fn only_the_hold_that_is_over_ends() {
        let mine = Mine::default();
        mine.hold("a", hold(1, 5), 0);
        mine.hold("a", hold(2, 5), 0);
        mine.end("a", hold(1, 5));
        assert_eq!(mine.get("a"), Some(hold(2, 5)));
        mine.end("a", hold(2, 5));
        assert_eq!(mine.get("a"), None);
    }
}

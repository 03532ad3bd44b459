//! Keys that may yet be made by a call that nobody waits for any more: made once more after they were
//! removed, they would stand for ever.
//!
//! A call that has had no answer can be done as long as its sender is a member, and what compares
//! that the key is not there holds again once it is removed. So such a key is not removed: a claim that
//! ended long ago is put in its place, which is as nothing to everybody but that call. etcd forgets it
//! by its lease, later than it can keep what it was asked.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::envelope::Kind;

/// How long a call may be done after it was sent: etcd gives up what it cannot do within seconds.
pub(super) const AFTER: Duration = Duration::from_hours(1);
/// What stands for a key that is removed.
pub(super) const NOTHING: Kind = Kind::Done { until: 0 };
/// Most keys that are remembered.
const MOST: usize = 65_536;

/// The keys, and since when.
#[derive(Default)]
pub(super) struct Unsettled(Mutex<HashMap<String, Instant>>);

impl Unsettled {
    /// Whether `key` is one.
    pub(super) fn has(&self, key: &str) -> bool {
        let keys = self.lock();
        keys.get(key).is_some_and(|since| since.elapsed() < AFTER)
    }

    fn note(&self, key: &str) {
        let mut keys = self.lock();
        if keys.len() >= MOST {
            keys.retain(|_, since| since.elapsed() < AFTER);
        }
        if keys.len() < MOST {
            keys.insert(key.to_owned(), Instant::now());
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Instant>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A call that makes a key, until each of its tries has had an answer.
pub(super) struct Making<'s> {
    unsettled: &'s Unsettled,
    key: &'s str,
    settled: bool,
}

impl<'s> Making<'s> {
    pub(super) fn new(unsettled: &'s Unsettled, key: &'s str) -> Self {
        Self {
            unsettled,
            key,
            settled: false,
        }
    }

    /// No try of it will be done any more.
    pub(super) fn settle(&mut self) {
        self.settled = true;
    }
}

impl Drop for Making<'_> {
    fn drop(&mut self) {
        if !self.settled {
            self.unsettled.note(self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_had_no_answer_is_remembered_for_its_time() {
        let unsettled = Unsettled::default();
        Making::new(&unsettled, "answered").settle();
        drop(Making::new(&unsettled, "given up"));
        assert!(!unsettled.has("answered") && unsettled.has("given up"));
        tokio::time::advance(AFTER).await;
        assert!(!unsettled.has("given up"));
    }

    #[tokio::test(start_paused = true)]
    async fn there_is_an_end_to_them() {
        let unsettled = Unsettled::default();
        for number in 0..=MOST {
            unsettled.note(&number.to_string());
        }
        assert_eq!(unsettled.lock().len(), MOST);
        tokio::time::advance(AFTER).await;
        unsettled.note("new");
        assert_eq!(unsettled.lock().len(), 1);
    }
}

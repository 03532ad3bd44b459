//! Channels whose updates could not be fetched: when to try again, and since when we know
//! nothing of them.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use super::backoff::Backoff;

/// The first wait, before jitter.
const FIRST: Duration = Duration::from_secs(2);
/// The longest wait.
const LONGEST: Duration = Duration::from_mins(10);
/// After this long a channel is given up: who could not read it for so long is out of it, and
/// what was missed is too old to be executed.
const GIVE_UP: Duration = Duration::from_hours(12);

/// What is known of each, by its id.
#[derive(Default)]
pub(super) struct Lagging(BTreeMap<i64, Lag>);

struct Lag {
    /// Up to here everything is known, in unix seconds.
    since: i32,
    first_failed: Instant,
    again: Instant,
    backoff: Backoff,
}

impl Lagging {
    /// Fetching from `channel` failed at `now`; until `since` everything of it was known. Whether
    /// it is worth another try.
    pub(super) fn failed(&mut self, channel: i64, since: i32, now: Instant) -> bool {
        let lag = self.0.entry(channel).or_insert_with(|| Lag {
            since,
            first_failed: now,
            again: now,
            backoff: Backoff::new(FIRST, LONGEST),
        });
        lag.again = now + lag.backoff.next();
        let worth = now.duration_since(lag.first_failed) < GIVE_UP;
        if !worth {
            self.0.remove(&channel);
        }
        worth
    }

    /// Nothing of `channel` is missing any more, or nothing is to be had.
    pub(super) fn over(&mut self, channel: i64) {
        self.0.remove(&channel);
    }

    /// Up to when everything of all of them is known, if there are any.
    pub(super) fn oldest(&self) -> Option<i32> {
        self.0.values().map(|lag| lag.since).min()
    }

    /// When the next try is due.
    pub(super) fn next(&self) -> Option<Instant> {
        self.0.values().map(|lag| lag.again).min()
    }

    /// A channel to try now.
    pub(super) fn due(&mut self, now: Instant) -> Option<i64> {
        let (channel, lag) = self.0.iter_mut().find(|(_, lag)| lag.again <= now)?;
        // The try says when the next one is.
        lag.again = now + LONGEST;
        Some(*channel)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_channel_is_tried_again_and_again_and_then_given_up() {
        let mut lagging = Lagging::default();
        let began = Instant::now();
        assert!(lagging.failed(7, 100, began));
        assert!(lagging.failed(8, 200, began));
        assert_eq!(lagging.oldest(), Some(100));
        assert_eq!(lagging.due(began), None);
        let later = began + FIRST;
        assert!(lagging.next().is_some_and(|next| next <= later));
        let due = [lagging.due(later), lagging.due(later), lagging.due(later)];
        assert_eq!(due, [Some(7), Some(8), None]);
        // Where it began to lag stays.
        assert!(lagging.failed(7, 300, later));
        assert_eq!(lagging.oldest(), Some(100));
        lagging.over(8);
        assert!(!lagging.failed(7, 300, began + GIVE_UP));
        assert_eq!((lagging.oldest(), lagging.next()), (None, None));
    }
}

//! What strangers get: nothing, or one fixed sentence, and that seldom.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;

/// What to answer to somebody who is not on the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StrangerReply {
    /// Nothing.
    Silent,
    /// Always this, whatever they wrote.
    Sentence(String),
}

/// One answer to a stranger in this time.
pub(super) const PER_USER: Duration = Duration::from_hours(1);
/// And one to any stranger in this time.
const PER_ANYONE: Duration = Duration::from_secs(2);
/// Strangers remembered.
const MAX_REMEMBERED: usize = 10_000;

/// Limits answers to strangers: anybody can write to a Telegram account, and each answer
/// counts against the account's own limits.
#[derive(Debug, Default)]
pub(super) struct Limiter {
    last: Option<Instant>,
    answered: HashMap<i64, Instant>,
}

impl Limiter {
    /// Whether `user` may be answered at `now`; if so, that counts as the answer.
    pub(super) fn take(&mut self, user: i64, now: Instant) -> bool {
        let recent = |at: &Instant, limit| now.saturating_duration_since(*at) < limit;
        if self.last.as_ref().is_some_and(|at| recent(at, PER_ANYONE)) {
            return false;
        }
        if self
            .answered
            .get(&user)
            .is_some_and(|at| recent(at, PER_USER))
        {
            return false;
        }
        if self.answered.len() >= MAX_REMEMBERED {
            self.answered.retain(|_, at| recent(at, PER_USER));
        }
        // At one answer in two seconds an hour has room for 1,800, so there is room now.
        self.answered.insert(user, now);
        self.last = Some(now);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn once_an_hour_each_and_seldom_for_all() {
        let mut limiter = Limiter::default();
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        assert!(limiter.take(1, at(0)));
        assert!(!limiter.take(1, at(3)));
        assert!(!limiter.take(2, at(1)), "another, but too soon");
        assert!(limiter.take(2, at(3)));
        assert!(!limiter.take(1, at(3599)));
        assert!(limiter.take(1, at(3600)));
    }

    #[test]
    fn remembers_no_more_than_it_must() {
        let mut limiter = Limiter::default();
        let start = Instant::now();
        let taken = (0..100_000u32)
            .filter(|n| limiter.take(i64::from(*n), start + PER_ANYONE * *n))
            .count();
        assert_eq!(taken, 100_000);
        assert!(limiter.answered.len() <= MAX_REMEMBERED);
    }
}

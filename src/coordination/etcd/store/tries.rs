//! How long and how often something is tried again.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::broker::ports::Random;

/// Longest that one operation is tried.
pub(super) const LONGEST: Duration = Duration::from_secs(5);
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

/// Doubling pauses with jitter.
pub(super) struct Backoff {
    first: Duration,
    longest: Duration,
    tries: u32,
}

impl Backoff {
    pub(super) fn new(first: Duration, longest: Duration) -> Self {
        Self {
            first,
            longest,
            tries: 0,
        }
    }

    /// The next pause: half to all of the doubled one.
    pub(super) fn next(&mut self, random: &dyn Random) -> Duration {
        let doubled = 2u32.saturating_pow(self.tries);
        self.tries = self.tries.saturating_add(1);
        let full = self.first.saturating_mul(doubled).min(self.longest);
        full.mul_f64(0.5 + part(random) / 2.0)
    }

    /// Begins anew after a success.
    pub(super) fn reset(&mut self) {
        self.tries = 0;
    }
}

/// A number from 0 to 1.
pub(super) fn part(random: &dyn Random) -> f64 {
    let mut bytes = [0; 4];
    random.fill(&mut bytes);
    f64::from(u32::from_be_bytes(bytes)) / f64::from(u32::MAX)
}

/// The tries of one operation.
pub(super) struct Tries<'r> {
    end: Instant,
    backoff: Backoff,
    random: &'r dyn Random,
}

impl<'r> Tries<'r> {
    pub(super) fn new(random: &'r dyn Random) -> Self {
        Self {
            end: Instant::now() + LONGEST,
            backoff: Backoff::new(FIRST_PAUSE, LONGEST_PAUSE),
            random,
        }
    }

    /// When the last ends.
    pub(super) fn end(&self) -> Instant {
        self.end
    }

    /// Waits before the next; `false` when there is to be none.
    pub(super) async fn pause(&mut self) -> bool {
        let pause = self.backoff.next(self.random);
        if Instant::now() + pause >= self.end {
            return false;
        }
        sleep(pause).await;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Always the same byte.
    struct Constant(u8);

    impl Random for Constant {
        fn fill(&self, bytes: &mut [u8]) {
            bytes.fill(self.0);
        }
    }

    #[test]
    fn pauses_double_up_to_the_longest() {
        let mut backoff = Backoff::new(FIRST_PAUSE, LONGEST_PAUSE);
        let mut next = |byte| backoff.next(&Constant(byte)).as_millis();
        assert_eq!([next(0), next(255), next(0), next(255)], [10, 40, 40, 160]);
        assert_eq!([next(255), next(255), next(0)], [320, 500, 250]);
        for _ in 0..100 {
            assert_eq!(next(255), 500);
        }
        backoff.reset();
        assert_eq!(backoff.next(&Constant(0)), FIRST_PAUSE / 2);
    }

    #[tokio::test(start_paused = true)]
    async fn tries_end() {
        let start = Instant::now();
        let mut tries = Tries::new(&Constant(255));
        let mut count = 0;
        while tries.pause().await {
            count += 1;
        }
        assert!(count > 10, "{count}");
        assert!(start.elapsed() <= LONGEST);
        assert!(start.elapsed() > LONGEST - LONGEST_PAUSE);
    }
}

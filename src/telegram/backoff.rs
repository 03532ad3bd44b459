//! How long to wait before the next try.

use std::time::Duration;

/// Doubling delays with jitter, so that many clients do not come back at the same moment.
#[derive(Debug)]
pub(crate) struct Backoff {
    first: Duration,
    longest: Duration,
    tries: u32,
}

impl Backoff {
    pub(crate) fn new(first: Duration, longest: Duration) -> Self {
        Self {
            first,
            longest,
            tries: 0,
        }
    }

    /// The next delay.
    pub(crate) fn next(&mut self) -> Duration {
        let delay = self.delay(rand::random());
        self.tries = self.tries.saturating_add(1);
        delay
    }

    /// Half to all of the doubled delay; `jitter` is in 0..1.
    fn delay(&self, jitter: f64) -> Duration {
        let doubled = 2u32.saturating_pow(self.tries);
        let full = self.first.saturating_mul(doubled).min(self.longest);
        full.mul_f64(0.5 + jitter / 2.0)
    }

    /// Begins anew after a success.
    pub(crate) fn reset(&mut self) {
        self.tries = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_up_to_the_longest() {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(30));
        assert_eq!(backoff.delay(0.0), Duration::from_millis(50));
        for _ in 0..3 {
            backoff.next();
        }
        assert_eq!(backoff.delay(1.0), Duration::from_millis(800));
        for _ in 0..100 {
            assert!(backoff.next() <= Duration::from_secs(30));
        }
        assert_eq!(backoff.delay(0.0), Duration::from_secs(15));
        backoff.reset();
        assert_eq!(backoff.delay(0.0), Duration::from_millis(50));
    }
}

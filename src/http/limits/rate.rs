//! A rate with a burst, kept in one instant for each who is counted (the generic cell rate
//! algorithm): the one at which all that was taken is paid off.

use std::time::Duration;

use tokio::time::Instant;

/// What may be taken at once, as the time it takes to pay it off.
const BURST: Duration = Duration::from_secs(2);

/// How often something may happen.
#[derive(Debug, Clone, Copy)]
pub(in crate::http) struct Rate {
    /// What one more costs.
    cost: Duration,
}

impl Rate {
    pub(in crate::http) fn per_second(count: u32) -> Self {
        Self {
            cost: Duration::from_secs(1) / count.max(1),
        }
    }

    /// When all is paid off that was to be at `paid`, and one more; `None` where that is too much.
    pub(in crate::http) fn one_more(self, paid: Instant, now: Instant) -> Option<Instant> {
        let paid = paid.max(now) + self.cost;
        (paid.duration_since(now) <= BURST).then_some(paid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many go through at once.
    fn burst(rate: Rate, paid: &mut Instant, now: Instant) -> usize {
        let mut count = 0;
        while let Some(next) = rate.one_more(*paid, now) {
            *paid = next;
            count += 1;
        }
        count
    }

    #[test]
    fn a_burst_goes_through_and_then_the_rate() {
        let (rate, mut now) = (Rate::per_second(50), Instant::now());
        let mut paid = now;
        assert_eq!(burst(rate, &mut paid, now), 100);
        for _ in 0..3 {
            now += Duration::from_secs(1);
            assert_eq!(burst(rate, &mut paid, now), 50);
        }
        // Rest is not saved up beyond the burst.
        now += Duration::from_hours(1);
        assert_eq!(burst(rate, &mut paid, now), 100);
    }

    #[test]
    fn what_is_refused_costs_nothing() {
        let (rate, now) = (Rate::per_second(1), Instant::now());
        let mut paid = now;
        assert_eq!(burst(rate, &mut paid, now), 2);
        let soon = now + Duration::from_millis(999);
        assert_eq!(rate.one_more(paid, soon), None);
        assert_eq!(rate.one_more(paid, soon), None);
        assert!(rate.one_more(paid, now + Duration::from_secs(1)).is_some());
    }
}

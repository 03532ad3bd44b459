//! When to renew, when to log in again and how long to wait after a failure, as pure functions.

use std::time::Duration;

/// First wait after a failure.
const FIRST_DELAY: Duration = Duration::from_millis(250);
/// Longest wait while Vault is away: short, so that we are back within 2 s of its return.
pub(super) const MAX_DELAY_AWAY: Duration = Duration::from_millis(1500);
/// Longest wait while Vault refuses our login: long, for repeating it can lock the role out.
pub(super) const MAX_DELAY_REFUSED: Duration = Duration::from_mins(1);
/// Refused credentials in a row before we hold back: Vault locks a role or user out after five.
pub(super) const MAX_DENIED: u32 = 3;
/// How long we hold back, at least: Vault forgets the refusals after a quarter of an hour.
pub(super) const FORGIVEN_AFTER: Duration = Duration::from_mins(16);
/// Longer than this nothing lasts, whatever Vault says: no moment must be beyond all times.
const CENTURY: Duration = Duration::from_hours(100 * 365 * 24);
/// Waiting a little past a token's end makes the question whether it ended have one answer.
const PAST_THE_END: Duration = Duration::from_millis(500);

/// How long a token lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Lease {
    /// From when it was granted; `None` for a token that never expires.
    pub(super) left: Option<Duration>,
    /// Whether Vault renews it.
    pub(super) renewable: bool,
    /// Whether the last renewal gave less than it should: the token's maximum age cuts it,
    /// and no further renewal will lengthen it.
    pub(super) cut: bool,
}

/// What keeps us logged in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    /// Ask for more time.
    Renew,
    /// Log in again (or, with a token that cannot be replaced, see whether it still works).
    LogIn,
}

/// What to do next about a lease just granted, and how long after; `None` when there is
/// nothing to do ever. `replaceable`: a login gives a new token. `jitter` is in `0.0..1.0`.
pub(super) fn next(lease: Lease, replaceable: bool, jitter: f64) -> Option<(Action, Duration)> {
    let left = lease.left?;
    // A third of the lease is kept for trying again; replicas spread over a tenth of it.
    let due = left.mul_f64(0.6 + 0.1 * jitter);
    Some(match (lease.renewable, lease.cut, replaceable) {
        (true, false, _) => (Action::Renew, due),
        (true, true, true) => (Action::LogIn, Duration::ZERO),
        (false, _, true) => (Action::LogIn, due),
        (false, _, false) | (true, true, false) => (Action::LogIn, left + PAST_THE_END),
    })
}

/// As many seconds as Vault says something lasts; a century at the most.
pub(super) fn lasting(seconds: u64) -> Duration {
    Duration::from_secs(seconds).min(CENTURY)
}

/// How long to wait after `failures` failures in a row: doubling from a quarter of a second
/// up to `longest`, of which `jitter` in `0.0..1.0` takes away up to half.
pub(super) fn back_off(failures: u32, longest: Duration, jitter: f64) -> Duration {
    let doubled = 2_u32.saturating_pow(failures.saturating_sub(1));
    FIRST_DELAY
        .saturating_mul(doubled)
        .min(longest)
        .mul_f64(1.0 - 0.5 * jitter)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_hours(1);

    fn lease(left: Option<Duration>, renewable: bool) -> Lease {
        Lease {
            left,
            renewable,
            cut: false,
        }
    }

    const CUT: Lease = Lease {
        left: Some(HOUR),
        renewable: true,
        cut: true,
    };

    #[test]
    fn a_full_lease_is_renewed_well_before_it_ends() {
        for (jitter, share) in [(0.0, 0.6), (0.5, 0.65), (0.999_999, 0.7)] {
            let (action, after) = next(lease(Some(HOUR), true), true, jitter).unwrap();
            assert_eq!(action, Action::Renew);
            let wanted = HOUR.mul_f64(share);
            assert!(after.abs_diff(wanted) < Duration::from_secs(1), "{after:?}");
        }
    }

    #[test]
    fn a_lease_cut_by_the_maximum_age_is_replaced_at_once() {
        assert_eq!(next(CUT, true, 0.5), Some((Action::LogIn, Duration::ZERO)));
    }

    #[test]
    fn a_lease_that_cannot_be_renewed_is_replaced_before_it_ends() {
        let (action, after) = next(lease(Some(HOUR), false), true, 0.5).unwrap();
        assert_eq!(action, Action::LogIn);
        assert!(after < HOUR.mul_f64(0.75));
    }

    #[test]
    fn a_token_that_cannot_be_replaced_is_looked_at_after_its_end() {
        for lease in [lease(Some(HOUR), false), CUT] {
            let (action, after) = next(lease, false, 0.5).unwrap();
            assert_eq!(action, Action::LogIn);
            assert!(after > lease.left.unwrap());
        }
    }

    #[test]
    fn a_token_that_never_expires_needs_nothing() {
        assert_eq!(next(lease(None, false), false, 0.5), None);
        assert_eq!(next(lease(None, true), true, 0.5), None);
    }

    #[test]
    fn failures_double_the_wait_up_to_the_longest() {
        let waits: Vec<u128> = (1..=7)
            .map(|failures| back_off(failures, MAX_DELAY_AWAY, 0.0).as_millis())
            .collect();
        assert_eq!(waits, [250, 500, 1000, 1500, 1500, 1500, 1500]);
        assert_eq!(
            back_off(u32::MAX, MAX_DELAY_REFUSED, 0.0),
            MAX_DELAY_REFUSED
        );
    }

    #[test]
    fn what_lasts_absurdly_long_ends_all_the_same() {
        assert_eq!(lasting(3600), HOUR);
        let now = tokio::time::Instant::now();
        assert!(now.checked_add(lasting(u64::MAX) * 2).is_some());
    }

    #[test]
    fn jitter_takes_away_at_most_half() {
        assert_eq!(back_off(3, MAX_DELAY_AWAY, 0.5).as_millis(), 750);
        assert!(back_off(3, MAX_DELAY_AWAY, 0.999_999).as_millis() >= 500);
        assert!(back_off(0, MAX_DELAY_AWAY, 0.999_999) > Duration::ZERO);
    }
}

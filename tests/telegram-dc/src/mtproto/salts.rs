//! Server salts: numbers that packets must carry, and that change by the hour.

use std::sync::atomic::{AtomicU64, Ordering};

use grammers_tl_types::types::FutureSalt;
use sha2::{Digest, Sha256};

/// How long one salt is the newest; it stays good for as long again.
const PERIOD: i32 = 3600;

/// The most salts that a client is told in advance.
const MAX_FUTURE: i32 = 64;

/// The salts of all keys, derived rather than stored.
#[derive(Debug, Default)]
pub(crate) struct Salts {
    epoch: AtomicU64,
}

impl Salts {
    /// Makes every salt handed out so far wrong.
    pub(crate) fn rotate(&self) {
        self.epoch.fetch_add(1, Ordering::Relaxed);
    }

    /// The salt that is good for `key` now.
    pub(crate) fn current(&self, key: i64, now: i32) -> i64 {
        self.salt(key, now / PERIOD)
    }

    /// Whether a packet may carry this salt.
    pub(crate) fn accepts(&self, key: i64, salt: i64, now: i32) -> bool {
        let period = now / PERIOD;
        salt == self.salt(key, period) || salt == self.salt(key, period - 1)
    }

    /// The salts from now on.
    pub(crate) fn future(&self, key: i64, now: i32, count: i32) -> Vec<FutureSalt> {
        let first = now / PERIOD;
        (first..first + count.clamp(1, MAX_FUTURE))
            .map(|period| FutureSalt {
                valid_since: period * PERIOD,
                valid_until: (period + 2) * PERIOD,
                salt: self.salt(key, period),
            })
            .collect()
    }

    fn salt(&self, key: i64, period: i32) -> i64 {
        let hash = Sha256::new()
            .chain_update(key.to_le_bytes())
            .chain_update(self.epoch.load(Ordering::Relaxed).to_le_bytes())
            .chain_update(period.to_le_bytes())
            .finalize();
        // Zero is what a client without a salt sends, so none may be zero.
        hash.first_chunk()
            .map_or(1, |head| i64::from_le_bytes(*head) | 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_salt_is_good_in_its_period_and_the_next() {
        let salts = Salts::default();
        let now = 100 * PERIOD;
        let salt = salts.current(5, now);
        assert!(salts.accepts(5, salt, now));
        assert!(salts.accepts(5, salt, now + PERIOD));
        assert!(!salts.accepts(5, salt, now + 2 * PERIOD));
        assert!(!salts.accepts(6, salt, now), "each key has its own");
        assert_eq!(salts.future(5, now, 3)[0].salt, salt);
        salts.rotate();
        assert!(!salts.accepts(5, salt, now));
    }
}

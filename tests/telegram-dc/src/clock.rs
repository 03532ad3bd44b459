//! The datacenter's clock, which tests can set wrong.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// Time as the server sees it: the machine's, plus a skew.
#[derive(Debug, Default)]
pub(crate) struct Clock {
    skew: AtomicI64,
}

impl Clock {
    /// Sets the clock this many seconds ahead of the machine's.
    pub(crate) fn set_skew(&self, seconds: i64) {
        self.skew.store(seconds, Ordering::Relaxed);
    }

    /// Seconds since 1970, as TL dates have it.
    pub(crate) fn unix(&self) -> i32 {
        i32::try_from(self.parts().0).unwrap_or(i32::MAX)
    }

    /// The number that a message sent now is called by, before its low bits are set.
    pub(crate) fn message_id(&self) -> i64 {
        let (seconds, nanoseconds) = self.parts();
        (seconds << 32) | (i64::from(nanoseconds) << 2)
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "the one place where the server reads the time"
    )]
    fn parts(&self) -> (i64, u32) {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let seconds = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
        (
            seconds.saturating_add(self.skew.load(Ordering::Relaxed)),
            now.subsec_nanos(),
        )
    }
}

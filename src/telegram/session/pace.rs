//! How often the session may be written: it goes out whole each time, so the larger, the rarer.

use std::time::Duration;

/// Least time between two writes of what may be lost.
const LEAST: Duration = Duration::from_secs(5);
/// Bytes written in a second, on average.
const RATE: u64 = 64 << 10;

/// How long to wait after a write of `bytes`. What changes meanwhile (counters, peers) goes out
/// with the next; if a crash comes first, the server sends it again.
pub(in crate::telegram) fn pause_after(bytes: usize) -> Duration {
    let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
    LEAST.max(Duration::from_millis(bytes.saturating_mul(1000) / RATE))
}

//! What waits, for metrics: looked at every second, as much of it changes by time alone.

use std::time::Duration;

use metrics::gauge;
use tokio::time::sleep;

use super::deletion::Deletions;
use super::outbox::Outbox;
use crate::telemetry::metrics::{DELETIONS_PENDING, FLOOD_WAIT, REPLIES_WAITING};

/// How often.
const EVERY: Duration = Duration::from_secs(1);

/// Publishes, for as long as it is polled.
pub(super) async fn publish(outbox: &Outbox, deletions: &Deletions) {
    loop {
        set(REPLIES_WAITING, outbox.waiting());
        set(DELETIONS_PENDING, deletions.pending());
        gauge!(FLOOD_WAIT).set(outbox.flood_wait().as_secs_f64().ceil());
        sleep(EVERY).await;
    }
}

/// Nothing waits any more. Secrets that still stand do, whoever deletes them.
pub(super) fn end() {
    set(REPLIES_WAITING, 0);
    gauge!(FLOOD_WAIT).set(0.0);
}

fn set(name: &'static str, count: usize) {
    // Far below where a count is no longer exact.
    gauge!(name).set(u32::try_from(count).unwrap_or(u32::MAX));
}

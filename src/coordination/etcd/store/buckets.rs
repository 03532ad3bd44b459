//! The leases that claims hang on, so that etcd forgets them: one for all that end within the same hour.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::sync::Mutex;

use crate::coordination::etcd::kv::{Kv, KvError, LeaseId};

const HOUR: i64 = 60 * 60 * 1000;
/// How long after its hour a lease ends: clocks run apart, and etcd's is another.
const AFTER: i64 = 5 * 60 * 1000;
/// A lease for longer is not worth it, and etcd makes none.
const LONGEST: i64 = 10 * 365 * 24 * HOUR;
/// Most leases that are remembered.
const MOST: usize = 64;

/// The leases by the hour, as milliseconds since 1970 divided.
#[derive(Default)]
pub(super) struct Buckets(Mutex<BTreeMap<i64, LeaseId>>);

impl Buckets {
    /// The lease for what ends at `until`.
    pub(super) async fn lease(
        &self,
        kv: &dyn Kv,
        until: i64,
        now: i64,
    ) -> Result<LeaseId, KvError> {
        let hour = until.max(now).div_euclid(HOUR);
        let mut leases = self.0.lock().await;
        if let Some(lease) = leases.get(&hour) {
            return Ok(*lease);
        }
        let end = hour.saturating_add(1).saturating_mul(HOUR);
        let left = end.saturating_add(AFTER).saturating_sub(now).min(LONGEST);
        let ttl = Duration::from_secs(u64::try_from(left / 1000).unwrap_or(1));
        let lease = kv.grant(ttl).await?;
        leases.insert(hour, lease);
        if leases.len() > MOST {
            leases.pop_first();
        }
        Ok(lease)
    }

    /// `lease` is not there any more.
    pub(super) async fn forget(&self, lease: LeaseId) {
        self.0.lock().await.retain(|_, known| *known != lease);
    }
}

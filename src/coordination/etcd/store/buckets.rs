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

#[cfg(test)]
mod tests {
    use tokio::time::sleep;

    use super::*;
    use crate::broker::ports::{Claim, Coordination};
    use crate::coordination::etcd::store::EtcdStore;
    use crate::coordination::etcd::store::sim::company;

    async fn lease(store: &EtcdStore, until: i64) -> LeaseId {
        let lease = store.buckets.lease(&*store.kv, until, store.now());
        lease.await.unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn what_ends_in_the_same_hour_shares_a_lease() {
        let company = company(1).await;
        let store = &company.replicas[0].store;
        let hour = store.now().div_euclid(HOUR) + 2;
        let first = lease(store, hour * HOUR).await;
        assert_eq!(lease(store, hour * HOUR + HOUR - 1).await, first);
        assert_ne!(lease(store, hour * HOUR - 1).await, first);
        assert_ne!(lease(store, hour * HOUR + HOUR).await, first);
        store.buckets.forget(first).await;
        assert_ne!(lease(store, hour * HOUR).await, first, "it is gone");
    }

    #[tokio::test(start_paused = true)]
    async fn any_time_has_a_lease() {
        let company = company(1).await;
        let store = &company.replicas[0].store;
        let now = lease(store, store.now()).await;
        assert_eq!(lease(store, i64::MIN).await, now);
        assert_eq!(lease(store, 0).await, now);
        lease(store, i64::MAX).await;
    }

    #[tokio::test(start_paused = true)]
    async fn of_many_hours_the_first_are_forgotten() {
        let company = company(1).await;
        let store = &company.replicas[0].store;
        let in_hours = |hours: usize| store.now() + i64::try_from(hours).unwrap() * HOUR;
        let first = lease(store, in_hours(1)).await;
        let mut last = first;
        for hours in 2..=MOST + 1 {
            last = lease(store, in_hours(hours)).await;
        }
        assert_eq!(store.buckets.0.lock().await.len(), MOST);
        assert_eq!(lease(store, in_hours(MOST + 1)).await, last);
        assert_ne!(lease(store, in_hours(1)).await, first);
    }

    #[tokio::test(start_paused = true)]
    async fn etcd_keeps_a_claim_to_its_end_and_forgets_it_soon_after() {
        let company = company(1).await;
        let store = &company.replicas[0].store;
        let hour = store.now().div_euclid(HOUR) + 1;
        let until = hour * HOUR + HOUR - 1;
        assert_eq!(store.claim_until("k", until).await, Ok(Claim::Ours));
        store.finish("k").await.unwrap();
        let place = store.layout.state("k");
        let wait = |until: i64| {
            let left = until - store.now();
            sleep(Duration::from_millis(u64::try_from(left).unwrap()))
        };
        wait(until).await;
        assert!(store.look(&place).await.unwrap().is_some());
        wait(until + AFTER + 5000).await;
        assert!(store.look(&place).await.unwrap().is_none());
    }
}

//! Where what is kept stands: who finds it, who waits for it, when it goes.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use metrics::gauge;
use tokio::time::Instant;

use crate::broker::ports::StoreError;
use crate::domain::{Permit, SecretPath};
use crate::telemetry::metrics::CACHE_ENTRIES;
use crate::vault::cache::entry::Entry;

/// The most that is kept.
const MAX_ENTRIES: usize = 2048;

/// What one entry answers. What Vault gave to one token role is nobody's of another.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Key {
    path: SecretPath,
    version: Option<u64>,
    vault_role: Option<String>,
}

impl Key {
    pub(super) fn of(permit: &Permit) -> Self {
        let target = permit.target();
        Self {
            path: target.path.clone(),
            version: target.version,
            vault_role: permit.terms().vault_role.clone(),
        }
    }
}

/// Held by the one who asks Vault on behalf of all who want the same: when that last failed, and
/// how.
pub(super) type Flight = tokio::sync::Mutex<Option<(Instant, StoreError)>>;

/// Everything that is kept.
#[derive(Default)]
pub(super) struct Shelf(Mutex<Inner>);

#[derive(Default)]
struct Inner {
    entries: HashMap<Key, Arc<Entry>>,
    flights: HashMap<Key, Arc<Flight>>,
    /// How many changes through us began or ended.
    writes: u64,
}

impl Shelf {
    pub(super) fn get(&self, key: &Key) -> Option<Arc<Entry>> {
        self.lock().entries.get(key).cloned()
    }

    /// For [`Shelf::put`].
    pub(super) fn writes(&self) -> u64 {
        self.lock().writes
    }

    /// Keeps `entry`, unless something was written since [`Shelf::writes`] told `writes`.
    pub(super) fn put(&self, key: &Key, entry: Entry, writes: u64) {
        let mut inner = self.lock();
        if inner.writes != writes {
            return;
        }
        if inner.entries.len() >= MAX_ENTRIES && !inner.entries.contains_key(key) {
            let oldest = inner.entries.iter().min_by_key(|(_, entry)| entry.read());
            if let Some(oldest) = oldest.map(|(key, _)| key.clone()) {
                inner.entries.remove(&oldest);
            }
        }
        inner.entries.insert(key.clone(), Arc::new(entry));
        inner.count();
    }

    pub(super) fn remove(&self, key: &Key) {
        let mut inner = self.lock();
        inner.entries.remove(key);
        inner.count();
    }

    /// Whoever wants `key` from Vault takes this first.
    pub(super) fn flight(&self, key: &Key) -> Arc<Flight> {
        let mut inner = self.lock();
        Arc::clone(inner.flights.entry(key.clone()).or_default())
    }

    /// `path` changes: nothing read before now is kept.
    pub(super) fn forget(&self, path: &SecretPath) {
        let mut inner = self.lock();
        inner.writes += 1;
        inner.entries.retain(|key, _| key.path != *path);
        inner.count();
    }

    /// Throws away what nobody may have any more, and the flights nobody is on.
    pub(super) fn sweep(&self, now: Instant) {
        let mut inner = self.lock();
        inner.entries.retain(|_, entry| !entry.is_over(now));
        inner
            .flights
            .retain(|_, flight| Arc::strong_count(flight) > 1);
        inner.count();
    }

    pub(super) fn clear(&self) {
        let mut inner = self.lock();
        inner.entries.clear();
        inner.count();
    }

    /// A panic while it was held leaves it whole: every change is one call.
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    #[expect(clippy::cast_precision_loss, reason = "at most a few thousand")]
    fn count(&self) {
        gauge!(CACHE_ENTRIES).set(self.entries.len() as f64);
    }
}

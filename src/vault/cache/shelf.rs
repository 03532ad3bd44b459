//! Where what is kept stands: who finds it, who waits for it, when it goes.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use metrics::gauge;
use tokio::time::Instant;

use crate::broker::ports::StoreError;
use crate::domain::{Permit, SecretPath};
use crate::telemetry::metrics::CACHE_ENTRIES;
use crate::vault::cache::entry::Entry;

/// Most secrets that are kept.
const MAX_ENTRIES: usize = 2048;
/// Most bytes of names and values that are kept.
const MAX_SIZE: usize = 8 << 20;
/// How long after a change of which nobody knows whether it was done Vault may still do it.
const UNCLEAR: Duration = Duration::from_mins(1);

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
    /// What all entries take, in bytes.
    size: usize,
    /// How many changes through us began or ended.
    writes: u64,
    /// What may change by itself, and until when.
    unclear: HashMap<SecretPath, Instant>,
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
        if inner.writes != writes || inner.unclear.contains_key(&key.path) {
            return;
        }
        inner.remove(key);
        while inner.entries.len() >= MAX_ENTRIES || inner.size + entry.size() > MAX_SIZE {
            let oldest = inner.entries.iter().min_by_key(|(_, entry)| entry.read());
            let Some(oldest) = oldest.map(|(key, _)| key.clone()) else {
                break;
            };
            inner.remove(&oldest);
        }
        inner.size += entry.size();
        inner.entries.insert(key.clone(), Arc::new(entry));
        inner.count();
    }

    pub(super) fn remove(&self, key: &Key) {
        let mut inner = self.lock();
        inner.remove(key);
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
        inner.retain(|key, _| key.path != *path);
        inner.count();
    }

    /// As [`Shelf::forget`]; and Vault may still be about to change `path`.
    pub(super) fn forget_for_a_while(&self, path: &SecretPath, now: Instant) {
        self.lock().unclear.insert(path.clone(), now + UNCLEAR);
        self.forget(path);
    }

    /// Throws away what nobody may have any more, and the flights nobody is on.
    pub(super) fn sweep(&self, now: Instant) {
        let mut inner = self.lock();
        inner.retain(|_, entry| !entry.is_over(now));
        inner.unclear.retain(|_, until| *until > now);
        inner
            .flights
            .retain(|_, flight| Arc::strong_count(flight) > 1);
        inner.count();
    }

    pub(super) fn clear(&self) {
        let mut inner = self.lock();
        inner.retain(|_, _| false);
        inner.count();
    }

    /// A panic while it was held leaves it whole: every change is one call.
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn remove(&mut self, key: &Key) {
        if let Some(entry) = self.entries.remove(key) {
            self.size -= entry.size();
        }
    }

    fn retain(&mut self, keep: impl Fn(&Key, &Entry) -> bool) {
        self.entries.retain(|key, entry| {
            let kept = keep(key, entry);
            if !kept {
                self.size -= entry.size();
            }
            kept
        });
    }

    #[expect(clippy::cast_precision_loss, reason = "at most a few thousand")]
    fn count(&self) {
        gauge!(CACHE_ENTRIES).set(self.entries.len() as f64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::VersionFacts;
    use crate::domain::terms::CacheTerms;
    use crate::domain::{Field, Secret, SecretValue};

    #[test]
    fn what_is_kept_takes_no_more_than_its_room_and_the_oldest_goes_first() {
        const SIZE: usize = 250 << 10;
        let shelf = Shelf::default();
        let terms = CacheTerms {
            ttl: Duration::from_mins(1),
            stale: Duration::ZERO,
        };
        let key = |number: u64| Key {
            path: SecretPath::new("secret", "app").unwrap(),
            version: Some(number),
            vault_role: None,
        };
        let start = Instant::now();
        for number in 0..100 {
            let json = SecretValue::new(vec![b'x'; SIZE]);
            let name = String::new();
            let secret = Secret::of_version(vec![Field { name, json }], VersionFacts::default());
            let read = start + Duration::from_millis(number);
            let entry = Entry::new(&secret, read, terms).unwrap();
            shelf.put(&key(number), entry, 0);
        }
        let wanted = MAX_SIZE / (SIZE + 8);
        assert_eq!(shelf.lock().entries.len(), wanted);
        assert!(shelf.get(&key(99)).is_some());
        assert!(shelf.get(&key(100 - wanted as u64)).is_some());
        shelf.remove(&key(99));
        shelf.forget(&key(0).path);
        assert_eq!(shelf.lock().size, 0);
    }
}

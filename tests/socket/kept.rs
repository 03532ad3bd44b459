//! An audit and a state store in memory.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use time::OffsetDateTime;
use vaultgram::broker::ports::{AuditError, AuditSink, Claim, Coordination, CoordinationError};
use vaultgram::domain::AuditEntry;

/// Keeps what it is told, or fails.
#[derive(Default)]
pub(crate) struct Audit {
    pub(crate) entries: Mutex<Vec<AuditEntry>>,
    pub(crate) broken: AtomicBool,
    /// There is no room for a record more.
    pub(crate) full: AtomicBool,
}

#[async_trait]
impl AuditSink for Audit {
    async fn record_all(&self, entries: Vec<AuditEntry>) -> Result<(), AuditError> {
        let full = self.full.load(Ordering::SeqCst) && !entries.is_empty();
        if full || self.broken.load(Ordering::SeqCst) {
            return Err(AuditError("/var/disk-is-full".to_owned()));
        }
        self.entries.lock().unwrap().extend(entries);
        Ok(())
    }
}

/// State in memory.
#[derive(Default)]
pub(crate) struct Memory(pub(crate) Mutex<BTreeMap<String, Vec<u8>>>);

/// With this entry it lists nothing any more.
const BROKEN: &str = "broken";

impl Memory {
    pub(crate) fn break_down(&self) {
        self.0.lock().unwrap().insert(BROKEN.to_owned(), vec![]);
    }
}

#[async_trait]
impl Coordination for Memory {
    async fn claim(&self, key: &str, _: OffsetDateTime) -> Result<Claim, CoordinationError> {
        let before = self.0.lock().unwrap().insert(key.to_owned(), vec![]);
        Ok(before.map_or(Claim::Ours, |_| Claim::Taken))
    }
    async fn finish(&self, _: &str) -> Result<(), CoordinationError> {
        Ok(())
    }
    async fn put(&self, key: &str, value: &[u8]) -> Result<(), CoordinationError> {
        let mut entries = self.0.lock().unwrap();
        entries.insert(key.to_owned(), value.to_vec());
        Ok(())
    }
    async fn delete(&self, key: &str) -> Result<(), CoordinationError> {
        self.0.lock().unwrap().remove(key);
        Ok(())
    }
    async fn get(&self, key: &str) -> Result<Option<Vec<u8>>, CoordinationError> {
        Ok(self.0.lock().unwrap().get(key).cloned())
    }

    async fn swap(
        &self,
        key: &str,
        expected: Option<&[u8]>,
        new: Option<&[u8]>,
    ) -> Result<bool, CoordinationError> {
        let mut entries = self.0.lock().unwrap();
        if entries.get(key).map(Vec::as_slice) != expected {
            return Ok(false);
        }
        match new {
            Some(new) => entries.insert(key.to_owned(), new.to_vec()),
            None => entries.remove(key),
        };
        Ok(true)
    }

    async fn list(&self, prefix: &str) -> Result<Vec<(String, Vec<u8>)>, CoordinationError> {
        let entries = self.0.lock().unwrap();
        if entries.contains_key(BROKEN) {
            return Err(CoordinationError("/var/state.redb is gone".to_owned()));
        }
        let found = entries.iter().filter(|(key, _)| key.starts_with(prefix));
        Ok(found.map(|(k, v)| (k.clone(), v.clone())).collect())
    }

    async fn inherit(&self, prefix: &str) -> Result<Vec<(String, Vec<u8>)>, CoordinationError> {
        self.list(prefix).await
    }
}

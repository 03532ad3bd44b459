//! The state store and the audit, made for the tests: in memory, and to be broken at will.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use time::OffsetDateTime;
use vaultgram::broker::ports::{AuditError, AuditSink, Claim, Coordination, CoordinationError};
use vaultgram::domain::AuditEntry;

/// State in memory, which outlives a process.
#[derive(Default)]
pub(crate) struct Memory {
    pub(crate) entries: Mutex<BTreeMap<String, Vec<u8>>>,
    pub(crate) finished: Mutex<BTreeSet<String>>,
    pub(crate) broken: AtomicBool,
}

impl Memory {
    pub(crate) fn count(&self, prefix: &str) -> usize {
        let entries = self.entries.lock().unwrap();
        entries.keys().filter(|key| key.starts_with(prefix)).count()
    }

    fn check(&self) -> Result<(), CoordinationError> {
        if self.broken.load(Ordering::SeqCst) {
            return Err(CoordinationError("broken by the test".into()));
        }
        Ok(())
    }
}

#[async_trait]
impl Coordination for Memory {
    async fn claim(&self, key: &str, _: OffsetDateTime) -> Result<Claim, CoordinationError> {
        let mut entries = self.entries.lock().unwrap();
        let done = self.finished.lock().unwrap().contains(key);
        Ok(match entries.insert(key.to_owned(), vec![]) {
            None => Claim::Ours,
            Some(_) if done => Claim::Done,
            Some(_) => Claim::Taken,
        })
    }

    async fn finish(&self, key: &str) -> Result<(), CoordinationError> {
        self.finished.lock().unwrap().insert(key.to_owned());
        Ok(())
    }

    async fn put(&self, key: &str, value: &[u8]) -> Result<(), CoordinationError> {
        self.check()?;
        let mut entries = self.entries.lock().unwrap();
        entries.insert(key.to_owned(), value.to_vec());
        Ok(())
    }

    async fn delete(&self, key: &str) -> Result<(), CoordinationError> {
        self.check()?;
        self.entries.lock().unwrap().remove(key);
        Ok(())
    }

    async fn get(&self, key: &str) -> Result<Option<Vec<u8>>, CoordinationError> {
        Ok(self.entries.lock().unwrap().get(key).cloned())
    }

    async fn swap(
        &self,
        key: &str,
        expected: Option<&[u8]>,
        new: Option<&[u8]>,
    ) -> Result<bool, CoordinationError> {
        self.check()?;
        let mut entries = self.entries.lock().unwrap();
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
        let entries = self.entries.lock().unwrap();
        let found = entries.iter().filter(|(key, _)| key.starts_with(prefix));
        Ok(found.map(|(k, v)| (k.clone(), v.clone())).collect())
    }

    async fn inherit(&self, prefix: &str) -> Result<Vec<(String, Vec<u8>)>, CoordinationError> {
        // One process only, and it has just begun.
        self.list(prefix).await
    }
}

/// An audit in memory.
#[derive(Default)]
pub(crate) struct Entries {
    pub(crate) all: Mutex<Vec<AuditEntry>>,
    pub(crate) slow: AtomicBool,
    /// How many it has begun to write.
    pub(crate) begun: AtomicUsize,
    /// Takes nothing.
    pub(crate) full: AtomicBool,
}

#[async_trait]
impl AuditSink for Entries {
    async fn record_all(&self, entries: Vec<AuditEntry>) -> Result<(), AuditError> {
        self.begun.fetch_add(1, Ordering::SeqCst);
        if self.slow.load(Ordering::SeqCst) {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        if self.full.load(Ordering::SeqCst) {
            return Err(AuditError("the test fills the disk".into()));
        }
        self.all.lock().unwrap().extend(entries);
        Ok(())
    }
}

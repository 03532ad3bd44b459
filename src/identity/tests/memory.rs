//! A state store in memory that can fail, and a clock that is set.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use async_trait::async_trait;
use time::OffsetDateTime;

use crate::broker::ports::{Claim, Clock, Coordination, CoordinationError};

/// The state store of all replicas.
#[derive(Default)]
pub(super) struct Memory {
    pub(super) broken: AtomicBool,
    /// Whoever has a claim that is not done is taken for ended.
    pub(super) bereaved: AtomicBool,
    /// Until when, and whether it is done.
    pub(super) claims: Mutex<BTreeMap<String, (OffsetDateTime, bool)>>,
    pub(super) values: Mutex<BTreeMap<String, Vec<u8>>>,
}

impl Memory {
    fn works(&self) -> Result<(), CoordinationError> {
        if self.broken.load(Ordering::SeqCst) {
            return Err(CoordinationError("the disk is full".to_owned()));
        }
        Ok(())
    }

    /// The only claim.
    pub(super) fn claim_made(&self) -> (String, OffsetDateTime, bool) {
        let claims = self.claims.lock().unwrap();
        assert_eq!(claims.len(), 1);
        let (name, (until, done)) = claims.first_key_value().unwrap();
        (name.clone(), *until, *done)
    }
}

#[async_trait]
impl Coordination for Memory {
    async fn claim(&self, key: &str, until: OffsetDateTime) -> Result<Claim, CoordinationError> {
        // So that tasks come between one another where they can.
        tokio::task::yield_now().await;
        self.works()?;
        let mut claims = self.claims.lock().unwrap();
        let claim = match claims.get(key) {
            None => Claim::Ours,
            Some((_, true)) => Claim::Done,
            Some((_, false)) if self.bereaved.load(Ordering::SeqCst) => Claim::Abandoned,
            Some((_, false)) => Claim::Taken,
        };
        if matches!(claim, Claim::Ours | Claim::Abandoned) {
            claims.insert(key.to_owned(), (until, false));
        }
        Ok(claim)
    }

    async fn finish(&self, key: &str) -> Result<(), CoordinationError> {
        tokio::task::yield_now().await;
        self.works()?;
        self.claims.lock().unwrap().get_mut(key).unwrap().1 = true;
        Ok(())
    }

    async fn put(&self, key: &str, value: &[u8]) -> Result<(), CoordinationError> {
        self.works()?;
        let mut values = self.values.lock().unwrap();
        values.insert(key.to_owned(), value.to_vec());
        Ok(())
    }

    async fn delete(&self, key: &str) -> Result<(), CoordinationError> {
        self.works()?;
        self.values.lock().unwrap().remove(key);
        Ok(())
    }

    async fn get(&self, key: &str) -> Result<Option<Vec<u8>>, CoordinationError> {
        self.works()?;
        Ok(self.values.lock().unwrap().get(key).cloned())
    }

    async fn swap(
        &self,
        _: &str,
        _: Option<&[u8]>,
        _: Option<&[u8]>,
    ) -> Result<bool, CoordinationError> {
        Err(CoordinationError("nobody swaps".to_owned()))
    }

    async fn list(&self, prefix: &str) -> Result<Vec<(String, Vec<u8>)>, CoordinationError> {
        self.works()?;
        let values = self.values.lock().unwrap();
        let found = values.iter().filter(|(key, _)| key.starts_with(prefix));
        Ok(found
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect())
    }

    async fn inherit(&self, _: &str) -> Result<Vec<(String, Vec<u8>)>, CoordinationError> {
        Err(CoordinationError("nobody inherits".to_owned()))
    }
}

/// The time, in unix seconds.
pub(super) struct Set(pub(super) AtomicI64);

impl Set {
    pub(super) fn at(seconds: i64) -> Self {
        Self(AtomicI64::new(seconds))
    }

    pub(super) fn set(&self, seconds: i64) {
        self.0.store(seconds, Ordering::SeqCst);
    }
}

impl Clock for Set {
    fn now(&self) -> OffsetDateTime {
        OffsetDateTime::from_unix_timestamp(self.0.load(Ordering::SeqCst)).unwrap()
    }
}

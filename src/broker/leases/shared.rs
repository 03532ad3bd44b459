//! Leases that other replicas may look after, too: each is one value in the coordination store, which
//! names who does. It changes hands by one swap; whoever had it before sees that when it next writes.

use std::collections::BTreeMap;

use super::registry::{Entry, PREFIX, Stored};
use super::{Asked, LeaseName, key};
use crate::broker::ports::CoordinationError;
use crate::broker::{Broker, BrokerError};

/// How often a change is tried. Each time somebody else made one, so this is far too often.
const TRIES: usize = 10;

impl Broker {
    /// All leases that somebody may have, whichever replica looks after them.
    pub(super) async fn all_leases(&self) -> Result<BTreeMap<String, Entry>, CoordinationError> {
        let mut own = self.leases.all().clone();
        if self.ports.coordination.alone() {
            own.retain(|_, entry| entry.is_had());
            return Ok(own);
        }
        let mut all = BTreeMap::new();
        for (key, value) in self.ports.coordination.list(PREFIX).await? {
            let (Some(code), Ok(stored)) = (key.strip_prefix(PREFIX), Stored::read(&key, &value))
            else {
                continue;
            };
            if let Some(entry) = self.had(own.remove(code), stored) {
                all.insert(code.to_owned(), entry);
            }
        }
        Ok(all)
    }

    /// The lease of that name, if somebody may have it.
    pub(super) async fn named(
        &self,
        name: LeaseName<'_>,
    ) -> Result<Option<(String, Entry)>, CoordinationError> {
        let alone = self.ports.coordination.alone();
        let code = match name {
            LeaseName::Code(code) => code.to_owned(),
            LeaseName::Id(lease) => match self.leases.code_of(lease) {
                Some(code) => code,
                None if alone => return Ok(None),
                None => {
                    let mut all = self.all_leases().await?.into_iter();
                    return Ok(all.find(|(_, entry)| entry.lease == lease));
                }
            },
        };
        let own = self.leases.get(&code);
        let entry = if alone {
            own.filter(Entry::is_had)
        } else {
            let stored = self.stored_lease(&code).await?;
            stored.and_then(|(_, stored)| self.had(own, stored))
        };
        Ok(entry.map(|entry| (code, entry)))
    }

    /// The lease as it is, if somebody may have it: what this process looks after, it knows best.
    fn had(&self, own: Option<Entry>, stored: Stored) -> Option<Entry> {
        if stored.ending {
            return None;
        }
        if stored.keeper == self.leases.keeper
            && let Some(own) = own
        {
            return Some(own).filter(Entry::is_had);
        }
        Some(stored.entry(self.now()))
    }

    async fn stored_lease(
        &self,
        code: &str,
    ) -> Result<Option<(Vec<u8>, Stored)>, CoordinationError> {
        let key = key(code);
        let Some(bytes) = self.ports.coordination.get(&key).await? else {
            return Ok(None);
        };
        let stored = Stored::read(&key, &bytes)?;
        Ok(Some((bytes, stored)))
    }

    /// Sets what is kept of a lease that this process looks after, or is the heir of; whether it
    /// does. Where it does not, it forgets the lease.
    pub(super) async fn rewrite(
        &self,
        code: &str,
        entry: &Entry,
        new: Option<&Stored>,
    ) -> Result<bool, CoordinationError> {
        let keeper = entry.elsewhere.as_ref().unwrap_or(&self.leases.keeper);
        let new = new.map(Stored::write).transpose()?;
        for _ in 0..TRIES {
            let stored = self.stored_lease(code).await?;
            let Some((bytes, _)) =
                stored.filter(|(_, it)| it.keeper == *keeper || it.keeper == self.leases.keeper)
            else {
                tracing::info!(event = "broker.lease_elsewhere", code, lease = entry.lease);
                self.leases.all().remove(code);
                return Ok(false);
            };
            let (coordination, key) = (&self.ports.coordination, key(code));
            let swap = coordination.swap(&key, Some(&bytes), new.as_deref());
            if swap.await? {
                return Ok(true);
            }
        }
        Err(CoordinationError(format!(
            "{PREFIX}{code} does not hold still"
        )))
    }

    /// Looks after the lease that somebody asks about from now on, whoever did before.
    pub(super) async fn adopt(&self, asked: &mut Asked<'_>) -> Result<(), BrokerError> {
        if asked.entry.elsewhere.is_none() {
            return Ok(());
        }
        let mut entry = asked.entry.clone();
        let stored = entry.stored(&self.leases.keeper, self.now(), entry.left());
        if !self.rewrite(&asked.code, &entry, Some(&stored)).await? {
            return Err(BrokerError::UnknownLease);
        }
        entry.elsewhere = None;
        (entry.unwanted, entry.spared) = (false, false);
        tracing::info!(
            event = "broker.lease_adopted",
            code = asked.code,
            lease = entry.lease
        );
        self.leases.keep(&asked.code, entry.clone());
        asked.entry = entry;
        Ok(())
    }
}

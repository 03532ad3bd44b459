//! What processes that have ended left.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use futures_util::{StreamExt, stream};

use super::EtcdStore;
use super::envelope::{Head, Kind};
use super::layout::{MemberId, Place};
use super::seen::Sight;
use super::tries::Tries;
use super::write::{Change, Written};
use crate::broker::ports::CoordinationError;
use crate::coordination::etcd::kv::{Entry, Revision};

/// Entries made ours at once.
const AT_ONCE: usize = 16;

/// What we made ours, or may have, and told nobody of yet: what was put where, and when it had been changed
/// before.
#[derive(Default)]
pub(super) struct Heirlooms(Mutex<HashMap<String, (Revision, Vec<u8>)>>);

impl Heirlooms {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, (Revision, Vec<u8>)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether `entry` is what we made ours.
    fn is(&self, entry: &Entry) -> bool {
        let heirlooms = self.lock();
        heirlooms
            .get(&entry.key)
            .is_some_and(|(_, value)| *value == entry.value)
    }
}

impl EtcdStore {
    pub(super) async fn inherit_values(
        &self,
        prefix: &str,
    ) -> Result<Vec<(String, Vec<u8>)>, CoordinationError> {
        let me = self.membership.current().ok_or_else(|| self.no_term())?;
        let entries = self.all(prefix).await?;
        // Listed after the entries: who wrote one and is not there has ended since.
        let alive = self.alive().await?;
        let mut told = vec![];
        let mut left = vec![];
        for (entry, head, value) in entries {
            if self.heirlooms.is(&entry) {
                told.push((entry.key, value));
            } else if head.kind == Kind::Set && !alive.contains(&head.owner.process) {
                left.push((entry, head, value));
            }
        }
        let mut taking = stream::iter(left)
            .map(|(entry, head, value)| self.make_ours(me, entry, head.owner, value))
            .buffered(AT_ONCE);
        let mut failed = None;
        while let Some(taken) = taking.next().await {
            match taken {
                Ok(taken) => told.extend(taken),
                Err(error) => failed = Some(error),
            }
        }
        drop(taking);
        // What is ours already is told the next time.
        if let Some(error) = failed {
            return Err(error);
        }
        // What was made ours in a term that is over may be another's by now.
        if self.membership.current() != Some(me) {
            return Err(self.no_term());
        }
        told.sort();
        let mut heirlooms = self.heirlooms.lock();
        heirlooms.retain(|key, _| told.binary_search_by(|(told, _)| told.cmp(key)).is_err());
        drop(heirlooms);
        let named = told.into_iter().filter_map(|(key, value)| {
            let key = self.layout.key(&key)?.to_owned();
            Some((key, value))
        });
        Ok(named.collect())
    }

    /// The processes that are members.
    async fn alive(&self) -> Result<BTreeSet<[u8; 16]>, CoordinationError> {
        let mut tries = Tries::new(&*self.random);
        loop {
            let error = match self.kv.range(&self.layout.members()).await {
                Ok(range) => {
                    let process = |entry: Entry| match self.layout.place(&entry.key) {
                        Place::Member(id) => Some(id.process),
                        Place::State(_) | Place::Other => None,
                    };
                    return Ok(range.entries.into_iter().filter_map(process).collect());
                }
                Err(error) => error,
            };
            if !tries.pause().await {
                return Err(CoordinationError(error.to_string()));
            }
        }
    }

    /// Makes `entry`, which was `owner`'s, that of `me`, unless somebody else was faster.
    async fn make_ours(
        &self,
        me: MemberId,
        entry: Entry,
        owner: MemberId,
        value: Vec<u8>,
    ) -> Result<Option<(String, Vec<u8>)>, CoordinationError> {
        let Entry { key, changed, .. } = entry;
        let before = self.heirlooms.lock().get(&key).cloned();
        let sealed = match before {
            // An earlier try may yet be done.
            Some((revision, sealed)) if revision == changed => sealed,
            Some(_) | None => self.sealed(&key, me, Kind::Set, &value)?,
        };
        let heirloom = (changed, sealed.clone());
        self.heirlooms.lock().insert(key.clone(), heirloom);
        let change = Change {
            key,
            at: Some(changed),
            unless: Some(owner),
            to: Some((sealed, None)),
        };
        let written = self.change(me, &change).await?;
        let key = change.key;
        if let Written::Done(revision) = written {
            if let Some(key) = self.layout.key(&key) {
                let kind = Kind::Set;
                let head = Some(Head { owner: me, kind });
                self.seen.note(key, Sight { revision, head });
            }
            return Ok(Some((key, value)));
        }
        self.heirlooms.lock().remove(&key);
        Ok(None)
    }
}

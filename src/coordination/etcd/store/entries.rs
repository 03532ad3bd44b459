//! Values: set, removed, looked up, swapped, listed.

use tokio::time::{Instant, timeout_at};

use super::EtcdStore;
use super::envelope::{Head, Kind};
use super::seen::Sight;
use super::tries::{LONGEST, Tries};
use super::write::{Change, Written};
use crate::broker::ports::CoordinationError;
use crate::coordination::etcd::kv::{Entry, KvError, Op};

/// Longest key or prefix, in bytes.
const MAX_KEY: usize = 512;
/// Longest value, in bytes.
const MAX_VALUE: usize = 64 * 1024;

/// Nobody knows whether a swap was done.
const UNKNOWN: &str = "etcd did not answer, and by now something else is there: nobody knows whether it \
                       was done";

pub(super) fn check_key(key: &str) -> Result<(), CoordinationError> {
    if key.is_empty() || key.len() > MAX_KEY {
        let text = format!("a key of {} bytes; 1 to {MAX_KEY} are allowed", key.len());
        return Err(CoordinationError(text));
    }
    Ok(())
}

fn check_value(value: &[u8]) -> Result<(), CoordinationError> {
    if value.len() > MAX_VALUE {
        let text = format!("a value of {} bytes; {MAX_VALUE} is the most", value.len());
        return Err(CoordinationError(text));
    }
    Ok(())
}

impl EtcdStore {
    /// Sets `key`, or removes it, whatever is there.
    pub(super) async fn set(
        &self,
        key: &str,
        value: Option<&[u8]>,
    ) -> Result<(), CoordinationError> {
        check_key(key)?;
        value.map_or(Ok(()), check_value)?;
        let me = self.membership.current().ok_or_else(|| self.no_term())?;
        let place = self.layout.state(key);
        let to = match value {
            Some(value) => Some((self.sealed(&place, me, Kind::Set, value)?, None)),
            None => None,
        };
        // What is removed is mostly there, what is set is mostly new.
        let at = match (self.seen.get(key), &to) {
            (Some(sight), _) => sight.head.map(|_| sight.revision),
            (None, Some(_)) => None,
            (None, None) => match self.look(&place).await? {
                Some(entry) => Some(entry.changed),
                // Or it may come yet.
                None if self.unsettled.has(&place) => None,
                None => return Ok(()),
            },
        };
        let mut change = Change {
            key: place,
            at,
            unless: None,
            to,
        };
        let end = Instant::now() + LONGEST;
        while Instant::now() < end {
            let found = match self.change(me, &change).await? {
                Written::Done(revision) => {
                    let kind = change.to.as_ref().map(|_| Kind::Set);
                    let head = kind.map(|kind| Head { owner: me, kind });
                    self.wrote(key, Sight { revision, head });
                    return Ok(());
                }
                Written::Lost(found) | Written::Perhaps(found) => found,
                Written::NoLease => continue,
            };
            change.at = found.changed();
        }
        Err(CoordinationError(format!(
            "{key} is changed too often by others"
        )))
    }

    /// The value of `key`.
    pub(super) async fn value(&self, key: &str) -> Result<Option<Vec<u8>>, CoordinationError> {
        check_key(key)?;
        let found = self.look(&self.layout.state(key)).await?;
        found.map_or(Ok(None), |entry| self.visible(&entry))
    }

    pub(super) async fn swap_value(
        &self,
        key: &str,
        expected: Option<&[u8]>,
        new: Option<&[u8]>,
    ) -> Result<bool, CoordinationError> {
        check_key(key)?;
        new.map_or(Ok(()), check_value)?;
        let me = self.membership.current().ok_or_else(|| self.no_term())?;
        let place = self.layout.state(key);
        let to = match new {
            Some(new) => Some((self.sealed(&place, me, Kind::Set, new)?, None)),
            None => None,
        };
        let mut change = Change {
            key: place,
            at: None,
            unless: None,
            to,
        };
        // Where nothing is expected and something set, the change itself looks.
        let mut found = match (expected, new) {
            (None, Some(_)) => None,
            _ => self.look(&change.key).await?,
        };
        let end = Instant::now() + LONGEST;
        while Instant::now() < end {
            let value = match &found {
                Some(entry) => self.visible(entry)?,
                None => None,
            };
            if value.as_deref() != expected {
                return Ok(false);
            }
            if found.is_none() && new.is_none() {
                return Ok(true);
            }
            change.at = found.map(|entry| entry.changed);
            found = match self.change(me, &change).await? {
                Written::Done(revision) => {
                    let head = new.map(|_| Head {
                        owner: me,
                        kind: Kind::Set,
                    });
                    self.wrote(key, Sight { revision, head });
                    return Ok(true);
                }
                Written::Lost(found) => found.entry,
                Written::Perhaps(_) => return Err(CoordinationError(UNKNOWN.into())),
                Written::NoLease => self.look(&change.key).await?,
            };
        }
        Err(CoordinationError(format!(
            "{key} is changed too often by others"
        )))
    }

    /// All that starts with `prefix`, with its head.
    pub(super) async fn all(
        &self,
        prefix: &str,
    ) -> Result<Vec<(Entry, Head, Vec<u8>)>, CoordinationError> {
        check_key(prefix)?;
        let place = self.layout.state(prefix);
        let mut tries = Tries::new(&*self.random);
        let range = loop {
            let error = match timeout_at(tries.end(), self.kv.range(&place)).await {
                Ok(Ok(range)) => break range,
                Ok(Err(error)) => error,
                Err(_) => KvError::Refused("etcd does not answer".into()),
            };
            if !tries.pause().await {
                return Err(CoordinationError(error.to_string()));
            }
        };
        self.envelopes.open_all(range.entries).await
    }

    pub(super) async fn values(
        &self,
        prefix: &str,
    ) -> Result<Vec<(String, Vec<u8>)>, CoordinationError> {
        let mut values = vec![];
        for (entry, head, value) in self.all(prefix).await? {
            if !self.ended(head)
                && let Some(key) = self.layout.key(&entry.key)
            {
                values.push((key.to_owned(), value));
            }
        }
        Ok(values)
    }

    /// What stands at `place` in etcd.
    pub(super) async fn look(&self, place: &str) -> Result<Option<Entry>, CoordinationError> {
        let mut tries = Tries::new(&*self.random);
        loop {
            let asked = self.kv.txn(vec![], vec![Op::Get(place.to_owned())], vec![]);
            let error = match timeout_at(tries.end(), asked).await {
                Ok(Ok(done)) => return Ok(done.found.into_iter().next().flatten()),
                Ok(Err(error)) => error,
                Err(_) => KvError::Refused("etcd does not answer".into()),
            };
            if !tries.pause().await {
                return Err(CoordinationError(error.to_string()));
            }
        }
    }

    /// The value of `entry`, unless it is a claim that ended.
    fn visible(&self, entry: &Entry) -> Result<Option<Vec<u8>>, CoordinationError> {
        let (head, value) = self.envelopes.open(&entry.key, &entry.value)?;
        Ok((!self.ended(head)).then_some(value))
    }

    /// `key` is as `sight` says by our own doing, and no claim.
    fn wrote(&self, key: &str, sight: Sight) {
        self.mine.forget(key);
        self.seen.note(key, sight);
    }
}

//! What is in etcd while no replica is a member, to be carried to another store or from one.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;

use super::buckets::Buckets;
use super::envelope::{Envelopes, Head, Keys, Kind};
use super::layout::{Layout, MemberId, Place};
use crate::broker::ports::{CoordinationError, SystemRandom};
use crate::coordination::etcd::kv::{Compare, Kv, KvError, Op};
use crate::coordination::kept::{Kept, Mark, What};

/// Changes in one transaction; etcd takes 128.
const BATCH: usize = 64;
/// And bytes of values; etcd takes 1.5 MB.
const BATCH_BYTES: usize = 512 << 10;
/// Tries of each, as doing it twice does no harm.
const TRIES: u32 = 5;
/// Before another.
const PAUSE: Duration = Duration::from_millis(500);

/// Everything under a prefix.
pub struct AtRest {
    kv: Arc<dyn Kv>,
    layout: Layout,
    envelopes: Envelopes,
}

impl AtRest {
    /// What is under `prefix`, sealed with `keys`.
    #[must_use]
    pub fn new(kv: Arc<dyn Kv>, prefix: &str, keys: Keys) -> Self {
        Self {
            kv,
            layout: Layout::new(prefix),
            envelopes: Envelopes::new(keys),
        }
    }

    /// How many replicas are members.
    ///
    /// # Errors
    /// When etcd does not say.
    pub async fn replicas(&self) -> Result<usize, CoordinationError> {
        let members = self
            .kv
            .range(&self.layout.members())
            .await
            .map_err(failed)?;
        Ok(members.entries.len())
    }

    /// Whether there is nothing at all, whoever wrote it.
    ///
    /// # Errors
    /// When etcd does not say.
    pub async fn is_empty(&self) -> Result<bool, CoordinationError> {
        let all = self
            .kv
            .range(self.layout.everything())
            .await
            .map_err(failed)?;
        Ok(all.entries.is_empty())
    }

    /// The mark that the state was carried elsewhere, or is being.
    ///
    /// # Errors
    /// When etcd does not say.
    pub async fn moved(&self) -> Result<Option<Mark>, CoordinationError> {
        let key = self.layout.moved();
        let look = vec![Op::Get(key.clone())];
        let found = self
            .kv
            .txn(vec![], look, vec![])
            .await
            .map_err(failed)?
            .found;
        Ok(found.into_iter().flatten().next().map(|entry| Mark {
            text: String::from_utf8_lossy(&entry.value).into_owned(),
            remove: format!("etcdctl del {key}"),
        }))
    }

    /// Sets the mark, where there is none; whether there was none.
    ///
    /// # Errors
    /// When etcd does not do it.
    pub async fn mark(&self, text: &str) -> Result<bool, CoordinationError> {
        let key = self.layout.moved();
        let put = Op::Put {
            key: key.clone(),
            value: text.as_bytes().to_vec(),
            lease: None,
        };
        let done = self
            .kv
            .txn(vec![Compare::Absent(key)], vec![put], vec![])
            .await;
        Ok(done.map_err(failed)?.held)
    }

    /// Removes the mark.
    ///
    /// # Errors
    /// When etcd does not do it.
    pub async fn unmark(&self) -> Result<(), CoordinationError> {
        self.persist(vec![Op::Delete(self.layout.moved())]).await
    }

    /// Everything but claims that ended by `now`, in order.
    ///
    /// # Errors
    /// When etcd does not say, or something there cannot be opened with our keys.
    pub async fn everything(&self, now: i64) -> Result<Vec<Kept>, CoordinationError> {
        let all = self
            .kv
            .range(&self.layout.state(""))
            .await
            .map_err(failed)?;
        let mut kept = vec![];
        for (entry, head, value) in self.envelopes.open_all(all.entries).await? {
            let Place::State(key) = self.layout.place(&entry.key) else {
                continue;
            };
            let what = match head.kind {
                Kind::Set => What::Set(value),
                Kind::Claimed { until, .. } => What::Claimed { until },
                Kind::Done { until } => What::Done { until },
                Kind::Member => continue,
            };
            let key = key.to_owned();
            kept.push(Kept { key, what });
        }
        kept.retain(|kept| kept.lasts(now));
        Ok(kept)
    }

    /// Puts all of `kept` there, as what a process that has ended left.
    ///
    /// # Errors
    /// When etcd does not do it; part of it may be there then.
    pub async fn fill(&self, kept: &[Kept], now: i64) -> Result<(), CoordinationError> {
        let buckets = Buckets::default();
        let (mut batch, mut bytes) = (vec![], 0);
        for kept in kept {
            let (kind, value, until) = match &kept.what {
                What::Set(value) => (Kind::Set, value.as_slice(), None),
                What::Claimed { until } => {
                    let kind = Kind::Claimed {
                        until: *until,
                        again: false,
                    };
                    (kind, &[][..], Some(*until))
                }
                What::Done { until } => (Kind::Done { until: *until }, &[][..], Some(*until)),
            };
            let lease = match until {
                Some(until) => {
                    let lease = buckets.lease(&*self.kv, until, now).await;
                    Some(lease.map_err(failed)?)
                }
                None => None,
            };
            let key = self.layout.state(&kept.key);
            let head = Head {
                owner: MemberId::NOBODY,
                kind,
            };
            let value = self.envelopes.seal(&key, head, value, &SystemRandom)?;
            bytes += value.len();
            batch.push(Op::Put { key, value, lease });
            if batch.len() == BATCH || bytes > BATCH_BYTES {
                self.persist(std::mem::take(&mut batch)).await?;
                bytes = 0;
            }
        }
        if !batch.is_empty() {
            self.persist(batch).await?;
        }
        Ok(())
    }

    /// Does what may be done twice.
    async fn persist(&self, ops: Vec<Op>) -> Result<(), CoordinationError> {
        let mut tries = 0;
        loop {
            let Err(error) = self.kv.txn(vec![], ops.clone(), vec![]).await else {
                return Ok(());
            };
            tries += 1;
            if tries == TRIES || !matches!(error, KvError::Unclear(_)) {
                return Err(failed(error));
            }
            sleep(PAUSE).await;
        }
    }
}

#[expect(clippy::needless_pass_by_value, reason = "what `map_err` hands over")]
fn failed(error: KvError) -> CoordinationError {
    CoordinationError(error.to_string())
}

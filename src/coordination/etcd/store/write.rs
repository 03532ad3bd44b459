//! The one way that anything of the port is changed: on a condition, so that nothing that comes to etcd
//! late, or twice, has an effect.
//!
//! Every change compares that our presence is there: what a process sent that is taken for ended does
//! nothing, however late it comes. And it compares when the key was last changed: tried again after
//! no answer, it is done at most once; and a key that it makes is not made anew after it was removed
//! (`unsettled`).

use tokio::time::timeout_at;

use super::EtcdStore;
use super::layout::MemberId;
use super::tries::Tries;
use super::unsettled::{AFTER, Making, NOTHING};
use crate::broker::ports::CoordinationError;
use crate::coordination::etcd::kv::{Compare, Entry, KvError, LeaseId, Op, Revision};

/// What is set, and the lease that it goes with.
type Put = (Vec<u8>, Option<LeaseId>);

/// A change of one key.
pub(super) struct Change {
    /// Of etcd.
    pub(super) key: String,
    /// When it must have been changed last; `None`: it must not be there.
    pub(super) at: Option<Revision>,
    /// Who must have ended.
    pub(super) unless: Option<MemberId>,
    /// What is set; `None`: it is removed.
    pub(super) to: Option<Put>,
}

/// What came of a change.
#[derive(Debug)]
pub(super) enum Written {
    /// It is done; the key is since this revision as it was to be.
    Done(Revision),
    /// It is not done, as this is what is there.
    Lost(Found),
    /// This is what is there; whether it was done before that, nobody knows.
    Perhaps(Found),
    /// It is not done, as the lease is not there. The next try has another.
    NoLease,
}

/// What stood at a key at a revision of the store.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) entry: Option<Entry>,
    pub(super) revision: Revision,
}

impl Found {
    /// When it was changed last, if it is there.
    pub(super) fn changed(&self) -> Option<Revision> {
        self.entry.as_ref().map(|entry| entry.changed)
    }
}

impl EtcdStore {
    /// What is set for `change`, where something is.
    async fn what_is_put(
        &self,
        me: MemberId,
        change: &Change,
    ) -> Result<Option<Put>, CoordinationError> {
        if change.to.is_some() || !self.unsettled.has(&change.key) {
            return Ok(change.to.clone());
        }
        let lasts = i64::try_from(AFTER.as_millis()).unwrap_or(i64::MAX);
        let lease = self.lease_until(self.now().saturating_add(lasts)).await?;
        let nothing = self.sealed(&change.key, me, NOTHING, &[])?;
        Ok(Some((nothing, Some(lease))))
    }

    /// Makes `change` as member `me`.
    pub(super) async fn change(
        &self,
        me: MemberId,
        change: &Change,
    ) -> Result<Written, CoordinationError> {
        let key = &change.key;
        let to = self.what_is_put(me, change).await?;
        // What has to be absent may be so again.
        let mut making = match (change.at, &to) {
            (None, Some(_)) => Some(Making::new(&self.unsettled, key)),
            (None, None) | (Some(_), _) => None,
        };
        let presence = self.layout.member(me);
        let mut when = vec![
            Compare::Present(presence.clone()),
            match change.at {
                Some(revision) => Compare::At(key.clone(), revision),
                None => Compare::Absent(key.clone()),
            },
        ];
        when.extend(
            change
                .unless
                .map(|id| Compare::Absent(self.layout.member(id))),
        );
        let then = vec![match &to {
            Some((value, lease)) => Op::Put {
                key: key.clone(),
                value: value.clone(),
                lease: *lease,
            },
            None => Op::Delete(key.clone()),
        }];
        let otherwise = vec![Op::Get(key.clone()), Op::Get(presence)];
        let mut tries = Tries::new(&*self.random);
        let mut unclear = false;
        loop {
            if self.membership.current() != Some(me) {
                return Err(self.no_term());
            }
            let asked = self.kv.txn(when.clone(), then.clone(), otherwise.clone());
            let answer = timeout_at(tries.end(), asked).await;
            if let (Ok(Ok(_) | Err(KvError::Refused(_) | KvError::NoLease)), false) =
                (&answer, unclear)
                && let Some(making) = &mut making
            {
                making.settle();
            }
            let error = match answer {
                Ok(Ok(done)) if done.held => return Ok(Written::Done(done.revision)),
                Ok(Ok(done)) => {
                    let mut found = done.found.into_iter();
                    let (entry, presence) = (found.next().flatten(), found.next().flatten());
                    let revision = done.revision;
                    if presence.is_none() {
                        self.membership.lost(me, "etcd knows this replica no more");
                        return Err(self.no_term());
                    }
                    let found = Found { entry, revision };
                    return Ok(what_came(change.at, to.as_ref(), found, unclear));
                }
                Ok(Err(KvError::NoLease)) if !unclear => {
                    if let Some((_, Some(lease))) = to {
                        self.buckets.forget(lease).await;
                    }
                    return Ok(Written::NoLease);
                }
                Ok(Err(KvError::NoLease)) => KvError::NoLease,
                Ok(Err(error @ KvError::Refused(_))) => error,
                Ok(Err(error @ KvError::Unclear(_))) => {
                    unclear = true;
                    error
                }
                Err(_) => return Err(CoordinationError("etcd does not answer".into())),
            };
            if !tries.pause().await {
                return Err(CoordinationError(error.to_string()));
            }
        }
    }
}

/// What came of a change of what was changed last at `at`, to `to`, when its conditions do not hold and
/// `found` is there. `unclear`: it was tried before, with no answer.
fn what_came(at: Option<Revision>, to: Option<&Put>, found: Found, unclear: bool) -> Written {
    match (to, &found.entry) {
        // No two seals are the same: this one is ours.
        (Some((value, _)), Some(entry)) if entry.value == *value => Written::Done(entry.changed),
        _ if unclear && found.changed() != at => Written::Perhaps(found),
        _ => Written::Lost(found),
    }
}

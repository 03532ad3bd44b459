//! What is done with leases when nobody asks: they are renewed while they are kept, forgotten when
//! they have ended, and revoked at the end.

use std::time::Duration;

use futures_util::{StreamExt, stream};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info, warn};

use super::registry::{Due, Entry, PREFIX, Stored};
use super::{Asked, ROUNDED, advice};
use crate::broker::ports::{CoordinationError, StoreError};
use crate::broker::{Broker, BrokerError, Heir};
use crate::domain::{AuditEvent, Caller, LeaseAction, RequestId};

/// How many leases are looked after at once.
const AT_ONCE: usize = 8;
/// How long revoking all of them may take when we stop.
const FAREWELL: Duration = Duration::from_secs(10);
/// The longest sleep: who wakes a machine up need not wait for it.
const LOOK_EVERY: Duration = Duration::from_mins(1);
/// For how long the holder of a lease can have another replica keep it, once its own has ended.
const GRACE: Duration = Duration::from_mins(1);

impl Broker {
    /// Finds the leases that a process before this one left behind; [`Broker::run_leases`] revokes
    /// them. To be called before the first request; how many there are.
    ///
    /// # Errors
    /// When the coordination store cannot tell.
    pub async fn recover_leases(&self) -> Result<usize, CoordinationError> {
        let alone = self.ports.coordination.alone();
        let grace = if alone { Duration::ZERO } else { GRACE };
        self.inherit_leases(grace).await
    }

    /// Has what processes that ended left behind revoked after `grace`.
    async fn inherit_leases(&self, grace: Duration) -> Result<usize, CoordinationError> {
        let now = self.now();
        let mut found = 0;
        for (key, value) in self.ports.coordination.inherit(PREFIX).await? {
            let stored = Stored::read(&key, &value).ok();
            let code = key.strip_prefix(PREFIX);
            let (Some(stored), Some(code)) = (stored, code) else {
                error!(event = "broker.lease_record_damaged", key);
                continue;
            };
            self.leases.keep(code, stored.left_behind(now, grace));
            found += 1;
        }
        if found > 0 {
            warn!(event = "broker.leases_left_behind", count = found);
        }
        Ok(found)
    }

    /// Looks after all leases until `stop`, then revokes them. Nothing must be handed over any
    /// more by then, and the store must still work.
    pub async fn run_leases(&self, stop: CancellationToken) {
        let mut heir = Heir::new(&self.ports.coordination);
        loop {
            let changed = self.leases.changed.notified();
            let (due, next) = self.due();
            let tend = async {
                stream::iter(due)
                    .for_each_concurrent(AT_ONCE, |(code, entry, due)| async move {
                        self.tend(&code, &entry, due).await;
                    })
                    .await;
            };
            tokio::select! {
                () = stop.cancelled() => break,
                () = tend => {}
            }
            tokio::select! {
                () = stop.cancelled() => break,
                () = changed => {}
                () = sleep_until(next) => {}
                () = heir.wait() => {
                    if let Err(error) = self.inherit_leases(GRACE).await {
                        warn!(event = "broker.leases_not_inherited", %error);
                    }
                }
            }
        }
        self.revoke_all().await;
    }

    /// What is to be done now, and when there is more to do.
    fn due(&self) -> (Vec<(String, Entry, Due)>, Instant) {
        let now = Instant::now();
        let mut next = now + LOOK_EVERY;
        let mut due = vec![];
        for (code, entry) in &*self.leases.all() {
            match entry.due() {
                (at, what) if at <= now => due.push((code.clone(), entry.clone(), what)),
                (at, _) => next = next.min(at),
            }
        }
        (due, next)
    }

    async fn tend(&self, code: &str, entry: &Entry, due: Due) {
        match due {
            Due::Forget => {
                debug!(event = "broker.lease_ended", code, lease = entry.lease);
                self.forget(code).await;
            }
            Due::Revoke => self.take_back(code, entry).await,
            Due::Renew => self.renew_kept(code, entry).await,
        }
    }

    /// Revokes what nobody has any more.
    async fn take_back(&self, code: &str, entry: &Entry) {
        if !self.is_to_end(code, entry).await {
            return;
        }
        let lease = &entry.lease;
        let Err(failed) = self.ports.store.revoke(lease).await else {
            self.note(code, entry, LeaseAction::Revoke, AuditEvent::LeaseRevoked)
                .await;
            self.forget(code).await;
            info!(event = "broker.lease_revoked", code, lease);
            return;
        };
        let failed = BrokerError::from(failed);
        warn!(
            event = "broker.lease_not_revoked",
            code,
            lease,
            error = failed.name(),
            failures = entry.failures + 1,
            advice = advice(&failed)
        );
        if entry.left().is_zero() {
            self.forget(code).await;
        } else {
            let luck = self.luck();
            self.leases.update(code, |entry| entry.failed(luck));
        }
    }

    /// Whether a lease is this process's to revoke: another replica may look after it by now. From
    /// here on none does.
    async fn is_to_end(&self, code: &str, entry: &Entry) -> bool {
        if self.ports.coordination.alone() {
            return true;
        }
        let mut ending = entry.stored(&self.leases.keeper, self.now(), entry.left());
        ending.ending = true;
        match self.rewrite(code, entry, Some(&ending)).await {
            Ok(ours) => ours,
            // What nobody was told of, nobody looks after.
            Err(error) if entry.elsewhere.is_none() => {
                warn!(event = "broker.lease_unclear", code, %error);
                true
            }
            Err(error) => {
                warn!(event = "broker.lease_unclear", code, %error);
                let luck = self.luck();
                self.leases.update(code, |entry| entry.failed(luck));
                false
            }
        }
    }

    /// Renews what is kept: for a step, or for as long as it is still wanted.
    async fn renew_kept(&self, code: &str, entry: &Entry) {
        let now = Instant::now();
        let wanted = entry.keep.map(|until| until.saturating_duration_since(now));
        let increment = wanted.unwrap_or_default().min(entry.step).max(ROUNDED);
        let lease = &entry.lease;
        match self.renew(code, entry, increment).await {
            Ok(granted) => {
                let seconds = granted.as_secs();
                let renewed = AuditEvent::LeaseRenewed { seconds };
                self.note(code, entry, LeaseAction::Renew, renewed).await;
                debug!(event = "broker.lease_renewed", code, lease, seconds);
                if granted + ROUNDED < increment && granted <= entry.left() + ROUNDED {
                    warn!(event = "broker.lease_at_maximum", code, lease, seconds);
                    self.leases.update(code, |entry| entry.keep = None);
                }
            }
            Err(failed) => {
                warn!(
                    event = "broker.lease_not_renewed",
                    code,
                    lease,
                    error = failed.name(),
                    advice = advice(&failed)
                );
                // Vault does not know it, or lets it last no longer.
                let hopeless = matches!(
                    failed,
                    BrokerError::Store(StoreError::NotFound | StoreError::Rejected(_))
                );
                let luck = self.luck();
                self.leases.update(code, |entry| {
                    entry.failed(luck);
                    entry.keep = entry.keep.filter(|_| !hopeless);
                });
            }
        }
    }

    /// Revokes every lease: we are stopping. What cannot be revoked in time, the next start does.
    async fn revoke_all(&self) {
        let all: Vec<_> = self.leases.all().clone().into_iter().collect();
        if all.is_empty() {
            return;
        }
        info!(event = "broker.leases_revoking", count = all.len());
        let revoking = stream::iter(all).for_each_concurrent(AT_ONCE, |(code, entry)| async move {
            self.take_back(&code, &entry).await;
        });
        let in_time = timeout(FAREWELL, revoking).await.is_ok();
        let left = self.lease_count();
        if left > 0 {
            warn!(event = "broker.leases_left", count = left, in_time);
        }
    }

    /// Records what we did of our own accord.
    async fn note(&self, code: &str, entry: &Entry, action: LeaseAction, event: AuditEvent) {
        let asked = Asked {
            id: &RequestId::Connection(self.number()),
            caller: &Caller::Unix(crate::broker::lock::itself()),
            action,
            code: code.to_owned(),
            entry: entry.clone(),
        };
        if let Err(error) = self.record_lease(&asked, event).await {
            error!(event = "broker.change_unrecorded", code, lease = entry.lease, %error);
        }
    }
}

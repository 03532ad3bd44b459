//! What time does to requests for approval, and what a process that ended left half done.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::{StreamExt, stream};
use time::OffsetDateTime;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::Read;
use super::change::By;
use crate::broker::lock::itself;
use crate::broker::{ApprovalError, Broker, BrokerError, Duty};
use crate::domain::approval::{Event, State};
use crate::domain::{Caller, RequestId};

/// The longest sleep: another replica's changes wake nobody here.
const LOOK_EVERY: Duration = Duration::from_secs(10);
/// The shortest sleep.
const PAUSE: Duration = Duration::from_millis(200);
/// How long those that are over stay among the open ones, so that whoever tells people sees how
/// they ended.
const LINGER: Duration = Duration::from_mins(10);
/// How often those are looked at that were over long ago.
const PRUNE_EVERY: Duration = Duration::from_hours(1);
/// The most that are kept of those.
const MAX_PAST: usize = 10_000;
/// How many are changed at once: they share a commit.
const AT_ONCE: usize = 256;

impl Broker {
    /// Looks after requests for approval until `stop`: they expire, grants end, what is over is put
    /// away and in the end forgotten.
    pub async fn keep_approvals(&self, stop: CancellationToken) {
        let mut changed = self.approvals_changed();
        let mut pruned: Option<Instant> = None;
        loop {
            changed.mark_unchanged();
            // What hangs on them here is ended here; the rest is done by one replica for all.
            let tended = if self.on_duty(Duty::Approvals).await {
                self.tend_approvals().await
            } else {
                self.end_orphans_here().await.map(|()| None)
            };
            let next = match tended {
                Ok(next) => next,
                Err(error) => {
                    tracing::warn!(event = "broker.approvals_not_tended", %error);
                    None
                }
            };
            if pruned.is_none_or(|at| at.elapsed() >= PRUNE_EVERY)
                && self.on_duty(Duty::Approvals).await
            {
                pruned = Some(Instant::now());
                if let Err(error) = self.prune_approvals().await {
                    tracing::warn!(event = "broker.approvals_not_pruned", %error);
                }
            }
            let wait = next.map(|next| Duration::try_from(next - self.now()).unwrap_or_default());
            let wait = wait.unwrap_or(LOOK_EVERY).min(LOOK_EVERY);
            tokio::select! {
                () = stop.cancelled() => break,
                _ = changed.changed() => {}
                () = sleep(wait) => {}
                () = self.ports.coordination.bereaved() => {}
            }
            // Changes come in crowds, and what cannot be done now is not tried in a circle.
            tokio::select! {
                () = stop.cancelled() => break,
                () = sleep(PAUSE) => {}
            }
        }
        self.lay_down(Duty::Approvals).await;
    }

    /// Does what is due now; when there is more to do.
    ///
    /// # Errors
    /// When the state store or the audit fails; what was not done is done the next time.
    pub async fn tend_approvals(&self) -> Result<Option<OffsetDateTime>, BrokerError> {
        let (id, caller) = (RequestId::Connection(self.number()), Caller::Unix(itself()));
        let by = By {
            id: &id,
            caller: &caller,
        };
        let now = self.now();
        let open = self.open_ones().await?;
        let is_due = |read: &&Read| {
            let due = read.approval.due();
            due.is_some_and(|due| due <= now) || read.approval.is_half_done()
        };
        let due: Vec<Read> = open.iter().filter(is_due).cloned().collect();
        let ticks = stream::iter(due).map(|read| async move { self.tick(by, &read).await });
        let mut ticks = ticks.buffer_unordered(AT_ONCE);
        let mut failed = None;
        while let Some(ticked) = ticks.next().await {
            failed = failed.or(ticked.err());
        }
        if let Some(error) = failed {
            return Err(error);
        }
        self.end_orphans(&open).await?;
        self.put_away_old(&open).await?;
        let open = self.open_ones().await?;
        Ok(open.iter().filter_map(|read| read.approval.due()).min())
    }

    async fn end_orphans_here(&self) -> Result<(), BrokerError> {
        if self.leases.grants().is_empty() {
            return Ok(());
        }
        Ok(self.end_orphans(&self.open_ones().await?).await?)
    }

    async fn tick(&self, by: By<'_>, read: &Read) -> Result<(), BrokerError> {
        let approval = &read.approval;
        if approval.is_half_done() && approval.state_at(self.now()) == State::Granted {
            self.follow(by, approval).await;
            return Ok(());
        }
        match self.change_by(by, &approval.id, Event::Tick).await {
            // Put away meanwhile.
            Ok(_) | Err(BrokerError::Approval(ApprovalError::Unknown)) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Puts away what has been over for long enough to be told.
    async fn put_away_old(&self, open: &[Read]) -> Result<(), BrokerError> {
        let (now, mut old) = (self.now(), vec![]);
        {
            let mut known = self.approvals.over();
            let over = open.iter().filter(|read| read.approval.is_over(now));
            let over: BTreeMap<_, _> = over.map(|read| (&read.approval.id, read)).collect();
            known.retain(|id, _| over.contains_key(id));
            for (id, read) in over {
                let since = known.entry(id.clone()).or_insert(now);
                if now >= *since + LINGER {
                    old.push(read.clone());
                }
            }
        }
        // Many share one sync to disk.
        let putting = stream::iter(old).map(|read| async move { self.put_away(&read).await });
        let mut putting = putting.buffer_unordered(AT_ONCE);
        while let Some(done) = putting.next().await {
            done?;
        }
        Ok(())
    }

    /// Forgets what was over long ago, and the oldest where there are too many.
    async fn prune_approvals(&self) -> Result<(), BrokerError> {
        let mut past = self.past_ones().await?;
        past.sort_by_key(|read| std::cmp::Reverse(read.approval.since));
        let oldest = self.now() - self.rules.approvals.keep;
        let kept = past.iter().take(MAX_PAST);
        let kept = kept.filter(|read| read.approval.since > oldest).count();
        for read in past.iter().skip(kept) {
            self.forget_past(&read.approval.id).await?;
        }
        Ok(())
    }
}

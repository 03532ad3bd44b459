//! Becoming a member, and staying one: the lease, the presence that hangs on it, the session.

use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until, timeout};
use tracing::{info, warn};

use super::EtcdStore;
use super::envelope::{Head, Kind};
use super::layout::MemberId;
use super::tries::Backoff;
use crate::broker::ports::CoordinationError;
use crate::coordination::etcd::kv::{Compare, Entry, LeaseId, Op};

/// Signs of life in the time of a lease.
const SIGNS: u32 = 5;
/// The share of a lease's time that the answer to one may take.
const ANSWER: u32 = 3;
/// How long a session may be another's beyond the time of a lease, before it counts as in use: etcd ends
/// leases late, and never early.
const LATE: Duration = Duration::from_secs(5);
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// Since when somebody else has the session.
type Rival = Option<(MemberId, Instant)>;

impl EtcdStore {
    /// Gains membership, keeps it, gains it anew when it is lost. Returns when it is over.
    pub(super) async fn belong(&self) {
        let mut backoff = Backoff::new(FIRST_PAUSE, LONGEST_PAUSE);
        let mut rival = None;
        while !self.membership.over() {
            match self.join(&mut rival).await {
                Ok(()) => {
                    backoff.reset();
                    self.stay().await;
                }
                Err(CoordinationError(why)) => {
                    warn!(event = "coordination.not_joined", cause = why);
                    self.membership.missing(&why);
                    sleep(backoff.next(&*self.random)).await;
                }
            }
        }
    }

    async fn join(&self, rival: &mut Rival) -> Result<(), CoordinationError> {
        let Some((me, former)) = self.membership.next() else {
            return Ok(());
        };
        self.refuse_a_company_with_another_key().await?;
        let session = match &self.session {
            Some(session) => Some((session, self.holder_of(session, rival).await?)),
            None => None,
        };
        let sent = self.membership.sent();
        let lease = self.kv.grant(self.membership.ttl()).await.map_err(failed)?;
        let mut when = vec![Compare::Absent(self.layout.member(me))];
        let mut then = vec![
            Op::Delete(self.layout.member(former)),
            self.presence(me, lease)?,
        ];
        if let Some((session, ours)) = session {
            when.push(match ours {
                Some(entry) => Compare::At(session.clone(), entry.changed),
                None => Compare::Absent(session.clone()),
            });
            then.push(Op::Put {
                key: session.clone(),
                value: self.sealed(session, me, Kind::Member, &[])?,
                lease: Some(lease),
            });
        }
        let entered = match self.kv.txn(when, then, vec![]).await {
            Ok(done) if !done.held => Err(failed("another replica was faster; it is tried again")),
            Ok(_) if !self.membership.begin(me, lease, sent) => {
                Err(failed("etcd answered too late"))
            }
            Ok(_) => Ok(()),
            Err(error) => Err(failed(error)),
        };
        if entered.is_err() {
            // It would end by itself: this makes that sooner, and nothing depends on it.
            self.kv.revoke(lease).await.ok();
            return entered;
        }
        info!(event = "coordination.joined", member = %me);
        // What was ours under the former term is anybody's, and others may have ended meanwhile.
        self.company.mourn();
        Ok(())
    }

    /// Of two keys one is wrong, and who comes later is wrong.
    async fn refuse_a_company_with_another_key(&self) -> Result<(), CoordinationError> {
        let members = self
            .kv
            .range(&self.layout.members())
            .await
            .map_err(failed)?;
        for Entry { key, value, .. } in members.entries {
            self.envelopes.open(&key, &value)?;
        }
        Ok(())
    }

    /// The entry of the session, where it is our own from an earlier term. An error where somebody else
    /// has it; when that lasts too long, for ever.
    async fn holder_of(
        &self,
        session: &str,
        rival: &mut Rival,
    ) -> Result<Option<Entry>, CoordinationError> {
        let get = vec![Op::Get(session.to_owned())];
        let found = self
            .kv
            .txn(vec![], get, vec![])
            .await
            .map_err(failed)?
            .found;
        let Some(entry) = found.into_iter().next().flatten() else {
            *rival = None;
            return Ok(None);
        };
        let (Head { owner, .. }, _) = self.envelopes.open(&entry.key, &entry.value)?;
        if owner.process == self.membership.process() {
            return Ok(Some(entry));
        }
        let since = match *rival {
            Some((known, since)) if known == owner => since,
            Some(_) | None => Instant::now(),
        };
        *rival = Some((owner, since));
        let why = format!(
            "another vaultgram ({}) uses the same Telegram session; each replica needs a login of its \
             own: vaultgram login with another session file",
            hex::encode(owner.process)
        );
        if since.elapsed() > self.membership.ttl() + LATE {
            self.membership.end(&why);
        }
        Err(CoordinationError(why))
    }

    /// Sets our presence, with what we have to say of us.
    fn presence(&self, me: MemberId, lease: LeaseId) -> Result<Op, CoordinationError> {
        let key = self.layout.member(me);
        let facts = self.facts.borrow().clone();
        let value = self.sealed(&key, me, Kind::Member, &facts)?;
        Ok(Op::Put {
            key,
            value,
            lease: Some(lease),
        })
    }

    /// Gives signs of life until the membership is lost.
    async fn stay(&self) {
        let ttl = self.membership.ttl();
        let mut facts = self.facts.subscribe();
        let mut lost = self.membership.changes();
        let mut due = Instant::now();
        loop {
            tokio::select! {
                () = sleep_until(due) => {}
                // Never an error: the sender is ours.
                _ = lost.changed() => {}
            }
            let Some((me, lease)) = self.membership.lease() else {
                return;
            };
            if Instant::now() < due {
                continue;
            }
            let sent = self.membership.sent();
            due = Instant::now() + ttl / SIGNS;
            match timeout(ttl / ANSWER, self.kv.keep_alive(lease)).await {
                Ok(Ok(true)) => self.membership.extend(me, sent),
                Ok(Ok(false)) => self.membership.lost(me, "etcd ended this replica's lease"),
                Ok(Err(error)) => warn!(event = "coordination.not_kept_alive", cause = %error),
                Err(_) => warn!(
                    event = "coordination.not_kept_alive",
                    cause = "no answer in time"
                ),
            }
            if facts.has_changed().unwrap_or(false) {
                facts.mark_unchanged();
                if self.publish(me, lease).await.is_err() {
                    facts.mark_changed();
                }
            }
        }
    }

    async fn publish(&self, me: MemberId, lease: LeaseId) -> Result<(), CoordinationError> {
        let there = Compare::Present(self.layout.member(me));
        let then = vec![self.presence(me, lease)?];
        let published = self.kv.txn(vec![there], then, vec![]);
        let published = timeout(self.membership.ttl() / ANSWER, published).await;
        published.map_err(failed)?.map_err(failed)?;
        Ok(())
    }
}

fn failed(cause: impl ToString) -> CoordinationError {
    CoordinationError(cause.to_string())
}

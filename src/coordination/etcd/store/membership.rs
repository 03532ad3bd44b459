//! Whether this process may act: it is a member of the company of replicas as long as its lease
//! lasts, and acts only while it is sure of that.
//!
//! The lease lasts from when etcd heard of us, which is no earlier than when we last wrote. So a
//! term is counted from when a sign of life was *sent*, and ends a margin before the lease does. A
//! term that was over once stays over, though the lease may still be there: whoever dropped what it
//! did, because there was no term, has not dropped what nobody else may take over.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use time::OffsetDateTime;
use tokio::sync::watch;
use tokio::time::Instant;
use tracing::warn;

use super::layout::MemberId;
use crate::broker::ports::Clock;
use crate::coordination::etcd::kv::LeaseId;

/// The share of a lease at its end in which nothing is begun any more: for clocks that run apart,
/// and for what was begun to end.
const MARGIN: u32 = 5;

/// The membership of this process.
pub(super) struct Membership {
    process: [u8; 16],
    ttl: Duration,
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
    changed: watch::Sender<()>,
}

#[derive(Default)]
struct State {
    /// The last term that was tried for.
    term: u64,
    /// What there is now.
    held: Option<Held>,
    /// Why there is nothing.
    trouble: Option<String>,
    /// Nothing comes after this.
    over: bool,
}

struct Held {
    lease: LeaseId,
    until: Instant,
    /// A machine that sleeps does not count that in `until`.
    until_by_clock: OffsetDateTime,
}

impl State {
    /// The present term, if it lasts; one that has run out is forgotten.
    fn lasting(&mut self, now: Instant, clock: OffsetDateTime) -> Option<&mut Held> {
        let lasts = |held: &mut Held| now < held.until && clock < held.until_by_clock;
        if self.held.take_if(|held| !lasts(held)).is_some() {
            self.trouble = Some("etcd did not hear of this replica in time".into());
            warn!(event = "coordination.membership_lapsed", term = self.term);
        }
        self.held.as_mut()
    }
}

/// When a sign of life was sent.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sent {
    at: Instant,
    by_clock: OffsetDateTime,
}

impl Membership {
    pub(super) fn new(process: [u8; 16], ttl: Duration, clock: Arc<dyn Clock>) -> Self {
        let state = State {
            trouble: Some("this replica has not reached etcd yet".into()),
            ..State::default()
        };
        Self {
            process,
            ttl,
            clock,
            state: Mutex::new(state),
            changed: watch::Sender::default(),
        }
    }

    pub(super) fn ttl(&self) -> Duration {
        self.ttl
    }

    pub(super) fn process(&self) -> [u8; 16] {
        self.process
    }

    /// To be called before a sign of life is sent.
    pub(super) fn sent(&self) -> Sent {
        Sent {
            at: Instant::now(),
            by_clock: self.clock.now(),
        }
    }

    /// Who this process is now, if it may act.
    pub(super) fn current(&self) -> Option<MemberId> {
        let mut state = self.lock();
        state.lasting(Instant::now(), self.clock.now())?;
        Some(self.id(state.term))
    }

    /// The lease to keep alive.
    pub(super) fn lease(&self) -> Option<(MemberId, LeaseId)> {
        let mut state = self.lock();
        let lease = state.lasting(Instant::now(), self.clock.now())?.lease;
        Some((self.id(state.term), lease))
    }

    /// Who this process would be next, and was last; `None` when it is over.
    pub(super) fn next(&self) -> Option<(MemberId, MemberId)> {
        let mut state = self.lock();
        state.held = None;
        state.term += 1;
        (!state.over).then(|| (self.id(state.term), self.id(state.term - 1)))
    }

    /// Membership `id` began with a lease that was asked for at `sent`; whether it lasts.
    pub(super) fn begin(&self, id: MemberId, lease: LeaseId, sent: Sent) -> bool {
        let mut state = self.lock();
        if state.over || state.term != id.term {
            return false;
        }
        let lasts = self.lasts();
        state.held = Some(Held {
            lease,
            until: sent.at + lasts,
            until_by_clock: sent.by_clock + lasts,
        });
        state.trouble = None;
        let begun = state.lasting(Instant::now(), self.clock.now()).is_some();
        drop(state);
        self.changed.send_replace(());
        begun
    }

    /// etcd has heard what was sent at `sent` for membership `id`.
    pub(super) fn extend(&self, id: MemberId, sent: Sent) {
        let lasts = self.lasts();
        let mut state = self.lock();
        if state.term != id.term {
            return;
        }
        if let Some(held) = state.lasting(Instant::now(), self.clock.now()) {
            held.until = held.until.max(sent.at + lasts);
            held.until_by_clock = sent.by_clock + lasts;
        }
    }

    /// Membership `id` is lost.
    pub(super) fn lost(&self, id: MemberId, why: &str) {
        let mut state = self.lock();
        if state.term == id.term && state.held.take().is_some() {
            state.trouble = Some(why.to_owned());
            drop(state);
            warn!(
                event = "coordination.membership_lost",
                term = id.term,
                cause = why
            );
            self.changed.send_replace(());
        }
    }

    /// Says why there is no membership.
    pub(super) fn missing(&self, why: &str) {
        let mut state = self.lock();
        if !state.over {
            state.trouble = Some(why.to_owned());
        }
    }

    /// There is none and will be none. Returns the lease that was held.
    pub(super) fn end(&self, why: &str) -> Option<LeaseId> {
        let mut state = self.lock();
        let lease = state.held.take().map(|held| held.lease);
        if !state.over {
            state.over = true;
            state.trouble = Some(why.to_owned());
        }
        drop(state);
        self.changed.send_replace(());
        lease
    }

    /// Whether [`Membership::end`] was called.
    pub(super) fn over(&self) -> bool {
        self.lock().over
    }

    /// Why there is no membership; `None` while there is one.
    pub(super) fn trouble(&self) -> Option<String> {
        let mut state = self.lock();
        let lasts = state.lasting(Instant::now(), self.clock.now()).is_some();
        state.trouble.clone().filter(|_| !lasts)
    }

    /// Changes when there is a membership, when it is lost, and when it is over.
    pub(super) fn changes(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    /// How long a term lasts from a sign of life.
    fn lasts(&self) -> Duration {
        self.ttl.saturating_sub(self.ttl / MARGIN)
    }

    fn id(&self, term: u64) -> MemberId {
        MemberId {
            process: self.process,
            term,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

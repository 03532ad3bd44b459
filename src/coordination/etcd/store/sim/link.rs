//! One replica's way to the simulated etcd, and what goes wrong on it.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use tokio::sync::{oneshot, watch};
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_util::task::TaskTracker;

use super::server::Server;
use crate::coordination::etcd::kv::{
    Compare, Done, Event, Kv, KvError, LeaseId, Op, Range, Revision, Watching,
};

/// One way.
const LATENCY: Duration = Duration::from_millis(1);
/// Longest that a call takes.
const PATIENCE: Duration = Duration::from_secs(1);
/// How long etcd keeps what it cannot do for want of a leader.
const KEPT: Duration = Duration::from_secs(7);

/// What goes wrong with one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(in super::super) enum Fault {
    /// It does not arrive.
    LostBefore,
    /// It is done, and the answer does not arrive.
    LostAfter,
    /// It is done after so many milliseconds, whether anybody still waits or not.
    Late(u16),
    /// It is done at once, and the answer takes so many milliseconds.
    Slow(u16),
    /// As [`Fault::Slow`], and nothing passes for so many more after the answer.
    Last(u16, u16),
    /// It is not done.
    Refused,
}

/// The way from one replica to etcd.
pub(in super::super) struct Link {
    server: Arc<Server>,
    tasks: TaskTracker,
    state: Mutex<State>,
    /// Counts how often the watches broke.
    breaks: watch::Sender<u64>,
}

#[derive(Default)]
struct State {
    faults: VecDeque<Fault>,
    /// Of signs of life only.
    signs: VecDeque<Fault>,
    cut: Option<Instant>,
    lag: Duration,
}

impl Link {
    pub(in super::super) fn new(server: &Arc<Server>) -> Self {
        Self {
            server: Arc::clone(server),
            tasks: TaskTracker::new(),
            state: Mutex::default(),
            breaks: watch::Sender::default(),
        }
    }

    /// The next call goes wrong this way.
    pub(in super::super) fn fault(&self, fault: Fault) {
        self.lock().faults.push_back(fault);
    }

    /// The next sign of life goes wrong this way.
    pub(in super::super) fn sign_fault(&self, fault: Fault) {
        self.lock().signs.push_back(fault);
    }

    /// Nothing passes for `time`.
    pub(in super::super) fn cut(&self, time: Duration) {
        self.lock().cut = Some(Instant::now() + time);
    }

    /// What changed is told so much later.
    pub(in super::super) fn lag(&self, time: Duration) {
        self.lock().lag = time;
    }

    /// Every watch ends.
    pub(in super::super) fn break_watches(&self) {
        self.breaks.send_modify(|count| *count += 1);
    }

    /// All is well from now on.
    pub(in super::super) fn heal(&self) {
        *self.lock() = State::default();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_cut(&self) -> bool {
        self.lock().cut.is_some_and(|cut| Instant::now() < cut)
    }

    async fn call<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Server) -> Result<T, KvError> + Send + 'static,
    ) -> Result<T, KvError> {
        let fault = self.lock().faults.pop_front();
        self.call_with(fault, work).await
    }

    async fn call_with<T: Send + 'static>(
        self: &Arc<Self>,
        fault: Option<Fault>,
        work: impl FnOnce(&Server) -> Result<T, KvError> + Send + 'static,
    ) -> Result<T, KvError> {
        let (answer, answered) = oneshot::channel();
        let link = Arc::clone(self);
        // It goes its way when the replica is frozen, and when it is dead.
        self.tasks.spawn(async move {
            sleep(LATENCY).await;
            match fault {
                Some(Fault::LostBefore) => return,
                Some(Fault::Late(time)) => sleep(Duration::from_millis(time.into())).await,
                Some(Fault::Refused) => {
                    answer
                        .send(Err(KvError::Refused("it is refused".into())))
                        .ok();
                    return;
                }
                Some(Fault::LostAfter | Fault::Slow(_) | Fault::Last(..)) | None => {}
            }
            if link.is_cut() {
                return hang(answer).await;
            }
            let came = Instant::now();
            while link.server.is_down() {
                if came.elapsed() > KEPT {
                    return;
                }
                sleep(Duration::from_millis(50)).await;
            }
            let result = work(&link.server);
            if let Some(Fault::Slow(time) | Fault::Last(time, _)) = fault {
                sleep(Duration::from_millis(time.into())).await;
            }
            sleep(LATENCY).await;
            if link.is_cut() {
                return hang(answer).await;
            }
            if fault != Some(Fault::LostAfter) {
                answer.send(result).ok();
            }
            if let Some(Fault::Last(_, time)) = fault {
                link.cut(Duration::from_millis(time.into()));
            }
        });
        let Ok(Ok(result)) = timeout(PATIENCE, answered).await else {
            return Err(KvError::Unclear("there was no answer".into()));
        };
        result
    }
}

/// No answer comes, and nothing says so.
async fn hang<T>(answer: oneshot::Sender<T>) {
    sleep(PATIENCE).await;
    drop(answer);
}

/// etcd as one replica reaches it.
pub(in super::super) struct SimKv(pub(in super::super) Arc<Link>);

#[async_trait]
impl Kv for SimKv {
    async fn txn(
        &self,
        when: Vec<Compare>,
        then: Vec<Op>,
        otherwise: Vec<Op>,
    ) -> Result<Done, KvError> {
        self.0
            .call(move |server| server.txn(&when, &then, &otherwise))
            .await
    }

    async fn range(&self, prefix: &str) -> Result<Range, KvError> {
        let prefix = prefix.to_owned();
        self.0.call(move |server| Ok(server.range(&prefix))).await
    }

    async fn grant(&self, ttl: Duration) -> Result<LeaseId, KvError> {
        self.0.call(move |server| Ok(server.grant(ttl))).await
    }

    async fn keep_alive(&self, lease: LeaseId) -> Result<bool, KvError> {
        let fault = self.0.lock().signs.pop_front();
        let work = move |server: &Server| Ok(server.keep_alive(lease));
        match fault {
            Some(fault) => self.0.call_with(Some(fault), work).await,
            None => self.0.call(work).await,
        }
    }

    async fn revoke(&self, lease: LeaseId) -> Result<(), KvError> {
        self.0
            .call(move |server| server.revoke(lease).then_some(()).ok_or(KvError::NoLease))
            .await
    }

    async fn watch(&self, prefix: &str, revision: Revision) -> Result<Box<dyn Watching>, KvError> {
        let seen = self
            .0
            .call(move |server| Ok(server.before(revision)))
            .await?;
        Ok(Box::new(SimWatch {
            changes: self.0.server.changes(),
            breaks: self.0.breaks.subscribe(),
            link: Arc::clone(&self.0),
            prefix: prefix.to_owned(),
            seen,
        }))
    }
}

struct SimWatch {
    link: Arc<Link>,
    changes: watch::Receiver<()>,
    breaks: watch::Receiver<u64>,
    prefix: String,
    seen: usize,
}

#[async_trait]
impl Watching for SimWatch {
    async fn next(&mut self) -> Result<Vec<Event>, KvError> {
        loop {
            if !matches!(self.breaks.has_changed(), Ok(false)) {
                return Err(KvError::Refused("the watch broke".into()));
            }
            self.changes.mark_unchanged();
            let (cut, lag) = {
                let state = self.link.lock();
                (
                    state.cut.filter(|cut| Instant::now() < *cut),
                    state.lag + LATENCY,
                )
            };
            let events = self.link.server.since(self.seen);
            let told = |at: Instant| cut.map_or(at + lag, |cut| cut.max(at + lag));
            let due = events
                .iter()
                .take_while(|(at, _)| told(*at) <= Instant::now());
            let due = due.count();
            if due > 0 {
                self.seen += due;
                let events = events.into_iter().take(due).map(|(_, event)| event);
                let ours = |event: &Event| match event {
                    Event::Put(entry) => entry.key.starts_with(&self.prefix),
                    Event::Gone { key, .. } => key.starts_with(&self.prefix),
                };
                let events: Vec<_> = events.filter(ours).collect();
                if !events.is_empty() {
                    return Ok(events);
                }
                continue;
            }
            let next = events.first().map(|(at, _)| told(*at));
            tokio::select! {
                biased;
                _ = self.breaks.changed() => self.breaks.mark_changed(),
                () = async {
                    match next {
                        Some(next) => sleep_until(next).await,
                        None => std::future::pending().await,
                    }
                } => {}
                _ = self.changes.changed() => {}
            }
        }
    }
}

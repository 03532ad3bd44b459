//! A process that takes part: its store, its tasks, and ways to stop them.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::link::{Link, SimKv};
use super::server::Server;
use super::{SimClock, SimRandom};
use crate::coordination::etcd::store::{EtcdStore, Keys, Settings};
use crate::coordination::key::StateKey;

/// One process.
pub(in super::super) struct Replica {
    pub(in super::super) store: Arc<EtcdStore>,
    pub(in super::super) link: Arc<Link>,
    pub(in super::super) clock: Arc<SimClock>,
    /// Which one it is: another after a restart.
    pub(in super::super) process: usize,
    gate: Arc<Gate>,
    tasks: JoinSet<()>,
}

/// Lets tasks go on, or not.
#[derive(Default)]
struct Gate(Mutex<(bool, Vec<Waker>)>);

impl Gate {
    async fn pass<F: Future>(&self, future: F) -> F::Output {
        let mut future = pin!(future);
        poll_fn(|context| {
            let mut gate = self.0.lock().unwrap();
            if gate.0 {
                gate.1.push(context.waker().clone());
                return Poll::Pending;
            }
            drop(gate);
            future.as_mut().poll(context)
        })
        .await
    }
}

fn keys() -> Keys {
    Keys::new(&[StateKey::of([7; 32])])
}

impl Replica {
    /// Starts a process. `seed` is another for each.
    pub(in super::super) fn start(
        server: &Arc<Server>,
        epoch: Instant,
        seed: u64,
        settings: &Settings,
    ) -> Self {
        Self::start_with(server, epoch, seed, settings, keys())
    }

    pub(in super::super) fn start_with(
        server: &Arc<Server>,
        epoch: Instant,
        seed: u64,
        settings: &Settings,
        keys: Keys,
    ) -> Self {
        let link = Arc::new(Link::new(server));
        let clock = Arc::new(SimClock::new(epoch));
        let kv = Arc::new(SimKv(Arc::clone(&link)));
        let random = Arc::new(SimRandom::new(seed));
        let store = EtcdStore::new(kv, settings, keys, clock.clone(), random).unwrap();
        let mut replica = Self {
            store: Arc::new(store),
            link,
            clock,
            process: usize::try_from(seed).unwrap(),
            gate: Arc::default(),
            tasks: JoinSet::new(),
        };
        let store = Arc::clone(&replica.store);
        replica.spawn(async move { store.run(CancellationToken::new()).await });
        replica
    }

    /// Has the process do something.
    pub(in super::super) fn spawn(&mut self, work: impl Future<Output = ()> + Send + 'static) {
        let gate = Arc::clone(&self.gate);
        self.tasks.spawn(async move { gate.pass(work).await });
    }

    /// SIGSTOP.
    pub(in super::super) fn freeze(&self) {
        self.gate.0.lock().unwrap().0 = true;
    }

    /// SIGCONT.
    pub(in super::super) fn thaw(&self) {
        let mut gate = self.gate.0.lock().unwrap();
        gate.0 = false;
        for waker in gate.1.drain(..) {
            waker.wake();
        }
    }

    /// What it was doing has come to its end.
    pub(in super::super) fn reap(&mut self) {
        while let Some(ended) = self.tasks.try_join_next() {
            ended.unwrap();
        }
    }

    /// How many tasks go on.
    pub(super) fn tasks(&mut self) -> usize {
        self.reap();
        self.tasks.len()
    }

    /// Waits until it is a member.
    pub(in super::super) async fn joined(&self) {
        let ready = tokio::time::timeout(Duration::from_mins(1), self.store.ready());
        ready.await.unwrap().unwrap();
    }
}

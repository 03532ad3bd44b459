//! All nodes: one is spoken to, until it fails; then the next one.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

use crate::coordination::etcd::failure::Failure;
use crate::coordination::etcd::kv::KvError;
use crate::coordination::etcd::node::{Connection, Node};
use crate::coordination::etcd::settings::Reach;
use crate::coordination::etcd::times;
use crate::telemetry::metrics::state_call;

/// Whether a call may be made again when nobody knows whether it was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Again {
    /// Doing it twice is as good as once.
    Yes,
    /// Only where it was certainly not done.
    No,
}

/// How long a call may take.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    /// One try.
    pub(super) each: Duration,
    /// All of them.
    pub(super) all: Duration,
}

impl Patience {
    pub(super) const CALL: Self = Self {
        each: times::TRY,
        all: times::CALL,
    };
    /// One try.
    pub(super) const ONCE: Self = Self {
        each: times::TRY,
        all: times::TRY,
    };
    pub(super) const KEEP: Self = Self {
        each: times::KEEP_TRY,
        all: times::KEEP,
    };
}

/// The nodes, and which of them is spoken to.
pub(super) struct Nodes {
    reach: Arc<Reach>,
    all: Vec<Node>,
    current: AtomicUsize,
}

impl Nodes {
    pub(super) fn new(reach: Arc<Reach>) -> Self {
        let all: Vec<_> = reach.endpoints.iter().cloned().map(Node::new).collect();
        Self {
            // Replicas spread themselves over the nodes.
            current: AtomicUsize::new(rand::random_range(0..all.len().max(1))),
            all,
            reach,
        }
    }

    /// Has `work` done, at another node where one fails.
    pub(super) async fn call<T, F>(
        &self,
        again: Again,
        patience: Patience,
        work: impl Fn(Arc<Connection>) -> F,
    ) -> Result<T, KvError>
    where
        F: Future<Output = Result<T, etcd_client::Error>>,
    {
        let started = Instant::now();
        let done = self.call_since(started, again, patience, work).await;
        let answered = matches!(done, Ok(_) | Err(KvError::NoLease));
        state_call(answered, started.elapsed());
        done
    }

    async fn call_since<T, F>(
        &self,
        started: Instant,
        again: Again,
        patience: Patience,
        work: impl Fn(Arc<Connection>) -> F,
    ) -> Result<T, KvError>
    where
        F: Future<Output = Result<T, etcd_client::Error>>,
    {
        let mut tries = 0;
        loop {
            let left = patience.all.saturating_sub(started.elapsed());
            let failure = match self.once(patience.each.min(left), &work).await {
                Ok(done) => return Ok(done),
                Err(failure) => failure,
            };
            let may_go_on = match &failure {
                Failure::No(_) | Failure::NoLease => false,
                Failure::NotDone(_) => true,
                Failure::Unclear(_) => again == Again::Yes,
            };
            let pause = self.pause(tries);
            if !may_go_on || started.elapsed() + pause >= patience.all {
                return Err(failure.into());
            }
            sleep(pause).await;
            tries += 1;
        }
    }

    /// Has `work` done once at each node: what each said, by its endpoint.
    pub(super) async fn each<T, F>(
        &self,
        work: impl Fn(Arc<Connection>) -> F,
    ) -> Vec<(String, Result<T, String>)>
    where
        F: Future<Output = Result<T, etcd_client::Error>>,
    {
        let asked = self.all.iter().map(async |node| {
            let endpoint = node.endpoint();
            let said = self.ask(node, times::TRY, &work).await;
            let said = said.map_err(|(failure, _)| KvError::from(failure).to_string());
            (endpoint.to_owned(), said)
        });
        futures_util::future::join_all(asked).await
    }

    /// One try, at the node that is spoken to. Where that fails, it is another from here on.
    async fn once<T, F>(
        &self,
        limit: Duration,
        work: &impl Fn(Arc<Connection>) -> F,
    ) -> Result<T, Failure>
    where
        F: Future<Output = Result<T, etcd_client::Error>>,
    {
        let current = self.current.load(Ordering::Relaxed);
        let Some(node) = self.all.get(current % self.all.len().max(1)) else {
            return Err(Failure::No("there are no endpoints".to_owned()));
        };
        let (failure, connection) = match self.ask(node, limit, work).await {
            Ok(done) => return Ok(done),
            Err(failed) => failed,
        };
        match failure {
            Failure::No(_) | Failure::NoLease => {}
            Failure::NotDone(_) | Failure::Unclear(_) => {
                self.turn_from(current);
                if let Some(connection) = connection {
                    node.leave(&connection).await;
                }
            }
        }
        Err(failure)
    }

    /// One try at `node`; where it fails, with the connection that was used, if one was.
    async fn ask<T, F>(
        &self,
        node: &Node,
        limit: Duration,
        work: &impl Fn(Arc<Connection>) -> F,
    ) -> Result<T, (Failure, Option<Arc<Connection>>)>
    where
        F: Future<Output = Result<T, etcd_client::Error>>,
    {
        let named = |what: String| {
            // A node that does not take the certificate says so just before it hangs up, or too late.
            let hung_up = [
                "connection closed",
                "fatal alert",
                "broken pipe",
                "reset by peer",
            ];
            let refused = hung_up
                .iter()
                .any(|sign| what.to_lowercase().contains(sign));
            let hint = if self.reach.tls.is_some() && refused {
                " (where that goes on, it does not take our certificate: [state.etcd] cert_file)"
            } else {
                ""
            };
            format!("etcd at {}: {what}{hint}", node.endpoint())
        };
        let connection = match timeout(limit, node.connection(&self.reach)).await {
            Ok(Ok(connection)) => connection,
            Ok(Err(failure)) => return Err((failure.map(named), None)),
            Err(_) => {
                let failure = Failure::NotDone(named("no connection in time".to_owned()));
                return Err((failure, None));
            }
        };
        let failure = match timeout(limit, work(Arc::clone(&connection))).await {
            Ok(Ok(done)) => return Ok(done),
            Ok(Err(error)) => Failure::of(&error),
            Err(_) => Failure::Unclear("no answer in time".to_owned()),
        };
        Err((failure.map(named), Some(connection)))
    }

    /// A connection has failed by another's account.
    pub(super) async fn leave(&self, lost: &Arc<Connection>) {
        for (number, node) in self.all.iter().enumerate() {
            if node.leave(lost).await {
                self.turn_from(number);
            }
        }
    }

    /// Looks at the files that TLS needs.
    pub(super) async fn check(&self) -> Result<(), String> {
        self.reach.check().await
    }

    /// To the next node, unless somebody has turned already.
    fn turn_from(&self, current: usize) {
        let next = (current + 1) % self.all.len().max(1);
        let turned =
            self.current
                .compare_exchange(current, next, Ordering::Relaxed, Ordering::Relaxed);
        if turned.is_ok()
            && let Some(node) = self.all.get(next)
        {
            tracing::debug!(event = "etcd.turned", endpoint = node.endpoint());
        }
    }

    /// Before the next try: none while there are nodes that were not asked.
    fn pause(&self, tries: usize) -> Duration {
        let rounds = (tries + 1) / self.all.len().max(1);
        let Some(doublings) = rounds.checked_sub(1) else {
            return Duration::ZERO;
        };
        let doubled = times::FIRST_PAUSE.saturating_mul(1 << doublings.min(10));
        let pause = doubled.min(times::LONGEST_PAUSE);
        pause.mul_f64(0.5 + rand::random::<f64>() / 2.0)
    }
}

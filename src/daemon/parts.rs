//! What runs at the same time, in the order in which it stops: the fronts first, so that what is in
//! flight can still read; then what looks after leases; and what all of it stands on last.

use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::cli::exit::{Exit, Failure};

/// How long requests in flight may take after the first stop signal.
const DRAIN: Duration = Duration::from_secs(30);

/// All parts.
pub(super) struct Parts {
    pub(super) fronts: Stage,
    pub(super) leases: Stage,
    pub(super) back: Stage,
    running: FuturesUnordered<JoinHandle<Result<(), Failure>>>,
}

/// Those that stop together.
#[derive(Default)]
pub(super) struct Stage {
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl Stage {
    /// Tells a part to stop.
    pub(super) fn stop(&self) -> CancellationToken {
        self.stop.clone()
    }

    /// Runs `part`.
    pub(super) fn spawn(
        &self,
        part: impl Future<Output = Result<(), Failure>> + Send + 'static,
    ) -> JoinHandle<Result<(), Failure>> {
        self.tasks.spawn(part)
    }

    /// Runs `part`, which only ends when it is told to.
    pub(super) fn keep(
        &self,
        part: impl Future<Output = ()> + Send + 'static,
    ) -> JoinHandle<Result<(), Failure>> {
        self.spawn(async move {
            part.await;
            Ok(())
        })
    }

    async fn end(&self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

impl Parts {
    pub(super) fn new() -> Self {
        Self {
            fronts: Stage::default(),
            leases: Stage::default(),
            back: Stage::default(),
            running: FuturesUnordered::new(),
        }
    }

    /// Has [`Parts::ended`] tell of `part`.
    pub(super) fn add(&self, part: JoinHandle<Result<(), Failure>>) {
        self.running.push(part);
    }

    /// Returns when a part ends by itself. May be cancelled at any time.
    pub(super) async fn ended(&mut self) -> Result<(), Failure> {
        match self.running.next().await {
            Some(part) => part.map_err(unavailable).flatten().and_then(|()| {
                let what = "a part of vaultgram ended by itself; see the log";
                Err(unavailable(what))
            }),
            None => Ok(()),
        }
    }

    /// Stops all of them, one stage after the other.
    pub(super) async fn drain(&self) {
        if timeout(DRAIN, self.fronts.end()).await.is_err() {
            tracing::warn!(event = "daemon.drain_timeout", seconds = DRAIN.as_secs());
        }
        self.leases.end().await;
        self.back.end().await;
    }
}

pub(super) fn unavailable(error: impl std::fmt::Display) -> Failure {
    Failure::new(Exit::Unavailable, error)
}

//! A connection's place: what it is at, as far as that concerns the others.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::http::ask::Unsent;
use crate::http::limits::{Refused, Shares, Who};
use crate::telemetry::metrics;
use crate::telemetry::stage::Stage;

/// How long a request waits while its user has as many in progress as may be.
const TURN: Duration = Duration::from_secs(2);

/// A connection's place, free again when this is dropped.
pub(in crate::http) struct Place {
    shares: Arc<Shares>,
    who: Who,
    closing: CancellationToken,
    doing: Mutex<Doing>,
    /// What is given back should it never be sent.
    unsent: Mutex<Vec<Unsent>>,
    /// Whether what its client still sends is to be read before it is closed.
    lingers: AtomicBool,
}

/// What a connection is at.
enum Doing {
    /// It waits for a request, and may be closed. Its number among those that do.
    Waiting(u64),
    /// It works on one.
    Answering,
    /// The answer is there since then, and not all sent.
    Sending(Instant),
}

impl Place {
    pub(super) fn new(
        shares: Arc<Shares>,
        who: Who,
        closing: CancellationToken,
        since: u64,
    ) -> Self {
        Self {
            shares,
            who,
            closing,
            doing: Mutex::new(Doing::Waiting(since)),
            unsent: Mutex::default(),
            lingers: AtomicBool::new(false),
        }
    }

    /// Ends when the connection is to be closed for another's sake; it is idle then.
    pub(in crate::http) async fn closed(&self) {
        self.closing.cancelled().await;
    }

    #[cfg(test)]
    pub(super) fn is_closed(&self) -> bool {
        self.closing.is_cancelled()
    }

    /// A request has come: may it be worked on? If so, for as long as the permit is held.
    pub(in crate::http) async fn begin(
        &self,
        now: Instant,
    ) -> Result<OwnedSemaphorePermit, Refused> {
        let in_flight = self.counted(now)?;
        let permit = tokio::time::timeout(TURN, in_flight.acquire_owned()).await;
        permit
            .map_err(|_| Refused::InFlight)?
            .map_err(|_| Refused::InFlight)
    }

    fn counted(&self, now: Instant) -> Result<Arc<Semaphore>, Refused> {
        let mut doing = self.doing();
        let mut taken = self.shares.lock();
        if let Doing::Waiting(since) = *doing
            && !taken.not_idle(self.who, since)
        {
            // It was given to another in this very moment.
            return Err(Refused::Connections);
        }
        *doing = Doing::Answering;
        taken.count(self.who, now)?;
        Ok(Arc::clone(&taken.user(self.who, now).in_flight))
    }

    /// The answer is there, and holds `unsent`. `with_body`: the request had one, which may still be
    /// coming.
    pub(in crate::http) fn answered(&self, with_body: bool, unsent: Option<Unsent>) {
        *self.doing() = Doing::Sending(Instant::now());
        self.unsent().extend(unsent);
        self.lingers.store(with_body, Ordering::Relaxed);
    }

    /// All there was to send is sent.
    pub(in crate::http) fn sent(&self) {
        self.unsent().drain(..).for_each(Unsent::sent);
        let mut doing = self.doing();
        let Doing::Sending(since) = *doing else {
            return;
        };
        metrics::stage(Stage::Reply, since.elapsed());
        if !self.closing.is_cancelled() {
            *doing = Doing::Waiting(self.shares.lock().idle(self.who, &self.closing));
        }
    }

    /// Whether what its client still sends is to be read before it is closed.
    pub(in crate::http) fn lingers(&self) -> bool {
        self.lingers.load(Ordering::Relaxed)
    }

    fn unsent(&self) -> MutexGuard<'_, Vec<Unsent>> {
        self.unsent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn doing(&self) -> MutexGuard<'_, Doing> {
        self.doing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.shares.lock();
        // Else it is free already.
        if !self.closing.is_cancelled() {
            taken.left(self.who);
            if let Doing::Waiting(since) = *self.doing() {
                taken.not_idle(self.who, since);
            }
        }
    }
}

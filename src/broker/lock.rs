//! The lock on chat: while it is closed, nothing is handed over or changed by way of a chat. It
//! outlives the process, and only somebody on the host opens it.
//!
//! An answer looks at it three times, the last time just before it is sent. Where that is a call to a
//! store that others share, one look counts for a moment, and whoever closes the lock waits until
//! no such look counts any more: once it is closed, it is so for every replica.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::broker::ports::{AuditError, CoordinationError};
use crate::broker::{Broker, BrokerError};
use crate::domain::caller::UnixPeer;
use crate::domain::{AuditEntry, AuditEvent, Caller, RequestId, Subject};

/// There while the lock is closed.
const KEY: &str = "locks/chat";
/// How long it counts that it was open, where others share the state.
const SEEN_FOR: Duration = Duration::from_millis(250);

/// When this process found it open, and began to look anew.
#[derive(Default)]
pub(super) struct SeenOpen(Mutex<Seen>);

#[derive(Default)]
struct Seen {
    /// When the last look began of those that found it open.
    open: Option<Instant>,
    /// When somebody last went to look while an earlier look still counted.
    renewing: Option<Instant>,
}

impl SeenOpen {
    /// Whether it counts as open for who comes `now`. In the second half of its time one of them looks
    /// anew, so that not all do when it is over.
    fn counts(&self, now: Instant) -> bool {
        let mut seen = self.lock();
        let Some(at) = seen.open.filter(|at| now < *at + SEEN_FOR) else {
            return false;
        };
        if now < at + SEEN_FOR / 2 || seen.renewing.is_some_and(|renewing| renewing > at) {
            return true;
        }
        seen.renewing = Some(now);
        false
    }

    /// What came of a look that began at `at`.
    fn note(&self, at: Instant, locked: bool) {
        let mut seen = self.lock();
        seen.open = seen.open.max(Some(at)).filter(|_| !locked);
    }

    fn lock(&self) -> MutexGuard<'_, Seen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Broker {
    /// Closes the lock, for all replicas once this returns. It is recorded after that, so that no audit
    /// that fails keeps chat open.
    ///
    /// # Errors
    /// When the state store cannot keep it.
    pub async fn lock_chat(&self) -> Result<(), CoordinationError> {
        self.ports.coordination.put(KEY, b"").await?;
        if self.ports.coordination.shared() {
            sleep(SEEN_FOR).await;
        }
        let id = RequestId::Connection(self.number());
        let peer = itself();
        let recorded = self.record_lock(&id, &peer, AuditEvent::ChatLocked);
        if let Err(error) = recorded.await {
            tracing::error!(event = "broker.lock_unrecorded", %error);
        }
        Ok(())
    }

    /// Opens the lock, asked by `peer`; whether it was closed. Who may is for the front end to
    /// make sure. It is recorded before it happens.
    ///
    /// # Errors
    /// When the audit cannot record it, or the state store cannot tell, or not forget it.
    pub async fn unlock_chat(&self, id: &RequestId, peer: &UnixPeer) -> Result<bool, BrokerError> {
        if !self.look_at_lock().await? {
            return Ok(false);
        }
        self.record_lock(id, peer, AuditEvent::ChatUnlocked).await?;
        self.ports.coordination.delete(KEY).await?;
        Ok(true)
    }

    /// Whether it is closed.
    ///
    /// # Errors
    /// When the state store cannot tell; take it for closed.
    pub async fn chat_locked(&self) -> Result<bool, CoordinationError> {
        let now = Instant::now();
        if self.ports.coordination.shared() && self.seen_open.counts(now) {
            return Ok(false);
        }
        let locked = self.look_at_lock().await?;
        self.seen_open.note(now, locked);
        Ok(locked)
    }

    async fn look_at_lock(&self) -> Result<bool, CoordinationError> {
        Ok(!self.ports.coordination.list(KEY).await?.is_empty())
    }

    async fn record_lock(
        &self,
        id: &RequestId,
        peer: &UnixPeer,
        event: AuditEvent,
    ) -> Result<(), AuditError> {
        let entry = AuditEntry {
            at: self.now(),
            id: id.clone(),
            caller: Caller::Unix(peer.clone()),
            subject: Subject::Chat,
            event,
        };
        self.ports.audit.record(entry).await
    }
}

/// This process, which closes the lock, and looks after leases, of its own accord.
pub(super) fn itself() -> UnixPeer {
    UnixPeer::known(
        rustix::process::geteuid().as_raw(),
        rustix::process::getegid().as_raw(),
        rustix::process::getpid().as_raw_nonzero().get(),
    )
}

//! The lock on chat: while it is closed, nothing is handed over or changed by way of a chat. It
//! outlives the process, and only somebody on the host opens it.
//!
//! An answer looks at it three times, the last time just before it is sent. Where that is a call to a
//! store that others share, one look counts for a moment, and whoever closes the lock waits until
//! no such look counts any more: once it is closed, it is so for every replica.

use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::{Instant, sleep};

use crate::broker::ports::{AuditError, CoordinationError};
use crate::broker::{Broker, BrokerError};
use crate::domain::caller::UnixPeer;
use crate::domain::{AuditEntry, AuditEvent, Caller, RequestId, Subject};

/// There while the lock is closed.
const KEY: &str = "locks/chat";
/// How long it counts that it was open, where others share the state.
const SEEN_FOR: Duration = Duration::from_millis(250);

/// The last look at it of this process; held while it looks, so that many at once look once.
#[derive(Default)]
pub(super) struct LastLook(Mutex<Option<Look>>);

struct Look {
    began: Instant,
    locked: Result<bool, CoordinationError>,
}

impl Look {
    /// Whether it is as good as one's own, for who came at `came`.
    fn counts(&self, came: Instant) -> bool {
        let seen_open = self.locked == Ok(false) && self.began.elapsed() < SEEN_FOR;
        seen_open || self.began >= came
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
        if !self.ports.coordination.shared() {
            return self.look_at_lock().await;
        }
        let came = Instant::now();
        let mut last = self.last_look.0.lock().await;
        if let Some(look) = &*last
            && look.counts(came)
        {
            return look.locked.clone();
        }
        let began = Instant::now();
        let locked = self.look_at_lock().await;
        let look = last.insert(Look { began, locked });
        look.locked.clone()
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

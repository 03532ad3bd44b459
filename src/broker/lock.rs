//! The lock on chat: while it is closed, nothing is handed over or changed by way of a chat. It
//! outlives the process, and only somebody on the host opens it.

use crate::broker::ports::{AuditError, CoordinationError};
use crate::broker::{Broker, BrokerError};
use crate::domain::caller::UnixPeer;
use crate::domain::{AuditEntry, AuditEvent, Caller, RequestId, Subject};

/// There while the lock is closed.
const KEY: &str = "locks/chat";

impl Broker {
    /// Closes the lock. It is recorded after that, so that no audit that fails keeps chat open.
    ///
    /// # Errors
    /// When the state store cannot keep it.
    pub async fn lock_chat(&self) -> Result<(), CoordinationError> {
        self.ports.coordination.put(KEY, b"").await?;
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
        if !self.chat_locked().await? {
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

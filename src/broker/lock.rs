//! The lock on chat: while it is closed, no front end that is a chat hands anything over. It
//! outlives the process, and only somebody on the host opens it.

use crate::broker::Broker;
use crate::broker::ports::CoordinationError;

/// There while the lock is closed.
const KEY: &str = "locks/chat";

impl Broker {
    /// Closes the lock.
    ///
    /// # Errors
    /// When the state store cannot keep it.
    pub async fn lock_chat(&self) -> Result<(), CoordinationError> {
        self.ports.coordination.put(KEY, b"").await
    }

    /// Opens the lock; whether it was closed. Who may is for the front end to make sure.
    ///
    /// # Errors
    /// When the state store cannot tell, or not forget it.
    pub async fn unlock_chat(&self) -> Result<bool, CoordinationError> {
        let was = self.chat_locked().await?;
        self.ports.coordination.delete(KEY).await?;
        Ok(was)
    }

    /// Whether it is closed.
    ///
    /// # Errors
    /// When the state store cannot tell; take it for closed.
    pub async fn chat_locked(&self) -> Result<bool, CoordinationError> {
        Ok(!self.ports.coordination.list(KEY).await?.is_empty())
    }
}

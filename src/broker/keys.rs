//! People's public keys, which sealed answers are encrypted to.
//!
//! They are kept in the coordination store, an entry each. A key is public; that it belongs to
//! the account rests on who sent it, so every change is on record.

use crate::broker::ports::CoordinationError;
use crate::broker::{Broker, BrokerError};
use crate::domain::caller::TelegramUser;
use crate::domain::{AuditEntry, AuditEvent, Caller, RequestId, Subject};

/// Most keys of one account: a few machines.
const MAX_KEYS: usize = 5;

/// A public key of somebody.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegisteredKey {
    /// `age1…`
    pub key: String,
    /// When it was registered, in unix seconds.
    pub since: i64,
}

impl Broker {
    /// The keys of `user`, the oldest first.
    ///
    /// # Errors
    /// When the coordination store cannot tell.
    pub async fn keys(&self, user: &TelegramUser) -> Result<Vec<RegisteredKey>, BrokerError> {
        let prefix = entry(user, "");
        let found = self.ports.coordination.list(&prefix).await?;
        let mut keys = vec![];
        for (name, value) in found {
            let key = name.strip_prefix(&prefix).unwrap_or_default().to_owned();
            let since = <[u8; 8]>::try_from(value.as_slice()).map(i64::from_be_bytes);
            let since = since.map_err(|_| CoordinationError(format!("{name} is damaged")))?;
            keys.push(RegisteredKey { key, since });
        }
        keys.sort_by_key(|key| key.since);
        Ok(keys)
    }

    /// Checks a public key, without registering it; returns it in its one notation.
    ///
    /// # Errors
    /// When it is none.
    pub fn check_key(&self, key: &str) -> Result<String, BrokerError> {
        Ok(self.ports.sealer.check(key)?)
    }

    /// Registers `key` for `user`; one that is registered stays as it is.
    ///
    /// # Errors
    /// When it is no public key, there are too many, chat is locked, or it cannot be stored or
    /// recorded.
    pub async fn register_key(
        &self,
        id: &RequestId,
        user: &TelegramUser,
        key: &str,
    ) -> Result<(), BrokerError> {
        let key = self.check_key(key)?;
        self.not_locked().await?;
        let _one_at_a_time = self.keys_change.lock().await;
        let _nor_elsewhere = self.turn("keys").await?;
        let keys = self.keys(user).await?;
        if keys.iter().any(|known| known.key == key) {
            return Ok(());
        }
        if keys.len() >= MAX_KEYS {
            return Err(BrokerError::TooManyKeys(MAX_KEYS));
        }
        self.record_key(id, user, &key, AuditEvent::KeyRegistered)
            .await?;
        let since = self.now().unix_timestamp().to_be_bytes();
        let coordination = &self.ports.coordination;
        Ok(coordination.put(&entry(user, &key), &since).await?)
    }

    /// Forgets `key` of `user`.
    ///
    /// # Errors
    /// When it is no public key or none of theirs, chat is locked, or that cannot be stored or
    /// recorded.
    pub async fn forget_key(
        &self,
        id: &RequestId,
        user: &TelegramUser,
        key: &str,
    ) -> Result<(), BrokerError> {
        let key = self.check_key(key)?;
        self.not_locked().await?;
        let _one_at_a_time = self.keys_change.lock().await;
        let _nor_elsewhere = self.turn("keys").await?;
        let keys = self.keys(user).await?;
        if !keys.iter().any(|known| known.key == key) {
            return Err(BrokerError::UnknownKey);
        }
        self.record_key(id, user, &key, AuditEvent::KeyForgotten)
            .await?;
        Ok(self.ports.coordination.delete(&entry(user, &key)).await?)
    }

    pub(super) async fn not_locked(&self) -> Result<(), BrokerError> {
        if self.chat_locked().await? {
            return Err(BrokerError::ChatLocked);
        }
        Ok(())
    }

    /// The keys to encrypt an answer to `caller` to; a job's are `configured`.
    pub(super) async fn keys_to_seal_to(
        &self,
        caller: &Caller,
        configured: &[String],
    ) -> Result<Vec<String>, BrokerError> {
        let keys = match caller {
            Caller::Telegram(user) => {
                let keys = self.keys(user).await?.into_iter();
                keys.map(|key| key.key).collect()
            }
            Caller::Unix(_) => vec![],
            Caller::Job(_) => configured.to_vec(),
        };
        if keys.is_empty() {
            return Err(BrokerError::NoKey);
        }
        Ok(keys)
    }

    async fn record_key(
        &self,
        id: &RequestId,
        user: &TelegramUser,
        key: &str,
        event: AuditEvent,
    ) -> Result<(), BrokerError> {
        let entry = AuditEntry {
            at: self.now(),
            id: id.clone(),
            caller: Caller::Telegram(user.clone()),
            subject: Subject::Key(key.to_owned()),
            event,
        };
        Ok(self.ports.audit.record(entry).await?)
    }
}

fn entry(user: &TelegramUser, key: &str) -> String {
    format!("keys/{}/{key}", user.id)
}

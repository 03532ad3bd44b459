//! People's public keys, which sealed answers are encrypted to.
//!
//! They are kept in the coordination store, one entry for each account. A key is public; that it
//! belongs to the account rests on who sent it, so every change is on record.

use serde::{Deserialize, Serialize};

use crate::broker::ports::CoordinationError;
use crate::broker::{Broker, BrokerError};
use crate::domain::caller::TelegramUser;
use crate::domain::{AuditEntry, AuditEvent, Caller, RequestId, Subject};

/// Most keys of one account: a few machines.
const MAX_KEYS: usize = 5;

/// A public key of somebody.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
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
        let name = entry(user);
        let found = self.ports.coordination.list(&name).await?;
        // `keys/12` is a prefix of `keys/123` too.
        let Some((_, value)) = found.into_iter().find(|(key, _)| *key == name) else {
            return Ok(vec![]);
        };
        let keys = serde_json::from_slice(&value);
        Ok(keys.map_err(|error| CoordinationError(format!("{name}: {error}")))?)
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
    /// When it is no public key, there are too many, or it cannot be stored or recorded.
    pub async fn register_key(
        &self,
        id: &RequestId,
        user: &TelegramUser,
        key: &str,
    ) -> Result<(), BrokerError> {
        let key = self.check_key(key)?;
        let mut keys = self.keys(user).await?;
        if keys.iter().any(|known| known.key == key) {
            return Ok(());
        }
        if keys.len() >= MAX_KEYS {
            return Err(BrokerError::TooManyKeys(MAX_KEYS));
        }
        self.record_key(id, user, &key, true).await?;
        let since = self.now().unix_timestamp();
        keys.push(RegisteredKey { key, since });
        self.store_keys(user, &keys).await
    }

    /// Forgets `key` of `user`.
    ///
    /// # Errors
    /// When they have no such key, or that cannot be stored or recorded.
    pub async fn forget_key(
        &self,
        id: &RequestId,
        user: &TelegramUser,
        key: &str,
    ) -> Result<(), BrokerError> {
        let mut keys = self.keys(user).await?;
        let before = keys.len();
        keys.retain(|known| known.key != key);
        if keys.len() == before {
            return Err(BrokerError::UnknownKey);
        }
        self.record_key(id, user, key, false).await?;
        self.store_keys(user, &keys).await
    }

    /// The keys to encrypt an answer to `caller` to.
    pub(super) async fn keys_to_seal_to(
        &self,
        caller: &Caller,
    ) -> Result<Vec<String>, BrokerError> {
        let keys = match caller {
            Caller::Telegram(user) => self.keys(user).await?,
            Caller::Unix(_) => vec![],
        };
        if keys.is_empty() {
            return Err(BrokerError::NoKey);
        }
        Ok(keys.into_iter().map(|key| key.key).collect())
    }

    async fn store_keys(
        &self,
        user: &TelegramUser,
        keys: &[RegisteredKey],
    ) -> Result<(), BrokerError> {
        let value =
            serde_json::to_vec(keys).map_err(|error| CoordinationError(error.to_string()))?;
        self.ports.coordination.put(&entry(user), &value).await?;
        Ok(())
    }

    async fn record_key(
        &self,
        id: &RequestId,
        user: &TelegramUser,
        key: &str,
        registered: bool,
    ) -> Result<(), BrokerError> {
        let event = if registered {
            AuditEvent::KeyRegistered
        } else {
            AuditEvent::KeyForgotten
        };
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

fn entry(user: &TelegramUser) -> String {
    format!("keys/{}", user.id)
}

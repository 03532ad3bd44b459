//! The key that replicas seal their state with, so that etcd's keepers cannot read or forge it.
//!
//! It is one line of text, for a secret source: `state-secret:HEX`.

use std::fmt;

use ring::rand::{SecureRandom, SystemRandom};
use sha2::{Digest, Sha256};
use thiserror::Error;
use zeroize::Zeroizing;

/// Before the key, in hexadecimal.
const SECRET: &str = "state-secret:";
/// Bytes of it.
const LENGTH: usize = 32;

/// Why there is no key. It says nothing of what was there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum KeyError {
    /// Not a key.
    #[error(
        "is no key for the state; it is one line, state-secret: and 64 hexadecimal digits, as \
         `vaultgram state keygen` makes it"
    )]
    Form,
    /// The system has no randomness to give.
    #[error("the system gives no random numbers")]
    Random,
}

/// The key.
#[derive(Clone)]
pub struct StateKey(Zeroizing<[u8; LENGTH]>);

impl StateKey {
    /// A new key, as the line to keep.
    ///
    /// # Errors
    /// When the system has no randomness.
    pub fn generate() -> Result<Zeroizing<String>, KeyError> {
        let mut key = Zeroizing::new([0; LENGTH]);
        let filled = SystemRandom::new().fill(key.as_mut_slice());
        filled.map_err(|_| KeyError::Random)?;
        let digits = Zeroizing::new(hex::encode(key.as_slice()));
        Ok(Zeroizing::new(format!("{SECRET}{}\n", digits.as_str())))
    }

    /// Reads the line; what is around it does not matter.
    ///
    /// # Errors
    /// When it is none.
    pub fn read(text: &[u8]) -> Result<Self, KeyError> {
        let text = std::str::from_utf8(text).map_err(|_| KeyError::Form)?;
        let digits = text.trim().strip_prefix(SECRET).ok_or(KeyError::Form)?;
        let mut key = Zeroizing::new([0; LENGTH]);
        hex::decode_to_slice(digits, key.as_mut_slice()).map_err(|_| KeyError::Form)?;
        Ok(Self(key))
    }

    /// The key itself.
    pub(super) fn bytes(&self) -> &[u8; LENGTH] {
        &self.0
    }

    /// A key for tests.
    #[cfg(test)]
    pub(super) fn of(bytes: [u8; LENGTH]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// The short name by which people see that two replicas have the same.
    #[must_use]
    pub fn id(&self) -> String {
        // Of something else than the key alone, as this is no secret.
        let mut id = Sha256::new_with_prefix("vaultgram state key id 1");
        id.update(self.0.as_slice());
        let mut id = hex::encode(id.finalize());
        id.truncate(16);
        id
    }
}

impl fmt::Debug for StateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("StateKey").field(&self.id()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_made_is_read_again() {
        let line = StateKey::generate().unwrap();
        let key = StateKey::read(line.as_bytes()).unwrap();
        assert_eq!(
            line.trim_end(),
            format!("{SECRET}{}", hex::encode(key.bytes()))
        );
        let other = StateKey::read(StateKey::generate().unwrap().as_bytes()).unwrap();
        assert_ne!(key.id(), other.id());
        assert_eq!(format!("{key:?}"), format!("StateKey(\"{}\")", key.id()));
    }

    #[test]
    fn what_is_no_key_is_refused_without_being_repeated() {
        for text in ["", "hunter2", "state-secret:hunter2", "state-secret:00"] {
            let error = StateKey::read(text.as_bytes()).unwrap_err();
            assert_eq!(error, KeyError::Form);
            assert!(!error.to_string().contains("hunter2"), "{error}");
        }
    }
}

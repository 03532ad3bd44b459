//! The key that checkpoints are signed with (Ed25519), and its public half.
//!
//! Both are one line of text: `ed25519-secret:HEX` is for a secret source, `ed25519:HEX` for
//! whoever verifies.

use std::fmt;
use std::str::FromStr;

use ring::rand::{SecureRandom, SystemRandom};
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use sha2::{Digest, Sha256};
use thiserror::Error;
use zeroize::Zeroizing;

/// Before the private half, in hexadecimal.
const SECRET: &str = "ed25519-secret:";
/// Before the public half, in hexadecimal.
const PUBLIC: &str = "ed25519:";
/// Bytes of either half.
const LENGTH: usize = 32;

/// Why something is no key. It says nothing of what was there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum KeyError {
    /// Not the private half.
    #[error(
        "is no audit key; it is one line, ed25519-secret: and 64 hexadecimal digits, as `vaultgram \
         audit keygen` makes it"
    )]
    Secret,
    /// Not the public half.
    #[error(
        "not a public key; it is ed25519: and 64 hexadecimal digits, as `vaultgram audit keygen` prints it"
    )]
    Public,
    /// The system has no randomness to give.
    #[error("the system gives no random numbers")]
    Random,
}

/// The private half.
pub struct SigningKey {
    pair: Ed25519KeyPair,
    public: PublicKey,
}

impl SigningKey {
    /// A new key, as the line to keep.
    ///
    /// # Errors
    /// When the system has no randomness.
    pub fn generate() -> Result<Zeroizing<String>, KeyError> {
        let mut seed = Zeroizing::new([0; LENGTH]);
        let filled = SystemRandom::new().fill(seed.as_mut_slice());
        filled.map_err(|_| KeyError::Random)?;
        let digits = Zeroizing::new(hex::encode(seed.as_slice()));
        Ok(Zeroizing::new(format!("{SECRET}{}\n", digits.as_str())))
    }

    /// Reads the line; what is around it does not matter.
    ///
    /// # Errors
    /// When it is none.
    pub fn read(text: &[u8]) -> Result<Self, KeyError> {
        let text = std::str::from_utf8(text).map_err(|_| KeyError::Secret)?;
        let digits = text.trim().strip_prefix(SECRET).ok_or(KeyError::Secret)?;
        let mut seed = Zeroizing::new([0; LENGTH]);
        hex::decode_to_slice(digits, seed.as_mut_slice()).map_err(|_| KeyError::Secret)?;
        let pair = Ed25519KeyPair::from_seed_unchecked(seed.as_slice());
        let pair = pair.map_err(|_| KeyError::Secret)?;
        let mut public = [0; LENGTH];
        let half = pair.public_key().as_ref();
        public.copy_from_slice(half.get(..LENGTH).ok_or(KeyError::Secret)?);
        Ok(Self {
            pair,
            public: PublicKey(public),
        })
    }

    /// What verifies its signatures.
    #[must_use]
    pub fn public(&self) -> &PublicKey {
        &self.public
    }

    /// The signature, in hexadecimal.
    pub(super) fn sign(&self, statement: &Statement<'_>) -> String {
        hex::encode(self.pair.sign(statement.text().as_bytes()))
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SigningKey")
            .field(&self.public.id())
            .finish()
    }
}

/// The public half.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicKey([u8; LENGTH]);

impl PublicKey {
    /// The short name by which records say which key signed them.
    #[must_use]
    pub fn id(&self) -> String {
        let mut id = hex::encode(Sha256::digest(self.0));
        id.truncate(16);
        id
    }

    /// Whether `signature`, in hexadecimal, is this key's under `statement`.
    pub(super) fn verifies(&self, statement: &Statement<'_>, signature: &str) -> bool {
        let key = UnparsedPublicKey::new(&ED25519, self.0);
        hex::decode(signature)
            .is_ok_and(|bytes| key.verify(statement.text().as_bytes(), &bytes).is_ok())
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PUBLIC}{}", hex::encode(self.0))
    }
}

impl FromStr for PublicKey {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        let digits = text.trim().strip_prefix(PUBLIC).ok_or(KeyError::Public)?;
        let mut key = [0; LENGTH];
        hex::decode_to_slice(digits, &mut key).map_err(|_| KeyError::Public)?;
        Ok(Self(key))
    }
}

/// What is signed: how far which chain went, and when and why that is said.
pub(super) struct Statement<'a> {
    /// `start`, `interval`, `rotation`, `stop` or `witness`.
    pub(super) why: &'a str,
    /// The chain: the hash of its first record.
    pub(super) chain: &'a str,
    /// The last record so far, and its hash.
    pub(super) seq: u64,
    pub(super) hash: &'a str,
    /// When, as records have it.
    pub(super) time: &'a str,
}

impl Statement<'_> {
    fn text(&self) -> String {
        let Self {
            why,
            chain,
            seq,
            hash,
            time,
        } = self;
        format!("vaultgram audit 1\n{why}\n{chain}\n{seq}\n{hash}\n{time}\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATEMENT: Statement<'_> = Statement {
        why: "stop",
        chain: "c",
        seq: 7,
        hash: "h",
        time: "t",
    };

    #[test]
    fn a_key_signs_what_its_public_half_verifies() {
        let line = SigningKey::generate().unwrap();
        let key = SigningKey::read(line.as_bytes()).unwrap();
        let public: PublicKey = key.public().to_string().parse().unwrap();
        assert_eq!(&public, key.public());
        let signature = key.sign(&STATEMENT);
        assert!(public.verifies(&STATEMENT, &signature));
        let other = SigningKey::read(SigningKey::generate().unwrap().as_bytes()).unwrap();
        assert!(!other.public().verifies(&STATEMENT, &signature));
        for changed in [
            Statement {
                why: "start",
                ..STATEMENT
            },
            Statement {
                chain: "d",
                ..STATEMENT
            },
            Statement {
                seq: 8,
                ..STATEMENT
            },
            Statement {
                hash: "i",
                ..STATEMENT
            },
            Statement {
                time: "u",
                ..STATEMENT
            },
        ] {
            assert!(!public.verifies(&changed, &signature));
        }
        assert!(!public.verifies(&STATEMENT, "zz"));
    }

    #[test]
    fn what_is_no_key_is_refused_without_being_repeated() {
        for text in ["", "hunter2", "ed25519-secret:hunter2", "ed25519-secret:00"] {
            let error = SigningKey::read(text.as_bytes()).unwrap_err();
            assert!(!error.to_string().contains("hunter2"), "{error}");
            assert!(text.parse::<PublicKey>().is_err());
        }
        let key = SigningKey::read(SigningKey::generate().unwrap().as_bytes()).unwrap();
        assert_eq!(
            format!("{key:?}"),
            format!("SigningKey(\"{}\")", key.public().id())
        );
    }
}

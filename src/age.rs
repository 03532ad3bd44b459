//! Encryption with age (<https://age-encryption.org/v1>): to people's public keys, and of the
//! session at rest. What is written here, the `age` command opens, and the other way round.

pub mod identity;
pub mod open;
pub mod seal;
mod session_key;

pub use identity::{Identities, NewIdentity};
pub use open::open;
pub use seal::AgeSealer;
pub use session_key::{KeyError, LockedKey, OpenError, SessionKey, StoredKey};

//! Encryption with age (<https://age-encryption.org/v1>), for what must be closed to whoever
//! finds the file. What is written here, the `age` command opens, and the other way round.

mod session_key;

pub use session_key::{KeyError, LockedKey, OpenError, SessionKey, StoredKey};

//! age encryption: to people's public keys.

pub mod identity;
pub mod open;
pub mod seal;

pub use identity::{Identities, NewIdentity};
pub use open::open;
pub use seal::AgeSealer;

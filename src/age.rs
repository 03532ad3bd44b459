//! age encryption: to people's public keys.

pub mod seal;

pub use seal::AgeSealer;

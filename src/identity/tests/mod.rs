//! The room under attack, with a loopback issuer.
//!
//! The keys in `keys` were made for these tests and are used nowhere else.

mod arbitrary;
mod claims;
mod forged;
mod issuer;
mod jwks;
mod memory;
mod outages;
mod replayed;
mod sessions;
mod settings;
mod signature;
mod signed_again;
mod signing_keys;
mod world;

//! The Vault adapter against a real OpenBao server.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests may panic"
)]

#[path = "../support/openbao.rs"]
mod openbao;

mod hostile;
mod hygiene;
mod outage;
mod pool;
mod reading;
mod tls;
mod token;
mod wires;
mod world;
mod wrapping;
mod writing;

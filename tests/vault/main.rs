//! The Vault adapter against a real OpenBao server.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests may panic"
)]

#[path = "../support/openbao.rs"]
mod openbao;

mod database;
mod engines;
mod hygiene;
mod kv1;
mod outage;
#[path = "../support/postgres.rs"]
mod postgres;
mod reading;
mod tls;
mod token;
mod wires;
mod world;
mod wrapping;
mod writing;

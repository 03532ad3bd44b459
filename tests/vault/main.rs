//! The Vault adapter against a real OpenBao server.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests may panic"
)]

#[path = "../support/openbao.rs"]
mod openbao;

mod cache;
mod certificate;
mod database;
mod engines;
mod hostile;
mod hygiene;
mod kubernetes;
mod kv1;
mod methods;
mod namespaces;
mod outage;
mod policies;
mod pool;
#[path = "../support/postgres.rs"]
mod postgres;
mod reading;
mod roles;
mod tls;
mod token;
mod wires;
mod world;
mod wrapped;
mod wrapping;
mod writing;

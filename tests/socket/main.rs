//! The Unix socket front end, driven by real clients: `bao`, hvac, curl and `vaultgram get`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "a test fails by panicking"
)]

mod approvals;
mod binding;
mod clients;
mod collect;
mod engines;
mod fairness;
mod get;
mod health;
mod hostile;
mod identity;
mod kept;
mod statuses;
mod stopping;
mod support;

//! The broker over a store, an audit and a clock made for the tests, and a real state file.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, and compares the plaintext"
)]

mod approvals;
mod capabilities;
mod changes;
mod collecting;
#[path = "../support/company.rs"]
mod company;
mod crowd;
mod engines;
mod keys;
mod leaks;
mod leases;
mod lock;
mod once;
mod recording;
mod replicas;
mod unwrapping;
mod versions;
mod world;

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
#[expect(dead_code, reason = "other tests use the rest")]
#[path = "../support/company.rs"]
mod company;
mod crowd;
mod engines;
mod forks;
#[path = "../support/github/mod.rs"]
mod github;
mod keys;
mod leaks;
mod leases;
mod lock;
mod once;
mod pipelines;
mod raced;
mod recording;
mod replicas;
mod unwrapping;
mod versions;
mod watches;
mod world;

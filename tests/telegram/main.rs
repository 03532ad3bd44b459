//! The Telegram front end against the simulated datacenter.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    clippy::indexing_slicing,
    reason = "tests"
)]

mod absence;
mod answers;
mod approvals;
mod bot;
mod changes;
#[expect(dead_code, reason = "other tests use the rest")]
#[path = "../support/company.rs"]
mod company;
mod connection;
mod crash;
mod deletion;
mod deliveries;
mod doubles;
mod kept;
mod leaks;
mod login;
mod refusals;
mod replicas;
mod signed;
mod support;
mod values;
mod watchdog;
mod witness;

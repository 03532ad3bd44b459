//! The client that vaultgram uses, on the simulated datacenter.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    clippy::large_futures,
    clippy::wildcard_enum_match_arm,
    reason = "tests"
)]

mod absence;
mod authorizations;
mod bots;
mod datacenters;
mod faults;
mod files;
mod messages;
mod sign_in;
mod support;
mod updates;

//! The client of GitHub against a simulated one: every method, every fault.

#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::await_holding_lock,
    reason = "tests may panic, and look at the time; what is locked is dropped before each await"
)]

#[path = "../support/github/mod.rs"]
mod github;

mod app;
mod faults;
mod limits;
mod published;
mod reading;
mod runs;
mod secrecy;
mod setting;
mod starting;
mod webhook;

//! The coordination stores: one contract for all, and what concerns a file on disk.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

mod contract;
mod crash;
mod local;

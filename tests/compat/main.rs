//! Compatible with Vault: the same calls are made to a real OpenBao and to vaultgram's socket in front
//! of another, and compared; and clients that know nothing of vaultgram work as people type them.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test fails by panicking"
)]

mod bao;
mod cases;
mod hvac;
#[path = "../support/openbao.rs"]
mod openbao;
mod pair;
mod replay;
mod vaultrs;

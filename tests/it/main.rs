//! End to end: the compiled `vaultgram` as a process, a real OpenBao, the simulated Telegram.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test fails by panicking"
)]

mod absence;
mod approvals;
mod audit;
mod bot;
mod burst;
mod cache;
#[path = "../support/certificates.rs"]
mod certificates;
mod chaos;
mod chat;
mod crud;
mod deliveries;
mod doctor;
mod engines;
#[path = "../support/etcd.rs"]
mod etcd;
#[path = "../support/github/mod.rs"]
mod github;
mod health;
mod leaks;
mod leases;
mod login;
mod metrics;
#[path = "../support/openbao.rs"]
mod openbao;
mod outage;
mod pipelines;
#[path = "../support/postgres.rs"]
mod postgres;
mod proxy;
mod reload;
mod secrecy;
mod session;
mod sign_in;
mod socket;
#[path = "../support/stage.rs"]
mod stage;
mod state;
mod stop;
mod terminal;
mod typed;
mod watchdog;
mod watching;

use stage::{Setting, Stage};

/// What most tests need.
fn setting() -> Setting<'static> {
    Setting {
        program: env!("CARGO_BIN_EXE_vaultgram").into(),
        telegram: "",
        audit: "",
        crowd: vec![],
        log: "vaultgram=debug",
        plain_token: false,
    }
}

/// A stage on which vaultgram serves.
async fn serving() -> Stage {
    let mut stage = Stage::build(setting()).await;
    stage.start().await;
    stage
}

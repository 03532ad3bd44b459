//! `make bench`: the whole system under load, beside peers that do the same job in the same run.
//!
//! Chat: `/get_secret` round trips through the simulated Telegram, beside a Telethon + hvac bot.
//! Socket: reads of one secret on the Unix socket, beside `bao proxy`.
//! All use tokens of one kind: what a token costs OpenBao depends on its kind.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::disallowed_methods,
    clippy::cast_precision_loss,
    reason = "a bench prints, takes the time, and ends by panicking where it cannot go on"
)]

#[path = "../../tests/support/bao_proxy.rs"]
mod bao_proxy;
mod chat;
mod measure;
#[path = "../../tests/support/openbao.rs"]
mod openbao;
mod peers;
mod socket;
#[path = "../../tests/support/stage.rs"]
mod stage;

use measure::Figures;
use stage::{Setting, Stage};

/// The people who ask, one question in flight each.
const CROWD: std::ops::Range<i64> = 20_000..21_000;

#[tokio::main]
async fn main() {
    println!(
        "each figure: one run of {:?} after a warm-up, all on this machine\n",
        measure::LENGTH
    );
    let mut stage = build().await;
    let bot = peers::TelethonBot::start(&stage);
    let theirs = chat::run(&stage, peers::BOT, bot.pid()).await;
    drop(bot);
    stage.start().await;
    let pid = stage.broker.as_ref().unwrap().pid();
    let ours = chat::run(&stage, stage::BROKER, pid).await;
    report(
        "/get_secret in chat",
        "round trips/s",
        ("Telethon + hvac", &theirs),
        &ours,
    );
    drop(stage);

    // A stage of its own: the first one is still busy with deleting its answers.
    let mut stage = build().await;
    let proxy = bao_proxy::BaoProxy::start(&stage).await;
    let theirs = socket::run(&proxy.socket(), proxy.pid()).await;
    drop(proxy);
    stage.start().await;
    let pid = stage.broker.as_ref().unwrap().pid();
    let ours = socket::run(&stage.path("vaultgram.sock"), pid).await;
    report(
        "reads on the Unix socket",
        "reads/s",
        ("bao proxy", &theirs),
        &ours,
    );
}

async fn build() -> Stage {
    Stage::build(Setting {
        program: env!("CARGO_BIN_EXE_vaultgram").into(),
        telegram: "",
        audit: "",
        crowd: CROWD.collect(),
        log: "vaultgram=warn,vaultgram::telegram::connection=info",
        plain_token: true,
    })
    .await
}

/// Prints a table: a row a peer and concurrency, and how many times as fast we are.
fn report(what: &str, unit: &str, (peer, theirs): (&str, &[Figures]), ours: &[Figures]) {
    println!("{what}");
    println!(
        "{:<16} {:>9} {:>14} {:>9} {:>9} {:>7} {:>6}",
        "", "in flight", unit, "p50 ms", "p99 ms", "RSS MB", "times"
    );
    for (theirs, ours) in theirs.iter().zip(ours) {
        for (name, figures) in [(peer, theirs), ("vaultgram", ours)] {
            println!(
                "{name:<16} {:>9} {:>14.0} {:>9.2} {:>9.2} {:>7.1} {:>6.1}",
                figures.in_flight,
                figures.per_second,
                figures.p50.as_secs_f64() * 1e3,
                figures.p99.as_secs_f64() * 1e3,
                figures.resident_mb,
                figures.per_second / theirs.per_second,
            );
        }
    }
    println!();
}

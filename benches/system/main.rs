//! `make bench`: the whole system under load, beside peers that do the same job in the same run.
//!
//! Chat: `/get_secret` round trips through the simulated Telegram, beside a Telethon + hvac bot.
//! Socket: reads of one secret on the Unix socket and over HTTPS, beside `bao proxy` and OpenBao itself.
//! All use tokens of one kind: what a token costs OpenBao depends on its kind.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::disallowed_methods,
    clippy::cast_precision_loss,
    reason = "a bench prints, takes the time, and ends by panicking where it cannot go on"
)]

#[path = "../../tests/support/bao_proxy.rs"]
mod bao_proxy;
#[path = "../../tests/support/certificates.rs"]
mod certificates;
mod chat;
mod https;
#[path = "../../tests/support/issuer.rs"]
mod issuer;
mod measure;
#[path = "../../tests/support/openbao.rs"]
mod openbao;
mod peers;
mod socket;
#[path = "../../tests/support/stage.rs"]
mod stage;

use std::time::Instant;

use bao_proxy::BaoProxy;
use https::ForJobs;
use measure::Figures;
use openbao::bao;
use serde_json::json;
use socket::Place;
use stage::{Setting, Stage};

/// A secret that is read from Vault each time, and one that policy lets be kept.
const READ: &str = "/v1/secret/data/django/database";
const KEPT: &str = "/v1/secret/data/django/kept";

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
        &[("Telethon + hvac", theirs), ("vaultgram", ours)],
    );
    drop(stage);
    local_programs().await;
}

/// Reads on a Unix socket, and what it takes to serve them.
async fn local_programs() {
    // A stage of its own: the first one is still busy with deleting its answers.
    let mut stage = build().await;
    let policy = stage.path("policy.cedar");
    let kept = "@id(\"kept\") @cache(\"1h\") permit(principal, action, resource == \
                Path::\"secret/django/kept\");";
    let text = std::fs::read_to_string(&policy).unwrap() + kept;
    std::fs::write(&policy, text).unwrap();
    // The peers have no limits.
    let config = stage.path("vaultgram.toml");
    let most = 1_000_000;
    let limits = format!(
        "[limits]\nconnections_per_user = 200\nin_flight_per_user = 64\n\
         rate_per_user = {most}\nrate = {most}\n"
    );
    let text = std::fs::read_to_string(&config).unwrap() + &limits;
    std::fs::write(&config, text).unwrap();
    let for_jobs = ForJobs::prepare(&stage);
    tokio::task::block_in_place(|| {
        let fields = json!({"username": "django", "password": stage::PASSWORD});
        stage.bao.put("django/kept", &fields);
    });
    let token =
        tokio::task::block_in_place(|| stage.bao.token(&json!({"policies": ["vaultgram-broker"]})));
    let server = stage.bao.socket();
    let direct = socket::run(&Place::Server(server, token), READ, None).await;

    let mut peers = vec![];
    for more in ["", "cache {\n}\n"] {
        let start = Instant::now();
        let proxy = BaoProxy::spawn(&stage, more);
        let place = Place::Socket(proxy.socket());
        let first = socket::first(&place, READ, start).await;
        let figures = socket::run(&place, READ, Some(proxy.pid())).await;
        peers.push((first, figures));
    }
    let start = Instant::now();
    stage.spawn();
    let place = Place::Socket(stage.path("vaultgram.sock"));
    let first = socket::first(&place, READ, start).await;
    let pid = stage.broker.as_ref().unwrap().pid();
    let read = socket::run(&place, READ, Some(pid)).await;
    let hit = socket::run(&place, KEPT, Some(pid)).await;
    let job = socket::run(&for_jobs.sign_in().await, READ, Some(pid)).await;

    let [(proxy_first, proxy), (caching_first, caching)] = peers.try_into().ok().unwrap();
    report(
        "reads of a secret by local programs",
        "reads/s",
        &[
            ("bao proxy", proxy),
            ("bao proxy, cache", caching),
            ("OpenBao itself, TCP", direct),
            ("vaultgram", read),
            ("vaultgram, @cache", hit),
            ("vaultgram, HTTPS", job),
        ],
    );
    println!("from start to the first secret, and the size of the program");
    for (name, first, program) in [
        ("bao proxy", proxy_first, bao()),
        ("bao proxy, cache", caching_first, bao()),
        ("vaultgram", first, stage.program().to_owned()),
    ] {
        let size = std::fs::metadata(program).unwrap().len() as f64 / 1e6;
        println!(
            "{name:<20} {:>6.0} ms {size:>6.1} MB",
            first.as_secs_f64() * 1e3
        );
    }
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

/// Prints a table: a row a peer and concurrency, and how many times as fast as the first it is.
fn report(what: &str, unit: &str, rows: &[(&str, Vec<Figures>)]) {
    println!("{what}");
    println!(
        "{:<20} {:>9} {:>14} {:>9} {:>9} {:>7} {:>6}",
        "", "in flight", unit, "p50 ms", "p99 ms", "RSS MB", "times"
    );
    let (_, first) = &rows[0];
    for (position, first) in first.iter().enumerate() {
        for (name, figures) in rows {
            let figures = &figures[position];
            println!(
                "{name:<20} {:>9} {:>14.0} {:>9.2} {:>9.2} {:>7.1} {:>6.1}",
                figures.in_flight,
                figures.per_second,
                figures.p50.as_secs_f64() * 1e3,
                figures.p99.as_secs_f64() * 1e3,
                figures.resident_mb,
                figures.per_second / first.per_second,
            );
        }
    }
    println!();
}

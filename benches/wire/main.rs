//! Reads of one KV secret from OpenBao, over HTTP and over TLS: our wire beside reqwest as it was
//! in its place, with idle connections closed after 300 ms so that their buffers go.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::disallowed_methods,
    clippy::cast_precision_loss,
    reason = "a bench prints, takes the time, and ends by panicking where it cannot go on"
)]

#[path = "../system/measure.rs"]
mod measure;
#[path = "../../tests/support/openbao.rs"]
mod openbao;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::json;
use time::OffsetDateTime;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use vaultgram::broker::ports::SecretStore;
use vaultgram::domain::caller::{Caller, UnixPeer};
use vaultgram::domain::group::Groups;
use vaultgram::domain::policy_load::PolicySource;
use vaultgram::domain::{
    Action, Decision, Delivery, Mounts, Permit, Policy, Request, RequestId, SecretPath,
    SecretValue, Target,
};
use vaultgram::vault::{Auth, Settings, Store};

use measure::{Figures, Run};
use openbao::{OpenBao, start_with_tls};

#[tokio::main]
async fn main() {
    println!(
        "each figure: one run of {:?} after a warm-up\n",
        measure::LENGTH
    );
    let server = tokio::task::block_in_place(|| {
        let server = OpenBao::start();
        server.put(
            "app",
            &json!({"user": "django", "password": "hunter2hunter2hunter2"}),
        );
        server
    });
    compare("HTTP", &server.address(), server.root(), None).await;
    drop(server);
    let directory = tempfile::tempdir().unwrap();
    let (_child, address) = tokio::task::block_in_place(|| {
        start_with_tls(
            directory.path(),
            &["user=django", "password=hunter2hunter2hunter2"],
        )
    });
    let authority = directory.path().join("vault-ca.pem");
    compare("TLS", &address, "root", Some(authority)).await;
}

/// Prints a table for the server at `address`.
async fn compare(what: &str, address: &str, token: &str, authority: Option<PathBuf>) {
    println!("{what:<10} in flight        reads/s   p50 ms   p99 ms  RSS MB  times");
    let store = store(address, token, authority.clone()).await;
    let http = reqwest_as_it_was(authority.as_deref());
    for in_flight in [1, 8, 64] {
        let url = format!("{address}/v1/secret/data/app");
        let theirs = run(in_flight, || {
            let asking = http.get(&url).header("X-Vault-Token", token);
            move || {
                let asking = asking.try_clone().unwrap();
                async move {
                    let answer = asking.send().await.unwrap();
                    assert!(answer.status().is_success());
                    assert!(answer.bytes().await.unwrap().len() > 100);
                }
            }
        })
        .await;
        let ours = run(in_flight, || {
            let (store, permit) = (store.clone(), Arc::new(permit()));
            move || {
                let (store, permit) = (store.clone(), permit.clone());
                async move { assert_eq!(store.read(&permit).await.ok().unwrap().fields.len(), 2) }
            }
        })
        .await;
        for (name, figures) in [("reqwest", &theirs), ("ours", &ours)] {
            println!(
                "{name:<10} {:>9} {:>14.0} {:>8.2} {:>8.2} {:>7.1} {:>6.2}",
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

/// As many loops as `in_flight`, each of which asks again when it was answered.
async fn run<A, F>(in_flight: usize, asker: impl Fn() -> A) -> Figures
where
    A: Fn() -> F + Send + 'static,
    F: Future<Output = ()> + Send,
{
    let mut loops = JoinSet::new();
    for _ in 0..in_flight {
        let ask = asker();
        loops.spawn(async move {
            let mut run = Run::start();
            while !run.over() {
                let start = Instant::now();
                ask().await;
                run.answered(start);
            }
            run
        });
    }
    let mut all = Run::start();
    while let Some(one) = loops.join_next().await {
        all.join(one.unwrap());
    }
    all.figures(in_flight, Some(std::process::id()))
}

async fn store(address: &str, token: &str, ca_cert: Option<PathBuf>) -> Arc<Store> {
    let settings = Settings {
        address: address.to_owned(),
        namespace: None,
        ca_cert,
        client_cert: None,
        client_key: None,
        server_name: None,
        mounts: Mounts::new(vec!["secret".to_owned()]).unwrap(),
        auth: Auth::Token(SecretValue::new(token.as_bytes().to_vec())),
        request_timeout: Duration::from_secs(10),
    };
    let store = Arc::new(Store::new(settings).unwrap());
    let keeping = store.clone();
    tokio::spawn(async move { keeping.run(CancellationToken::new()).await });
    while store.read(&permit()).await.is_err() {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    store
}

fn reqwest_as_it_was(authority: Option<&Path>) -> reqwest::Client {
    drop(rustls::crypto::ring::default_provider().install_default());
    let authorities = authority.map(|path| std::fs::read(path).unwrap());
    let authorities = authorities.map_or_else(Vec::new, |pem| {
        reqwest::Certificate::from_pem_bundle(&pem).unwrap()
    });
    reqwest::Client::builder()
        .tls_backend_rustls()
        .http1_only()
        .pool_max_idle_per_host(64)
        .pool_idle_timeout(Duration::from_millis(300))
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(Duration::from_secs(10))
        .timeout(Duration::from_secs(10))
        .tls_certs_only(authorities)
        .build()
        .unwrap()
}

/// Permission to read `secret/app`.
fn permit() -> Permit {
    let everything = PolicySource {
        name: "bench".to_owned(),
        text: "permit(principal, action, resource);".to_owned(),
    };
    let mounts = Mounts::new(vec!["secret".to_owned()]).unwrap();
    let policy = Policy::load(&[everything], Groups::default(), &mounts).unwrap();
    let request = Request {
        id: RequestId::Connection(1),
        caller: Caller::Unix(UnixPeer::known(1, 1, 1)),
        action: Action::Read(Delivery::Socket),
        target: Target {
            path: SecretPath::new("secret", "app").unwrap(),
            field: None,
            version: None,
        },
    };
    match policy.decide(&request, OffsetDateTime::UNIX_EPOCH) {
        Decision::Allow(permit) => permit,
        Decision::Deny(denial) => panic!("{denial:?}"),
        Decision::NeedsApproval(need) => panic!("{need:?}"),
    }
}

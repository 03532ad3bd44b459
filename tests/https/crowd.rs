//! Many jobs at once, and how long one takes.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::client::{Client, Trust};
use crate::issuer::AUDIENCE;
use crate::served::Served;

const JOBS: usize = 200;
const READ: &str = "GET /v1/secret/data/web/database";

/// For as many runners behind one address.
const LIMITS: &str = "[limits]\nin_flight_per_user = 200\nconnections_per_user = 600\n";

/// Signs in on a connection of its own, and reads.
async fn job(port: u16, trust: &Trust, token: &str) {
    let mut client = Client::connect(port, trust).await;
    let signed_in = client.sign_in("github", token).await;
    assert_eq!(signed_in.status, 200, "{signed_in:?}");
    let session = signed_in.json()["auth"]["client_token"].clone();
    let session = format!("x-vault-token: {}", session.as_str().unwrap());
    // A request with a body is the last of its connection.
    drop(client);
    let mut client = Client::connect(port, trust).await;
    let read = client.ask(READ, &[&session], "").await;
    assert_eq!(read.status, 200, "{read:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_jobs_at_once_are_all_answered() {
    // All of them come from one address here.
    let served = Served::with(LIMITS, "").await;
    let tokens: Vec<_> = (0..JOBS)
        .map(|run| served.issuer.token(&json!({"run_id": run.to_string()})))
        .collect();
    let start = Instant::now();
    let mut jobs = JoinSet::new();
    for token in tokens {
        let (port, trust) = (served.port, served.trust());
        jobs.spawn(async move { job(port, &trust, &token).await });
    }
    jobs.join_all().await;
    println!("{JOBS} jobs signed in and read in {:?}", start.elapsed());
    served.verify_audit();
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

/// Not asserted: `cargo test --release --test https -- --ignored --nocapture`.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "a figure, for a quiet machine and a release build"]
async fn how_long_one_job_takes() {
    const ROUNDS: usize = 200;
    let mut served = Served::start().await;
    let trust = served.trust();
    let (mut whole, mut reads) = (vec![], vec![]);
    for run in 0..ROUNDS {
        let token = served.issuer.token(&json!({"run_id": run.to_string()}));
        let start = Instant::now();
        job(served.port, &trust, &token).await;
        whole.push(start.elapsed());
    }
    let session = format!("x-vault-token: {}", served.session(&json!({})).await);
    let mut client = served.connect().await;
    for _ in 0..ROUNDS {
        let start = Instant::now();
        assert_eq!(client.ask(READ, &[&session], "").await.status, 200);
        reads.push(start.elapsed());
    }
    // The same of Vault itself: its JWT method with the same issuer, over TLS.
    let (address, authority) = tokio::task::block_in_place(|| {
        let bao = &mut served.bao;
        bao.must("POST", "sys/auth/jwt", &json!({"type": "jwt"}));
        let issuer = served.issuer.address();
        let config = json!({"jwks_url": format!("{issuer}/keys"), "bound_issuer": issuer});
        bao.must("POST", "auth/jwt/config", &config);
        let role = json!({
            "role_type": "jwt", "user_claim": "sub", "bound_audiences": [AUDIENCE],
            "token_policies": ["reader"], "bound_claims": {"repository_id": "7"},
        });
        bao.must("POST", "auth/jwt/role/github", &role);
        bao.policy(
            "reader",
            "path \"secret/data/web/*\" { capabilities = [\"read\"] }",
        );
        bao.speak_tls()
    });
    let port: u16 = address.rsplit_once(':').unwrap().1.parse().unwrap();
    let trust = Trust::new(&authority, None);
    let (mut own_whole, mut own_reads) = (vec![], vec![]);
    for run in 0..ROUNDS {
        let token = served.issuer.token(&json!({"run_id": run.to_string()}));
        let start = Instant::now();
        job(port, &trust, &token).await;
        own_whole.push(start.elapsed());
    }
    let mut client = Client::connect(port, &trust).await;
    let token = served.issuer.token(&json!({}));
    let signed_in: Value = client.sign_in("github", &token).await.json();
    let token = signed_in["auth"]["client_token"].as_str().unwrap();
    let session = format!("x-vault-token: {token}");
    for _ in 0..ROUNDS {
        let start = Instant::now();
        assert_eq!(client.ask(READ, &[&session], "").await.status, 200);
        own_reads.push(start.elapsed());
    }
    for (what, ours, own) in [
        ("sign in and read", whole, own_whole),
        ("read alone", reads, own_reads),
    ] {
        let (ours, own) = (median(ours), median(own));
        let ratio = ours.as_secs_f64() / own.as_secs_f64();
        println!("{what}: {ours:?}, Vault itself {own:?}, ratio {ratio:.2}");
    }
}

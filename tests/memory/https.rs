//! What goes over HTTPS is forgotten too: TLS has buffers of its own, on connections that stay open.

use std::net::Ipv4Addr;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use serde_json::json;
use tokio::task::JoinSet;

use crate::certificates::{Authority, Request};
use crate::client::{Client, Trust, request};
use crate::issuer::{AUDIENCE, Issuer};
use crate::needles::{Needles, value};
use crate::openbao::free_port;
use crate::stage::Stage;
use crate::{ALONE, SECRETS, Watch, plant, setting};

/// Connections at once, and reads on each of them.
const CONNECTIONS: usize = 64;
const READS: usize = 25;

/// Has it serve HTTPS to the jobs of `issuer`; its port, and whom clients trust.
fn configure(stage: &Stage, issuer: &Issuer) -> (u16, Trust) {
    let authority = Authority::new(stage.path("authority"), "jobs' authority");
    let request = Request {
        common_name: "vaultgram",
        addresses: &[Ipv4Addr::LOCALHOST],
        key_usage: "digitalSignature",
        extended_key_usage: "serverAuth",
    };
    let made = authority.issue("server", &request);
    std::fs::set_permissions(&made.key, PermissionsExt::from_mode(0o600)).unwrap();
    let port = free_port();
    let add = |file: &str, text: String| {
        let before = std::fs::read_to_string(stage.path(file)).unwrap();
        std::fs::write(stage.path(file), before + &text).unwrap();
    };
    add(
        "vaultgram.toml",
        format!(
            "[https]\nlisten = \"127.0.0.1:{port}\"\ncert_file = \"{}\"\nkey_file = \"{}\"\n\
             [issuers.github]\nissuer = \"{}\"\naudience = \"{AUDIENCE}\"\n",
            made.certificate.display(),
            made.key.display(),
            issuer.address()
        ),
    );
    let who = "permit(principal is Job, action, resource in Path::\"secret/django\");\n";
    add("policy.cedar", who.to_owned());
    (port, Trust::new(&authority.trust(), None))
}

#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(
    debug_assertions,
    ignore = "about the release build: cargo test --release --test memory"
)]
async fn what_https_answered_is_forgotten() {
    let _alone = ALONE.lock().await;
    let mut stage = Stage::build(setting()).await;
    let issuer = Issuer::start();
    let (port, trust) = tokio::task::block_in_place(|| configure(&stage, &issuer));
    let mut needles = Needles::default();
    plant(&stage, &mut needles);
    let written = value(3000, true);
    needles.add("written#value", &written);
    stage.start().await;
    let mut watch = Watch::of(&stage, needles);
    let path = |name: &str| format!("GET /v1/secret/data/django/{name}");

    let mut client = Client::connect(port, &trust).await;
    let signed_in = client.sign_in("github", &issuer.token(&json!({}))).await;
    let token = signed_in.json()["auth"]["client_token"].clone();
    let session = format!("x-vault-token: {}", token.as_str().unwrap());
    let mut client = Client::connect(port, &trust).await;
    for name in SECRETS {
        let read = client.ask(&path(name), &[&session], "").await;
        assert_eq!(read.status, 200, "{}", read.head);
        watch.after(&format!("one read of {name} over HTTPS")).await;
    }

    let body = json!({"data": {"value": written}}).to_string();
    let put = "POST /v1/secret/data/django/written";
    let mut writer = Client::connect(port, &trust).await;
    assert_eq!(writer.ask(put, &[&session], &body).await.status, 200);
    watch.after("one write over HTTPS").await;

    let mut hasty = Client::connect(port, &trust).await;
    let asked = request(&path("thirty"), &[&session], "").repeat(40);
    hasty.send(asked.as_bytes()).await.unwrap();
    // More than the kernel takes: the rest waits in vaultgram.
    tokio::time::sleep(Duration::from_millis(300)).await;
    drop(hasty);
    watch.after("a client that hangs up half-way").await;

    let mut load = JoinSet::new();
    for number in 0..CONNECTIONS {
        let mut client = Client::connect(port, &trust).await;
        let session = session.clone();
        load.spawn(async move {
            for round in 0..READS {
                let name = SECRETS[(number + round) % SECRETS.len()];
                let what = format!("GET /v1/secret/data/django/{name}");
                let read = client.ask(&what, &[&session], "").await;
                assert_eq!(read.status, 200, "{}", read.head);
            }
            client
        });
    }
    let open = load.join_all().await;
    watch.after("64 TLS connections, which stay open").await;
    drop((open, client, writer));
    watch.end();
}

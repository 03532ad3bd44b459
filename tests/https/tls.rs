//! Certificates: replaced while it runs, wanted of clients; and a stop, which cuts nobody off.

use std::time::Duration;

use serde_json::json;

use crate::certificates::Authority;
use crate::client::{Client, Trust, request};
use crate::openbao::wait_until;
use crate::served::Served;

#[tokio::test(flavor = "multi_thread")]
async fn a_new_certificate_is_shown_without_a_restart_and_a_broken_one_is_not() {
    let served = Served::start().await;
    let session = format!("x-vault-token: {}", served.session(&json!({})).await);
    let read = "GET /v1/secret/data/web/database";
    let mut old = served.connect().await;
    let first = old.shown();
    let second = tokio::task::block_in_place(|| served.certificate("second"));
    served.install(&second);
    wait(
        "the new certificate is read",
        &served,
        "https.certificate_read",
    )
    .await;
    let shown = served.connect().await.shown();
    assert_ne!(shown, first);
    // Who is connected stays so.
    assert_eq!(old.ask(read, &[&session], "").await.status, 200);

    for (name, broken) in [
        (
            "server.pem",
            "-----BEGIN CERTIFICATE-----\nAAAA\n".to_owned(),
        ),
        ("server.pem", String::new()),
        (
            "server-key.pem",
            std::fs::read_to_string(served.path("authority/first-key.pem")).unwrap(),
        ),
    ] {
        let before = served.log().matches("https.certificate_unusable").count();
        std::fs::write(served.path(name), broken).unwrap();
        tokio::task::block_in_place(|| {
            wait_until("the broken one is logged", || {
                served.log().matches("https.certificate_unusable").count() > before
            });
        });
        assert_eq!(served.connect().await.shown(), shown, "{name}");
        let read_again = served.log().matches("https.certificate_read").count();
        served.install(&second);
        tokio::task::block_in_place(|| {
            wait_until("the good one is read", || {
                served.log().matches("https.certificate_read").count() > read_again
            });
        });
    }
    assert_eq!(served.connect().await.shown(), shown);
    assert!(!served.log().contains("PRIVATE KEY"));
}

async fn wait(what: &str, served: &Served, event: &str) {
    tokio::task::block_in_place(|| wait_until(what, || served.log().contains(event)));
    tokio::task::yield_now().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_clients_need_a_certificate_nobody_is_served_without() {
    let served = Served::with("client_ca_file = \"clients/ca.pem\"\n", "");
    // The authority is made where the configuration has it, before it starts.
    let served = served.await;
    let own = Served::client_certificate(&Authority::at(served.path("clients")));
    let stranger = tokio::task::block_in_place(|| {
        Served::client_certificate(&Authority::new(served.path("strangers"), "strangers"))
    });
    let authority = served.authority.trust();
    for trust in [
        Trust::new(&authority, None),
        Trust::new(&authority, Some(&stranger)),
    ] {
        // TLS 1.3 lets the client believe that it is connected until it reads.
        if let Ok(mut client) = Client::try_connect(served.port, &trust).await {
            client
                .send(request("GET /healthz", &[], "").as_bytes())
                .await
                .ok();
            assert!(client.answer().await.is_none());
        }
    }
    let trust = Trust::new(&authority, Some(&own));
    let mut client = Client::connect(served.port, &trust).await;
    assert_eq!(client.ask("GET /healthz", &[], "").await.status, 200);
    // It is no identity: that is proved as ever.
    let read = client
        .ask("GET /v1/secret/data/web/database", &[], "")
        .await;
    assert_eq!(read.status, 403);
    // The command line shows one too.
    let get = |own: &[(&str, &std::path::Path)]| {
        let mut command = served.vaultgram(&["get", "web/other#k"]);
        command
            .env(
                "VAULTGRAM_SOCKET",
                format!("https://127.0.0.1:{}", served.port),
            )
            .env("VAULTGRAM_CACERT", &authority)
            .env("VAULTGRAM_JWT", served.issuer.token(&json!({})));
        for (name, file) in own {
            command.env(name, file);
        }
        let ran = tokio::task::block_in_place(|| command.output().unwrap());
        let said = String::from_utf8([ran.stdout, ran.stderr].concat()).unwrap();
        (ran.status.code().unwrap(), said)
    };
    let (cert, key) = ("VAULTGRAM_CLIENT_CERT", "VAULTGRAM_CLIENT_KEY");
    let shown = get(&[(cert, &*own.certificate), (key, &*own.key)]);
    assert_eq!(shown, (0, "v".to_owned()));
    for (files, code) in [
        (vec![], 69),
        (
            vec![(cert, &*stranger.certificate), (key, &*stranger.key)],
            69,
        ),
        (vec![(cert, &*own.certificate)], 64),
        (vec![(cert, &*own.key), (key, &*own.certificate)], 78),
    ] {
        let (ended, said) = get(&files);
        assert_eq!(ended, code, "{files:?}: {said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_answers_what_was_asked_and_cuts_nobody_off() {
    let mut served = Served::start().await;
    let session = format!("x-vault-token: {}", served.session(&json!({})).await);
    // Some are idle, one is in the middle of TLS, and one of a body.
    let idle = [served.connect().await, served.connect().await];
    let half = tokio::net::TcpStream::connect(("127.0.0.1", served.port)).await;
    let mut asking = served.connect().await;
    let body = json!({"role": "github", "jwt": served.issuer.token(&json!({}))}).to_string();
    let (begin, rest) = body.split_at(20);
    let head = format!(
        "POST /v1/auth/jwt/login HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n{begin}",
        body.len()
    );
    asking.send(head.as_bytes()).await.unwrap();
    let mut reading = served.connect().await;
    reading
        .send(request("GET /v1/secret/data/web/database", &[&session], "").as_bytes())
        .await
        .unwrap();
    tokio::time::sleep(Duration::from_millis(300)).await;
    served.terminate();
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert!(
        Client::try_connect(served.port, &served.trust())
            .await
            .is_err()
    );
    asking.send(rest.as_bytes()).await.unwrap();
    assert_eq!(asking.answer().await.unwrap().status, 200);
    assert_eq!(reading.answer().await.unwrap().status, 200);
    let code = tokio::task::block_in_place(|| served.ended());
    assert_eq!(code, Some(0), "{}", served.log());
    drop((idle, half));
}

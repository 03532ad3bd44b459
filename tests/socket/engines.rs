//! Engines on the socket: shapes, bodies, and leases nobody waits for.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::{Reply, Server, eventually, own_uid, run, serve, text, tool, until_closed};

/// A server that lets its own user do everything but invoke `db/forbidden`.
fn open() -> Server {
    serve(&everything(), |_| {})
}

fn everything() -> String {
    format!(
        "permit (principal == UnixPeer::\"{}\", action, resource)
         unless {{ resource == Path::\"db/forbidden\" }};",
        own_uid()
    )
}

async fn send(server: &Server, method: &str, path: &str, body: &str) -> Reply {
    let length = body.len();
    let head = format!("host: localhost\r\nconnection: close\r\ncontent-length: {length}");
    let answer = server
        .raw(format!(
            "{method} /v1/{path} HTTP/1.1\r\n{head}\r\n\r\n{body}"
        ))
        .await;
    Reply::parse(&answer)
}

#[tokio::test]
async fn a_dynamic_secret_comes_with_its_lease() {
    let server = open();
    let reply = server.get("/v1/db/creds/app").await;
    let body = reply.json();
    assert_eq!(body["data"], json!({"user": "v-app"}));
    assert_eq!(body["lease_id"], "db/creds/app/x");
    assert_eq!(
        (&body["lease_duration"], &body["renewable"]),
        (&json!(3600), &json!(true))
    );
    assert!(server.store.revoked.lock().unwrap().is_empty());

    let reply = server.get("/v1/db/creds/app?field=port").await;
    assert_eq!(reply.status, 404);
    assert!(reply.body.contains("it has: user"), "{}", reply.body);
    assert_eq!(*server.store.revoked.lock().unwrap(), ["db/creds/app/x"]);
    assert_eq!(server.get("/v1/db/creds/app?version=2").await.status, 400);
    assert_eq!(server.get("/v1/old/a?version=2").await.status, 400);
}

#[tokio::test]
async fn a_lease_that_nobody_waits_for_is_given_back() {
    let server = open();
    let mut client = server.connect().await;
    let request = "GET /v1/db/creds/slow HTTP/1.1\r\nhost: localhost\r\n\r\n";
    client.write_all(request.as_bytes()).await.unwrap();
    server.store.slow.0.acquire().await.unwrap().forget();
    drop(client);
    // The server has to notice first.
    tokio::time::sleep(Duration::from_millis(200)).await;
    server.store.slow.1.add_permits(1);
    eventually("it is given back", async || {
        *server.store.revoked.lock().unwrap() == ["db/creds/app/x"]
    })
    .await;
}

#[tokio::test]
async fn a_lease_whose_answer_is_never_sent_is_given_back() {
    let server = open();
    let mut client = server.connect().await;
    // More than the kernel takes.
    let request = "GET /v1/db/creds/huge HTTP/1.1\r\nhost: localhost\r\n\r\n";
    client.write_all(request.as_bytes()).await.unwrap();
    eventually("it is released", async || server.decisions() == 2).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    let revoked = || server.store.revoked.lock().unwrap().clone();
    assert!(revoked().is_empty(), "it may still be read");
    drop(client);
    eventually("it is given back", async || revoked() == ["db/creds/app/x"]).await;

    // One that is sent is its client's, whatever comes then.
    let mut client = server.connect().await;
    let request = "GET /v1/db/creds/app HTTP/1.1\r\nhost: localhost\r\n\r\n";
    client.write_all(request.as_bytes()).await.unwrap();
    let mut answer = [0; 16];
    client.read_exact(&mut answer).await.unwrap();
    drop(client);
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(revoked().len(), 1);
}

#[tokio::test]
async fn parameters_arrive_as_they_were_sent_and_only_for_engines() {
    let server = open();
    let sent = r#"{"n":1.50,"text":"\u003cü\"","list":[1,{"a":null}]}"#;
    for method in ["POST", "PUT"] {
        let reply = send(&server, method, "db/issue", sent).await;
        assert!(
            reply.body.contains(&format!("\"data\":{sent}")),
            "{}",
            reply.body
        );
        let reply = send(&server, method, "db/issue", "").await;
        assert_eq!((reply.status, reply.body.as_str()), (204, ""));
    }
    let reply = send(&server, "POST", "db/issue?field=n", sent).await;
    assert!(!reply.head.contains("x-cache"), "{}", reply.head);
    assert_eq!(reply.json()["data"], json!({"n": 1.5}));
    let before = server.decisions();
    for (path, body, status) in [
        ("db/issue", "[1]", 400),
        ("db/issue", "hunter2", 400),
        ("db/issue", r#"{"a":"hunter2","a":"hunter2"}"#, 400),
        ("db/issue?ttl=1h", "{}", 400),
        ("db/../sys/seal", "{}", 400),
        ("secret/data/a", "{}", 400),
        ("old/a", "{}", 400),
        ("sys/seal", "{}", 404),
    ] {
        let reply = send(&server, "POST", path, body).await;
        assert_eq!(reply.status, status, "{path} {body}: {}", reply.body);
        assert!(!reply.body.contains("hunter2"), "{}", reply.body);
    }
    assert_eq!(server.decisions(), before, "nothing was even asked");
    for (path, status, said) in [
        ("db/nothing", 404, r#"{"errors":[]}"#),
        ("db/refused", 400, r#"["no such role"]"#),
        ("db/read-only", 405, "unsupported operation"),
        ("db/forbidden", 403, "permission denied"),
    ] {
        let reply = send(&server, "POST", path, "{}").await;
        assert_eq!(reply.status, status, "{path}: {}", reply.body);
        assert!(reply.body.contains(said), "{path}: {}", reply.body);
    }
}

#[tokio::test]
async fn who_is_still_sending_sees_the_refusal() {
    let server = open();
    let body = "x".repeat(250_000);
    let head = "PUT /v1/secret/metadata/a HTTP/1.1\r\nhost: localhost\r\ncontent-length: 250000";
    for _ in 0..10 {
        let mut client = server.connect().await;
        let request = format!("{head}\r\n\r\n{body}");
        client.write_all(request.as_bytes()).await.unwrap();
        let reply = Reply::parse(&until_closed(&mut client).await);
        assert_eq!(reply.status, 405, "{}", reply.body);
    }
}

#[tokio::test]
async fn a_body_is_capped_however_it_comes() {
    let server = open();
    let before = server.decisions();
    let mut client = server.connect().await;
    let head = "POST /v1/db/issue HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n";
    let declared = format!("{head}content-length: 2000000\r\n\r\n{{");
    client.write_all(declared.as_bytes()).await.unwrap();
    let reply = Reply::parse(&until_closed(&mut client).await);
    assert_eq!(reply.status, 413, "{}", reply.body);

    let chunk = format!("10000\r\n{}\r\n", "x".repeat(0x10000)).repeat(17);
    let answer = server
        .raw(format!(
            "{head}transfer-encoding: chunked\r\n\r\n{chunk}0\r\n\r\n"
        ))
        .await;
    assert_eq!(Reply::parse(&answer).status, 413);

    let mut client = server.connect().await;
    let slow = format!("{head}content-length: 10\r\n\r\n{{");
    client.write_all(slow.as_bytes()).await.unwrap();
    let reply = Reply::parse(&until_closed(&mut client).await);
    assert_eq!(reply.status, 408, "{}", reply.body);
    assert_eq!(server.decisions(), before, "nothing was even asked");
}

#[tokio::test]
async fn names_are_listed_in_vaults_shape() {
    let server = open();
    for target in [
        "old?list=true",
        "db/?list=true",
        "secret/metadata?list=true",
    ] {
        let body: Value = server.get(&format!("/v1/{target}")).await.json();
        assert_eq!(body["data"], json!({"keys": ["a", "b/"]}), "{target}");
    }
    let reply = send(&server, "LIST", "secret/metadata/", "").await;
    assert_eq!(reply.json()["data"]["keys"][0], "a");
    for folder in ["empty", "none"] {
        let reply = server.get(&format!("/v1/db/{folder}?list=true")).await;
        assert_eq!(
            (reply.status, reply.body.as_str()),
            (404, r#"{"errors":[]}"#),
            "{folder}"
        );
    }
    let mounts = "/v1/sys/internal/ui/mounts";
    for (mount, kind, options) in [
        ("secret", "kv", json!({"version": "2"})),
        ("old", "kv", json!({"version": "1"})),
        ("db", "engine", json!({})),
    ] {
        let data = &server.get(&format!("{mounts}/{mount}/a")).await.json()["data"];
        assert_eq!((&data["type"], &data["options"]), (&json!(kind), &options));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_may_have_been_done_is_not_tried_again_by_clients() {
    let server = serve(&everything(), |settings| {
        settings.timeouts.answer = Duration::from_millis(200);
    });
    for path in ["unclear", "slow"] {
        let reply = send(&server, "POST", &format!("db/{path}"), "{}").await;
        assert_eq!(reply.status, 409, "{path}");
        assert!(
            reply.body.contains("nobody knows whether it was done"),
            "{path}"
        );
    }
    server.store.slow.1.add_permits(1);
    eventually("both have an outcome", async || server.decisions() == 4).await;
    // As Vault's library does by default, and its command when it is told to.
    let mut bao = server.client(tool("bin/bao"));
    bao.args(["write", "db/unclear", "a=b"])
        .env("BAO_MAX_RETRIES", "2");
    let shown = run(&mut bao).await;
    assert_eq!(shown.status.code(), Some(2));
    assert_eq!(server.decisions(), 6, "asked once: {}", text(&shown.stderr));
}

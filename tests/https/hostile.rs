//! Whoever does not speak HTTPS as they should: each ends soon, and others are served meanwhile.

use std::time::{Duration, Instant};

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::client::{Client, request};
use crate::served::Served;

const READ: &str = "GET /v1/secret/data/web/database";
/// More than are slow at once, and not twice as many.
const PLACES: usize = 55;

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_large_or_means_two_things_is_refused_at_once() {
    let served = Served::start().await;
    let session = format!("x-vault-token: {}", served.session(&json!({})).await);
    let long = format!("x-long: {}", "x".repeat(20_000));
    let target = format!("GET /{}", "x".repeat(20_000));
    let many: Vec<_> = (0..80).map(|n| format!("x-{n}: 1")).collect();
    let many: Vec<_> = many.iter().map(String::as_str).collect();
    let body = format!("{{\"data\":{{\"k\":\"{}\"}}}}", "x".repeat(1 << 20));
    let put = "POST /v1/secret/data/web/database";
    let raw = |more: &str, body: &str| {
        format!("{put} HTTP/1.1\r\nhost: x\r\n{session}\r\n{more}\r\n\r\n{body}")
    };
    let read = |more: &str| format!("{READ} HTTP/1.1\r\nhost: x\r\n{session}\r\n{more}\r\n\r\n");
    // What follows each is the next request, should anybody read it as one.
    let second = request("GET /v1/secret/data/production/database", &[&session], "");
    let statuses: &[(&str, String, &[u16])] = &[
        (
            "a long header",
            request(READ, &[&session, &long], ""),
            &[431],
        ),
        (
            "a long target",
            request(&target, &[&session], ""),
            &[414, 431],
        ),
        ("many headers", request(READ, &many, ""), &[431]),
        ("a large body", request(put, &[&session], &body), &[413]),
        (
            "a larger one is announced",
            raw("content-length: 99999999999", ""),
            &[413],
        ),
        (
            "two lengths",
            raw("content-length: 2\r\ncontent-length: 3", "{}"),
            &[400],
        ),
        (
            "a list of lengths",
            raw("content-length: 2, 3", "{}"),
            &[400],
        ),
        (
            "a length that is none",
            raw("content-length: +2", "{}"),
            &[400],
        ),
        ("a negative length", raw("content-length: -2", "{}"), &[400]),
        (
            "an unknown coding",
            raw("transfer-encoding: chunked, gzip", "0\r\n\r\n"),
            &[400, 501],
        ),
        (
            "an obsolete one",
            raw("transfer-encoding: identity\r\ncontent-length: 2", "{}"),
            &[400, 501],
        ),
        (
            "chunked and a length",
            raw(
                "transfer-encoding: chunked\r\ncontent-length: 4",
                "0\r\n\r\n",
            ),
            &[400],
        ),
        (
            "a wrong chunk",
            raw("transfer-encoding: chunked", "zz\r\n"),
            &[400],
        ),
        ("a folded header", read("x-a: 1\r\n 2"), &[400]),
        ("a space before the colon", read("x-a : 1"), &[400]),
        ("a bare return", read("x-a: 1\rx-b: 2"), &[400]),
        ("a null", read("x-a: 1\0"), &[400]),
        (
            "another version",
            "GET / HTTP/3.0\r\nhost: x\r\n\r\n".to_owned(),
            &[400, 505],
        ),
        ("garbage", "\u{1}\u{2}\u{3}\r\n\r\n".to_owned(), &[400]),
    ];
    for (what, text, wanted) in statuses {
        let start = Instant::now();
        let mut client = served.connect().await;
        // It may be refused, and closed, before all is sent.
        client.send(text.as_bytes()).await.ok();
        client.send(second.as_bytes()).await.ok();
        let answer = client.answer().await.expect(what);
        assert!(wanted.contains(&answer.status), "{what}: {answer:?}");
        assert!(!answer.body.contains("pw-7f3a"), "{what}: {answer:?}");
        let next = client.answer().await;
        assert!(next.is_none(), "{what}: what follows is answered: {next:?}");
        assert!(start.elapsed() < Duration::from_secs(8), "{what}");
    }
    // All that is right is answered, with another behind it.
    let mut client = served.connect().await;
    let both = request(READ, &[&session], "").repeat(2);
    client.send(both.as_bytes()).await.unwrap();
    for _ in 0..2 {
        assert_eq!(client.answer().await.unwrap().status, 200);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_slow_is_ended_and_others_are_served() {
    let limit = format!("[limits]\nconnections_per_user = {PLACES}\n");
    let served = Served::with(&limit, "").await;
    let session = served.session(&json!({})).await;
    let header = format!("x-vault-token: {session}");
    let start = Instant::now();
    // No TLS at all, half of its beginning, nothing after it, half a head, half a body; of each a few.
    let mut plain = vec![];
    for _ in 0..10 {
        let address = ("127.0.0.1", served.port);
        plain.push(TcpStream::connect(address).await.unwrap());
        let mut half = TcpStream::connect(address).await.unwrap();
        half.write_all(&[22, 3, 1, 2, 0, 1]).await.unwrap();
        plain.push(half);
    }
    let (mut silent, mut heads, mut bodies) = (vec![], vec![], vec![]);
    for _ in 0..10 {
        silent.push(served.connect().await);
        let mut head = served.connect().await;
        head.send(b"GET /v1/secret/data/w").await.unwrap();
        heads.push(head);
        let mut body = served.connect().await;
        let begin = b"POST /v1/auth/jwt/login HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n{";
        body.send(begin).await.unwrap();
        bodies.push(body);
    }
    let soon = Instant::now();
    assert_eq!(served.ask(READ, &[&header], "").await.status, 200);
    assert!(
        soon.elapsed() < Duration::from_secs(5),
        "{:?}",
        soon.elapsed()
    );
    for mut stream in plain {
        let mut rest = vec![];
        let read = stream.read_to_end(&mut rest);
        let ended = tokio::time::timeout(Duration::from_secs(30), read).await;
        assert!(ended.is_ok(), "a connection without TLS stays");
    }
    for mut body in bodies {
        assert_eq!(body.answer().await.unwrap().status, 408);
        assert!(body.answer().await.is_none());
    }
    let refused = ("token".to_owned(), "malformed".to_owned());
    assert_eq!(served.refused(), vec![refused; 10]);
    for mut head in heads {
        if let Some(answer) = head.answer().await {
            assert_eq!(answer.status, 408, "{answer:?}");
        }
    }
    for mut silent in silent {
        assert!(silent.answer().await.is_none(), "nothing was asked");
    }
    assert!(
        start.elapsed() < Duration::from_secs(50),
        "{:?}",
        start.elapsed()
    );
    // Every place is free again: none of these has to make room for another.
    let mut whole = vec![];
    for _ in 0..PLACES {
        whole.push(served.connect().await);
    }
    for client in &mut whole {
        assert_eq!(client.ask(READ, &[&header], "").await.status, 200);
    }
    let counted = tokio::task::block_in_place(|| served.metrics());
    let shed = |line: &str| line.starts_with("vaultgram_socket_shed_total ");
    let shed = counted.lines().find(|line| shed(line));
    assert!(counted.contains("# TYPE"), "{counted}");
    assert!(shed.is_none_or(|line| line.ends_with(" 0")), "{shed:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn plain_http_and_garbage_get_nothing() {
    let served = Served::start().await;
    for text in [
        b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n".to_vec(),
        b"SSH-2.0-OpenSSH_9.9\r\n".to_vec(),
        vec![0x80; 4096],
    ] {
        let start = Instant::now();
        let mut stream = TcpStream::connect(("127.0.0.1", served.port))
            .await
            .unwrap();
        stream.write_all(&text).await.unwrap();
        let mut said = vec![];
        let read = stream.read_to_end(&mut said);
        // It may end in a reset, with what was not read.
        drop(
            tokio::time::timeout(Duration::from_secs(20), read)
                .await
                .unwrap(),
        );
        assert!(start.elapsed() < Duration::from_secs(5));
        assert!(!said.starts_with(b"HTTP"), "{said:?}");
    }
    assert_eq!(served.ask("GET /healthz", &[], "").await.status, 200);
}

/// TLS has a buffer of its own: what waits there must not wait for ever. How much the kernel takes is
/// not known, so of many connections some end just there, and some long before.
#[tokio::test(flavor = "multi_thread")]
async fn whoever_asks_and_reads_nothing_is_ended() {
    let served = Served::start().await;
    served
        .bao
        .put("web/big", &json!({"k": "x".repeat(200_000)}));
    let session = format!("x-vault-token: {}", served.session(&json!({})).await);
    let read = "GET /v1/secret/data/web/big";
    let (one, last) = (
        request(read, &[&session], ""),
        request(read, &[&session, "connection: close"], ""),
    );
    // Those that vaultgram has not closed; it has others, to OpenBao.
    let local = format!(":{:04X}", served.port);
    let open = || {
        let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
        let fields = table
            .lines()
            .map(|line| line.split_whitespace().collect::<Vec<_>>());
        fields
            .filter(|it| it[1].ends_with(&local) && it[3] == "01")
            .count()
    };
    let trust = served.trust();
    let mut deaf = vec![];
    for answers in (0..60).step_by(2) {
        let mut client = Client::narrow(served.port, &trust).await;
        let asked = one.repeat(answers) + &last;
        client.send(asked.as_bytes()).await.unwrap();
        deaf.push(client);
    }
    let start = Instant::now();
    while open() > 0 {
        // The time-out of a write, and what a busy machine takes to get there.
        assert!(start.elapsed() < Duration::from_secs(30), "{} stay", open());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(start.elapsed() > Duration::from_secs(5), "none had to wait");
    drop(deaf);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_has_its_share_and_no_more() {
    let served = Served::with(
        "[limits]\nconnections_per_user = 4\nrate_per_user = 20\n",
        "",
    )
    .await;
    let trust = served.trust();
    // All of an address's places are taken by who never asks; the next takes that of the oldest.
    let mut open = vec![];
    for _ in 0..6 {
        open.push(Client::connect(served.port, &trust).await);
    }
    let mut last = open.pop().unwrap();
    assert_eq!(last.ask("GET /healthz", &[], "").await.status, 200);
    let mut first = open.remove(0);
    first
        .send(request("GET /healthz", &[], "").as_bytes())
        .await
        .ok();
    assert!(first.answer().await.is_none());
    // And it asks so often.
    let mut statuses = vec![];
    for _ in 0..80 {
        let answer = last.ask("GET /healthz", &[], "").await;
        if answer.status == 429 {
            assert!(answer.head.contains("retry-after: 1"), "{answer:?}");
        }
        statuses.push(answer.status);
    }
    assert!(statuses.contains(&429), "{statuses:?}");
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(last.ask("GET /healthz", &[], "").await.status, 200);
    let metrics = tokio::task::block_in_place(|| served.run(&["status", "--json"]));
    assert_eq!(metrics.0, 0, "{metrics:?}");
}

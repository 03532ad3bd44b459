//! What a careless or hostile client sends: refused, cut off, never served by accident.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::{
    HUGE, PASSWORD_JSON, PATIENCE, Reply, eventually, ordinary, own_policy, serve, until_closed,
};

const GET: &str = "GET /v1/secret/data/django/database HTTP/1.1\r\nhost: localhost\r\n";

#[tokio::test]
async fn malformed_targets_are_refused_and_never_decided() {
    let server = ordinary();
    for target in [
        "/v1/secret/data/../../sys/health",
        "/v1/secret/data/%2e%2e/x",
        "/v1/secret/data/a%2fb",
        "/v1/secret/data/a%00b",
        "/v1/secret/data/a%E2%80%AEb",
        "/v1/secret/data/a%ff",
        "/v1/secret/data/a%",
        "/v1/secret/data/a//b",
        "/v1/secret/data/django/database?unknown=1",
        "/v1/secret/data/django/database?version=1&version=2",
        "/v1/secret/data/django/database?version=-1",
        "/v1/secret/data/django/database?field=%00",
        "/v1/secret/data/a\u{202e}b",
        "/v1/secret/data/a\0b",
        "/v1/secret/data/a b",
    ] {
        let reply = server.get(target).await;
        assert_eq!(reply.status, 400, "{target:?}: {}", reply.body);
    }
    assert_eq!(server.decisions(), 0);
}

#[tokio::test]
async fn unsupported_headers_are_refused_and_a_token_is_ignored() {
    let server = ordinary();
    let target = "/v1/secret/data/django/database";
    for (header, said) in [
        ("X-Vault-Wrap-TTL: soon\r\n", "X-Vault-Wrap-TTL"),
        (
            "X-Vault-Wrap-TTL: 2\r\nX-Vault-Wrap-TTL: 1\r\n",
            "X-Vault-Wrap-TTL",
        ),
        ("X-Vault-Wrap-Format: jwt\r\n", "X-Vault-Wrap-Format"),
        ("X-Vault-Namespace: team\r\n", "one namespace"),
    ] {
        let reply = server.get_with(target, header).await;
        assert_eq!(reply.status, 400, "{header}");
        assert!(reply.body.contains(said), "{header}: {}", reply.body);
        assert!(!reply.body.contains(PASSWORD_JSON));
    }
    assert_eq!(server.decisions(), 0);
    let headers = "X-Vault-Request: true\r\nX-Vault-Token: bad\r\nX-Vault-Namespace:\r\n";
    assert_eq!(server.get_with(target, headers).await.status, 200);
}

#[tokio::test]
async fn what_is_too_large_is_refused() {
    let server = ordinary();
    let large = "a".repeat(1 << 20);
    let over = "a".repeat(17 << 10);
    for (request, statuses) in [
        (
            format!("GET /v1/secret/data/{large} HTTP/1.1\r\nhost: x\r\n\r\n"),
            [414, 431],
        ),
        (format!("{GET}x: {large}\r\n\r\n"), [431, 431]),
        (format!("{GET}x: {over}\r\n\r\n"), [431, 431]),
        (format!("{GET}{}\r\n", "x: y\r\n".repeat(200)), [431, 431]),
        (
            format!("{GET}content-length: {}\r\n\r\n{large}", large.len()),
            [400, 400],
        ),
        (
            format!("{GET}transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"),
            [400, 400],
        ),
    ] {
        let reply = Reply::parse(&server.raw(&request).await);
        assert!(
            statuses.contains(&reply.status),
            "{}: {}",
            &request[..80],
            reply.status
        );
    }
    assert_eq!(server.decisions(), 0);
    assert_eq!(
        server.get("/v1/secret/data/django/database").await.status,
        200
    );
}

#[tokio::test]
async fn what_is_not_http_is_refused() {
    let server = ordinary();
    for junk in [
        "\0\0\0\0\r\n\r\n",
        "hello\r\n\r\n",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ] {
        let answer = server.raw(junk).await;
        assert!(
            answer.is_empty() || answer.starts_with("HTTP/1.1 400"),
            "{junk:?}: {answer}"
        );
    }
    let smuggled = format!("{GET}content-length: 0\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n");
    assert!(!server.raw(smuggled).await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn a_slow_sender_and_an_idle_connection_are_cut_off() {
    let server = serve(&own_policy(), |settings| {
        settings.timeouts.head = Duration::from_millis(300);
    });
    let mut slow = server.connect().await;
    let sent = async {
        // A byte every 50 ms makes progress, and must not help.
        for byte in GET.bytes().cycle() {
            if slow.write_all(&[byte]).await.is_err() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(PATIENCE, sent).await.expect("cut off");

    let mut idle = server.connect().await;
    idle.write_all(format!("{GET}\r\n").as_bytes())
        .await
        .unwrap();
    let answer = until_closed(&mut idle).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

#[tokio::test]
async fn a_client_that_does_not_read_is_cut_off() {
    let server = serve(&own_policy(), |settings| {
        settings.max_connections = 1;
        settings.timeouts.write = Duration::from_millis(300);
    });
    let mut greedy = server.connect().await;
    let request = GET.replace("django/database", "huge");
    greedy
        .write_all(format!("{request}\r\n").as_bytes())
        .await
        .unwrap();
    // The only slot is free again although the client neither reads nor goes away.
    assert_eq!(server.get("/v1/sys/health").await.status, 200);
    let mut rest = vec![];
    greedy.read_to_end(&mut rest).await.ok();
    assert!(rest.len() < HUGE, "it was cut off, not served");
}

#[tokio::test]
async fn connections_over_the_cap_wait_for_a_slot() {
    let server = serve(&own_policy(), |settings| settings.max_connections = 2);
    let (first, second) = (server.connect().await, server.connect().await);
    let mut third = server.connect().await;
    third
        .write_all(format!("{GET}connection: close\r\n\r\n").as_bytes())
        .await
        .unwrap();
    let early = tokio::time::timeout(Duration::from_millis(300), third.readable()).await;
    assert!(early.is_err(), "answered over the cap");
    drop(first);
    assert!(until_closed(&mut third).await.starts_with("HTTP/1.1 200"));
    drop(second);
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    let server = ordinary();
    let request = |version| {
        let target = format!("database?version={version} ");
        format!("{}\r\n", GET.replace("database ", &target))
    };
    let last = GET.replace("database ", "database?field=user ");
    let sent = format!(
        "{}{}{last}connection: close\r\n\r\n",
        request(1),
        request(9)
    );
    let answer = server.raw(sent).await;
    let place = |text: &str| {
        answer
            .find(text)
            .unwrap_or_else(|| panic!("{text}: {answer}"))
    };
    assert!(place("\"old\"") < place("404 Not Found"));
    assert!(place("404 Not Found") < place("{\"user\":\"django\"}"));
    assert_eq!(answer.matches("HTTP/1.1 ").count(), 3);
}

#[tokio::test]
async fn an_answer_that_takes_too_long_is_given_up() {
    let server = serve(&own_policy(), |settings| {
        settings.timeouts.answer = Duration::from_millis(200);
    });
    let reply = server.get("/v1/secret/data/slow").await;
    assert_eq!(reply.status, 504);
    // The broker still ends what it began, and says so in the audit.
    server.store.slow.1.add_permits(1);
    eventually("an outcome on record", async || server.decisions() == 2).await;
}

#[tokio::test]
async fn a_client_that_goes_away_leaves_an_outcome_on_record() {
    let server = ordinary();
    let mut client = server.connect().await;
    let request = GET.replace("django/database", "slow");
    client
        .write_all(format!("{request}\r\n").as_bytes())
        .await
        .unwrap();
    server.store.slow.0.acquire().await.unwrap().forget();
    drop(client);
    // Long enough for the server to notice.
    tokio::time::sleep(Duration::from_millis(200)).await;
    server.store.slow.1.add_permits(1);
    eventually("an outcome on record", async || server.decisions() == 2).await;
}

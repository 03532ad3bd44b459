//! Each state of the store and each failure has the status and body Vault's clients expect.

use std::sync::atomic::Ordering;

use serde_json::json;
use tokio::io::AsyncWriteExt;
use vaultgram::broker::ports::{Serving, StoreHealth};
use vaultgram::domain::{AuditEvent, Reading};
use vaultgram::http::Limits;

use crate::fairness::{connections_of, limited};
use crate::support::{Reply, ordinary, own_uid, until_closed};

#[tokio::test]
async fn an_answer_has_vaults_envelope_and_headers() {
    let server = ordinary();
    let reply = server
        .get("/v1/secret/data/django/database?version=1")
        .await;
    assert_eq!(reply.status, 200);
    assert!(
        reply.head.contains("content-type: application/json"),
        "{}",
        reply.head
    );
    assert!(
        reply.head.contains("cache-control: no-store"),
        "{}",
        reply.head
    );
    let id = reply.json()["request_id"].as_str().unwrap().to_owned();
    assert_eq!(id.len(), 36);
    let expected = concat!(
        r#""lease_id":"","renewable":false,"lease_duration":0,"data":{"data":{"password":"old"},"#,
        r#""metadata":{"created_time":"2026-01-02T03:04:05.123456789Z","custom_metadata":null,"#,
        r#""deletion_time":"","destroyed":false,"version":1}},"wrap_info":null,"#,
        r#""warnings":null,"auth":null}"#
    );
    assert_eq!(reply.body, format!(r#"{{"request_id":"{id}",{expected}"#));
    let entries = server.audit.entries.lock().unwrap();
    assert!(entries.iter().all(|entry| entry.id.to_string() == id));
    assert!(matches!(
        entries[1].event,
        AuditEvent::Released(Reading {
            version: Some(1),
            ..
        })
    ));
}

#[tokio::test]
async fn failures_have_their_statuses() {
    let server = ordinary();
    for (path, status, said) in [
        ("secret/data/nothing", 404, r#"{"errors":[]}"#),
        (
            "secret/data/django/database?version=9",
            404,
            r#"{"errors":[]}"#,
        ),
        (
            "secret/data/django/database?field=x",
            404,
            "it has: nested, number, password, user",
        ),
        (
            "secret/data/private/key",
            403,
            r#"["1 error occurred:\n\t* permission denied\n\n"]"#,
        ),
        ("team/kv/data/key", 403, "permission denied"),
        ("secret/data/forbidden", 403, "its Vault policy"),
        (
            "secret/data/sealed",
            503,
            r#"{"errors":["Vault is sealed"]}"#,
        ),
        ("secret/data/unavailable", 503, "try again"),
        ("secret/data/invalid", 502, "not what this path should hold"),
        (
            "secret/data/deleted",
            404,
            r#""data":{"data":null,"metadata":{"#,
        ),
        ("secret/subkeys/a", 404, "no handler for this route"),
        ("elsewhere/data/a", 404, "no handler for this route"),
    ] {
        let reply = server.get(&format!("/v1/{path}")).await;
        assert_eq!(reply.status, status, "{path}: {}", reply.body);
        assert!(reply.body.contains(said), "{path}: {}", reply.body);
    }
}

#[tokio::test]
async fn without_an_audit_nothing_is_served() {
    let server = ordinary();
    server.audit.broken.store(true, Ordering::SeqCst);
    for path in ["django/database", "private/key"] {
        let reply = server.get(&format!("/v1/secret/data/{path}")).await;
        assert_eq!(reply.status, 500);
        assert!(
            reply.body.contains("cannot write its audit"),
            "{}",
            reply.body
        );
        assert!(
            !reply.body.contains("disk"),
            "the cause is for the log: {}",
            reply.body
        );
    }
}

#[tokio::test]
async fn health_follows_the_store_and_needs_no_policy() {
    let server = ordinary();
    let ready = StoreHealth::Ready(Serving {
        version: "2.7.2".to_owned(),
        ..Serving::default()
    });
    let logged_out = StoreHealth::LoggedOut {
        reason: "x".to_owned(),
    };
    for (health, query, status, initialized, sealed) in [
        (ready.clone(), "", 200, true, false),
        (ready, "?activecode=204&standbyok=true", 204, true, false),
        (StoreHealth::Sealed, "", 503, true, true),
        (StoreHealth::Sealed, "?sealedcode=299", 299, true, true),
        (StoreHealth::Uninitialized, "", 501, false, true),
        (
            StoreHealth::Uninitialized,
            "?uninitcode=298",
            298,
            false,
            true,
        ),
        (
            StoreHealth::Unreachable {
                reason: String::new(),
            },
            "?sealedcode=200&uninitcode=200",
            503,
            true,
            false,
        ),
        (logged_out, "", 503, true, false),
    ] {
        *server.store.health.lock().unwrap() = health.clone();
        let reply = server.get(&format!("/v1/sys/health{query}")).await;
        assert_eq!(reply.status, status, "{health:?} {query}");
        if status != 204 {
            let body = reply.json();
            assert_eq!(body["initialized"], initialized, "{health:?}");
            assert_eq!(body["sealed"], sealed, "{health:?}");
            assert_eq!(body["store"], health.name());
            assert_eq!(body["performance_standby"], false);
        }
    }
    assert_eq!(server.decisions(), 0);
}

#[tokio::test]
async fn the_seal_is_told_where_it_is_known() {
    let server = ordinary();
    let ready = StoreHealth::Ready(Serving {
        version: "2.7.2".to_owned(),
        ..Serving::default()
    });
    let unreachable = StoreHealth::Unreachable {
        reason: String::new(),
    };
    for (health, known) in [
        (ready, Some((true, false))),
        (StoreHealth::Sealed, Some((true, true))),
        (StoreHealth::Uninitialized, Some((false, true))),
        (unreachable, None),
    ] {
        *server.store.health.lock().unwrap() = health.clone();
        let (seal, init) = ("/v1/sys/seal-status", "/v1/sys/init");
        let (seal, init) = (server.get(seal).await, server.get(init).await);
        let Some((initialized, sealed)) = known else {
            assert_eq!((seal.status, init.status), (503, 503), "{health:?}");
            assert!(seal.body.contains("cannot be reached"), "{}", seal.body);
            continue;
        };
        assert_eq!((seal.status, init.status), (200, 200), "{health:?}");
        assert_eq!(init.json(), json!({ "initialized": initialized }));
        let told = seal.json();
        assert_eq!(
            (&told["initialized"], &told["sealed"], &told["t"]),
            (&json!(initialized), &json!(sealed), &json!(0))
        );
        assert_eq!(told["type"], "vaultgram");
    }
    assert_eq!(server.decisions(), 0);
}

#[tokio::test]
async fn head_is_for_health_only() {
    let server = ordinary();
    let head = |path: &str| {
        format!("HEAD /v1/{path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
    };
    let reply = Reply::parse(&server.raw(head("sys/health")).await);
    assert_eq!((reply.status, reply.body.as_str()), (200, ""));
    let reply = Reply::parse(&server.raw(head("secret/data/django/database")).await);
    assert_eq!((reply.status, reply.body.as_str()), (405, ""));
    assert!(reply.head.contains("allow: get, post"), "{}", reply.head);
    assert_eq!(server.decisions(), 0, "nothing was even asked");
}

#[tokio::test]
async fn mounts_are_told_as_vault_tells_them() {
    let server = ordinary();
    let mounts = "/v1/sys/internal/ui/mounts";
    for (path, mount) in [
        ("secret", "secret/"),
        ("secret/", "secret/"),
        ("secret/a/b", "secret/"),
        ("team/kv/a", "team/kv/"),
        ("other/a?default_mount=true", "secret/"),
    ] {
        let reply = server.get(&format!("{mounts}/{path}")).await;
        let data = &reply.json()["data"];
        assert_eq!(data["path"], mount, "{path}: {}", reply.body);
        assert_eq!(data["options"]["version"], "2");
        assert_eq!(data["type"], "kv");
    }
    let all = server.get("/v1/sys/mounts").await.json();
    for all in [&all, &all["data"]] {
        assert_eq!(all["secret/"]["options"]["version"], "2");
        assert_eq!(all["db/"]["type"], "engine");
    }
    let reply = server.get(&format!("{mounts}/other/a")).await;
    assert_eq!(reply.status, 403);
    // Word for word what OpenBao 2.7.2 answers.
    assert_eq!(
        reply.body,
        r#"{"errors":["preflight capability check returned 403, please ensure client's policies grant access to path \"other/a/\""]}"#
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn capabilities_of_our_own_paths_are_told_by_who_asks() {
    let server = limited(Limits::of(64));
    let paths = [
        "vaultgram/unlock",
        "vaultgram/collect/CODE",
        "vaultgram/leases",
        "secret/data/private/key",
    ];
    let body = json!({ "paths": paths }).to_string();
    let request = format!(
        "POST /v1/sys/capabilities-self HTTP/1.1\r\nhost: localhost\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut told = vec![("update", Reply::parse(&server.raw(&request).await))];
    if own_uid() == 0 {
        let mut other = connections_of(65_534, &server.path, 1).remove(0);
        other.write_all(request.as_bytes()).await.unwrap();
        told.push(("deny", Reply::parse(&until_closed(&mut other).await)));
    }
    for (unlock, reply) in told {
        let may = [unlock, "update", "read", "deny"];
        for (path, may) in paths.iter().zip(may) {
            assert_eq!(reply.json()["data"][path], json!([may]), "{path}");
        }
    }
}

//! The paths for probes: who lives, who can serve, and what is wrong where nobody can.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use async_trait::async_trait;
use serde_json::{Value, json};
use time::OffsetDateTime;
use vaultgram::broker::ports::{Cluster, ClusterView, Replica, Serving, StoreHealth, StoreNode};

use crate::support::{Server, ordinary, run};

/// The check `name` of `/health`, and the status and state of the whole.
async fn check(server: &Server, name: &str) -> (u16, String, Value) {
    let reply = server.get("/health").await;
    let report = reply.json();
    let checks = report["checks"].as_array().unwrap().clone();
    let check = checks.into_iter().find(|check| check["name"] == name);
    let state = report["state"].as_str().unwrap().to_owned();
    assert_eq!(report["ready"], reply.status == 200, "{report}");
    (reply.status, state, check.unwrap())
}

#[tokio::test]
async fn all_is_well_where_all_is_well() {
    let server = ordinary();
    let reply = server.get("/healthz").await;
    assert_eq!((reply.status, reply.body.as_str()), (200, "alive\n"));
    let reply = server.get("/readyz").await;
    assert_eq!((reply.status, reply.body.as_str()), (200, "ready\n"));
    assert!(
        reply.head.contains("content-type: text/plain"),
        "{}",
        reply.head
    );
    for (name, text) in [
        ("vault", "ready, version 2.7.2"),
        ("state", "answers"),
        ("audit", "writable"),
        ("policy", "1 policy"),
    ] {
        let (status, state, check) = check(&server, name).await;
        assert_eq!((status, state.as_str()), (200, "ok"));
        assert_eq!(
            (check["state"].as_str(), check["text"].as_str()),
            (Some("ok"), Some(text))
        );
    }
    assert_eq!(server.decisions(), 0, "a look leaves nothing on record");
}

#[tokio::test]
async fn without_vault_the_audit_or_the_state_nobody_is_ready_and_all_live() {
    let server = ordinary();
    let healths = [
        StoreHealth::Sealed,
        StoreHealth::Uninitialized,
        StoreHealth::LoggedOut {
            reason: "the role is unknown".to_owned(),
        },
        StoreHealth::Unreachable {
            reason: "connection refused".to_owned(),
        },
    ];
    for health in healths {
        *server.store.health.lock().unwrap() = health.clone();
        let (status, state, vault) = check(&server, "vault").await;
        assert_eq!((status, state.as_str()), (503, "down"), "{vault}");
        let reply = server.get("/readyz").await;
        let said = format!("vault: {}", health.name());
        assert_eq!(reply.status, 503);
        assert!(
            reply.body.starts_with("not ready\n") && reply.body.contains(&said),
            "{}",
            reply.body
        );
        assert_eq!(server.get("/healthz").await.status, 200);
    }
    *server.store.health.lock().unwrap() = StoreHealth::Ready(Serving::default());
    assert_eq!(server.get("/readyz").await.status, 200);

    server.audit.broken.store(true, Ordering::SeqCst);
    let (status, _, audit) = check(&server, "audit").await;
    assert_eq!(status, 503);
    assert!(
        !audit.to_string().contains("disk"),
        "the cause is for the log: {audit}"
    );
    server.audit.broken.store(false, Ordering::SeqCst);
    assert_eq!(server.get("/readyz").await.status, 200);

    server.coordination.break_down();
    assert_eq!(check(&server, "state").await.0, 503);
    assert_eq!(
        server.get("/readyz").await.body,
        "not ready\nstate: does not answer; the log says why\n"
    );
    assert_eq!(server.get("/healthz").await.status, 200);
}

/// Where a disk is full, an audit that is given nothing fails not.
#[tokio::test]
async fn a_record_that_was_not_written_counts_for_a_while() {
    let server = ordinary();
    let get = "/v1/secret/data/django/database";
    server.audit.full.store(true, Ordering::SeqCst);
    assert_eq!(server.get("/readyz").await.status, 200, "nobody knows yet");
    assert_eq!(server.get(get).await.status, 500);
    assert_eq!(check(&server, "audit").await.0, 503);
    server.audit.full.store(false, Ordering::SeqCst);
    assert_eq!(server.get("/readyz").await.status, 503);
    assert_eq!(server.get(get).await.status, 200);
    assert_eq!(server.get("/readyz").await.status, 200);
}

#[tokio::test]
async fn clocks_apart_are_no_reason_not_to_serve() {
    let server = ordinary();
    *server.store.health.lock().unwrap() = StoreHealth::Ready(Serving {
        drift: 90,
        ..Serving::default()
    });
    let (status, state, vault) = check(&server, "vault").await;
    assert_eq!((status, state.as_str()), (200, "degraded"));
    assert!(vault["text"].as_str().unwrap().contains("90 s ahead"));
    assert_eq!(server.get("/readyz").await.status, 200);
}

#[tokio::test]
async fn since_when_is_kept_while_nothing_changes() {
    let server = ordinary();
    let since = || async { check(&server, "vault").await.2["since"].clone() };
    let first = since().await;
    tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
    assert_eq!(since().await, first);
    *server.store.health.lock().unwrap() = StoreHealth::Sealed;
    let sealed = since().await;
    assert_ne!(sealed, first);
    tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
    assert_eq!(since().await, sealed);
}

/// Two replicas on one server that does not answer.
struct Pair;

#[async_trait]
impl Cluster for Pair {
    async fn view(&self) -> ClusterView {
        let replica = |name: &str, this| Replica {
            name: name.to_owned(),
            this,
            version: "0.1.0".to_owned(),
            since: OffsetDateTime::UNIX_EPOCH,
            policy: "3f9a".to_owned(),
            telegram: None,
            answered: 7,
            last: Some("telegram-1001-5".to_owned()),
            leases: 0,
        };
        ClusterView {
            replicas: vec![replica("a", true), replica("b", false)],
            nodes: vec![StoreNode {
                endpoint: "https://etcd-1:2379".to_owned(),
                said: Err("connection\nrefused".to_owned()),
            }],
            alarms: vec![],
        }
    }
}

#[tokio::test]
async fn replicas_are_told_of_where_there_are_any() {
    let server = ordinary();
    assert_eq!(server.get("/cluster").await.status, 404);
    server.broker.join(Arc::new(Pair));
    let reply = server.get("/cluster").await;
    assert_eq!(reply.status, 200);
    let report = reply.json();
    assert_eq!(report["replicas"][0]["this"], true);
    assert_eq!(report["replicas"][1]["name"], "b");
    assert_eq!(report["replicas"][1]["since"], "1970-01-01T00:00:00Z");
    assert_eq!(report["replicas"][1]["last"], "telegram-1001-5");
    let problem = report["nodes"][0]["problem"].as_str().unwrap();
    assert!(!problem.contains('\n'), "{problem}");
    let worries = json!([
        "0 of 1 etcd servers answer",
        "no etcd server that answers leads"
    ]);
    assert_eq!(report["worries"], worries);
    assert_eq!(server.decisions(), 0, "a look leaves nothing on record");
}

#[tokio::test]
async fn only_what_is_served_is_served() {
    let server = ordinary();
    for (target, status) in [
        ("/health/", 404),
        ("/healthz/x", 404),
        ("/", 404),
        ("/v1/readyz", 404),
        ("/readyz?verbose", 400),
    ] {
        assert_eq!(server.get(target).await.status, status, "{target}");
    }
    assert_eq!(server.post("/healthz").await.status, 405);
    let head = server
        .raw("HEAD /readyz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
        .await;
    assert!(head.starts_with("HTTP/1.1 200") && head.ends_with("\r\n\r\n"));
}

/// As a probe of Kubernetes or a load balancer's script does it.
#[tokio::test]
async fn curl_knows_by_its_exit_code() {
    let server = ordinary();
    let probe = || {
        let mut curl = server.client("curl");
        curl.args(["--silent", "--fail", "--unix-socket"])
            .arg(&server.path)
            .arg("http://localhost/readyz");
        curl
    };
    assert!(run(&mut probe()).await.status.success());
    *server.store.health.lock().unwrap() = StoreHealth::Sealed;
    assert_eq!(run(&mut probe()).await.status.code(), Some(22));
}

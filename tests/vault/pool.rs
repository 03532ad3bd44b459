//! Connections are kept, and noticed when they have died meanwhile.

use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use serde_json::json;
use tokio::task::JoinSet;
use vaultgram::broker::ports::{SecretStore, StoreError};

use crate::openbao::OpenBao;
use crate::wires::{Act, answer, scripted};
use crate::world::{World, error, field, permit, settings, static_token};

const SECRET: &str = r#"{"data":{"data":{"k":"v"},"metadata":{"created_time":"T","deletion_time":"","destroyed":false,"version":1}}}"#;

fn serve() -> Vec<Act> {
    vec![Act::Send(answer(SECRET))]
}

#[tokio::test(flavor = "multi_thread")]
async fn one_connection_serves_one_after_the_other() {
    let server = scripted(|_| serve()).await;
    let world = World::start(settings(server.address.clone(), static_token("s.any")));
    for _ in 0..20 {
        assert!(world.read("app").await.is_ok());
    }
    assert_eq!(server.connections.load(SeqCst), 1);
    assert_eq!(server.ended.load(SeqCst), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_at_once_keep_no_more_connections_than_they_need() {
    let server = scripted(|_| serve()).await;
    let world = World::start(settings(server.address.clone(), static_token("s.any")));
    world.read("app").await.err();
    for _ in 0..2 {
        let mut reads = JoinSet::new();
        for _ in 0..100 {
            let store = world.store.clone();
            reads.spawn(async move { store.read(&permit("secret", "app", None)).await.is_ok() });
        }
        assert!(reads.join_all().await.into_iter().all(|read| read));
    }
    let connections = server.connections.load(SeqCst);
    assert!(connections <= 65, "{connections}");
}

#[tokio::test(flavor = "multi_thread")]
async fn reads_go_on_over_a_restart() {
    let mut bao = OpenBao::start();
    bao.put("app", &json!({"k": "v"}));
    let world = World::start(settings(bao.address(), static_token(bao.root())));
    for _ in 0..3 {
        assert!(world.read("app").await.is_ok());
        bao.kill();
        bao.restart_sealed();
        bao.unseal();
    }
    assert!(world.read("app").await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_is_sent_again_where_its_connection_died_and_a_write_is_not() {
    // 0 is answered; 1 and 3 are not, on a connection that had served.
    let server = scripted(|number| match number {
        1 | 3 => vec![Act::Close],
        _ => serve(),
    })
    .await;
    let world = World::start(settings(server.address.clone(), static_token("s.any")));
    assert!(world.read("app").await.is_ok());
    assert!(world.read("app").await.is_ok(), "1 was lost, 2 answered");
    assert_eq!(server.requests.load(SeqCst), 3);
    let target = permit("secret", "app", None);
    let change = [field("k", r#""w""#)];
    let outcome = world.store.patch(&target, &change, Some(1)).await;
    assert_eq!(error(outcome), StoreError::Unclear);
    assert_eq!(server.requests.load(SeqCst), 4, "a write is sent once");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_read_may_make_is_not_made_twice_nor_said_to_be_undone() {
    // 0 is the mount's; what is lost is lost on a connection that had served.
    let server = scripted(|number| match number {
        0 => vec![Act::Send(answer(r#"{"data":{"type":"database"}}"#))],
        1 | 3 | 5 => vec![Act::Close],
        _ => serve(),
    })
    .await;
    let world = World::start(settings(server.address.clone(), static_token("s.any")));
    let creds = permit("database", "creds/app", None);
    assert_eq!(error(world.store.read(&creds).await), StoreError::Unclear);
    assert_eq!(server.requests.load(SeqCst), 2, "one lease at most");
    assert!(world.read("app").await.is_ok());
    let ttl = Duration::from_mins(1);
    let wrapped = world.store.wrap(&creds, ttl).await;
    assert_eq!(error(wrapped), StoreError::Unclear);
    assert_eq!(server.requests.load(SeqCst), 4, "one lease at most");
    assert!(world.read("app").await.is_ok());
    let lost = world.store.list(&permit("database", "roles", None)).await;
    assert_eq!(error(lost), StoreError::Invalid, "5 was lost, 6 answered");
    assert_eq!(server.requests.load(SeqCst), 7, "a list is sent again");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_slow_answer_costs_no_other_connection() {
    // 0 and 1 at once, on two connections; then 2 is late on one of them.
    let server = scripted(|number| match number {
        0 | 1 => vec![
            Act::Wait(Duration::from_millis(300)),
            Act::Send(answer(SECRET)),
        ],
        2 => vec![Act::Wait(Duration::from_mins(1))],
        _ => serve(),
    })
    .await;
    let mut settings = settings(server.address.clone(), static_token("s.any"));
    settings.request_timeout = Duration::from_secs(1);
    let world = World::start(settings);
    let (one, two) = tokio::join!(world.read("app"), world.read("app"));
    assert!(one.is_ok() && two.is_ok());
    let connections = server.connections.load(SeqCst);
    assert_eq!(error(world.read("app").await), StoreError::Unavailable);
    assert!(world.read("app").await.is_ok());
    assert_eq!(server.connections.load(SeqCst), connections);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_first_answer_that_does_not_come_is_not_asked_for_again() {
    let server = scripted(|_| vec![Act::Close]).await;
    let mut settings = settings(server.address.clone(), static_token("s.any"));
    settings.request_timeout = Duration::from_secs(2);
    let world = World::start(settings);
    world.read("app").await.err();
    let (before, asked) = (
        server.connections.load(SeqCst),
        server.requests.load(SeqCst),
    );
    assert_eq!(error(world.read("app").await), StoreError::Unavailable);
    assert_eq!(server.connections.load(SeqCst), before + 1);
    assert_eq!(server.requests.load(SeqCst), asked + 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_that_nobody_waits_for_ends_its_connection() {
    let server = scripted(|number| match number {
        0 => vec![
            Act::Send(answer(SECRET)[..60].to_vec()),
            Act::Wait(Duration::from_mins(1)),
        ],
        _ => serve(),
    })
    .await;
    let world = World::start(settings(server.address.clone(), static_token("s.any")));
    let store = world.store.clone();
    let mut reads = JoinSet::new();
    reads.spawn(async move { store.read(&permit("secret", "app", None)).await.is_ok() });
    while server.requests.load(SeqCst) == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    reads.shutdown().await;
    let ended = async {
        while server.ended.load(SeqCst) == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let ended = tokio::time::timeout(Duration::from_secs(5), ended).await;
    assert!(ended.is_ok(), "the connection is still open");
    assert!(world.read("app").await.is_ok());
}

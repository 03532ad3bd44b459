//! Vault sealed, down, killed or silent: said at once, and over by itself.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;
use vaultgram::broker::ports::{SecretStore, StoreError, StoreHealth};
use vaultgram::vault::{Auth, Method, SecretId};

use crate::openbao::OpenBao;
use crate::wires::{Act, Gate, answer, black_hole, endless_answers, scripted};
use crate::world::{World, app_role, by_app_role, error, secret, settings, static_token};

#[tokio::test(flavor = "multi_thread")]
async fn sealed_at_start_and_again_later() {
    let bao = OpenBao::start();
    bao.put("app", &json!({"k": "v"}));
    let auth = app_role(&bao, "sealed", &json!({}));
    bao.seal();
    let world = World::start(settings(bao.address(), auth));
    assert_eq!(error(world.read("app").await), StoreError::Sealed);
    assert_eq!(world.store.health().await, StoreHealth::Sealed);
    bao.unseal();
    world.ready().await;
    assert!(world.read("app").await.is_ok());

    bao.seal();
    assert_eq!(error(world.read("app").await), StoreError::Sealed);
    bao.unseal();
    world.ready().await;
    assert!(world.read("app").await.is_ok());
    assert_eq!(
        bao.tokens_of("sealed").len(),
        1,
        "an outage must not cost a login"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn not_initialised_is_said() {
    let mut bao = OpenBao::start();
    let world = World::start(settings(bao.address(), static_token("s.any")));
    bao.kill();
    bao.forget_everything();
    bao.restart_sealed();
    world
        .wait_for("uninitialized", |health| {
            *health == StoreHealth::Uninitialized
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn down_at_start() {
    let mut bao = OpenBao::start();
    bao.put("app", &json!({"k": "v"}));
    let auth = app_role(&bao, "down", &json!({}));
    bao.kill();
    let world = World::start(settings(bao.address(), auth));
    assert_eq!(error(world.read("app").await), StoreError::Unavailable);
    assert_eq!(world.store.health().await.name(), "unreachable");
    bao.restart_sealed();
    bao.unseal();
    world.ready().await;
    assert!(world.read("app").await.is_ok());
}

/// The longest a recovery may take.
const RECOVERY: Duration = Duration::from_secs(2);

/// Waits until reads work again; says how long that took.
async fn recovered(world: &World) -> Duration {
    let start = Instant::now();
    while world.read("app").await.is_err() {
        assert!(start.elapsed() < crate::world::PATIENCE);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    start.elapsed()
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_for_longer_than_the_token_lives() {
    let mut bao = OpenBao::start();
    bao.put("app", &json!({"k": "v"}));
    let auth = app_role(&bao, "killed", &json!({"token_period": "2s"}));
    let world = World::start(settings(bao.address(), auth));
    assert!(world.read("app").await.is_ok());
    bao.kill();
    let killed = Instant::now();
    // Long enough for the longest waits between tries.
    while killed.elapsed() < Duration::from_secs(10) {
        assert_eq!(error(world.read("app").await), StoreError::Unavailable);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    bao.restart_sealed();
    bao.unseal();
    let took = recovered(&world).await;
    assert!(took < RECOVERY, "{took:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_auth_mount_that_is_gone_for_a_while() {
    let bao = OpenBao::start();
    bao.put("app", &json!({"k": "v"}));
    let auth = app_role(&bao, "homeless", &json!({"token_period": "1h"}));
    let Auth::Method {
        method: Method::AppRole { role_id, .. },
        ..
    } = auth
    else {
        panic!("not an AppRole");
    };
    let secret_id = "11111111-2222-3333-4444-555555555555";
    let own = "auth/approle/role/homeless/custom-secret-id";
    let custom = json!({"secret_id": secret_id});
    bao.must("POST", own, &custom);
    let auth = by_app_role(role_id.clone(), SecretId::Plain(secret(secret_id)));
    let world = World::start(settings(bao.address(), auth));
    assert!(world.read("app").await.is_ok());
    // Its tokens go with it.
    bao.must("DELETE", "sys/auth/approle", &Value::Null);
    let gone = Instant::now();
    while gone.elapsed() < Duration::from_secs(10) {
        assert_eq!(error(world.read("app").await), StoreError::LoggedOut);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    bao.must("POST", "sys/auth/approle", &json!({"type": "approle"}));
    let role = json!({"token_policies": "homeless", "token_period": "1h"});
    bao.role("homeless", &role);
    let id = json!({"role_id": role_id});
    bao.must("POST", "auth/approle/role/homeless/role-id", &id);
    bao.must("POST", own, &custom);
    let took = recovered(&world).await;
    assert!(took < RECOVERY, "{took:?}");
    assert_eq!(bao.tokens_of("homeless").len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_falls_silent_is_given_up_in_time() {
    let bao = OpenBao::start();
    bao.put("app", &json!({"k": "v"}));
    let gate = Gate::open_to(bao.socket()).await;
    let mut settings = settings(gate.address(), app_role(&bao, "silent", &json!({})));
    settings.request_timeout = Duration::from_secs(1);
    let world = World::start(settings);
    world.ready().await;
    gate.shut();
    let start = Instant::now();
    assert_eq!(error(world.read("app").await), StoreError::Unavailable);
    assert!(start.elapsed() >= Duration::from_secs(1));
    assert!(
        start.elapsed() < Duration::from_secs(3),
        "{:?}",
        start.elapsed()
    );
    world
        .wait_for("unreachable", |health| {
            matches!(health, StoreHealth::Unreachable { .. })
        })
        .await;
    gate.open();
    assert!(world.read("app").await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn silence_from_the_start_and_a_black_hole_are_given_up_in_time() {
    let bao = OpenBao::start();
    let gate = Gate::open_to(bao.socket()).await;
    gate.shut();
    let hole = black_hole();
    for address in [gate.address(), hole.address()] {
        let mut settings = settings(address, static_token(bao.root()));
        settings.request_timeout = Duration::from_secs(1);
        let world = World::start(settings);
        let start = Instant::now();
        assert_eq!(error(world.read("app").await), StoreError::Unavailable);
        assert_eq!(world.store.health().await.name(), "unreachable");
        assert!(
            start.elapsed() < Duration::from_secs(5),
            "{:?}",
            start.elapsed()
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_stands_in_for_vault_refuses_no_login() {
    for refusal in [
        "HTTP/1.1 404 Not Found\r\nContent-Length: 13\r\n\r\n{\"errors\":[]}",
        "HTTP/1.1 403 Forbidden\r\nContent-Length: 6\r\n\r\n<html>",
    ] {
        let server = scripted(move |_| vec![Act::Send(refusal.into())]).await;
        let auth = by_app_role("role".to_owned(), SecretId::Plain(secret("id")));
        let world = World::start(settings(server.address.clone(), auth));
        assert_eq!(error(world.read("app").await), StoreError::Unavailable);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn while_nobody_leads_it_asks_again() {
    const SAID: &str = r#"{"errors":["local node not active but active cluster node not found"]}"#;
    let length = SAID.len();
    let leaderless =
        format!("HTTP/1.1 500 Internal Server Error\r\nContent-Length: {length}\r\n\r\n{SAID}");
    let found = r#"{"data":{"data":{"k":"v"},"metadata":{"version":1,"created_time":"2026-11-29T03:09:48Z","deletion_time":"","destroyed":false,"custom_metadata":null}}}"#;
    for (elections, served) in [(2, true), (usize::MAX, false)] {
        let leaderless = leaderless.clone();
        let server = scripted(move |number| {
            let leads = number >= elections;
            vec![Act::Send(if leads {
                answer(found)
            } else {
                leaderless.clone().into()
            })]
        })
        .await;
        let mut settings = settings(server.address.clone(), static_token("s.any"));
        settings.request_timeout = Duration::from_secs(3);
        let world = World::start(settings);
        let start = Instant::now();
        let read = world.read("app").await;
        assert_eq!(read.is_ok(), served, "{elections}");
        assert!(start.elapsed() < Duration::from_secs(4));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endless_answer_is_cut_off() {
    let address = endless_answers().await;
    let world = World::start(settings(address, static_token("s.any")));
    let start = Instant::now();
    assert_eq!(error(world.read("app").await), StoreError::Unavailable);
    assert!(
        start.elapsed() < Duration::from_secs(5),
        "by size, not by time"
    );
    assert_eq!(world.store.health().await.name(), "unreachable");
}

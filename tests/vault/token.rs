//! Staying logged in: renewal, maximum age, revocation, stopping.

use std::time::Duration;

use futures_util::future::join_all;
use serde_json::json;
use tokio::time::Instant;
use vaultgram::broker::ports::{StoreError, StoreHealth};
use vaultgram::vault::SecretId;

use crate::openbao::OpenBao;
use crate::world::{
    World, app_role, app_role_with, by_app_role, error, logged_out, secret, settings, static_token,
};

/// Reads until `duration` has passed; every read must succeed.
async fn read_for(world: &World, duration: Duration) {
    let start = Instant::now();
    while start.elapsed() < duration {
        let at = start.elapsed();
        if let Err(error) = world.read("app").await {
            panic!("after {at:?}: {error}");
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_short_lease_is_renewed_with_the_same_token() {
    let bao = OpenBao::start();
    bao.put("app", &json!({"k": "v"}));
    // The secret_id works once: a second login would fail.
    let auth = app_role(
        &bao,
        "short",
        &json!({"token_period": "4s", "secret_id_num_uses": 1}),
    );
    let world = World::start(settings(bao.address(), auth));
    read_for(&world, Duration::from_secs(11)).await;
    assert_eq!(bao.tokens_of("short").len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_given_token_is_renewed_too() {
    let bao = OpenBao::start();
    bao.put("app", &json!({"k": "v"}));
    let token = bao.token(&json!({"period": "4s"}));
    let world = World::start(settings(bao.address(), static_token(&token)));
    read_for(&world, Duration::from_secs(9)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_maximum_age_is_met_by_a_fresh_login_without_a_failed_read() {
    let bao = OpenBao::start();
    bao.put("app", &json!({"k": "v"}));
    let settings_of_role = json!({"token_ttl": "3s", "token_max_ttl": "4s"});
    let auth = app_role(&bao, "ageing", &settings_of_role);
    let world = World::start(settings(bao.address(), auth));
    let mut at_once = 0;
    for _ in 0..25 {
        read_for(&world, Duration::from_millis(500)).await;
        at_once = at_once.max(bao.tokens_of("ageing").len());
    }
    assert!(at_once >= 2, "each token was replaced only after its end");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_token_which_cannot_be_renewed_is_replaced() {
    let bao = OpenBao::start();
    bao.put("app", &json!({"k": "v"}));
    let auth = app_role(
        &bao,
        "batch",
        &json!({"token_type": "batch", "token_ttl": "3s"}),
    );
    let world = World::start(settings(bao.address(), auth));
    read_for(&world, Duration::from_secs(8)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_token_is_replaced_once_however_many_reads_notice() {
    let bao = OpenBao::start();
    bao.put("app", &json!({"k": "v"}));
    let auth = app_role(&bao, "revoked", &json!({"token_period": "1h"}));
    let world = World::start(settings(bao.address(), auth));
    world.ready().await;
    for _ in 0..3 {
        bao.revoke_tokens_of("revoked");
        let reads = join_all((0..32).map(|_| world.read("app"))).await;
        assert!(reads.iter().all(Result::is_ok));
        assert_eq!(bao.tokens_of("revoked").len(), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_leave_to_look_itself_up_a_refused_path_costs_no_login() {
    let bao = OpenBao::start();
    let rules = r#"path "secret/data/app" { capabilities = ["read"] }"#;
    let auth = app_role_with(&bao, "narrow", rules, &json!({}));
    let world = World::start(settings(bao.address(), auth));
    for _ in 0..5 {
        assert_eq!(error(world.read("other").await), StoreError::Forbidden);
    }
    assert_eq!(bao.tokens_of("narrow").len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_given_token_that_is_revoked_cannot_be_replaced_and_health_says_so() {
    let bao = OpenBao::start();
    bao.put("app", &json!({"k": "v"}));
    let token = bao.token(&json!({"ttl": "1h"}));
    let world = World::start(settings(bao.address(), static_token(&token)));
    assert!(world.read("app").await.is_ok());
    bao.must("POST", "auth/token/revoke", &json!({ "token": token }));
    assert_eq!(error(world.read("app").await), StoreError::Unavailable);
    let reason = logged_out(&world.store).await;
    assert!(reason.contains("configure a new one"), "{reason}");
    assert!(!reason.contains(&token));
    assert_eq!(error(world.read("app").await), StoreError::Unavailable);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_given_token_that_expires_unread_is_noticed() {
    let bao = OpenBao::start();
    let token = bao.token(&json!({"ttl": "3s", "renewable": false}));
    let world = World::start(settings(bao.address(), static_token(&token)));
    world.ready().await;
    world
        .wait_for("logged out", |health| {
            matches!(health, StoreHealth::LoggedOut { .. })
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn refused_credentials_are_explained() {
    let bao = OpenBao::start();
    let (role_id, _) = bao.role("mistyped", &json!({}));
    let wrong = by_app_role(role_id, SecretId::Plain(secret("wrong-secret-id")));
    for (auth, advice) in [
        (wrong, "check role_id, VAULT_SECRET_ID, auth_mount"),
        (static_token("s.mistyped"), "configure a new one"),
    ] {
        let world = World::start(settings(bao.address(), auth));
        assert_eq!(error(world.read("app").await), StoreError::Unavailable);
        let reason = logged_out(&world.store).await;
        assert!(reason.contains(advice), "{reason}");
        assert!(!reason.contains("wrong-secret-id") && !reason.contains("s.mistyped"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_revokes_the_token_of_a_login_and_leaves_a_given_one() {
    let bao = OpenBao::start();
    bao.put("app", &json!({"k": "v"}));
    let auth = app_role(&bao, "stopping", &json!({}));
    let mut world = World::start(settings(bao.address(), auth));
    assert!(world.read("app").await.is_ok());
    assert_eq!(bao.tokens_of("stopping").len(), 1);
    world.stop().await;
    assert_eq!(bao.tokens_of("stopping").len(), 0);
    assert_eq!(error(world.read("app").await), StoreError::Unavailable);
    assert_eq!(
        bao.tokens_of("stopping").len(),
        0,
        "a read after the stop logged in"
    );

    let token = bao.token(&json!({"ttl": "1h"}));
    let mut world = World::start(settings(bao.address(), static_token(&token)));
    assert!(world.read("app").await.is_ok());
    world.stop().await;
    bao.must("POST", "auth/token/lookup", &json!({ "token": token }));
}

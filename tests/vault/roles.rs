//! Token roles: Vault itself limits what a policy that names one can bring about.

use std::time::Duration;

use futures_util::future::join_all;
use serde_json::{Value, json};
use tokio::time::Instant;
use vaultgram::broker::ports::StoreError;

use crate::openbao::OpenBao;
use crate::world::{World, app_role, app_role_with, error, settings, static_token};

const DEVELOPERS: &str = include_str!("../../policies/vault/developers.hcl");

/// A server with a secret inside and one outside of what developers may, and their token role
/// with `more` in its settings.
fn server(more: &Value) -> OpenBao {
    let bao = OpenBao::start();
    bao.put("django/database", &json!({"k": "v"}));
    bao.put("payroll/bank", &json!({"k": "v"}));
    bao.policy("developers", DEVELOPERS);
    token_role(&bao, more);
    bao
}

fn token_role(bao: &OpenBao, more: &Value) {
    let mut role = json!({"allowed_policies": "developers", "token_no_default_policy": true});
    for (key, value) in more.as_object().unwrap() {
        role[key] = value.clone();
    }
    bao.must("POST", "auth/token/roles/developers", &role);
}

/// The accessors of the live tokens of role `developers`.
fn role_tokens(bao: &OpenBao) -> Vec<String> {
    let mut tokens = bao.tokens();
    tokens.retain(|facts| facts["path"] == "auth/token/create/developers");
    let accessors = tokens.iter().map(|facts| facts["accessor"].as_str());
    accessors.map(|text| text.unwrap().to_owned()).collect()
}

/// Waits until that many are left.
async fn left(bao: &OpenBao, count: usize) {
    let start = Instant::now();
    loop {
        let tokens = role_tokens(bao);
        if tokens.len() == count {
            return;
        }
        assert!(start.elapsed() < Duration::from_secs(3), "{tokens:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Reads with the role until `duration` has passed, and says how many tokens it took.
async fn read_for(bao: &OpenBao, world: &World, duration: Duration) -> usize {
    let start = Instant::now();
    let mut seen = std::collections::BTreeSet::new();
    while start.elapsed() < duration {
        let at = start.elapsed();
        if let Err(error) = world.read_as("developers", "django/database").await {
            panic!("after {at:?}: {error}");
        }
        seen.extend(role_tokens(bao));
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    seen.len()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_our_policy_wrongly_allows_the_roles_policy_stops() {
    let bao = server(&json!({}));
    let auth = app_role(&bao, "broker", &json!({"token_period": "1h"}));
    let mut world = World::start(settings(bao.address(), auth));
    // Our policy permits everything, and so does vaultgram's own.
    assert!(world.read("payroll/bank").await.is_ok());
    for _ in 0..3 {
        let stopped = world.read_as("developers", "payroll/bank").await;
        assert_eq!(error(stopped), StoreError::Forbidden);
    }
    // A healthy token that is refused stays: these and many at once share one.
    let reads = (0..32).map(|_| world.read_as("developers", "django/database"));
    assert!(join_all(reads).await.iter().all(Result::is_ok));
    assert_eq!(role_tokens(&bao).len(), 1);
    world.stop().await;
    assert_eq!(role_tokens(&bao).len(), 0);
    let stopped = world.read_as("developers", "django/database").await;
    assert_eq!(error(stopped), StoreError::Unavailable);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_token_of_a_role_is_replaced_once_however_many_reads_notice() {
    let bao = server(&json!({}));
    let auth = app_role(&bao, "broker", &json!({"token_period": "1h"}));
    let world = World::start(settings(bao.address(), auth));
    assert!(world.read_as("developers", "django/database").await.is_ok());
    for of_the_parent in [false, true, false] {
        if of_the_parent {
            bao.revoke_tokens_of("broker");
        } else {
            for accessor in role_tokens(&bao) {
                let about = json!({"accessor": accessor});
                bao.must("POST", "auth/token/revoke-accessor", &about);
            }
        }
        assert_eq!(role_tokens(&bao).len(), 0);
        let reads = (0..32).map(|_| world.read_as("developers", "django/database"));
        assert!(join_all(reads).await.iter().all(Result::is_ok));
        assert_eq!(role_tokens(&bao).len(), 1);
        assert_eq!(bao.tokens_of("broker").len(), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_of_a_role_is_made_anew_in_time_and_with_its_parent() {
    for (role, parent, tokens) in [
        // At two thirds, renewable or not.
        (json!({"token_period": "3s"}), json!({}), 4..=6),
        (
            json!({"token_explicit_max_ttl": "3s", "renewable": false}),
            json!({}),
            4..=6,
        ),
        // The parent is replaced after about 3 s.
        (
            json!({"token_period": "1h"}),
            json!({"token_period": "2s", "token_explicit_max_ttl": "4s"}),
            2..=5,
        ),
    ] {
        let bao = server(&role);
        let auth = app_role(&bao, "broker", &parent);
        let world = World::start(settings(bao.address(), auth));
        let used = read_for(&bao, &world, Duration::from_secs(8)).await;
        assert!(tokens.contains(&used), "{role} {parent}: {used}");
        // Those before it are not left to themselves.
        left(&bao, 1).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_nobody_needs_any_more_is_revoked() {
    let bao = server(&json!({"token_period": "3s"}));
    let auth = app_role(&bao, "broker", &json!({}));
    let world = World::start(settings(bao.address(), auth));
    assert!(world.read_as("developers", "django/database").await.is_ok());
    let start = Instant::now();
    left(&bao, 0).await;
    // At two thirds, not at its end.
    assert!(start.elapsed() < Duration::from_millis(2900));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_role_nothing_is_read_and_all_is_well_once_it_is_granted() {
    let bao = server(&json!({}));
    // Reads everything, and may make no token.
    let rules = r#"path "secret/data/*" { capabilities = ["read"] }
        path "auth/token/lookup-self" { capabilities = ["read"] }
        path "auth/token/revoke-self" { capabilities = ["update"] }"#;
    let auth = app_role_with(&bao, "broker", rules, &json!({}));
    let world = World::start(settings(bao.address(), auth));
    let role = "developers";
    let refused = async || error(world.read_as(role, "django/database").await);
    let mended = async || {
        let start = Instant::now();
        while let Err(error) = world.read_as(role, "django/database").await {
            assert_eq!(error, StoreError::RoleRefused);
            assert!(start.elapsed() < Duration::from_secs(7), "never mended");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    for _ in 0..3 {
        assert_eq!(refused().await, StoreError::RoleRefused);
    }
    // Its own requests go on.
    assert!(world.read("django/database").await.is_ok());
    let rules =
        format!("{rules} path \"auth/token/create/developers\" {{ capabilities = [\"update\"] }}");
    bao.policy("broker", &rules);
    mended().await;

    for accessor in role_tokens(&bao) {
        let about = json!({"accessor": accessor});
        bao.must("POST", "auth/token/revoke-accessor", &about);
    }
    // No such role; then one that limits nothing.
    bao.must("DELETE", "auth/token/roles/developers", &Value::Null);
    assert_eq!(refused().await, StoreError::RoleRefused);
    token_role(&bao, &json!({"allowed_policies": ""}));
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(refused().await, StoreError::RoleRefused);
    left(&bao, 0).await;
    token_role(&bao, &json!({}));
    mended().await;
    assert_eq!(bao.tokens_of("broker").len(), 1, "it cost a login");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_ends_the_tokens_of_roles_that_would_stay() {
    // Children of a token that was given to us, which stays; and orphans.
    let bao = server(&json!({"token_type": "service"}));
    let token = bao.token(&json!({"ttl": "1h"}));
    let mut world = World::start(settings(bao.address(), static_token(&token)));
    assert!(world.read_as("developers", "django/database").await.is_ok());
    assert_eq!(role_tokens(&bao).len(), 1);
    world.stop().await;
    assert_eq!(role_tokens(&bao).len(), 0);
    bao.must("POST", "auth/token/lookup", &json!({ "token": token }));

    token_role(&bao, &json!({"orphan": true}));
    let auth = app_role(&bao, "broker", &json!({}));
    let mut world = World::start(settings(bao.address(), auth));
    assert!(world.read_as("developers", "django/database").await.is_ok());
    assert_eq!(role_tokens(&bao).len(), 1);
    world.stop().await;
    assert_eq!(role_tokens(&bao).len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn while_vault_is_away_roles_are_too_and_they_are_back_with_it() {
    let mut bao = server(&json!({"token_period": "2s"}));
    let auth = app_role(&bao, "broker", &json!({"token_period": "2s"}));
    let world = World::start(settings(bao.address(), auth));
    assert!(world.read_as("developers", "django/database").await.is_ok());
    bao.kill();
    let killed = Instant::now();
    while killed.elapsed() < Duration::from_secs(5) {
        let read = world.read_as("developers", "django/database").await;
        assert_eq!(error(read), StoreError::Unavailable);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    bao.restart_sealed();
    bao.unseal();
    let start = Instant::now();
    while world
        .read_as("developers", "django/database")
        .await
        .is_err()
    {
        assert!(start.elapsed() < Duration::from_secs(2), "too slow");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

//! Staying logged in: renewal, maximum age, revocation, stopping.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::time::Instant;
use vaultgram::broker::ports::{StoreError, StoreHealth};
use vaultgram::vault::SecretId;

use crate::openbao::{OpenBao, wait_until};
use crate::wires::{look_at_answers_to, lose_answers_to};
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

/// When a token began and will end, in seconds of OpenBao's clock.
#[derive(Clone, Copy, PartialEq, PartialOrd)]
struct Life {
    issued: f64,
    ends: f64,
}

impl Life {
    fn of(facts: &Value) -> Self {
        let seconds = |name: &str| {
            let at = OffsetDateTime::parse(facts[name].as_str().unwrap(), &Rfc3339).unwrap();
            Duration::try_from(at - OffsetDateTime::UNIX_EPOCH).unwrap()
        };
        Self {
            issued: seconds("issue_time").as_secs_f64(),
            ends: seconds("expire_time").as_secs_f64(),
        }
    }
}

/// The lives of the tokens of `role` seen during a steady stream of reads, the oldest first.
async fn lives_while_reading(
    bao: &OpenBao,
    world: &World,
    role: &str,
    duration: Duration,
) -> Vec<Life> {
    let start = Instant::now();
    let (mut lives, mut dead) = (BTreeMap::new(), BTreeSet::new());
    while start.elapsed() < duration {
        // Seldom: OpenBao ends a token that is looked at while a login makes it, which is
        // then shown to end as it begins.
        read_for(world, Duration::from_secs(1)).await;
        for facts in bao.tokens() {
            if facts["meta"]["role_name"] == role {
                let accessor = facts["accessor"].as_str().unwrap().to_owned();
                let life = Life::of(&facts);
                if life.ends - life.issued > 0.5 {
                    // One that is being revoked is shown to end now, whatever it was granted.
                    let granted = lives.entry(accessor).or_insert(life);
                    granted.ends = granted.ends.max(life.ends);
                } else {
                    dead.insert(accessor);
                }
            }
        }
    }
    // By chance one, perhaps; more are short for another reason.
    assert!(dead.len() <= 1, "{role}: {dead:?} ended as they began");
    let mut lives: Vec<Life> = lives.into_values().collect();
    lives.sort_by(|one, other| one.partial_cmp(other).unwrap());
    lives
}

#[tokio::test(flavor = "multi_thread")]
async fn the_maximum_age_is_met_by_a_fresh_login_without_a_failed_read() {
    let bao = OpenBao::start();
    bao.put("app", &json!({"k": "v"}));
    for (role, ages) in [
        ("ageing", json!({"token_ttl": "3s", "token_max_ttl": "5s"})),
        (
            "periodic",
            json!({"token_period": "3s", "token_explicit_max_ttl": "5s"}),
        ),
    ] {
        let world = World::start(settings(bao.address(), app_role(&bao, role, &ages)));
        let lives = lives_while_reading(&bao, &world, role, Duration::from_secs(16)).await;
        // Each is renewed after 2 s and replaced after 4 or less, so there are four or five.
        assert!((4..=7).contains(&lives.len()), "{role}: {}", lives.len());
        for pair in lives.windows(2) {
            let left = pair[0].ends - pair[1].issued;
            assert!(left > 0.3, "{role}: replaced {left} s before its end");
            let age = pair[1].issued - pair[0].issued;
            assert!(age > 1.5, "{role}: replaced at the age of {age} s");
        }
        // One may have been replaced this moment.
        wait_until("the old ones are gone", || bao.tokens_of(role).len() == 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_is_renewed_at_about_two_thirds() {
    let bao = OpenBao::start();
    bao.put("app", &json!({"k": "v"}));
    let auth = app_role(&bao, "thirds", &json!({"token_period": "9s"}));
    let world = World::start(settings(bao.address(), auth));
    let mut ends: Vec<f64> = vec![];
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(8) {
        let lives = lives_while_reading(&bao, &world, "thirds", Duration::from_millis(250)).await;
        ends.extend(lives.iter().map(|life| life.ends));
    }
    let renewals = ends.windows(2).map(|pair| pair[1] - pair[0]);
    let renewals: Vec<f64> = renewals.filter(|more| *more > 0.1).collect();
    // It lives as much longer as it had lived when it was renewed.
    assert!(!renewals.is_empty());
    let due = |more: &f64| (5.2..6.8).contains(more);
    assert!(renewals.iter().all(due), "{renewals:?}");
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
async fn without_leave_to_look_itself_up_a_revoked_token_is_replaced_at_once() {
    let bao = OpenBao::start();
    bao.put("app", &json!({"k": "v"}));
    let rules = r#"path "secret/data/app" { capabilities = ["read"] }"#;
    let auth = app_role_with(&bao, "narrow", rules, &json!({}));
    let world = World::start(settings(bao.address(), auth));
    assert!(world.read("app").await.is_ok());
    bao.revoke_tokens_of("narrow");
    assert!(world.read("app").await.is_ok());
    assert_eq!(bao.tokens_of("narrow").len(), 1);
}

/// OpenBao does this to a token that is looked up by its accessor while it is made.
#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_was_granted_dead_is_not_taken_for_one_that_may_not_look_itself_up() {
    let bao = Arc::new(OpenBao::start());
    bao.put("app", &json!({"k": "v"}));
    let auth = app_role(&bao, "stillborn", &json!({}));
    let (first, real) = (AtomicBool::new(true), Arc::clone(&bao));
    let address = look_at_answers_to(bao.socket(), "approle/login", move |_| {
        if first.swap(false, Ordering::Relaxed) {
            real.revoke_tokens_of("stillborn");
        }
        true
    });
    let world = World::start(settings(address.await, auth));
    world.ready().await;
    assert!(world.read("app").await.is_ok());
    assert_eq!(bao.tokens_of("stillborn").len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_given_token_that_is_revoked_cannot_be_replaced_and_health_says_so() {
    let bao = OpenBao::start();
    bao.put("app", &json!({"k": "v"}));
    let token = bao.token(&json!({"ttl": "1h"}));
    let world = World::start(settings(bao.address(), static_token(&token)));
    assert!(world.read("app").await.is_ok());
    bao.must("POST", "auth/token/revoke", &json!({ "token": token }));
    assert_eq!(error(world.read("app").await), StoreError::LoggedOut);
    let reason = logged_out(&world.store).await;
    assert!(reason.contains("configure a new one"), "{reason}");
    assert!(!reason.contains(&token));
    assert_eq!(error(world.read("app").await), StoreError::LoggedOut);
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
        assert_eq!(error(world.read("app").await), StoreError::LoggedOut);
        let reason = logged_out(&world.store).await;
        assert!(reason.contains(advice), "{reason}");
        assert!(!reason.contains("wrong-secret-id") && !reason.contains("s.mistyped"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_cannot_be_looked_up_for_now_is_not_left_behind() {
    let bao = OpenBao::start();
    let auth = app_role(&bao, "unlucky", &json!({}));
    let address = lose_answers_to(bao.socket(), "lookup-self").await;
    let world = World::start(settings(address, auth));
    assert_eq!(error(world.read("app").await), StoreError::Unavailable);
    // Time for some more tries.
    tokio::time::sleep(Duration::from_secs(3)).await;
    let left = bao.tokens_of("unlucky").len();
    assert!(left <= 1, "{left} tokens nobody uses");
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

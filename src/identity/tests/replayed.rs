//! Tokens that come a second time.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;

use super::issuer::Signer;
use super::world::{NOW, World, settings};
use crate::identity::{IdentityError, Issuer, Oidc};

#[tokio::test]
async fn a_token_counts_once_for_all_replicas() {
    let signer = Signer::p256("k");
    let world = World::new(&[&signer]).await;
    let settings = vec![settings(&world.site.address)];
    let other = Oidc::new(settings, world.clock.clone(), world.memory.clone()).unwrap();
    let token = signer.sign(&world.claims());
    assert_eq!(world.name(&token).await, "ok");
    assert_eq!(world.name(&token).await, "replayed");
    let elsewhere = other.verify("forge", &token).await;
    assert_eq!(elsewhere.unwrap_err(), IdentityError::Replayed);
    // Another token with the same id is the same one.
    let again = signer.sign(&world.claims_but(&json!({"sub": "other"})));
    assert_eq!(world.name(&again).await, "replayed");
    let (name, until, done) = world.memory.claim_made();
    assert!(
        name.starts_with("identity/tokens/") && name.len() < 200,
        "{name}"
    );
    let ends = NOW + 290 + 60;
    assert_eq!(until.unix_timestamp(), ends + 60, "longer than it is taken");
    assert!(done, "a restart does not forget it");
}

#[tokio::test]
async fn an_issuer_under_two_names_has_each_token_counted_once() {
    let signer = Signer::p256("k");
    let world = World::new(&[&signer]).await;
    let second = Issuer {
        name: "again".to_owned(),
        audience: "other".to_owned(),
        ..settings(&world.site.address)
    };
    let second = Oidc::new(vec![second], world.clock.clone(), world.memory.clone()).unwrap();
    let token = signer.sign(&world.claims_but(&json!({"aud": ["vaultgram", "other"]})));
    assert_eq!(world.name(&token).await, "ok");
    let again = second.verify("again", &token).await;
    assert_eq!(again.unwrap_err(), IdentityError::Replayed);
}

#[tokio::test]
async fn of_many_at_the_same_moment_one_is_taken() {
    let signer = Signer::p256("k");
    let world = World::new(&[&signer]).await;
    let once: Arc<str> = signer.sign(&world.claims()).into();
    let tasks = tokio_util::task::TaskTracker::new();
    let all: Vec<_> = (0..8)
        .map(|_| {
            let (oidc, token) = (world.oidc.clone(), once.clone());
            tasks.spawn(async move { oidc.verify("forge", &token).await })
        })
        .collect();
    let mut taken = 0;
    for one in all {
        match one.await.unwrap() {
            Ok(_) => taken += 1,
            Err(error) => assert_eq!(error, IdentityError::Replayed),
        }
    }
    assert_eq!(taken, 1);
}

#[tokio::test]
async fn what_somebody_else_began_to_take_is_used_up() {
    let signer = Signer::p256("k");
    let world = World::new(&[&signer]).await;
    let token = signer.sign(&world.claims());
    assert_eq!(world.name(&token).await, "ok");
    // Who took it hung before it could say so, and went on after it was taken for ended.
    for (_, done) in world.memory.claims.lock().unwrap().values_mut() {
        *done = false;
    }
    world.memory.bereaved.store(true, Ordering::SeqCst);
    assert_eq!(world.name(&token).await, "replayed");
    assert!(
        world.memory.claim_made().2,
        "nobody else need find that out"
    );
}

#[tokio::test]
async fn what_is_refused_for_another_reason_is_not_used_up() {
    let signer = Signer::p256("k");
    let world = World::new(&[&signer]).await;
    for changes in [
        json!({"aud": "x"}),
        json!({"exp": NOW - 90}),
        json!({"ref": "x".repeat(2000)}),
    ] {
        let token = signer.sign(&world.claims_but(&changes));
        assert_ne!(world.name(&token).await, "ok");
    }
    assert!(world.memory.claims.lock().unwrap().is_empty());
    assert_eq!(world.name(&signer.sign(&world.claims())).await, "ok");
}

#[tokio::test]
async fn nobody_signs_in_while_nobody_can_tell() {
    let signer = Signer::p256("k");
    let world = World::new(&[&signer]).await;
    world.memory.broken.store(true, Ordering::SeqCst);
    let error = world
        .verify(&signer.sign(&world.claims()))
        .await
        .unwrap_err();
    assert_eq!(error.name(), "store");
    assert!(
        !error.to_string().contains("disk"),
        "the cause is for the log"
    );
}

#[tokio::test]
async fn without_an_id_a_token_is_known_by_what_was_signed() {
    let signer = Signer::p256("k");
    let world = World::new(&[&signer]).await;
    for nothing in [json!(null), json!(""), json!(7)] {
        let changes = json!({"jti": nothing, "sub": nothing.to_string()});
        let token = signer.sign(&world.claims_but(&changes));
        assert_eq!(world.name(&token).await, "ok");
        assert_eq!(world.name(&token).await, "replayed");
        // Anybody can make a second signature out of one by ECDSA.
        let twin = twin(&token);
        assert_ne!(twin, token);
        assert_eq!(world.name(&twin).await, "replayed");
        // Another one that has no id either is not the same.
        let another = world.claims_but(&json!({"jti": nothing, "sub": "another"}));
        assert_eq!(world.name(&signer.sign(&another)).await, "ok");
    }
}

/// The token with the other signature that is as right: `s` turned into `n - s`.
fn twin(token: &str) -> String {
    let order = hex::decode("ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551");
    let order = order.unwrap();
    let (signed, signature) = token.rsplit_once('.').unwrap();
    let mut signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
    let mut borrow = 0;
    for at in (0..32).rev() {
        let difference = i32::from(order[at]) - i32::from(signature[32 + at]) - borrow;
        borrow = i32::from(difference < 0);
        signature[32 + at] = u8::try_from(difference.rem_euclid(256)).unwrap();
    }
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
}

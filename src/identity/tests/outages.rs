//! How long keys are taken, and what is left of an issuer that is down.

use std::time::Duration;

use serde_json::json;

use super::issuer::{KEYS, Page, Signer};
use super::world::{World, later};

/// What becomes of a token of `signer` that is new each time.
async fn name(world: &World, signer: &Signer) -> &'static str {
    let jti = rand::random::<u64>().to_string();
    let token = signer.sign(&world.claims_but(&json!({ "jti": jti })));
    world.name(&token).await
}

#[tokio::test]
async fn keys_are_fetched_again_after_ten_minutes_to_an_hour() {
    let signer = Signer::p256("k");
    for (rule, minutes) in [
        ("x: x", 10),
        ("cache-control: no-store", 10),
        ("cache-control: public, Max-Age=1200", 20),
        ("cache-control: max-age=1", 10),
        ("cache-control: max-age=99999999999999999999", 10),
        ("cache-control: max-age=31536000", 60),
    ] {
        let world = World::with(Page::keys(&[&signer]).header(rule)).await;
        assert_eq!(name(&world, &signer).await, "ok");
        later(Duration::from_secs(minutes * 60 - 5)).await;
        assert_eq!(name(&world, &signer).await, "ok");
        assert_eq!(world.site.asked(KEYS), 1, "{rule}");
        later(Duration::from_secs(5)).await;
        assert_eq!(name(&world, &signer).await, "ok");
        assert_eq!(world.site.asked(KEYS), 2, "{rule}");
    }
}

#[tokio::test]
async fn an_unknown_key_is_looked_for_now_and_then() {
    let (old, new) = (Signer::p256("old"), Signer::p384("new"));
    let world = World::new(&[&old]).await;
    assert_eq!(name(&world, &old).await, "ok");
    // They rotate. What was just read is not read again, whoever asks how often.
    world.site.put(KEYS, Page::keys(&[&old, &new]));
    for _ in 0..20 {
        assert_eq!(name(&world, &new).await, "key_unknown");
    }
    assert_eq!(world.site.asked(KEYS), 1);
    later(Duration::from_secs(31)).await;
    assert_eq!(name(&world, &new).await, "ok");
    assert_eq!(
        name(&world, &Signer::other_rsa("theirs")).await,
        "key_unknown"
    );
    assert_eq!(world.site.asked(KEYS), 2);
    // The old one goes.
    world.site.put(KEYS, Page::keys(&[&new]));
    assert_eq!(name(&world, &old).await, "ok", "until they are read again");
    later(Duration::from_mins(10)).await;
    assert_eq!(name(&world, &old).await, "key_unknown");
}

#[tokio::test]
async fn many_at_once_are_one_fetch() {
    let signer = Signer::p256("k");
    let page = Page::keys(&[&signer]).after(Duration::from_millis(50));
    let world = World::with(page).await;
    let tasks = tokio_util::task::TaskTracker::new();
    let all: Vec<_> = (0..20)
        .map(|number| {
            let token = signer.sign(&world.claims_but(&json!({"jti": number.to_string()})));
            let oidc = world.oidc.clone();
            tasks.spawn(async move { oidc.verify("forge", &token).await })
        })
        .collect();
    for one in all {
        assert!(one.await.unwrap().is_ok());
    }
    assert_eq!(world.site.asked(KEYS), 1);
}

#[tokio::test]
async fn who_goes_away_keeps_nobody_from_the_keys() {
    let signer = Signer::p256("k");
    let page = Page::keys(&[&signer]).after(Duration::from_millis(200));
    let world = World::with(page).await;
    let token = signer.sign(&world.claims());
    let asked = tokio::time::timeout(Duration::from_millis(50), world.verify(&token));
    assert!(asked.await.is_err(), "it hung up");
    assert_eq!(name(&world, &signer).await, "ok");
    assert_eq!(world.site.asked(KEYS), 1);
}

#[tokio::test]
async fn old_keys_are_taken_for_a_day_while_the_issuer_is_down() {
    let signer = Signer::p256("k");
    let world = World::new(&[&signer]).await;
    assert_eq!(name(&world, &signer).await, "ok");
    world.site.put(KEYS, Page::text("").status("503 Down"));
    later(Duration::from_hours(23)).await;
    assert_eq!(name(&world, &signer).await, "ok");
    assert_eq!(name(&world, &Signer::other_rsa("new")).await, "jwks_down");
    for _ in 0..20 {
        assert_eq!(name(&world, &signer).await, "ok");
    }
    assert_eq!(world.site.asked(KEYS), 2, "it is not asked each time");
    later(Duration::from_hours(1)).await;
    assert_eq!(name(&world, &signer).await, "jwks_down");
    // Once it is back, so are its tokens.
    world.site.put(KEYS, Page::keys(&[&signer]));
    assert_eq!(
        name(&world, &signer).await,
        "jwks_down",
        "for half a minute"
    );
    later(Duration::from_secs(30)).await;
    assert_eq!(name(&world, &signer).await, "ok");
}

#[tokio::test]
async fn an_issuer_that_was_never_there_is_told_from_a_wrong_key() {
    let signer = Signer::p256("k");
    let world = World::with(Page::text("").status("503 Down")).await;
    let error = world
        .verify(&signer.sign(&world.claims()))
        .await
        .unwrap_err();
    assert_eq!(error.name(), "jwks_down");
    assert!(error.may_pass(), "asking again may help");
    assert!(
        !error.to_string().contains("503"),
        "the cause is for the log"
    );
}

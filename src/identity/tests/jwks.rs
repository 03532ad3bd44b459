//! Issuers that serve something else than their keys, or elsewhere.

use std::time::Duration;

use jsonwebtoken::Algorithm;
use serde_json::json;
use tokio::time::Instant;

use super::issuer::{CONFIGURATION, KEYS, Page, Signer, Site};
use super::world::{World, settings};
use crate::identity::{Issuer, Oidc};

/// What becomes of a good token where `page` stands at `path`.
async fn name_with(path: &str, page: Page) -> &'static str {
    let signer = Signer::p256("k");
    let world = World::new(&[&signer]).await;
    world.site.put(path, page);
    world.name(&signer.sign(&world.claims())).await
}

#[tokio::test]
async fn what_is_no_key_set_is_none() {
    let good = Page::keys(&[&Signer::p256("k")]);
    let padded = |length: usize| {
        let mut body = good.body.clone();
        body.resize(length, b' ');
        Page::text(body)
    };
    let many = |count| {
        let mut keys = vec![Signer::p256("k").jwk()];
        keys.resize(count, json!({"kty": "new"}));
        Page::text(json!({ "keys": keys }).to_string())
    };
    let twice = vec![Signer::p256("k").jwk(); 2];
    for (page, expected) in [
        (good.clone(), "ok"),
        (padded(256 * 1024), "ok"),
        (padded(256 * 1024 + 1), "jwks_down"),
        (padded(5_000_000), "jwks_down"),
        (many(64), "ok"),
        (many(65), "jwks_down"),
        (
            Page::text(json!({ "keys": twice }).to_string()),
            "jwks_down",
        ),
        (Page::text("<html>Sign in</html>"), "jwks_down"),
        (Page::text(""), "jwks_down"),
        (Page::text("{}"), "jwks_down"),
        (Page::text("[".repeat(100_000)), "jwks_down"),
        (Page::text(r#"{"keys": {"k": 1}}"#), "jwks_down"),
        (Page::text(vec![0xff; 1000]), "jwks_down"),
        (Page::text(r#"{"keys": []}"#), "key_unknown"),
        (good.clone().status("500 Oh"), "jwks_down"),
        (good.clone().status("201 Created"), "jwks_down"),
        (good.clone().status("404 Not Found"), "jwks_down"),
        (good.clone().header("content-length: 1"), "jwks_down"),
        (
            good.clone().header(&format!("x: {}", "x".repeat(40_000))),
            "jwks_down",
        ),
    ] {
        let told = String::from_utf8_lossy(&page.body);
        let told = format!("{} {}", page.status, told.get(..60).unwrap_or(&told));
        assert_eq!(name_with(KEYS, page).await, expected, "{told}");
    }
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let signer = Signer::p256("k");
    for path in [KEYS, CONFIGURATION] {
        for status in ["301 Moved", "302 Found", "307 Temporary", "308 Permanent"] {
            let world = World::new(&[&signer]).await;
            world.site.put("/else", Page::keys(&[&signer]));
            let there = format!("location: {}/else", world.site.address);
            world
                .site
                .put(path, Page::text("").status(status).header(&there));
            assert_eq!(world.name(&signer.sign(&world.claims())).await, "jwks_down");
            assert_eq!(world.site.asked("/else"), 0);
        }
    }
}

#[tokio::test]
async fn a_slow_issuer_is_given_up() {
    let signer = Signer::p256("k");
    let world = World::new(&[&signer]).await;
    let slow = Page::keys(&[&signer]).after(Duration::from_hours(1));
    world.site.put(KEYS, slow);
    let token = signer.sign(&world.claims());
    tokio::time::pause();
    let begun = Instant::now();
    assert_eq!(world.name(&token).await, "jwks_down");
    assert_eq!(begun.elapsed().as_secs(), 5);
    // And not waited for again at once.
    assert_eq!(world.name(&token).await, "jwks_down");
    assert_eq!(begun.elapsed().as_secs(), 5);
}

#[tokio::test]
async fn a_configuration_of_another_issuer_is_refused() {
    let signer = Signer::p256("k");
    let world = World::new(&[&signer]).await;
    let here = world.site.address.clone();
    let keys = format!("{here}{KEYS}");
    for (issuer, keys) in [
        (json!("https://evil.example.org"), json!(keys)),
        (json!(format!("{here}/")), json!(keys)),
        (json!(null), json!(keys)),
        (json!(here), json!("http://192.0.2.1/keys")),
        (json!(here), json!(keys.replace("//", "//user:password@"))),
        (json!(here), json!("file:///etc/passwd")),
        (json!(here), json!(KEYS)),
        (json!(here), json!(null)),
    ] {
        let world = World::at(world.site.clone(), None);
        world.site.configure(&issuer, &keys);
        let token = signer.sign(&world.claims());
        assert_eq!(world.name(&token).await, "jwks_down", "{issuer} {keys}");
    }
    assert_eq!(world.site.asked(KEYS), 0);
}

#[tokio::test]
async fn keys_may_be_at_a_place_that_is_configured() {
    let signer = Signer::rsa("k", Algorithm::RS256);
    let world = World::new(&[&signer]).await;
    world.site.put("/else?x=1", Page::keys(&[&signer]));
    let settings = Issuer {
        issuer: "https://token.example.org".to_owned(),
        jwks_url: Some(format!("{}/else?x=1", world.site.address)),
        ..settings("")
    };
    let oidc = Oidc::new(vec![settings], world.clock.clone(), world.memory.clone()).unwrap();
    let token = signer.sign(&world.claims_but(&json!({"iss": "https://token.example.org"})));
    assert!(oidc.verify("forge", &token).await.is_ok());
    assert_eq!(
        (world.site.asked(CONFIGURATION), world.site.asked(KEYS)),
        (0, 0)
    );
}

#[tokio::test]
async fn tls_is_checked() {
    let signer = Signer::p256("k");
    let ca = include_bytes!("keys/ca.pem").to_vec();
    let site = || Site::start_tls(Page::keys(&[&signer]));
    for (ca, expected) in [(Some(ca.clone()), "ok"), (None, "jwks_down")] {
        let world = World::at(site().await, ca);
        let token = signer.sign(&world.claims());
        assert_eq!(world.name(&token).await, expected);
    }
    // The right authority, for another name.
    let mut wrong = site().await;
    wrong.address = wrong.address.replace("localhost", "127.0.0.1");
    wrong.configure(
        &json!(wrong.address),
        &json!(format!("{}{KEYS}", wrong.address)),
    );
    let world = World::at(wrong, Some(ca.clone()));
    assert_eq!(world.name(&signer.sign(&world.claims())).await, "jwks_down");
    // And what TLS brings does not lead away from it.
    let plain = Site::start(Page::keys(&[&signer])).await;
    let world = World::at(site().await, Some(ca));
    let keys = format!("{}{KEYS}", plain.address);
    let site = &world.site;
    site.configure(&json!(site.address), &json!(keys));
    assert_eq!(world.name(&signer.sign(&world.claims())).await, "jwks_down");
    assert_eq!(plain.asked(KEYS), 0);
}

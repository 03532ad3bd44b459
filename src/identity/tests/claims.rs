//! What honest tokens say becomes a job; for whom and when they are is looked at closely.

use std::collections::BTreeMap;

use jsonwebtoken::Algorithm;
use serde_json::{Value, json};

use super::issuer::Signer;
use super::world::{NOW, World};
use crate::domain::job::{CLAIMS, Job};

#[tokio::test]
async fn every_algorithm_that_is_taken_proves_a_job() {
    let signers = [
        Signer::rsa("a", Algorithm::RS256),
        Signer::rsa("b", Algorithm::RS384),
        Signer::rsa("c", Algorithm::RS512),
        Signer::rsa("d", Algorithm::PS256),
        Signer::p256("e"),
        Signer::p384("f"),
    ];
    let world = World::new(&signers.iter().collect::<Vec<_>>()).await;
    let issuer = world.claims()["iss"].as_str().unwrap().to_owned();
    for signer in signers {
        let token = signer.sign(&world.claims_but(&json!({"jti": signer.id})));
        let proven = world.verify(&token).await.unwrap();
        let job = Job {
            issuer: "forge".to_owned(),
            subject: "repo:acme/app:ref:refs/heads/main".to_owned(),
            claims: BTreeMap::from([
                ("iss", issuer.clone()),
                ("repository", "acme/app".to_owned()),
            ]),
        };
        assert_eq!(proven.job, job, "{}", signer.id);
        let until = proven.until.unix_timestamp();
        assert_eq!(until, NOW + 350, "as long as the token would be taken");
    }
}

#[tokio::test]
async fn a_session_is_no_longer_than_configured() {
    let signer = Signer::p256("k");
    let world = World::new(&[&signer]).await;
    let token = signer.sign(&world.claims_but(&json!({"exp": NOW + 5000})));
    let until = world.verify(&token).await.unwrap().until;
    assert_eq!(until.unix_timestamp(), NOW + 900);
}

/// The claims that a token with `said` has.
async fn taken(said: &Value) -> Result<Vec<(&'static str, String)>, &'static str> {
    let signer = Signer::p256("k");
    let world = World::new(&[&signer]).await;
    let mut payload = world.claims_but(&json!({"repository": null}));
    let all = payload.as_object_mut().unwrap();
    all.extend(said.as_object().unwrap().clone());
    let proven = world.verify(&signer.sign(&payload)).await;
    let claims = proven.map(|mut proven| {
        // As every token does.
        assert!(proven.job.claims.remove("iss").is_some());
        proven.job.claims.into_iter().collect()
    });
    claims.map_err(|error| error.name())
}

#[tokio::test]
async fn what_policies_speak_of_is_taken_and_nothing_else() {
    let said = json!({
        "ref": "refs/heads/main", "run_id": "7", "run_attempt": 1, "ref_protected": true,
        "environment": "", "actor_id": null, "head_ref": ["x"], "base_ref": {"a": "x"},
        "email": "a@example.org", "enterprise": "x", "__proto__": "x", "Repository": "x",
        "namespace": "x", "service_account": "x", "pod": "x",
    });
    let expected = [
        ("environment", ""),
        ("ref", "refs/heads/main"),
        ("ref_protected", "true"),
        ("run_attempt", "1"),
        ("run_id", "7"),
    ];
    let expected = expected.map(|(name, text)| (name, text.to_owned()));
    assert_eq!(taken(&said).await.unwrap(), expected);

    let all: serde_json::Map<_, _> = CLAIMS
        .iter()
        .filter(|name| **name != "iss")
        .map(|name| ((*name).into(), json!("x")))
        .collect();
    let (issuer, of_kubernetes) = (1, 3);
    assert_eq!(
        taken(&all.into()).await.unwrap().len(),
        CLAIMS.len() - issuer - of_kubernetes
    );
}

#[tokio::test]
async fn kubernetes_says_it_in_an_object() {
    let said = json!({"kubernetes.io": {
        "namespace": "shop", "node": {"name": "n1", "uid": "u"},
        "pod": {"name": "web-1", "uid": "u"}, "serviceaccount": {"name": "web", "uid": "u"},
    }});
    let expected = [
        ("namespace", "shop"),
        ("pod", "web-1"),
        ("service_account", "web"),
    ];
    let expected = expected.map(|(name, text)| (name, text.to_owned()));
    assert_eq!(taken(&said).await.unwrap(), expected);
    for strange in [
        json!("x"),
        json!(["x"]),
        json!({"pod": "x", "serviceaccount": {}}),
        json!(null),
    ] {
        let said = json!({"kubernetes.io": strange});
        assert_eq!(taken(&said).await.unwrap(), [], "{said}");
    }
}

#[tokio::test]
async fn long_claims_are_refused_and_not_cut() {
    let long = |length| json!({"ref": "x".repeat(length)});
    assert!(taken(&long(1024)).await.is_ok());
    assert_eq!(taken(&long(1025)).await, Err("malformed"));
    let long = json!({"sub": "x".repeat(1025)});
    assert_eq!(taken(&long).await, Err("malformed"));
    for nobody in [json!(""), json!(7), json!(["x"])] {
        assert_eq!(taken(&json!({"sub": nobody})).await, Err("malformed"));
    }
}

/// What becomes of a token with `changes`.
async fn changed(changes: Value) -> &'static str {
    let signer = Signer::p256("k");
    let world = World::new(&[&signer]).await;
    world.name(&signer.sign(&world.claims_but(&changes))).await
}

#[tokio::test]
async fn tokens_for_others_are_refused() {
    for ours in [json!("vaultgram"), json!(["other", "vaultgram"])] {
        assert_eq!(changed(json!({"aud": ours})).await, "ok");
    }
    for other in [
        json!("https://github.com/acme"),
        json!(""),
        json!(null),
        json!(7),
        json!("vaultgram2"),
        json!("Vaultgram"),
        json!([]),
        json!(["other"]),
        json!([["vaultgram"]]),
        json!({"vaultgram": "vaultgram"}),
    ] {
        assert_eq!(
            changed(json!({"aud": other.clone()})).await,
            "audience",
            "{other}"
        );
    }
}

#[tokio::test]
async fn tokens_of_other_issuers_are_refused() {
    for other in [
        json!("https://gitlab.com"),
        json!(null),
        json!([]),
        json!(7),
        json!(""),
    ] {
        assert_eq!(changed(json!({"iss": other})).await, "issuer");
    }
    let signer = Signer::p256("k");
    let world = World::new(&[&signer]).await;
    for near in [
        format!("{}/", world.site.address),
        world.site.address.to_uppercase(),
    ] {
        let token = signer.sign(&world.claims_but(&json!({"iss": near})));
        assert_eq!(world.name(&token).await, "issuer");
    }
    let token = signer.sign(&world.claims());
    for role in ["", "Forge", "github"] {
        let refused = world.oidc.verify(role, &token).await.unwrap_err();
        assert_eq!(refused.name(), "issuer");
    }
    assert_eq!(world.name(&token).await, "ok", "it was not used up");
}

#[tokio::test]
async fn times_are_by_our_clock_with_a_minute_of_leeway() {
    for (changes, expected) in [
        (json!({"exp": NOW - 59}), "ok"),
        (json!({"exp": NOW - 60}), "expired"),
        (json!({"exp": 0}), "expired"),
        (json!({"exp": 1_800_000_000.5}), "ok"),
        (json!({"nbf": NOW + 60}), "ok"),
        (json!({"nbf": NOW + 61}), "not_yet"),
        (json!({"nbf": null}), "ok"),
        (json!({"iat": NOW + 60}), "ok"),
        (json!({"iat": NOW + 61}), "not_yet"),
        (json!({"iat": NOW - 10, "exp": NOW - 10 + 86400}), "ok"),
        (json!({"iat": NOW - 10, "exp": NOW - 9 + 86400}), "lifetime"),
        (
            json!({"iat": NOW - 86400 * 365, "exp": NOW + 60}),
            "lifetime",
        ),
        (json!({"exp": null}), "malformed"),
        (json!({"iat": null}), "malformed"),
        (json!({"exp": "2100-01-01"}), "malformed"),
        (json!({"exp": true}), "malformed"),
        (json!({"exp": -1}), "malformed"),
        (json!({"exp": i64::MAX}), "malformed"),
        (json!({"exp": u64::MAX}), "malformed"),
        (json!({"exp": 1e300}), "malformed"),
        (json!({"iat": i64::MIN}), "malformed"),
        (json!({"nbf": "soon"}), "malformed"),
    ] {
        assert_eq!(changed(changes.clone()).await, expected, "{changes}");
    }
    let signer = Signer::p256("k");
    let world = World::new(&[&signer]).await;
    world.clock.set(4_000_000_000);
    let token = signer.sign(&world.claims());
    assert_eq!(world.name(&token).await, "expired");
}

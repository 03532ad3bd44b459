//! Tokens that nobody trusted has signed.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::json;

use super::issuer::{Page, Signer};
use super::world::{World, part};

#[tokio::test]
async fn a_token_without_a_signature_is_refused() {
    let signer = Signer::rsa("k", Algorithm::RS256);
    let world = World::new(&[&signer]).await;
    let payload = part(&world.claims());
    for none in [
        "none", "None", "NONE", "nOnE", "", "HS256", "EdDSA", "ES512", "RSA-OAEP",
    ] {
        let header = part(&json!({"alg": none, "kid": "k"}));
        for signature in ["", "AAAA"] {
            let token = format!("{header}.{payload}.{signature}");
            assert_eq!(world.name(&token).await, "algorithm", "{none}");
        }
    }
    let empty = part(&json!({"alg": "RS256", "kid": "k"}));
    assert_eq!(
        world.name(&format!("{empty}.{payload}.")).await,
        "signature"
    );
    let none = part(&json!({"kid": "k"}));
    assert_eq!(world.name(&format!("{none}.{payload}.")).await, "malformed");
}

#[tokio::test]
async fn a_public_key_is_no_secret_to_sign_with() {
    let signer = Signer::rsa("k", Algorithm::RS256);
    let world = World::new(&[&signer]).await;
    let jwk = signer.jwk();
    let modulus = URL_SAFE_NO_PAD.decode(jwk["n"].as_str().unwrap()).unwrap();
    for secret in [
        modulus,
        jwk["n"].as_str().unwrap().into(),
        jwk.to_string().into(),
    ] {
        for algorithm in [Algorithm::HS256, Algorithm::HS384, Algorithm::HS512] {
            let forger = Signer {
                id: "k",
                algorithm,
                key: EncodingKey::from_secret(&secret),
            };
            assert_eq!(world.name(&forger.sign(&world.claims())).await, "algorithm");
        }
    }
}

#[tokio::test]
async fn a_key_is_for_one_algorithm_only() {
    let rsa = Signer::rsa("rsa", Algorithm::RS256);
    let curve = Signer::p256("curve");
    let world = World::new(&[&rsa, &curve]).await;
    for forger in [
        // The right private key, and another algorithm.
        Signer::rsa("rsa", Algorithm::RS384),
        Signer::rsa("rsa", Algorithm::RS512),
        Signer::rsa("rsa", Algorithm::PS256),
        // An algorithm of another kind of key.
        Signer::p256("rsa"),
        Signer::p384("curve"),
        Signer::rsa("curve", Algorithm::RS256),
    ] {
        let token = forger.sign(&world.claims());
        assert_eq!(world.name(&token).await, "algorithm", "{}", forger.id);
    }
    assert_eq!(world.name(&rsa.sign(&world.claims())).await, "ok");
}

#[tokio::test]
async fn a_key_of_somebody_else_opens_nothing() {
    let signer = Signer::rsa("k", Algorithm::RS256);
    let world = World::new(&[&signer]).await;
    // One of another issuer, which calls itself ours.
    let token = Signer::other_rsa("theirs").sign(&world.claims());
    assert_eq!(world.name(&token).await, "key_unknown");
    // Theirs under our key's id.
    let token = Signer::other_rsa("k").sign(&world.claims());
    assert_eq!(world.name(&token).await, "signature");
    // No id, or none that can be.
    let mut header = Header::new(Algorithm::RS256);
    for id in [
        None,
        Some(String::new()),
        Some("k".repeat(2000)),
        Some("K".to_owned()),
    ] {
        header.kid = id;
        let token = signer.sign_as(&header, &world.claims());
        assert_eq!(world.name(&token).await, "key_unknown");
    }
    // A key that the token brings along.
    let thief = Signer::other_rsa("k");
    let mut header = Header::new(Algorithm::RS256);
    header.kid = Some("k".to_owned());
    header.jwk = Some(serde_json::from_value(thief.jwk()).unwrap());
    header.jku = Some(format!("{}/thief", world.site.address));
    world.site.put("/thief", Page::keys(&[&thief]));
    let token = thief.sign_as(&header, &world.claims());
    assert_eq!(world.name(&token).await, "signature");
    assert_eq!(world.site.asked("/thief"), 0);
}

#[tokio::test]
async fn not_one_sign_of_a_token_can_be_changed() {
    let signer = Signer::p256("k");
    let world = World::new(&[&signer]).await;
    let token = signer.sign(&world.claims());
    for at in (0..token.len()).step_by(11).chain([token.len() - 1]) {
        let mut altered = token.clone().into_bytes();
        altered[at] = if altered[at] == b'A' { b'B' } else { b'A' };
        let altered = String::from_utf8(altered).unwrap();
        assert_ne!(world.name(&altered).await, "ok", "sign {at}");
    }
    for end in (0..token.len()).step_by(7) {
        assert_ne!(
            world.name(token.get(..end).unwrap()).await,
            "ok",
            "until {end}"
        );
    }
    let parts: Vec<_> = token.split('.').collect();
    let other = signer.sign(&world.claims_but(&json!({"jti": "2"})));
    let theirs: Vec<_> = other.split('.').collect();
    for spliced in [
        format!("{}.{}.{}", parts[0], theirs[1], parts[2]),
        format!("{}.{}.{}", parts[0], parts[1], theirs[2]),
        format!("{}.{}", parts[0], parts[1]),
        format!("{token}.{}", parts[2]),
        format!("{token}="),
        format!(" {token}"),
        format!("{token}\n"),
        token.replace('.', ".."),
        String::new(),
        "..".to_owned(),
    ] {
        let name = world.name(&spliced).await;
        assert!(
            ["malformed", "signature"].contains(&name),
            "{name}: {spliced}"
        );
    }
    assert_eq!(world.name(&token).await, "ok", "and nothing used it up");
}

#[tokio::test]
async fn what_must_be_understood_and_is_not_is_refused() {
    let signer = Signer::p256("k");
    let world = World::new(&[&signer]).await;
    let mut header = Header::new(Algorithm::ES256);
    header.kid = Some("k".to_owned());
    header.crit = Some(vec!["exp".to_owned()]);
    let token = signer.sign_as(&header, &world.claims());
    assert_eq!(world.name(&token).await, "malformed");
}

#[tokio::test]
async fn a_token_has_a_longest_length() {
    let signer = Signer::p256("k");
    let world = World::new(&[&signer]).await;
    for (length, expected) in [(11_000, "ok"), (13_000, "malformed")] {
        let token = signer.sign(&world.claims_but(&json!({"x": "x".repeat(length)})));
        assert_eq!(world.name(&token).await, expected, "{} bytes", token.len());
    }
}

#[tokio::test]
async fn keys_that_are_for_something_else_are_none() {
    let signer = Signer::rsa("k", Algorithm::RS256);
    let short = Signer::of_rsa("k", Algorithm::RS256, include_bytes!("keys/short-rsa.pem"));
    let with = |name: &str, value| {
        let mut jwk = signer.jwk();
        jwk[name] = value;
        jwk
    };
    for (jwk, expected) in [
        (with("use", json!("sig")), "ok"),
        (with("use", json!("enc")), "key_unknown"),
        (with("key_ops", json!(["verify"])), "ok"),
        (with("key_ops", json!(["encrypt"])), "key_unknown"),
        (with("alg", json!("RSA-OAEP")), "key_unknown"),
        (with("alg", json!("HS256")), "key_unknown"),
        (with("alg", json!("ES256")), "key_unknown"),
        (with("alg", json!("PS256")), "algorithm"),
        (with("alg", json!(null)), "ok"),
        (with("kid", json!(null)), "key_unknown"),
        (with("n", json!("!")), "key_unknown"),
        (with("e", json!("")), "signature"),
        (short.jwk(), "key_unknown"),
        (
            json!({"kty": "oct", "kid": "k", "k": "AAAA"}),
            "key_unknown",
        ),
        (
            json!({"kty": "OKP", "kid": "k", "crv": "Ed25519", "x": "AAAA"}),
            "key_unknown",
        ),
        (
            json!({"kty": "EC", "kid": "k", "crv": "P-256", "alg": "ES384", "x": "AA", "y": "AA"}),
            "key_unknown",
        ),
        (json!({"kty": "new", "kid": "k"}), "key_unknown"),
        (json!("k"), "key_unknown"),
    ] {
        let page = Page::text(json!({"keys": [jwk]}).to_string());
        let world = World::with(page).await;
        let token = signer.sign(&world.claims());
        assert_eq!(world.name(&token).await, expected, "{jwk}");
    }
}

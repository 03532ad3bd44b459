//! Signed requests: honest ones, and the others.

use std::sync::LazyLock;
use std::sync::atomic::Ordering;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::hmac;

use super::signing_keys::{FIRST, Source, World};
use super::world::{NOW, later};
use crate::domain::job::Job;
use crate::identity::{IdentityError, Signed};

/// [`NOW`] as it is sent.
pub(super) const TIME: &str = "1800000000";
pub(super) const BODY: &[&[u8]] = &[b"GET /v1/secret/data/app\n", b"", b"{\"a\":1}"];

/// The signature of what is sent, `v1,…`.
pub(super) fn sign(key: &[u8], id: &str, timestamp: &str, content: &[&[u8]]) -> String {
    let mut text = format!("{id}.{timestamp}.").into_bytes();
    text.extend(content.concat());
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), &text);
    format!("v1,{}", STANDARD.encode(tag))
}

/// A request that is right.
pub(super) fn right() -> Signed<'static> {
    static SIGNATURES: LazyLock<String> = LazyLock::new(|| sign(FIRST, "m1", TIME, BODY));
    Signed {
        key: "acme/k1",
        id: "m1",
        timestamp: TIME,
        signatures: &SIGNATURES,
        content: BODY,
    }
}

/// What becomes of one that is right but for what `change` makes of it.
async fn name<'r>(change: impl Fn(&mut Signed<'r>)) -> &'static str {
    let mut request: Signed<'r> = right();
    change(&mut request);
    World::new().name(request).await
}

#[tokio::test]
async fn a_signature_proves_whose_the_key_is() {
    let world = World::new();
    let job = Job {
        issuer: "acme".to_owned(),
        subject: "acme".to_owned(),
        claims: [].into(),
    };
    assert_eq!(world.verify(right()).await, Ok(job));
    let (name, until, done) = world.memory.claim_made();
    assert_eq!(name, "identity/signed/acme/m1");
    assert_eq!((until.unix_timestamp(), done), (NOW + 900, true));
}

#[tokio::test]
async fn it_is_as_standard_webhooks_has_it() {
    // The example of the specification's own libraries.
    let world = World::with(Source::new(&[(
        "svix/k",
        "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD",
    )]));
    world.clock.set(1_649_367_553);
    let request = Signed {
        key: "svix/k",
        id: "msg_27UH4WbU6Z5A5EzD8u03UvzRbpk",
        timestamp: "1649367553",
        signatures: "v1,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw=",
        content: &[br#"{"email":"test@example.com","username":"test_user"}"#],
    };
    assert_eq!(world.name(request).await, "ok");
}

#[tokio::test]
async fn how_the_content_lies_in_memory_is_no_matter() {
    let whole: &[&[u8]] = &[&BODY.concat()];
    assert_eq!(name(|it| it.content = whole).await, "ok");
}

#[tokio::test]
async fn nothing_that_is_signed_can_be_changed() {
    assert_eq!(name(|it| it.id = "m2").await, "signature");
    assert_eq!(name(|it| it.timestamp = "1800000001").await, "signature");
    let other: &[&[u8]] = &[b"GET /v1/secret/data/other\n{\"a\":1}"];
    for content in [other, &[], &[b"x"]] {
        assert_eq!(name(|it| it.content = content).await, "signature");
    }
    // What stands on one side of a dot cannot be moved to the other.
    assert_eq!(name(|it| it.id = "m1.1800000000").await, "malformed");
}

#[tokio::test]
async fn every_sign_of_a_signature_counts() {
    let right = sign(FIRST, "m1", TIME, BODY);
    for at in 3..right.len() {
        let mut altered = right.clone().into_bytes();
        altered[at] = if altered[at] == b'A' { b'B' } else { b'A' };
        let altered = String::from_utf8(altered).unwrap();
        assert_eq!(
            name(|it| it.signatures = &altered).await,
            "signature",
            "{at}"
        );
        let cut = right.get(..at).unwrap();
        assert_eq!(name(|it| it.signatures = cut).await, "signature", "{at}");
    }
    let bare = right.strip_prefix("v1,").unwrap();
    let long = format!("{right}A");
    let other = right.replace("v1,", "v1a,");
    let joined = format!("{right},{right}");
    for wrong in ["", " ", "v1,", "v1", bare, &long, &other, &joined] {
        assert_eq!(
            name(|it| it.signatures = wrong).await,
            "signature",
            "{wrong}"
        );
    }
    for around in [
        format!("v1,AAAA {right}"),
        format!("{right} v2,x"),
        format!(" {right} "),
    ] {
        assert_eq!(name(|it| it.signatures = &around).await, "ok", "{around}");
    }
    let many = format!("{} {right}", "v1,AAAA ".repeat(200));
    assert_eq!(name(|it| it.signatures = &many).await, "malformed");
}

#[tokio::test]
async fn a_key_that_is_not_known_is_not_told_from_a_wrong_signature() {
    let unknown = IdentityError::KeyUnknown.to_string();
    assert_eq!(unknown, IdentityError::Signature.to_string());
    for key in ["acme/k9", "other/k1", "acma/k1", "acme/K1"] {
        assert_eq!(name(|it| it.key = key).await, "key_unknown", "{key}");
    }
    // Signed with the key that those have whom nobody knows.
    let forged = sign(&[0; 32], "m1", TIME, BODY);
    let request = Signed {
        key: "acme/k9",
        signatures: &forged,
        ..right()
    };
    assert_eq!(World::new().name(request).await, "key_unknown");
    // Both have the keys read anew, and so take as long.
    for key in ["acme/k9", "acme/k1"] {
        let world = World::new();
        let request = Signed { key, ..request };
        assert_ne!(world.name(request).await, "ok");
        later(Duration::from_secs(11)).await;
        assert_ne!(world.name(request).await, "ok");
        assert_eq!(world.source.read.load(Ordering::SeqCst), 2, "{key}");
    }
}

#[tokio::test]
async fn what_is_not_of_the_right_form_is_refused() {
    let long = "x".repeat(65);
    for id in [
        "", "a b", "a/b", "é", "a\n", "a.1", "a.1.b", "a..b", "a.", &long,
    ] {
        assert_eq!(name(|it| it.id = id).await, "malformed", "{id:?}");
    }
    for timestamp in [
        "",
        "+1800000000",
        "-1",
        "1e9",
        " 1800000000",
        "1800000000.0",
        "now",
    ] {
        assert_eq!(
            name(|it| it.timestamp = timestamp).await,
            "malformed",
            "{timestamp}"
        );
    }
    for key in [
        "",
        "acme",
        "/k1",
        "acme/",
        "acme/k1/x",
        "a b/k1",
        "acme/k\u{202e}",
        &long,
    ] {
        assert_eq!(name(|it| it.key = key).await, "malformed", "{key}");
    }
    let longest = "x".repeat(64);
    for id in ["msg_2-x.y1", "a.b.c", "1", &longest] {
        assert_eq!(name(|it| it.id = id).await, "signature", "{id:?}");
    }
}

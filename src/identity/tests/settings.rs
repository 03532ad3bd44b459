//! Issuers that cannot be trusted as they are configured.

use std::sync::Arc;
use std::time::Duration;

use super::memory::{Memory, Set};
use super::world::{NOW, settings};
use crate::identity::{Issuer, Oidc, SettingsError};

#[test]
fn settings_that_cannot_work_are_refused() {
    type Change = fn(&mut Issuer);
    let wrong: [(Change, &str); 16] = [
        (|it| it.name = String::new(), "cannot name an issuer"),
        (|it| it.name = "a/b".to_owned(), "cannot name an issuer"),
        (|it| it.name = "x".repeat(65), "cannot name an issuer"),
        (|it| it.issuer = String::new(), "not an address"),
        (
            |it| it.issuer = "token.example.org".to_owned(),
            "not an address",
        ),
        (
            |it| it.issuer = "http://token.example.org".to_owned(),
            "use https",
        ),
        (
            |it| it.issuer = "http://127.0.0.1.example.org".to_owned(),
            "use https",
        ),
        (
            |it| it.issuer = "ftp://example.org".to_owned(),
            "begin with https",
        ),
        (
            |it| it.issuer = "https://a:b@example.org".to_owned(),
            "password",
        ),
        (
            |it| it.issuer = "https://example.org#x".to_owned(),
            "fragment",
        ),
        (|it| it.issuer = "https://example.org?x".to_owned(), "query"),
        (
            |it| it.jwks_url = Some("http://example.org".to_owned()),
            "jwks_url of forge",
        ),
        (|it| it.audience = String::new(), "no audience"),
        (|it| it.session_ttl = Duration::ZERO, "a second to a day"),
        (
            |it| it.session_ttl = Duration::from_secs(86401),
            "a second to a day",
        ),
        (|it| it.ca = Some(b"hunter2".to_vec()), "no certificate"),
    ];
    let new = |all: Vec<Issuer>| {
        let clock = Arc::new(Set::at(NOW));
        Oidc::new(all, clock, Arc::new(Memory::default())).err()
    };
    let right = || settings("https://token.example.org/realm/");
    for (change, said) in wrong {
        let mut settings = right();
        change(&mut settings);
        let error = new(vec![settings]).expect(said).to_string();
        assert!(
            error.contains(said) && !error.contains("hunter2"),
            "{said}: {error}"
        );
    }
    assert_eq!(new(vec![right()]), None);
    let twice = new(vec![right(), right()]);
    assert_eq!(twice, Some(SettingsError::Twice("forge".to_owned())));
    // Under another name, for the same tokens; with another audience they are others.
    let named = |audience: &str| Issuer {
        name: "again".to_owned(),
        audience: audience.to_owned(),
        ..right()
    };
    let same = new(vec![right(), named("vaultgram")]).unwrap().to_string();
    assert!(
        same.starts_with("again takes the same tokens as forge"),
        "{same}"
    );
    assert_eq!(new(vec![right(), named("other")]), None);
    for local in [
        "http://localhost:1",
        "http://127.0.0.9",
        "http://[::1]:80/x",
    ] {
        assert_eq!(new(vec![settings(local)]), None, "{local}");
    }
}

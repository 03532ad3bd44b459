//! Wrapping: a token that the real `bao unwrap` takes once, for as long as was asked.

use std::process::{Command, Output};
use std::time::Duration;

use serde_json::{Value, json};
use vaultgram::broker::ports::{StoreError, Wrapped};

use crate::openbao::{OpenBao, bao as bao_command};
use crate::world::{World, app_role, app_role_with, error, gone, permit, settings};

const MINUTE: Duration = Duration::from_mins(1);

#[tokio::test(flavor = "multi_thread")]
async fn a_wrapped_secret_is_unwrapped_once() {
    let bao = OpenBao::start();
    bao.put("app", &json!({"k": "old"}));
    bao.put("app", &json!({"k": "q\"<v>", "n": 2}));
    let world = World::start(settings(
        bao.address(),
        app_role(&bao, "wrapper", &json!({})),
    ));

    for (version, wanted) in [
        (None, json!({"k": "q\"<v>", "n": 2})),
        (Some(1), json!({"k": "old"})),
    ] {
        let target = permit("secret", "app", version);
        let ttl = Duration::from_secs(123);
        let wrapped = world.store.wrap(&target, ttl).await.ok().unwrap();
        assert_eq!(wrapped.ttl, ttl);
        let facts = look_up(&bao, &wrapped);
        assert_eq!(facts["data"]["creation_ttl"], 123);
        assert_eq!(facts["data"]["creation_path"], "secret/data/app");
        // The accessor names this very token.
        let accessor = json!({"accessor": wrapped.accessor});
        let named = bao.must("POST", "auth/token/lookup-accessor", &accessor);
        assert_eq!(named["data"]["creation_ttl"], 123);

        let first = unwrap(&bao, &wrapped);
        assert!(first.status.success(), "{first:?}");
        let answer: Value = serde_json::from_slice(&first.stdout).unwrap();
        assert_eq!(answer["data"]["data"], wanted);
        let second = unwrap(&bao, &wrapped);
        assert!(!second.status.success(), "a second time");
        let complaint = String::from_utf8(second.stderr).unwrap();
        assert!(complaint.contains("not valid"), "{complaint}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn it_lives_no_longer_than_asked_and_can_be_revoked() {
    let bao = OpenBao::start();
    bao.put("app", &json!({"k": "v"}));
    let world = World::start(settings(
        bao.address(),
        app_role(&bao, "wrapper", &json!({})),
    ));
    let target = permit("secret", "app", None);
    // 0 would mean "not wrapped" to Vault.
    for ttl in [Duration::ZERO, Duration::from_millis(1_900)] {
        let wrapped = world.store.wrap(&target, ttl).await.ok().unwrap();
        assert_eq!(wrapped.ttl, Duration::from_secs(1));
        crate::openbao::wait_until("the token is gone", || {
            bao.call("POST", "sys/wrapping/lookup", &token(&wrapped)).0 == 400
        });
        assert!(!unwrap(&bao, &wrapped).status.success());
    }
    let wrapped = world.store.wrap(&target, MINUTE).await.ok().unwrap();
    let accessor = json!({"accessor": wrapped.accessor});
    bao.must("POST", "auth/token/revoke-accessor", &accessor);
    assert!(!unwrap(&bao, &wrapped).status.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_read_is_not_wrapped() {
    let bao = OpenBao::start();
    for value in 1..=3 {
        bao.put("app", &json!({ "k": value }));
    }
    bao.must("POST", "secret/destroy/app", &json!({"versions": [2]}));
    bao.must("POST", "secret/delete/app", &json!({"versions": [3]}));
    let world = World::start(settings(
        bao.address(),
        app_role(&bao, "wrapper", &json!({})),
    ));
    let wrap = async |path, version| {
        let target = permit("secret", path, version);
        error(world.store.wrap(&target, MINUTE).await)
    };
    assert_eq!(wrap("none", None).await, StoreError::NotFound);
    assert_eq!(wrap("none", Some(1)).await, StoreError::NotFound);
    assert_eq!(wrap("app", Some(9)).await, StoreError::NoSuchVersion);
    let destroyed = gone::<()>(Err(wrap("app", Some(2)).await));
    assert_eq!(destroyed, ("destroyed", 2));
    for version in [None, Some(3)] {
        let deleted = gone::<()>(Err(wrap("app", version).await));
        assert_eq!(deleted, ("deleted", 3));
    }

    let names_only = r#"path "secret/metadata/*" { capabilities = ["read"] }"#;
    let auth = app_role_with(&bao, "names", names_only, &json!({}));
    let world = World::start(settings(bao.address(), auth));
    let target = permit("secret", "app", Some(1));
    let refused = error(world.store.wrap(&target, MINUTE).await);
    assert_eq!(refused, StoreError::Forbidden);
}

/// What a person does with the token: no other token, no login.
fn unwrap(bao: &OpenBao, wrapped: &Wrapped) -> Output {
    let home = tempfile::tempdir().unwrap();
    Command::new(bao_command())
        .args(["unwrap", "-format=json"])
        .env_clear()
        .env("HOME", home.path())
        .env("BAO_ADDR", bao.address())
        .env("BAO_TOKEN", text(wrapped))
        .output()
        .unwrap()
}

fn look_up(bao: &OpenBao, wrapped: &Wrapped) -> Value {
    bao.must("POST", "sys/wrapping/lookup", &token(wrapped))
}

fn token(wrapped: &Wrapped) -> Value {
    json!({"token": text(wrapped)})
}

#[expect(clippy::disallowed_methods, reason = "the test unwraps with it")]
fn text(wrapped: &Wrapped) -> String {
    String::from_utf8(wrapped.token.expose_secret().to_vec()).unwrap()
}

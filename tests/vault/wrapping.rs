//! Wrapping: a token that the real `bao unwrap` takes once, for as long as was asked.

use std::process::{Command, Output};
use std::time::Duration;

use serde_json::{Value, json};
use vaultgram::broker::ports::{SecretStore, StoreError, StoreHealth, Wrapped};
use vaultgram::domain::{Action, Permit};

use crate::openbao::{OpenBao, bao as bao_command};
use crate::world::{
    World, app_role, app_role_with, error, fields, gone, permit, permit_to, secret, settings,
    static_token,
};

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
        assert_eq!(wrapped.facts.ttl, ttl);
        let facts = look_up(&bao, &wrapped);
        assert_eq!(facts["data"]["creation_ttl"], 123);
        assert_eq!(facts["data"]["creation_path"], "secret/data/app");
        assert_eq!(facts["data"]["creation_path"], wrapped.facts.path);
        assert_eq!(facts["data"]["creation_time"], wrapped.facts.created);
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
        assert_eq!(wrapped.facts.ttl, Duration::from_secs(1));
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

/// The permit to unwrap what was made at `mount/app`.
fn to_unwrap(mount: &str) -> Permit {
    let target = permit(mount, "app", None).target().clone();
    permit_to(Action::Unwrap, target)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrapped_is_looked_at_and_unwrapped_with_its_token_alone() {
    let bao = OpenBao::start();
    bao.put("app", &json!({"k": "v"}));
    bao.must("POST", "sys/mounts/legacy", &json!({"type": "kv"}));
    bao.must("POST", "legacy/app", &json!({"old": 1}));
    let auth = app_role(&bao, "wrapper", &json!({}));
    let world = World::start(settings(bao.address(), auth));
    let store = &world.store;
    let root = World::start(settings(bao.address(), static_token(bao.root())));
    for (mount, path, wanted) in [
        ("secret", "secret/data/app", ("k", r#""v""#, Some(1))),
        ("legacy", "legacy/app", ("old", "1", None)),
    ] {
        let wrapped = root.store.wrap(&permit(mount, "app", None), MINUTE).await;
        let wrapped = wrapped.ok().unwrap();
        // Looking twice uses nothing up.
        for _ in 0..2 {
            let facts = store.wrapped(&wrapped.token).await.unwrap();
            assert_eq!(facts, wrapped.facts);
            assert_eq!((&*facts.path, facts.ttl), (path, MINUTE));
        }
        let read = permit(mount, "app", None);
        let misused = error(store.unwrap(&read, &wrapped.token).await);
        assert_eq!(misused, StoreError::Unsupported);
        let secret = store.unwrap(&to_unwrap(mount), &wrapped.token).await;
        let secret = secret.ok().unwrap();
        let found = fields(&secret).remove(0);
        assert_eq!((&*found.0, &*found.1, secret.version()), wanted);
        // Now it is used up.
        let used = StoreError::NotWrapped;
        assert_eq!(error(store.wrapped(&wrapped.token).await), used);
        let again = store.unwrap(&to_unwrap(mount), &wrapped.token).await;
        assert_eq!(error(again), used);
    }

    // What a write answered is no secret.
    let token = bao.wrapped("secret/data/app", "1m", &json!({"data": {"k": "w"}}));
    let written = store.unwrap(&to_unwrap("secret"), &secret(&token)).await;
    assert_eq!(error(written), StoreError::Invalid);

    // No other token will do, and none can add to the request.
    let long = "s".repeat(5000);
    let good = bao.wrapped("secret/data/app", "1m", &json!({"data": {"k": "x"}}));
    let two = format!("{good}\r\nX-Other: header");
    for token in ["", "s.none", bao.root(), &two, "\u{e9}", &long] {
        let token = secret(token);
        let none = StoreError::NotWrapped;
        assert_eq!(error(store.wrapped(&token).await), none);
        let unwrapped = store.unwrap(&to_unwrap("secret"), &token).await;
        assert_eq!(error(unwrapped), none);
    }
    bao.seal();
    world
        .wait_for("sealed", |health| *health == StoreHealth::Sealed)
        .await;
    let sealed = error(store.wrapped(&secret("s.none")).await);
    assert_eq!(sealed, StoreError::Sealed);
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

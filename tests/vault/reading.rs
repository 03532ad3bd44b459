//! What reads answer: values of every kind, versions, absence, refusal.

use serde_json::{Value, json};
use vaultgram::broker::ports::{SecretStore, StoreError};
use vaultgram::domain::Origin;

use crate::openbao::{OpenBao, wait_until};
use crate::world::{World, app_role, error, fields, gone, permit, settings, static_token};

#[tokio::test(flavor = "multi_thread")]
async fn the_shipped_policy_suffices_for_every_kind_of_answer() {
    let bao = OpenBao::start();
    let world = World::start(settings(
        bao.address(),
        app_role(&bao, "reader", &json!({})),
    ));
    values_of_every_kind(&bao, &world).await;
    versions(&bao, &world).await;
    absence(&world).await;
    other_mounts(&bao, &world).await;
    // None of this cost a login.
    assert_eq!(bao.tokens_of("reader").len(), 1);
}

async fn values_of_every_kind(bao: &OpenBao, world: &World) {
    bao.put(
        "kinds/all",
        &json!({
            "text": "plain", "unicode": "p\u{e4}ss\u{1f511}", "html": "<&>\"\\\n", "number": 12_345_678,
            "float": 1.5, "yes": true, "null": null, "list": [1, "two"], "nested": {"a": {"b": "c"}},
            "empty": "", "na<me": "v",
        }),
    );
    let secret = world.read("kinds/all").await.unwrap();
    let found = fields(&secret);
    let text = |name: &str| {
        found
            .iter()
            .find(|(field, _)| field == name)
            .unwrap()
            .1
            .clone()
    };
    assert_eq!(text("text"), r#""plain""#);
    assert_eq!(text("html"), r#""\u003c\u0026\u003e\"\\\n""#);
    assert_eq!(text("number"), "12345678");
    assert_eq!(text("float"), "1.5");
    assert_eq!(text("nested"), r#"{"a":{"b":"c"}}"#);
    for (name, wanted) in [
        ("unicode", json!("p\u{e4}ss\u{1f511}")),
        ("yes", json!(true)),
        ("null", json!(null)),
        ("list", json!([1, "two"])),
        ("empty", json!("")),
        ("na<me", json!("v")),
    ] {
        assert_eq!(
            serde_json::from_str::<Value>(&text(name)).unwrap(),
            wanted,
            "{name}"
        );
    }
    assert_eq!(found.len(), 11);
    let Origin::Version(facts) = &secret.origin else {
        panic!("{:?}", secret.origin);
    };
    assert_eq!(facts.number, 1);
    assert!(facts.created.starts_with("20"), "{facts:?}");
    assert_eq!((&*facts.deletion, &*facts.notes), ("", &[][..]));
}

async fn versions(bao: &OpenBao, world: &World) {
    for value in 1..=4 {
        bao.put("app/key", &json!({ "value": value }));
    }
    let version = async |version| {
        let permit = permit("secret", "app/key", Some(version));
        world.store.read(&permit).await
    };
    assert_eq!(
        version(1)
            .await
            .map(|secret| fields(&secret)[0].1.clone())
            .unwrap(),
        "1"
    );
    assert_eq!(
        world
            .read("app/key")
            .await
            .map(|secret| secret.version())
            .unwrap(),
        Some(4)
    );

    bao.must(
        "POST",
        "secret/delete/app/key",
        &json!({"versions": [2, 4]}),
    );
    bao.must("POST", "secret/destroy/app/key", &json!({"versions": [3]}));
    assert_eq!(gone(version(2).await), ("deleted", 2));
    assert_eq!(gone(version(3).await), ("destroyed", 3));
    assert_eq!(gone(world.read("app/key").await), ("deleted", 4));
    assert_eq!(error(version(9).await), StoreError::NoSuchVersion);
}

async fn absence(world: &World) {
    assert_eq!(error(world.read("none").await), StoreError::NotFound);
    assert_eq!(error(world.read("app").await), StoreError::NotFound);
    let permit = permit("secret", "none", Some(2));
    assert_eq!(error(world.store.read(&permit).await), StoreError::NotFound);
}

async fn other_mounts(bao: &OpenBao, world: &World) {
    let forbidden = permit("elsewhere", "x", None);
    assert_eq!(
        error(world.store.read(&forbidden).await),
        StoreError::Forbidden
    );

    bao.must(
        "POST",
        "sys/mounts/old",
        &json!({"type": "kv", "options": {"version": "1"}}),
    );
    bao.must("POST", "old/app", &json!({"k": "v"}));
    bao.must("POST", "old/data/trap", &json!({"k": "v"}));
    let root = World::start(settings(bao.address(), static_token(bao.root())));
    for (mount, path, wanted) in [
        ("old", "app", StoreError::WrongMount),
        ("old", "trap", StoreError::WrongMount),
        ("nowhere", "x", StoreError::NotFound),
    ] {
        let permit = permit(mount, path, None);
        assert_eq!(
            error(root.store.read(&permit).await),
            wanted,
            "{mount}/{path}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_path_of_every_allowed_character_arrives_unchanged() {
    let bao = OpenBao::start();
    let world = World::start(settings(bao.address(), static_token(bao.root())));
    let path = "a-b_c.d~e+f=g:h,i/Z9/...";
    bao.put(path, &json!({"k": "found"}));
    assert_eq!(world.field(path, "k").await.unwrap(), r#""found""#);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_over_the_limit_is_refused_and_one_below_is_not() {
    let bao = OpenBao::start();
    let world = World::start(settings(bao.address(), static_token(bao.root())));
    bao.put("large", &json!({"k": "x".repeat(1_000_000)}));
    assert_eq!(world.field("large", "k").await.unwrap().len(), 1_000_002);
    bao.put("large", &json!({"k": "x".repeat(1_048_576)}));
    assert_eq!(error(world.read("large").await), StoreError::Invalid);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_has_its_own_secrets_and_tokens() {
    let bao = OpenBao::start();
    bao.put("app", &json!({"k": "root's"}));
    bao.must("POST", "sys/namespaces/team", &json!({}));
    let kv = json!({"type": "kv", "options": {"version": "2"}});
    bao.must("POST", "team/sys/mounts/secret", &kv);
    wait_until("KV version 2 is ready", || {
        bao.call(
            "POST",
            "team/secret/data/app",
            &json!({"data": {"k": "team's"}}),
        )
        .0 == 200
    });
    let mut settings = settings(bao.address(), static_token(bao.root()));
    settings.namespace = Some("team".to_owned());
    let world = World::start(settings);
    assert_eq!(world.field("app", "k").await.unwrap(), r#""team's""#);
}

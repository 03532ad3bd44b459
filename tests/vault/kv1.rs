//! KV version 1, mounts that are not what the configuration says, and the rest of version 2.

use serde_json::{Value, json};
use vaultgram::broker::ports::{SecretStore, StoreError};
use vaultgram::domain::{Action, Delivery, MountKind, Mounts, Origin, VersionState};

use crate::engines::role;
use crate::openbao::{OpenBao, wait_until};
use crate::world::{World, error, field, fields, gone, permit, permit_to, settings, static_token};

fn mount(bao: &OpenBao, name: &str, kind: &str, version: &str) {
    let options = json!({"type": kind, "options": {"version": version}});
    bao.must("POST", &format!("sys/mounts/{name}"), &options);
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_without_versions_are_read_written_listed_and_deleted() {
    let bao = OpenBao::start();
    mount(&bao, "legacy", "kv", "1");
    bao.must("POST", "legacy/app", &json!({"k": "v", "n": 1.5}));
    let world = World::start(settings(bao.address(), role(&bao)));
    let store = &world.store;
    let (app, new) = (
        permit("legacy", "app", None),
        permit("legacy", "team/new", None),
    );
    let secret = store.read(&app).await.unwrap();
    assert_eq!(secret.origin, Origin::Plain);
    let found = fields(&secret);
    let found: Vec<_> = found
        .iter()
        .map(|(name, json)| (name.as_str(), json.as_str()))
        .collect();
    assert_eq!(found, [("k", r#""v""#), ("n", "1.5")]);
    assert_eq!(error(store.read(&new).await), StoreError::NotFound);

    let change = [field("k", r#""new""#)];
    assert!(store.exists(&app).await.unwrap() && !store.exists(&new).await.unwrap());
    let there = StoreError::Conflict { current: 1 };
    assert_eq!(error(store.put(&app, &change, 0).await), there);
    assert_eq!(
        bao.must("GET", "legacy/app", &Value::Null)["data"]["k"],
        "v"
    );
    assert_eq!(store.put(&app, &change, 1).await, Ok(None));
    assert_eq!(
        bao.must("GET", "legacy/app", &Value::Null)["data"],
        json!({"k": "new"})
    );
    let absent = StoreError::Conflict { current: 0 };
    assert_eq!(error(store.put(&new, &change, 1).await), absent);
    assert_eq!(store.put(&new, &change, 0).await, Ok(None));
    assert_eq!(store.put(&new, &change, None).await, Ok(None));

    let list = |path: &str| {
        let path = vaultgram::domain::SecretPath::folder("legacy", path).unwrap();
        let target = vaultgram::domain::Target {
            path,
            field: None,
            version: None,
        };
        permit_to(Action::List, target)
    };
    assert_eq!(store.list(&list("")).await.unwrap(), ["app", "team/"]);
    assert_eq!(store.list(&list("team")).await.unwrap(), ["new"]);
    assert_eq!(error(store.list(&list("none")).await), StoreError::NotFound);

    assert_eq!(store.delete(&app).await, Ok(None));
    assert_eq!(bao.call("GET", "legacy/app", &Value::Null).0, 404);
    assert_eq!(error(store.delete(&app).await), StoreError::NotFound);

    // What needs versions: the broker does not ask for it, and neither is it done.
    let refused = StoreError::Unsupported;
    assert_eq!(error(store.history(&new).await), refused);
    assert_eq!(error(store.patch(&new, &change, None).await), refused);
    assert_eq!(error(store.undelete(&new, 1).await), refused);
    assert_eq!(error(store.destroy(&new, 1).await), refused);
    assert_eq!(error(store.invoke(&new, &change).await), refused);
    let secret = permit("secret", "a", None);
    assert_eq!(error(store.invoke(&secret, &change).await), refused);
    assert_eq!(error(store.exists(&secret).await), refused);
    let engine = permit("pki", "roles/web", None);
    assert_eq!(error(store.put(&engine, &change, 0).await), refused);
    assert_eq!(error(store.delete(&engine).await), refused);
    let unknown = permit("unconfigured", "a", None);
    assert_eq!(error(store.read(&unknown).await), refused);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mount_of_another_kind_is_not_asked() {
    let bao = OpenBao::start();
    mount(&bao, "one", "kv", "1");
    mount(&bao, "two", "kv", "2");
    bao.must("POST", "sys/mounts/other", &json!({"type": "transit"}));
    wait_until("KV version 2 is ready", || {
        bao.call("GET", "two/config", &Value::Null).0 == 200
    });
    bao.must("POST", "one/a", &json!({"k": "v"}));
    bao.must("POST", "two/data/a", &json!({"data": {"k": "v"}}));
    bao.must("POST", "other/keys/a", &json!({}));
    let kinds = [
        ("mounts", MountKind::Kv2),
        ("mounts_v1", MountKind::Kv1),
        ("engines", MountKind::Engine),
    ];
    for (mount, right, path) in [
        ("one", 1, "a"),
        ("two", 0, "data/a"),
        ("other", 2, "keys/a"),
    ] {
        for (place, (setting, kind)) in kinds.into_iter().enumerate() {
            let mut settings = settings(bao.address(), static_token(bao.root()));
            settings.mounts = Mounts::of(vec![(mount.to_owned(), kind)]).unwrap();
            let world = World::start(settings);
            let path = if kind == MountKind::Kv2 { "a" } else { path };
            let read = world
                .store
                .read(&permit(mount, path, None))
                .await
                .map(|_| ());
            let wanted = if place == right {
                Ok(())
            } else {
                Err(StoreError::WrongMount)
            };
            assert_eq!(read, wanted, "{mount} in {setting}");
        }
    }
    // One that is not there at all.
    let world = World::start(settings(bao.address(), static_token(bao.root())));
    let read = world.store.read(&permit("nothing", "a", None)).await;
    assert_eq!(error(read), StoreError::NotFound);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_is_destroyed_for_good_and_notes_are_told() {
    let bao = OpenBao::start();
    for value in 1..=3 {
        bao.put("app", &json!({ "k": value }));
    }
    let notes = json!({"custom_metadata": {"owner": "ann", "for": "tests"}});
    bao.must("POST", "secret/metadata/app", &notes);
    let world = World::start(settings(bao.address(), role(&bao)));
    let (store, app) = (&world.store, permit("secret", "app", None));
    store
        .delete(&permit("secret", "app", Some(1)))
        .await
        .unwrap();
    for version in [1, 2] {
        store.destroy(&app, version).await.unwrap();
        let destroyed = ("destroyed", version);
        assert_eq!(gone(store.undelete(&app, version).await), destroyed);
        assert_eq!(gone(store.destroy(&app, version).await), destroyed);
    }
    assert_eq!(
        error(store.destroy(&app, 9).await),
        StoreError::NoSuchVersion
    );
    let history = store.history(&app).await.unwrap();
    let states: Vec<_> = history
        .versions
        .iter()
        .map(|version| version.state)
        .collect();
    let gone = VersionState::Destroyed;
    assert_eq!(states, [VersionState::Live, gone, gone]);
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let wanted = [pair("for", "tests"), pair("owner", "ann")];
    assert_eq!(history.notes, wanted);
    let read = store.read(&app).await.ok().unwrap();
    assert!(matches!(read.origin, Origin::Version(facts) if facts.notes == wanted));
    // A permit to do another thing destroys nothing.
    let other = permit_to(Action::Read(Delivery::Socket), app.target().clone());
    assert_eq!(
        error((**store).destroy(&other, 3).await),
        StoreError::Unsupported
    );
}

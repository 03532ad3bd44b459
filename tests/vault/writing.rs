//! Writing, deleting, undeleting and naming, and what each answers when it cannot be.

use std::time::Duration;

use serde_json::{Value, json};
use vaultgram::broker::ports::{SecretStore, StoreError, StoreHealth};
use vaultgram::domain::{Action, Delivery, Permit, VersionState};
use vaultgram::vault::Store;

use crate::openbao::OpenBao;
use crate::wires::Gate;
use crate::world::{
    SHIPPED, World, app_role, app_role_with, error, field, folder, gone, permit, permit_to,
    settings, static_token,
};

fn newest(path: &str) -> Permit {
    permit("secret", path, None)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_shipped_policy_suffices_for_every_kind_of_change() {
    let bao = OpenBao::start();
    let world = World::start(settings(
        bao.address(),
        app_role(&bao, "writer", &json!({})),
    ));
    puts(&bao, &world).await;
    patches(&bao, &world).await;
    deletions(&bao, &world).await;
    names(&bao, &world).await;
    assert_eq!(bao.tokens_of("writer").len(), 1);
}

/// What `secret/PATH` holds.
fn stored(bao: &OpenBao, path: &str) -> Value {
    bao.must("GET", &format!("secret/data/{path}"), &Value::Null)["data"]["data"].clone()
}

async fn puts(bao: &OpenBao, world: &World) {
    let store = &world.store;
    let target = newest("puts/a");
    let fields = [
        field("quote\"d", r#""<&>\"\\\n\ud83d\udd11""#),
        field("n", "1.5"),
        field("o", r#"{"k":[1,null]}"#),
    ];
    assert_eq!(store.put(&target, &fields, 0).await, Ok(Some(1)));
    let wanted = json!({"quote\"d": "<&>\"\\\n\u{1f511}", "n": 1.5, "o": {"k": [1, null]}});
    assert_eq!(stored(bao, "puts/a"), wanted);

    // Over the version that is not the newest, and over none where there is one.
    let other = [field("k", r#""other""#)];
    assert_eq!(store.put(&target, &other, 1).await, Ok(Some(2)));
    for over in [0, 1, 3] {
        let conflict = Err(StoreError::Conflict { current: 2 });
        assert_eq!(store.put(&target, &other, over).await, conflict);
    }
    assert_eq!(stored(bao, "puts/a"), json!({"k": "other"}), "all replaced");

    // A deleted newest version is still one: it is written over by its number.
    store.delete(&target).await.unwrap();
    let conflict = Err(StoreError::Conflict { current: 2 });
    assert_eq!(store.put(&target, &other, 0).await, conflict);
    assert_eq!(store.put(&target, &other, 2).await, Ok(Some(3)));
    // Over whatever there is: a version, a deleted one, nothing.
    assert_eq!(store.put(&target, &other, None).await, Ok(Some(4)));
    store.delete(&target).await.unwrap();
    assert_eq!(store.put(&target, &other, None).await, Ok(Some(5)));
    let new = newest("puts/new");
    assert_eq!(store.put(&new, &other, None).await, Ok(Some(1)));
    // The new version is described.
    let notes = json!({"custom_metadata": {"owner": "ann"}, "delete_version_after": "1h"});
    bao.must("POST", "secret/metadata/puts/a", &notes);
    let change = async |action| {
        let permit = permit_to(action, target.target().clone());
        if let Action::Put { over } = action {
            let new = (**store).put(&permit, &other, over).await;
            return new.map(Option::unwrap);
        }
        (**store).patch(&permit, &other, None).await
    };
    let over = None;
    for (number, action) in [(6, Action::Put { over }), (7, Action::Patch { over })] {
        let new = change(action).await.unwrap();
        assert_eq!(new.number, number);
        assert!(
            new.created.starts_with("20") && new.created < new.deletion,
            "{new:?}"
        );
        assert_eq!(new.notes, [("owner".to_owned(), "ann".to_owned())]);
    }
    // Metadata alone is none.
    let cap = json!({"max_versions": 2});
    bao.must("POST", "secret/metadata/puts/named", &cap);
    let named = newest("puts/named");
    assert_eq!(store.history(&named).await.unwrap().current, 0);
    assert_eq!(store.delete(&named).await, Err(StoreError::NotFound));
    assert_eq!(store.put(&named, &other, 0).await, Ok(Some(1)));
}

async fn patches(bao: &OpenBao, world: &World) {
    let store = &world.store;
    let target = newest("patches/a");
    let change = [field("b", "2"), field("c", r#""\u0001""#)];
    let absent = store.patch(&target, &change, None).await;
    assert_eq!(absent, Err(StoreError::NotFound));
    bao.put("patches/a", &json!({"a": "kept", "b": 1}));
    assert_eq!(store.patch(&target, &change, None).await, Ok(2));
    let wanted = json!({"a": "kept", "b": 2, "c": "\u{1}"});
    assert_eq!(stored(bao, "patches/a"), wanted);
    assert_eq!(store.patch(&target, &change, Some(2)).await, Ok(3));
    let conflict = Err(StoreError::Conflict { current: 3 });
    assert_eq!(store.patch(&target, &change, Some(2)).await, conflict);

    store.delete(&target).await.unwrap();
    for over in [None, Some(3)] {
        let deleted = gone(store.patch(&target, &change, over).await);
        assert_eq!(deleted, ("deleted", 3));
    }
    let newest_one = json!({"versions": [3]});
    bao.must("POST", "secret/destroy/patches/a", &newest_one);
    let destroyed = gone(store.patch(&target, &change, None).await);
    assert_eq!(destroyed, ("destroyed", 3));

    // A secret that demands check-and-set.
    let strict = json!({"cas_required": true});
    bao.must("POST", "secret/metadata/patches/strict", &strict);
    let target = newest("patches/strict");
    assert_eq!(store.put(&target, &change, 0).await, Ok(Some(1)));
    let required = StoreError::CasRequired;
    assert_eq!(error(store.put(&target, &change, None).await), required);
    assert_eq!(error(store.patch(&target, &change, None).await), required);
    assert_eq!(store.patch(&target, &change, Some(1)).await, Ok(2));
}

async fn deletions(bao: &OpenBao, world: &World) {
    let store = &world.store;
    for value in 1..=4 {
        bao.put("deletions/a", &json!({ "k": value }));
    }
    let at = |version| permit("secret", "deletions/a", Some(version));
    let newest = newest("deletions/a");
    assert_eq!(store.delete(&at(2)).await, Ok(Some(2)));
    assert_eq!(store.delete(&newest).await, Ok(Some(4)));
    bao.must(
        "POST",
        "secret/destroy/deletions/a",
        &json!({"versions": [3]}),
    );

    let history = store.history(&newest).await.unwrap();
    assert_eq!(history.current, 4);
    let states: Vec<(u64, VersionState)> = history
        .versions
        .iter()
        .map(|version| (version.number, version.state))
        .collect();
    let wanted = [
        (4, VersionState::Deleted),
        (3, VersionState::Destroyed),
        (2, VersionState::Deleted),
        (1, VersionState::Live),
    ];
    assert_eq!(states, wanted);
    assert_eq!((history.oldest, history.max_versions), (0, 0));
    assert!(!history.cas_required && history.created < history.updated);
    assert_eq!(history.delete_version_after, "0s");
    for version in &history.versions {
        assert!(version.created.starts_with("20"));
        let deleted = version.state == VersionState::Deleted;
        assert_eq!(version.deletion > version.created, deleted, "{version:?}");
    }

    assert_eq!(gone(store.delete(&newest).await), ("deleted", 4));
    let destroyed = ("destroyed", 3);
    assert_eq!(gone(store.delete(&at(3)).await), destroyed);
    assert_eq!(gone(store.undelete(&newest, 3).await), destroyed);
    let missing = StoreError::NoSuchVersion;
    assert_eq!(error(store.delete(&at(9)).await), missing);
    assert_eq!(error(store.undelete(&newest, 9).await), missing);
    let live = Err(StoreError::NotDeleted { version: 1 });
    assert_eq!(store.undelete(&newest, 1).await, live);
    let none = permit("secret", "deletions/none", None);
    let absent = StoreError::NotFound;
    assert_eq!(error(store.delete(&none).await), absent);
    assert_eq!(error(store.undelete(&none, 1).await), absent);
    assert_eq!(error(store.history(&none).await), StoreError::NotFound);

    assert_eq!(store.undelete(&newest, 4).await, Ok(()));
    assert_eq!(stored(bao, "deletions/a"), json!({"k": 4}));

    // A version that is to be deleted in an hour lives.
    let hour = json!({"delete_version_after": "1h", "max_versions": 1, "cas_required": true});
    bao.must("POST", "secret/metadata/deletions/later", &hour);
    let later = permit("secret", "deletions/later", None);
    let change = [field("k", "1")];
    for over in [0, 1] {
        store.put(&later, &change, over).await.unwrap();
    }
    let history = store.history(&later).await.unwrap();
    assert_eq!(history.versions[0].state, VersionState::Live);
    assert!(history.versions[0].deletion > history.versions[0].created);
    assert_eq!((history.oldest, history.max_versions), (2, 1));
    assert!(history.cas_required);
    assert_eq!(history.delete_version_after, "1h0m0s");
    assert_eq!(store.delete(&later).await, Ok(Some(2)));
    let history = store.history(&later).await.unwrap();
    assert_eq!(history.versions[0].state, VersionState::Deleted);
}

async fn names(bao: &OpenBao, world: &World) {
    let store = &world.store;
    for path in ["names/b", "names/a/deep/x", "names/a", "top"] {
        bao.put(path, &json!({"k": "v"}));
    }
    let list = async |path| store.list(&folder(path)).await;
    assert_eq!(list("names").await.unwrap(), ["a", "a/", "b"]);
    assert_eq!(list("names/a/").await.unwrap(), ["deep/"]);
    let top = list("").await.unwrap();
    assert!(top.contains(&"names/".to_owned()), "{top:?}");
    assert!(top.contains(&"top".to_owned()), "{top:?}");
    for path in ["nowhere", "names/b"] {
        assert_eq!(error(list(path).await), StoreError::NotFound, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_writing_part_of_the_policy_nothing_can_be_changed() {
    let bao = OpenBao::start();
    bao.put("app", &json!({"k": 1}));
    bao.put("app", &json!({"k": 2}));
    bao.must("POST", "secret/delete/app", &json!({"versions": [1]}));
    let (reading, rest) = SHIPPED.split_once("# --- writing").unwrap();
    let (_, own) = rest.split_once("# --- its own token").unwrap();
    let rules = format!("{reading}# --- its own token{own}");
    let auth = app_role_with(&bao, "reader", &rules, &json!({}));
    let world = World::start(settings(bao.address(), auth));
    let (store, target) = (&world.store, newest("app"));
    let change = [field("k", "3")];
    let forbidden = StoreError::Forbidden;
    assert_eq!(error(store.put(&target, &change, 2).await), forbidden);
    let absent = newest("new");
    assert_eq!(error(store.put(&absent, &change, 0).await), forbidden);
    assert_eq!(error(store.patch(&target, &change, None).await), forbidden);
    assert_eq!(error(store.delete(&target).await), forbidden);
    assert_eq!(error(store.undelete(&target, 1).await), forbidden);
    // The rest works, and none of this cost the session.
    assert_eq!(store.list(&folder("")).await.unwrap(), ["app"]);
    assert_eq!(store.history(&target).await.unwrap().current, 2);
    let minute = Duration::from_mins(1);
    assert!(store.wrap(&target, minute).await.is_ok());
    assert_eq!(world.field("app", "k").await.unwrap(), "2");
    assert_eq!(bao.tokens_of("reader").len(), 1);

    let values_only = r#"path "secret/data/*" { capabilities = ["read"] }"#;
    let auth = app_role_with(&bao, "values", values_only, &json!({}));
    let world = World::start(settings(bao.address(), auth));
    let (store, folder) = (&world.store, folder(""));
    assert_eq!(error(store.list(&folder).await), forbidden);
    assert_eq!(error(store.history(&target).await), forbidden);
    assert_eq!(error(store.wrap(&target, minute).await), forbidden);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_token_is_replaced_and_the_change_made_once() {
    let bao = OpenBao::start();
    let auth = app_role(&bao, "revoked", &json!({}));
    let world = World::start(settings(bao.address(), auth));
    let (store, target) = (&world.store, newest("app"));
    let change = [field("k", "1")];
    assert_eq!(store.put(&target, &change, 0).await, Ok(Some(1)));
    bao.revoke_tokens_of("revoked");
    assert_eq!(store.patch(&target, &change, None).await, Ok(2));
    bao.revoke_tokens_of("revoked");
    assert_eq!(store.delete(&target).await, Ok(Some(2)));
    assert_eq!(store.history(&target).await.unwrap().current, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mount_of_version_1_is_not_written_to() {
    let bao = OpenBao::start();
    let old = json!({"type": "kv", "options": {"version": "1"}});
    bao.must("POST", "sys/mounts/old", &old);
    let world = World::start(settings(bao.address(), static_token(bao.root())));
    let (store, target) = (&world.store, permit("old", "app", None));
    let change = [field("k", "1")];
    let invalid = StoreError::WrongMount;
    assert_eq!(error(store.put(&target, &change, 0).await), invalid);
    assert!(store.patch(&target, &change, None).await.is_err());
    assert_eq!(error(store.delete(&target).await), invalid);
    assert_eq!(error(store.history(&target).await), invalid);
    assert_eq!(bao.call("GET", "old/data/app", &Value::Null).0, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_answer_is_said_and_nothing_is_written_twice() {
    let bao = OpenBao::start();
    bao.put("app", &json!({"k": 0}));
    let gate = Gate::open_to(bao.socket()).await;
    let mut settings = settings(gate.address(), app_role(&bao, "cut", &json!({})));
    settings.request_timeout = Duration::from_secs(1);
    let world = World::start(settings);
    world.ready().await;
    let (store, target) = (&world.store, newest("app"));
    gate.mute();
    let change = [field("k", "1")];
    assert_eq!(
        error(store.patch(&target, &change, None).await),
        StoreError::Unclear
    );
    gate.open();
    world.ready().await;
    crate::openbao::wait_until("it was written all the same", || {
        stored(&bao, "app") == json!({"k": 1})
    });
    assert_eq!(store.history(&target).await.unwrap().current, 2, "once");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_never_sent_is_not_unclear() {
    let mut bao = OpenBao::start();
    bao.put("app", &json!({"k": 0}));
    let auth = app_role(&bao, "down", &json!({}));
    let world = World::start(settings(bao.address(), auth));
    world.ready().await;
    let (store, target) = (&world.store, newest("app"));
    let change = [field("k", "1")];
    bao.seal();
    let sealed = error(store.patch(&target, &change, None).await);
    assert_eq!(sealed, StoreError::Sealed);
    bao.kill();
    // A connection that idled may have to break first.
    world
        .wait_for("unreachable", |health| {
            matches!(health, StoreHealth::Unreachable { .. })
        })
        .await;
    let down = error(store.patch(&target, &change, None).await);
    assert_eq!(down, StoreError::Unavailable);
    assert_eq!(error(store.put(&target, &change, 1).await), down);
    assert_eq!(error(store.delete(&target).await), down);
}

#[tokio::test]
async fn a_permit_is_good_for_its_own_action_only() {
    // Nobody is there to be asked.
    let store = Store::new(settings("http://127.0.0.1:1".into(), static_token("t"))).unwrap();
    let target = || newest("app").target().clone();
    let to = |action| permit_to(action, target());
    let (read, delete) = (newest("app"), to(Action::Delete));
    let refused = StoreError::Unsupported;
    let change = [field("k", "1")];
    assert_eq!(error(store.read(&delete).await), refused);
    let wrapped = to(Action::Read(Delivery::Wrapped));
    assert_eq!(error(store.read(&wrapped).await), refused);
    assert_eq!(
        error(store.wrap(&read, Duration::from_mins(1)).await),
        refused
    );
    assert_eq!(error(store.list(&read).await), refused);
    // A read may look too: whether what was kept is still so.
    assert_eq!(error(store.history(&to(Action::List)).await), refused);
    assert_eq!(error(store.put(&delete, &change, None).await), refused);
    assert_eq!(error(store.patch(&delete, &change, None).await), refused);
    assert_eq!(error(store.delete(&read).await), refused);
    assert_eq!(error(store.undelete(&delete, 1).await), refused);
}

//! Logging in and reading inside a namespace.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use vaultgram::broker::ports::{SecretStore, StoreError};
use vaultgram::domain::{Action, Mounts};
use vaultgram::vault::{Auth, Cached, Method, SecretId};

use crate::methods::by;
use crate::openbao::{OpenBao, wait_until};
use crate::world::{
    SHIPPED, World, by_app_role, error, fields, logged_out, permit, permit_to, secret, settings,
    static_token,
};

/// An OpenBao with the namespaces `team`, `other` and `others`; each has a `secret/app` of its own.
fn start() -> OpenBao {
    let bao = OpenBao::start();
    bao.put("app", &json!({"k": "root"}));
    for name in ["team", "other", "others"] {
        let within = |path: &str| format!("{name}/{path}");
        bao.must("POST", &format!("sys/namespaces/{name}"), &json!({}));
        let kv = json!({"type": "kv", "options": {"version": "2"}});
        bao.must("POST", &within("sys/mounts/secret"), &kv);
        wait_until("KV version 2 is ready", || {
            bao.call("GET", &within("secret/config"), &Value::Null).0 == 200
        });
        let app = json!({"data": {"k": name}});
        bao.must("POST", &within("secret/data/app"), &app);
        let policy = json!({"policy": SHIPPED});
        bao.must("POST", &within("sys/policies/acl/vaultgram"), &policy);
    }
    for kind in ["userpass", "approle"] {
        let path = format!("team/sys/auth/{kind}");
        bao.must("POST", &path, &json!({"type": kind}));
    }
    bao
}

fn within(bao: &OpenBao, namespace: Option<&str>, auth: Auth) -> World {
    let mut settings = settings(bao.address(), auth);
    settings.namespace = namespace.map(str::to_owned);
    World::start(settings)
}

async fn refusal(bao: &OpenBao, namespace: Option<&str>, auth: Auth) -> String {
    let world = within(bao, namespace, auth);
    assert_eq!(error(world.read("app").await), StoreError::LoggedOut);
    logged_out(&world.store).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_goes_to_the_configured_namespace() {
    let bao = start();
    let user = json!({"password": "pw", "token_policies": "vaultgram"});
    bao.must("POST", "team/auth/userpass/users/vaultgram", &user);
    let auth = || {
        let method = Method::Userpass {
            username: "vaultgram".to_owned(),
            password: secret("pw"),
        };
        by("userpass", method)
    };
    let mut world = within(&bao, Some("team"), auth());
    assert_eq!(world.field("app", "k").await.unwrap(), r#""team""#);
    let mounts = Mounts::new(vec!["secret".to_owned()]).unwrap();
    let cached = Cached::new(Arc::clone(&world.store) as _, mounts);
    assert_eq!(cached.namespace(), Some("team"));
    world.stop().await;
    for namespace in [None, Some("other"), Some("nowhere")] {
        let reason = refusal(&bao, namespace, auth()).await;
        assert!(
            reason.contains("the userpass login is refused") && reason.contains("and namespace"),
            "{namespace:?}: {reason}"
        );
    }

    // A wrapped secret id is unwrapped where it was made.
    let role = "team/auth/approle/role/vaultgram";
    bao.must("POST", role, &json!({"token_policies": "vaultgram"}));
    let role_id = bao.must("GET", &format!("{role}/role-id"), &Value::Null);
    let role_id = role_id["data"]["role_id"].as_str().unwrap().to_owned();
    let token = bao.wrapped(&format!("{role}/secret-id"), "60s", &Value::Null);
    let auth = by_app_role(role_id, SecretId::Wrapped(secret(&token)));
    let world = within(&bao, Some("team"), auth);
    assert_eq!(world.field("app", "k").await.unwrap(), r#""team""#);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_of_another_namespace_is_refused() {
    let bao = start();
    let token = |namespace: &str| {
        let path = format!("{namespace}/auth/token/create");
        let answer = bao.must("POST", &path, &json!({"policies": ["vaultgram"]}));
        answer["auth"]["client_token"].as_str().unwrap().to_owned()
    };
    let (team, other) = (token("team"), token("other"));
    let world = within(&bao, Some("team"), static_token(&team));
    assert_eq!(world.field("app", "k").await.unwrap(), r#""team""#);
    for namespace in [Some("team"), Some("others"), None] {
        let reason = refusal(&bao, namespace, static_token(&other)).await;
        assert!(
            reason.contains("it is of the namespace other/") && !reason.contains(&other),
            "{namespace:?}: {reason}"
        );
    }
    // One from above works below, where its policies let it.
    let world = within(&bao, Some("/team/"), static_token(bao.root()));
    assert_eq!(world.field("app", "k").await.unwrap(), r#""team""#);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrapping_token_is_good_in_its_own_namespace_only() {
    let bao = start();
    let made = bao.must(
        "POST",
        "team/auth/token/create",
        &json!({"policies": ["vaultgram"]}),
    );
    let token = made["auth"]["client_token"].as_str().unwrap();
    let world = within(&bao, Some("team"), static_token(token));
    let read = permit("secret", "app", None);
    let unwrap = permit_to(Action::Unwrap, read.target().clone());
    let minute = Duration::from_mins(1);
    let wrapped = world.store.wrap(&read, minute).await.ok().unwrap();
    let facts = world.store.wrapped(&wrapped.token).await.unwrap();
    assert_eq!((&*facts.path, &facts), ("secret/data/app", &wrapped.facts));
    let secret = world.store.unwrap(&unwrap, &wrapped.token).await;
    assert_eq!(fields(&secret.ok().unwrap())[0].1, r#""team""#);
    // Else it would be judged by a path that means another secret.
    for namespace in [None, Some("other")] {
        let elsewhere = within(&bao, namespace, static_token(bao.root()));
        let wrapped = elsewhere.store.wrap(&read, minute).await.ok().unwrap();
        let facts = world.store.wrapped(&wrapped.token).await;
        assert_eq!(facts, Err(StoreError::NotWrapped), "{namespace:?}");
    }
}

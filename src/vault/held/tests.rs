//! Sessions that outlive their replacement, on a real OpenBao.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::{Instant, sleep};
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use crate::domain::{Mounts, SecretValue};
use crate::vault::openbao::OpenBao;
use crate::vault::request::{Method as Verb, Request};
use crate::vault::session::Session;
use crate::vault::{Auth, Method, SecretId, Settings, Store};

/// A store that logs in as AppRole `role` with `settings`, until the guard is dropped.
async fn started(bao: &OpenBao, role: &str, settings: &Value) -> (Arc<Store>, DropGuard) {
    let (role_id, secret_id) = bao.role(role, settings);
    let secret_id = SecretValue::new(secret_id.into_bytes());
    let auth = Auth::Method {
        mount: "approle".to_owned(),
        method: Method::AppRole {
            role_id,
            secret_id: SecretId::Plain(secret_id),
        },
    };
    let store = Store::new(Settings {
        address: bao.address(),
        namespace: None,
        ca_cert: None,
        mounts: Mounts::new(vec!["secret".to_owned()]).unwrap(),
        client_cert: None,
        client_key: None,
        server_name: None,
        auth,
        request_timeout: Duration::from_secs(10),
    });
    let store = Arc::new(store.unwrap());
    let stop = CancellationToken::new();
    TaskTracker::new().spawn({
        let (store, stop) = (store.clone(), stop.clone());
        async move { store.run(stop).await }
    });
    let patience = store.client.patience();
    store.sessions.login.session(patience).await.unwrap();
    (store, stop.drop_guard())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_saw_holds_its_session_for_a_while_and_no_longer_than_that_lives() {
    let bao = OpenBao::start();
    let (store, _guard) = started(&bao, "unseen", &json!({"token_period": "240h"})).await;
    let session = store.current().await;
    let holders = || Arc::strong_count(&session);
    let (before, now) = (holders(), Instant::now());
    let ttl = Duration::from_mins(5);
    store.leases.made_unseen(&session, ttl);
    store.leases.made_unseen(&session, Duration::ZERO);
    assert_eq!(store.leases.count(), 0, "it has no name");
    store.leases.sweep(now + Duration::from_hours(24) + ttl / 2);
    assert_eq!(holders(), before + 1);
    store.leases.sweep(now + Duration::from_hours(25));
    assert_eq!(holders(), before, "its lease counts as ended");

    store
        .leases
        .made_unseen(&session, Duration::from_hours(24 * 365));
    let ends = session.ends().unwrap();
    store.leases.sweep(ends - Duration::from_mins(1));
    assert_eq!(holders(), before + 1);
    store.leases.sweep(ends);
    assert_eq!(holders(), before, "Vault has ended its leases");
}

impl Store {
    async fn current(&self) -> Arc<Session> {
        self.sessions
            .login
            .session(self.client.patience())
            .await
            .unwrap()
    }

    /// Logs in anew, as before a maximum age.
    async fn replace(&self) {
        let mut turn = self.sessions.login.turn().await;
        assert!(
            self.sessions
                .login
                .log_in(&self.client, &mut turn)
                .await
                .is_ok()
        );
    }

    /// A child token made with `session`: its accessor. As a lease it lives no longer than that.
    async fn child(&self, session: &Session) -> String {
        let request = Request::new(Verb::Post, &"auth/token/create");
        let answer = self.client.call_now(session.access(), request).await;
        let body = answer.unwrap().accepted().unwrap().body;
        let answer: Value = serde_json::from_slice(&body).unwrap();
        answer["auth"]["accessor"].as_str().unwrap().to_owned()
    }
}

fn lives(bao: &OpenBao, accessor: &str) -> bool {
    let about = json!({"accessor": accessor});
    bao.call("POST", "auth/token/lookup-accessor", &about).0 == 200
}

const MAKER: &str = r#"
path "auth/token/create/kids" { capabilities = ["update"] }
path "auth/token/create" { capabilities = ["update"] }
path "auth/token/lookup-self" { capabilities = ["read"] }
path "auth/token/renew-self" { capabilities = ["update"] }
path "auth/token/revoke-self" { capabilities = ["update"] }
"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_replaced_session_is_renewed_while_held_and_revoked_once_let_go() {
    let bao = OpenBao::start();
    bao.policy("maker", MAKER);
    let role = json!({"token_policies": "maker", "token_period": "2s"});
    let (store, stop) = started(&bao, "maker", &role).await;
    let old = store.current().await;
    let child = store.child(&old).await;
    store.replace().await;
    assert_ne!(store.current().await.number(), old.number());

    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(6) {
        assert!(lives(&bao, &child), "gone after {:?}", start.elapsed());
        sleep(Duration::from_millis(200)).await;
    }
    assert_eq!(bao.tokens_of("maker").len(), 2);
    drop(old);
    let start = Instant::now();
    // What was made with it goes before it does.
    while lives(&bao, &child) || bao.tokens_of("maker").len() > 1 {
        assert!(start.elapsed() < Duration::from_millis(1800), "by itself");
        sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(bao.tokens_of("maker").len(), 1);

    // A stop does not wait for those who hold one.
    let old = store.current().await;
    store.replace().await;
    drop(stop);
    let start = Instant::now();
    while !bao.tokens_of("maker").is_empty() {
        assert!(start.elapsed() < Duration::from_millis(1800), "by itself");
        sleep(Duration::from_millis(50)).await;
    }
    drop(old);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_at_its_maximum_age_is_held_to_the_end_and_then_forgotten() {
    let bao = OpenBao::start();
    bao.policy("ageing", MAKER);
    let role =
        json!({"token_policies": "ageing", "token_period": "3s", "token_explicit_max_ttl": "6s"});
    let (store, _stop) = started(&bao, "ageing", &role).await;
    let old = store.current().await;
    let (began, child) = (Instant::now(), store.child(&old).await);
    while lives(&bao, &child) {
        sleep(Duration::from_millis(50)).await;
    }
    let age = began.elapsed();
    assert!(age > Duration::from_secs(5), "ended after {age:?}");
    assert_ne!(store.current().await.number(), old.number(), "no successor");
    while Arc::strong_count(&old) > 1 {
        assert!(
            began.elapsed() < Duration::from_secs(9),
            "still looked after"
        );
        sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_held_session_of_a_role_lives_on_and_its_parent_with_it() {
    let bao = OpenBao::start();
    bao.policy("maker", MAKER);
    let kids = json!({"allowed_policies": "default", "token_period": "2s"});
    bao.must("POST", "auth/token/roles/kids", &kids);
    let role = json!({"token_policies": "maker", "token_period": "2s"});
    let (store, _stop) = started(&bao, "maker", &role).await;
    let tokens = || {
        let of = |facts: &Value, path: &str| facts["path"] == path;
        let mut all = bao.tokens();
        all.retain(|facts| of(facts, "auth/token/create/kids") || of(facts, "auth/approle/login"));
        all.len()
    };
    let kid = store.sessions.of_role("kids").await.unwrap();
    store.replace().await;
    let another = store.sessions.of_role("kids").await.unwrap();
    assert_ne!(kid.number(), another.number(), "of the old parent");
    drop(another);
    // Past the first two lives of both; the other one is over, and let go.
    sleep(Duration::from_secs(5)).await;
    assert!(kid.confirm(&store.client, Instant::now()).await.is_ok());
    assert_eq!(tokens(), 3);
    drop(kid);
    let start = Instant::now();
    while tokens() > 1 {
        assert!(start.elapsed() < Duration::from_millis(2500), "by itself");
        sleep(Duration::from_millis(50)).await;
    }
}

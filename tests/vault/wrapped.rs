//! A secret id that comes wrapped: unwrapped once, and never when it may not be ours.

use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use serde_json::{Value, json};
use vaultgram::broker::ports::StoreError;
use vaultgram::vault::{Auth, SecretId};

use crate::methods::{let_in, turned_away};
use crate::openbao::OpenBao;
use crate::wires::{Act, Gate, answer, lose_answers_to, scripted};
use crate::world::{SHIPPED, World, by_app_role, error, logged_out, secret, settings};

const SECRET_ID: &str = "auth/approle/role/wrapped/secret-id";

/// An OpenBao with the role `wrapped`, and the role's id.
fn start() -> (OpenBao, String) {
    let bao = OpenBao::start();
    bao.put("app", &json!({"k": "v"}));
    bao.policy("wrapped", SHIPPED);
    let (role_id, _) = bao.role("wrapped", &json!({"token_policies": "wrapped"}));
    (bao, role_id)
}

fn wrapped(role_id: &str, token: &str) -> Auth {
    by_app_role(role_id.to_owned(), SecretId::Wrapped(secret(token)))
}

fn unwrap(bao: &OpenBao, token: &str) -> (u16, Value) {
    bao.call("POST", "sys/wrapping/unwrap", &json!({ "token": token }))
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_unwrapped_once_and_logs_in_again_and_again() {
    let (bao, role_id) = start();
    let token = bao.wrapped(SECRET_ID, "60s", &Value::Null);
    let world = let_in(&bao, wrapped(&role_id, &token)).await;
    assert_eq!(unwrap(&bao, &token).0, 400, "used up");
    for _ in 0..2 {
        bao.revoke_tokens_of("wrapped");
        assert!(world.read("app").await.is_ok());
    }

    // Nothing but a new one helps once the secret id itself is gone.
    let ids = bao.must("LIST", SECRET_ID, &Value::Null);
    for accessor in ids["data"]["keys"].as_array().unwrap() {
        let path = "auth/approle/role/wrapped/secret-id-accessor/destroy";
        let accessor = json!({"secret_id_accessor": accessor});
        bao.must("POST", path, &accessor);
    }
    bao.revoke_tokens_of("wrapped");
    assert_eq!(error(world.read("app").await), StoreError::LoggedOut);
    let reason = logged_out(&world.store).await;
    assert!(
        reason.contains("a new VAULT_WRAPPED_SECRET_ID and a restart"),
        "{reason}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_was_used_or_ran_out_is_said_loudly_and_asked_for_once() {
    let (bao, role_id) = start();
    let used = bao.wrapped(SECRET_ID, "60s", &Value::Null);
    assert_eq!(unwrap(&bao, &used).0, 200);
    let late = bao.wrapped(SECRET_ID, "1s", &Value::Null);
    tokio::time::sleep(Duration::from_secs(3)).await;
    for token in [&used, &late, &"s.mistyped".to_owned()] {
        let reason = turned_away(&bao, wrapped(&role_id, token), &[token]).await;
        assert!(
            reason.contains("somebody else may have the secret id: destroy it in Vault"),
            "{reason}"
        );
    }

    let gate = Gate::open_to(bao.socket()).await;
    let world = World::start(settings(gate.address(), wrapped(&role_id, &used)));
    assert_eq!(error(world.read("app").await), StoreError::LoggedOut);
    let asked = gate.connections();
    // Time for four more tries.
    tokio::time::sleep(Duration::from_secs(4)).await;
    assert_eq!(gate.connections(), asked, "Vault was asked again");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_another_made_is_not_unwrapped() {
    let (bao, role_id) = start();
    bao.role("other", &json!({}));
    let theirs = json!({"secret_id": "theirs-7f3a"});
    let custom = "auth/approle/role/wrapped/custom-secret-id";
    for (path, body) in [("sys/wrapping/wrap", &theirs), (custom, &theirs)] {
        let token = bao.wrapped(path, "60s", body);
        let reason = turned_away(&bao, wrapped(&role_id, &token), &[&token, "theirs"]).await;
        assert!(
            reason.contains(&format!("what was made at {path}: it was not unwrapped")),
            "{reason}"
        );
        assert_eq!(unwrap(&bao, &token).0, 200, "it is still there");
    }
    // Vault itself tells the roles apart.
    let token = bao.wrapped("auth/approle/role/other/secret-id", "60s", &Value::Null);
    let reason = turned_away(&bao, wrapped(&role_id, &token), &[&token]).await;
    assert!(reason.contains("the AppRole login is refused"), "{reason}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_does_not_use_it_up() {
    let (mut bao, role_id) = start();
    let token = bao.wrapped(SECRET_ID, "120s", &Value::Null);
    bao.kill();
    let world = World::start(settings(bao.address(), wrapped(&role_id, &token)));
    assert_eq!(error(world.read("app").await), StoreError::Unavailable);
    bao.restart_sealed();
    assert!(world.read("app").await.is_err());
    bao.unseal();
    world.ready().await;
    assert!(world.read("app").await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_was_lost_is_no_alarm() {
    let (bao, role_id) = start();
    let token = bao.wrapped(SECRET_ID, "60s", &Value::Null);
    let address = lose_answers_to(bao.socket(), "sys/wrapping/unwrap").await;
    let world = World::start(settings(address, wrapped(&role_id, &token)));
    world
        .wait_for("the end of it", |health| {
            format!("{health:?}").contains("lost on the way")
        })
        .await;
    let reason = logged_out(&world.store).await;
    assert!(!reason.contains("somebody else"), "{reason}");
}

#[tokio::test(flavor = "multi_thread")]
async fn only_vaults_own_word_is_final() {
    let refusal = |status: &str, body: &str| {
        let length = body.len();
        format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\n\r\n{body}").into_bytes()
    };
    let facts = r#"{"data":{"creation_path":"auth/approle/role/wrapped/secret-id"}}"#;
    let server = scripted(move |number| {
        vec![Act::Send(match number {
            0 => refusal("403 Forbidden", "<html>"),
            1 => refusal("404 Not Found", r#"{"errors":[]}"#),
            2 => answer(facts),
            3 => answer("<html>"),
            _ => refusal("400 Bad Request", r#"{"errors":["it is not valid"]}"#),
        })]
    })
    .await;
    let world = World::start(settings(server.address.clone(), wrapped("role", "s.any")));
    assert_eq!(error(world.read("app").await), StoreError::Unavailable);
    let start = tokio::time::Instant::now();
    while error(world.read("app").await) != StoreError::LoggedOut {
        assert!(start.elapsed() < Duration::from_secs(10));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(server.requests.load(SeqCst), 5);
}

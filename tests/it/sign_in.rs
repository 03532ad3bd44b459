//! Signing in to Vault otherwise than by AppRole, through the real binary.

use std::process::Command;

use serde_json::{Value, json};

use crate::setting;
use crate::stage::{ROLE, Stage};

/// The section's lines on how to sign in become `auth`.
fn sign_in_by(stage: &Stage, auth: &str) {
    let file = stage.path("vaultgram.toml");
    let config = std::fs::read_to_string(&file).unwrap();
    let (before, after) = config.split_once("auth = \"approle\"\n").unwrap();
    let (_role_id, after) = after.split_once('\n').unwrap();
    std::fs::write(file, format!("{before}{auth}\n{after}")).unwrap();
}

/// The exit code, and what was printed.
fn run(mut command: Command) -> (i32, String) {
    let ran = tokio::task::block_in_place(|| command.output().unwrap());
    let out = String::from_utf8_lossy(&ran.stdout).into_owned();
    (ran.status.code().unwrap(), out)
}

#[tokio::test(flavor = "multi_thread")]
async fn by_name_and_password() {
    let mut stage = Stage::build(setting()).await;
    tokio::task::block_in_place(|| {
        let kind = json!({"type": "userpass"});
        stage.bao.must("POST", "sys/auth/people", &kind);
        let user = json!({"password": "pass wörd", "token_policies": "vaultgram-broker"});
        let path = "auth/people/users/vaultgram";
        stage.bao.must("POST", path, &user);
    });
    let auth = "auth = \"userpass\"\nauth_mount = \"people\"\nusername = \"vaultgram\"";
    sign_in_by(&stage, auth);
    let with = |password: &str, arguments: &[&str]| {
        let mut command = stage.vaultgram(arguments);
        command.env("VAULT_PASSWORD", password);
        command
    };
    let (code, out) = run(with("pass wörd", &["doctor"]));
    assert!(code == 0 && out.contains("is ready (version "), "{out}");
    let (code, out) = run(with("wrong-7f3a", &["doctor"]));
    let said = "does not let us in: the userpass login is refused (status 400 invalid username or \
                password); check username, VAULT_PASSWORD, auth_mount and namespace";
    assert!(code == 69 && out.contains(said), "{out}");
    assert!(!out.contains("7f3a"), "{out}");

    let serve = with("pass wörd", &["serve"]);
    stage.spawn_as(serve);
    let socket = stage.path("vaultgram.sock");
    stage.wait("the socket is there", || socket.exists()).await;
    let get = ["get", "django/database#username"];
    let served = || run(stage.vaultgram(&get)) == (0, "django".to_owned());
    stage.wait("it serves", served).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn doctor_leaves_a_wrapped_secret_id_to_the_broker() {
    let mut stage = Stage::build(setting()).await;
    let path = format!("auth/approle/role/{ROLE}/secret-id");
    let token = tokio::task::block_in_place(|| stage.bao.wrapped(&path, "120s", &Value::Null));
    let with = |stage: &Stage, arguments: &[&str]| {
        let mut command = stage.vaultgram(arguments);
        command
            .env_remove("VAULT_SECRET_ID_FILE")
            .env("VAULT_WRAPPED_SECRET_ID", &token);
        command
    };
    for _ in 0..2 {
        let (code, out) = run(with(&stage, &["doctor"]));
        let said = "the wrapped secret id is good, and left for `vaultgram serve` to unwrap";
        assert!(code == 0 && out.contains(said), "{out}");
    }
    let serve = with(&stage, &["serve"]);
    stage.spawn_as(serve);
    let socket = stage.path("vaultgram.sock");
    stage.wait("the socket is there", || socket.exists()).await;
    let get = ["get", "django/database#username"];
    let served = || run(stage.vaultgram(&get)) == (0, "django".to_owned());
    stage.wait("it serves", served).await;

    let (code, out) = run(with(&stage, &["doctor"]));
    let said = "the wrapped secret id is the running vaultgram's own";
    assert!(code == 0 && out.contains(said), "{out}");
    stage.broker.take().unwrap().kill();
    let (code, out) = run(with(&stage, &["doctor"]));
    assert!(
        code == 69 && out.contains("it was unwrapped already"),
        "{out}"
    );

    // Started again with what is used up, it cannot sign in, and only it knows.
    let serve = with(&stage, &["serve"]);
    stage.spawn_as(serve);
    let socket = stage.path("vaultgram.sock");
    let answers = || std::os::unix::net::UnixStream::connect(&socket).is_ok();
    stage.wait("it answers", answers).await;
    let (code, out) = run(with(&stage, &["doctor"]));
    let said = "FAIL  vault          the vaultgram that runs is logged out; its log says why";
    assert!(code == 69 && out.contains(said), "{out}");
}

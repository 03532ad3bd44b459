//! The session at rest: encrypted, shown without keys, ended at Telegram, its key not lost on
//! others; and the application's keys in Vault.

use std::process::Command;

use serde_json::{Value, json};
use vaultgram::age::SessionKey;

use crate::stage::{ALICE, BROKER, Stage};
use crate::{serving, setting};

fn run(mut command: Command) -> (i32, String, String) {
    let ran = tokio::task::block_in_place(|| command.output().unwrap());
    let text = |bytes| String::from_utf8(bytes).unwrap();
    let (out, err) = (text(ran.stdout), text(ran.stderr));
    (ran.status.code().unwrap(), out, err)
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_shown_with_devices_or_with_who_uses_it() {
    let mut stage = Stage::build(setting()).await;
    let (code, out, err) = run(stage.vaultgram(&["session", "show"]));
    assert_eq!(code, 0, "{err}");
    for expected in [
        "account    user 5000 @vaultgram".to_owned(),
        format!("dc 2       {}, home, has a key", stage.dc.address()),
        "(this session)".to_owned(),
    ] {
        assert!(out.contains(&expected), "{expected}: {out}");
    }

    stage.start().await;
    assert!(stage.ask(ALICE, "/help").await.contains("/get_secret"));
    let (code, out, err) = run(stage.vaultgram(&["session", "show", "--json"]));
    assert_eq!(code, 0, "{err}");
    let shown: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(shown["user"], BROKER, "{shown}");
    let pid = stage.broker.as_ref().unwrap().pid();
    let problem = shown["problem"].as_str().unwrap();
    let owner = format!("in use by pid {pid} (vaultgram serve)");
    assert!(problem.ends_with(&owner), "{problem}");
    let (code, _, err) = run(stage.vaultgram(&["logout", "--yes"]));
    assert!(code == 73 && err.contains(&owner), "{err}");
    let (code, _, err) = run(stage.vaultgram(&["logout", "--yes", "--local"]));
    assert!(code == 73 && err.contains(&owner), "{err}");
}

#[tokio::test(flavor = "multi_thread")]
async fn logout_ends_it_at_telegram_and_removes_the_file() {
    let stage = Stage::build(setting()).await;
    let file = stage.path("telegram.session");
    let (code, _, err) = run(stage.vaultgram(&["logout"]));
    assert!(code == 64 && err.contains("--yes"), "nobody to ask: {err}");

    stage.dc.refuse(true);
    let (code, _, err) = run(stage.vaultgram(&["logout", "--yes"]));
    assert!(code == 69 && err.contains("--local"), "{err}");
    assert!(file.exists(), "it may still be valid");
    stage.dc.refuse(false);

    let (code, out, err) = run(stage.vaultgram(&["logout", "--yes"]));
    assert!(code == 0 && out.contains("signed out"), "{out}{err}");
    assert!(!file.exists());
    assert_eq!(stage.dc.count("auth.logOut"), 1);
    assert!(stage.dc.authorizations(BROKER).is_empty());
    let (code, _, err) = run(stage.vaultgram(&["session", "show"]));
    assert!(code == 73 && err.contains("vaultgram login"), "{err}");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_its_own_key_it_is_refused_and_left_alone() {
    let stage = Stage::build(setting()).await;
    let file = stage.path("telegram.session");
    let before = std::fs::read(&file).unwrap();
    assert!(before.starts_with(b"age-encryption.org/v1\n"));
    std::fs::write(stage.path("session.key"), SessionKey::generate().to_file()).unwrap();
    for command in ["serve", "login"] {
        let (code, _, err) = run(stage.vaultgram(&[command]));
        assert_eq!(code, 73, "{err}");
        assert!(err.contains("is encrypted to another key"), "{err}");
    }
    std::fs::write(stage.path("session.key"), "hunter2\n").unwrap();
    let (code, _, err) = run(stage.vaultgram(&["serve"]));
    assert!(code == 78 && err.contains("session.key is no key"), "{err}");
    assert!(!err.contains("hunter2"), "{err}");
    std::fs::remove_file(stage.path("session.key")).unwrap();
    let (code, _, err) = run(stage.vaultgram(&["serve"]));
    assert!(
        code == 78 && err.contains("there is no session key"),
        "{err}"
    );
    assert_eq!(std::fs::read(&file).unwrap(), before);

    // Who lost the key starts anew.
    let (code, out, err) = run(stage.vaultgram(&["logout", "--local", "--yes"]));
    assert!(
        code == 0 && out.contains("Telegram was not told"),
        "{out}{err}"
    );
    assert!(!file.exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn its_key_may_come_from_the_environment() {
    let mut stage = serving().await;
    let broker = stage.broker.take().unwrap();
    broker.terminate();
    assert!(broker.exit().await.success());
    let key = String::from_utf8(stage.key().to_file().to_vec()).unwrap();
    std::fs::remove_file(stage.path("session.key")).unwrap();
    let mut command = stage.vaultgram(&["doctor"]);
    command.env("TELEGRAM_SESSION_KEY", key.trim());
    let (code, out, _) = run(command);
    assert_eq!(code, 0, "{out}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_applications_keys_may_be_in_vault() {
    let mut setting = setting();
    setting.telegram = "keys = \"vault:secret/telegram\"";
    let stage = Stage::build(setting).await;
    let doctor = || {
        let mut command = stage.vaultgram(&["doctor"]);
        command
            .env_remove("TELEGRAM_API_ID")
            .env_remove("TELEGRAM_API_HASH");
        run(command)
    };
    let (code, out, _) = doctor();
    assert_eq!(code, 69, "{out}");
    assert!(
        out.contains("there is no secret/telegram in Vault"),
        "{out}"
    );
    let put = |value: Value| tokio::task::block_in_place(|| stage.bao.put("telegram", &value));
    let hash = "0123456789abcdef0123456789abcdef";
    for (id, hash) in [("many", hash), ("0", hash), ("12345", "hunter2")] {
        put(json!({"api_id": id, "api_hash": hash}));
        let (_, out, _) = doctor();
        let told = out.contains("secret/telegram in Vault: api_id must be a number");
        assert!(told && !out.contains(hash), "{out}");
    }
    put(json!({"api_id": "12345", "api_hash": format!(" {hash}\n")}));
    let (code, out, _) = doctor();
    assert_eq!(code, 0, "{out}");
}

#[tokio::test(flavor = "multi_thread")]
async fn only_telegram_waits_for_a_vault_that_starts_late() {
    let mut setting = setting();
    setting.telegram = "keys = \"vault:secret/telegram\"";
    let mut stage = Stage::build(setting).await;
    tokio::task::block_in_place(|| {
        let keys = json!({"api_id": "12345", "api_hash": "0123456789abcdef0123456789abcdef"});
        stage.bao.put("telegram", &keys);
        stage.bao.kill();
    });
    let mut serve = stage.vaultgram(&["serve"]);
    serve
        .env_remove("TELEGRAM_API_ID")
        .env_remove("TELEGRAM_API_HASH");
    stage.spawn_as(serve);
    let awaited = || stage.log().contains("telegram.keys_awaited");
    stage.wait("it says what it waits for", awaited).await;
    assert!(stage.path("vaultgram.sock").exists(), "the socket serves");
    assert!(!stage.log().contains("telegram.connected"));

    tokio::task::block_in_place(|| {
        stage.bao.restart_sealed();
        stage.bao.unseal();
    });
    let connected = || stage.log().contains("telegram.connected");
    stage.wait("it is connected", connected).await;
    let audit = std::fs::read_to_string(stage.path("audit.jsonl")).unwrap();
    let own = audit
        .lines()
        .filter(|line| line.contains("secret/telegram"));
    let own: Vec<_> = own.collect();
    assert!(own.len() >= 2, "decided and released: {audit}");
    assert!(own[0].contains("own-keys") && !audit.contains("0123456789abcdef"));
}

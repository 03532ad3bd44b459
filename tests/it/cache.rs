//! What policy lets be kept: said on the socket and in chat, and served while Vault is away.

use std::process::Command;

use crate::openbao::bao;
use crate::setting;
use crate::stage::{ALICE, PASSWORD, Stage};

/// The headers of an answer on the socket, in small letters, and its body.
fn curl(stage: &Stage) -> (String, serde_json::Value) {
    let ran = Command::new("curl")
        .args(["--silent", "--include", "--unix-socket"])
        .arg(stage.path("vaultgram.sock"))
        .arg("http://localhost/v1/secret/data/django/database")
        .output()
        .unwrap();
    let text = String::from_utf8(ran.stdout).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    (
        head.to_lowercase(),
        serde_json::from_str(body).unwrap_or_default(),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_kept_outlives_vaults_absence_and_says_so() {
    let mut stage = Stage::build(setting()).await;
    let file = stage.path("policy.cedar");
    let policy = std::fs::read_to_string(&file).unwrap();
    let kept = policy.replace("@id(", "@cache(\"1m\") @stale(\"15m\") @id(");
    std::fs::write(&file, kept).unwrap();
    stage.start().await;

    let (head, body) = curl(&stage);
    assert!(
        head.contains("x-cache: miss") && !head.contains("\nage:"),
        "{head}"
    );
    assert_eq!(body["data"]["data"]["password"], PASSWORD);
    let (head, body) = curl(&stage);
    assert!(
        head.contains("x-cache: hit") && head.contains("\nage: 0"),
        "{head}"
    );
    assert_eq!(body["warnings"], serde_json::Value::Null);

    // A change in chat is seen at once.
    let put = stage
        .ask(ALICE, "/patch_secret django/database port=5432")
        .await;
    assert!(put.contains("version 2"), "{put}");
    assert_eq!(curl(&stage).1["data"]["data"]["port"], "5432");

    stage.bao.kill();
    // A minute would be long: what is kept is asked after when half of it is over.
    tokio::time::sleep(std::time::Duration::from_secs(31)).await;
    let (head, body) = curl(&stage);
    assert!(
        head.starts_with("http/1.1 200") && head.contains("x-cache: hit"),
        "{head}"
    );
    assert!(head.contains("\nage: 3"), "{head}");
    let warning = body["warnings"][0].as_str().unwrap();
    assert!(warning.contains("Vault does not answer"), "{warning}");
    let answer = stage.ask(ALICE, "/get_secret django/database").await;
    assert!(answer.contains(PASSWORD), "{answer}");
    assert!(
        answer.contains("(version 2, 3") && answer.contains("old, Vault does not answer)"),
        "{answer}"
    );
    // The real client shows the warning, and our own too.
    let address = format!("unix://{}", stage.path("vaultgram.sock").display());
    let ran = Command::new(bao())
        .env_clear()
        .env("HOME", stage.directory.path())
        .env("BAO_ADDR", &address)
        .args(["kv", "get", "secret/django/database"])
        .output()
        .unwrap();
    let said = String::from_utf8([ran.stdout, ran.stderr].concat()).unwrap();
    assert!(said.contains(PASSWORD), "{said}");
    let ran = stage
        .vaultgram(&["get", "django/database#password"])
        .output()
        .unwrap();
    let (out, err) = (
        String::from_utf8(ran.stdout).unwrap(),
        String::from_utf8(ran.stderr).unwrap(),
    );
    assert_eq!(out.trim_end(), PASSWORD);
    assert!(err.contains("warning: Vault does not answer"), "{err}");

    let audit = std::fs::read_to_string(stage.path("audit.jsonl")).unwrap();
    assert!(audit.contains("\"stale\":true"), "{audit}");
    let wrapped = stage
        .ask(ALICE, "/get_secret django/database wrapped")
        .await;
    assert!(wrapped.contains("cannot be reached"), "{wrapped}");
}

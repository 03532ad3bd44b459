//! The audit as an operator meets it.

use std::os::unix::fs::PermissionsExt;

use telegram_dc::Chat;

use crate::stage::{ALICE, BOB, GROUP, PASSWORD, Stage};
use crate::{serving, setting};

fn verify(stage: &Stage) -> (i32, String) {
    let file = stage.path("audit.jsonl");
    let ran = stage
        .vaultgram(&["audit", "verify", file.to_str().unwrap()])
        .output()
        .unwrap();
    let said = [ran.stdout, ran.stderr].concat();
    (ran.status.code().unwrap(), String::from_utf8(said).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn every_decision_and_outcome_is_on_record_and_tampering_shows() {
    let mut stage = serving().await;
    stage
        .ask(ALICE, "/get_secret django/database#password")
        .await;
    stage.ask(ALICE, "/get_secret django/nothing").await;
    stage.ask(BOB, "/get_secret django/database").await;
    stage
        .vaultgram(&["get", "django/database"])
        .output()
        .unwrap();
    let broker = stage.broker.take().unwrap();
    broker.terminate();
    broker.exit().await;

    let text = std::fs::read_to_string(stage.path("audit.jsonl")).unwrap();
    let records: Vec<serde_json::Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let facts: Vec<_> = records
        .iter()
        .map(|r| {
            (
                r["event"].as_str().unwrap(),
                r["caller"].as_str().unwrap().split(':').next().unwrap(),
            )
        })
        .collect();
    assert_eq!(
        facts,
        [
            ("policy_loaded", "uid"),
            ("decided", "telegram"),
            ("released", "telegram"),
            ("decided", "telegram"),
            ("failed", "telegram"),
            ("decided", "telegram"),
            ("decided", "uid"),
            ("released", "uid"),
        ],
        "{text}"
    );
    let files = stage.vaultgram(&["policy", "validate", "--json"]).output();
    let files: serde_json::Value = serde_json::from_slice(&files.unwrap().stdout).unwrap();
    assert_eq!(records[0]["policy_hash"], files["hash"]);
    assert_eq!(
        (&records[0]["policies_loaded"], &files["policies"]),
        (&2.into(), &2.into())
    );
    assert_eq!(records[1]["id"], records[2]["id"]);
    assert_eq!(records[1]["policies"][0], "developers-read-django");
    assert_eq!(records[4]["reason"], "not_found");
    assert_eq!(
        (&records[5]["allowed"], &records[5]["reason"]),
        (&false.into(), &"not_permitted".into())
    );
    let (code, said) = verify(&stage);
    assert!(code == 0 && said.contains("8 records"), "{said}");

    std::fs::write(stage.path("audit.jsonl"), text.replacen("1002", "1001", 1)).unwrap();
    let (code, said) = verify(&stage);
    assert!(code == 65 && said.contains("line 6"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_an_audit_nothing_is_served() {
    for durability in ["grouped", "strict"] {
        let mut setting = setting();
        let line = format!("durability = \"{durability}\"");
        setting.audit = &line;
        let mut stage = Stage::build(setting).await;
        stage.start().await;
        assert!(
            stage
                .ask(ALICE, "/get_secret django/database")
                .await
                .contains(PASSWORD)
        );
        // Somebody moves the file away: what is written now would be in no audit.
        std::fs::rename(stage.path("audit.jsonl"), stage.path("moved")).unwrap();
        let answer = stage.ask(ALICE, "/get_secret django/database").await;
        assert!(answer.contains("audit"), "{durability}: {answer}");
        let get = stage
            .vaultgram(&["get", "django/database"])
            .output()
            .unwrap();
        assert!(!get.status.success() && get.stdout.is_empty(), "{get:?}");
        // Put back, it goes on: nothing is lost.
        std::fs::rename(stage.path("moved"), stage.path("audit.jsonl")).unwrap();
        assert!(
            stage
                .ask(ALICE, "/get_secret django/database")
                .await
                .contains(PASSWORD)
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_policy_decides_is_on_record_or_it_does_not_start() {
    let mut setting = setting();
    setting.audit = "[audit.syslog]\nmode = \"required\"\npath = \"log.sock\"";
    let mut stage = Stage::build(setting).await;
    stage.spawn();
    let ended = stage.broker.take().unwrap().exit().await;
    assert_eq!(ended.code(), Some(69), "{}", stage.log());
    assert!(stage.log().contains("the audit cannot be written"));
    assert!(!stage.log().contains("daemon.serving"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_serves_nothing_and_heals() {
    let stage = serving().await;
    let get = || {
        stage
            .vaultgram(&["get", "django/database#password"])
            .output()
            .unwrap()
    };
    assert_eq!(get().stdout, PASSWORD.as_bytes());
    let pid = stage.broker.as_ref().unwrap().pid();
    let pid = rustix::process::Pid::from_raw(pid.try_into().unwrap());
    let size = std::fs::metadata(stage.path("audit.jsonl")).unwrap().len();
    let limit = |current| {
        let limit = rustix::process::Rlimit {
            current,
            maximum: None,
        };
        rustix::process::prlimit(pid, rustix::process::Resource::Fsize, limit).unwrap();
    };
    // No file of the broker's may grow beyond the audit's size: the next record does not fit.
    limit(Some(size + 10));
    let refused = get();
    assert_eq!(
        (refused.status.code(), refused.stdout.as_slice()),
        (Some(69), &b""[..])
    );
    assert!(String::from_utf8(refused.stderr).unwrap().contains("audit"));
    limit(None);
    assert_eq!(get().stdout, PASSWORD.as_bytes());
    let (code, said) = verify(&stage);
    assert_eq!(code, 0, "no half record stays: {said}");
}

/// A stage whose audit is signed, rotated, and posted to the group; and the public key.
async fn signed(audit: &str) -> (Stage, String) {
    let mut setting = setting();
    setting.audit = audit;
    let stage = Stage::build(setting).await;
    let key = stage.path("audit.key");
    let made = stage
        .vaultgram(&["audit", "keygen", "--json", "--out", key.to_str().unwrap()])
        .output()
        .unwrap();
    let made: serde_json::Value = serde_json::from_slice(&made.stdout).unwrap();
    let line = format!("VAULTGRAM_AUDIT_KEY_FILE={}\n", key.display());
    std::fs::write(stage.path(".env"), line).unwrap();
    std::fs::set_permissions(stage.path(".env"), PermissionsExt::from_mode(0o600)).unwrap();
    (stage, made["public_key"].as_str().unwrap().to_owned())
}

/// Verifies the whole folder against the key and the chat, as Telegram Desktop exports it.
fn verify_all(stage: &Stage, key: &str) -> (i32, String) {
    let messages = stage.dc.history(ALICE, Chat::Group(GROUP));
    let messages: Vec<_> = messages
        .iter()
        .map(|message| serde_json::json!({"type": "message", "text": message.text}))
        .collect();
    let export = serde_json::json!({"name": "Operations", "messages": messages});
    std::fs::write(stage.path("result.json"), export.to_string()).unwrap();
    let (folder, chat) = (stage.path(""), stage.path("result.json"));
    let ran = stage
        .vaultgram(&["audit", "verify", "--require-checkpoints", "--key", key])
        .args(["--against-chat", chat.to_str().unwrap()])
        .arg(&folder)
        .output()
        .unwrap();
    let said = [ran.stdout, ran.stderr].concat();
    (ran.status.code().unwrap(), String::from_utf8(said).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn key_rotation_and_chat_expose_what_the_file_hides() {
    let audit = format!(
        "rotate_at = \"64 KiB\"\nwitness_chat = -{GROUP}\nwitness_every = \"10s\"\n\
         [audit.journald]\nmode = \"best_effort\"\npath = \"no-journal\""
    );
    let (mut stage, key) = signed(&audit).await;
    stage.start().await;
    for _ in 0..100 {
        stage
            .vaultgram(&["get", "django/database"])
            .output()
            .unwrap();
    }
    let broker = stage.broker.take().unwrap();
    broker.terminate();
    broker.exit().await;
    let (code, said) = verify_all(&stage, &key);
    assert!(
        code == 0 && said.contains("heads in the chat are the audit's"),
        "{said}"
    );
    assert!(said.contains("signed up to record"), "{said}");
    assert!(
        said.contains("0 after it are not"),
        "a stop signs all: {said}"
    );
    let rotated = std::fs::read_dir(stage.path("")).unwrap().filter(|entry| {
        let name = entry.as_ref().unwrap().file_name();
        name.to_str().unwrap().starts_with("audit-000000000001-")
    });
    assert_eq!(rotated.count(), 1);
    let tail = stage
        .vaultgram(&["audit", "tail", "-n", "1"])
        .arg(stage.path("audit.jsonl"))
        .output()
        .unwrap();
    let tail = String::from_utf8(tail.stdout).unwrap();
    assert!(
        tail.contains("checkpoint") && tail.contains("signed by"),
        "{tail}"
    );

    // Whoever can write the file cuts its end off, at a checkpoint or not, and forgets the head.
    let path = stage.path("audit.jsonl");
    let text = std::fs::read_to_string(&path).unwrap();
    let first: String = text.split_inclusive('\n').take(1).collect();
    std::fs::write(&path, first).unwrap();
    std::fs::remove_file(stage.path("audit.jsonl.head")).unwrap();
    let (code, said) = verify_all(&stage, &key);
    assert!(
        code == 65 && said.contains("the chat has the head of record"),
        "{said}"
    );
    std::fs::write(&path, text).unwrap();
    let (code, said) = verify_all(&stage, &key);
    assert_eq!(code, 0, "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_required_sink_nothing_is_served() {
    let mut setting = setting();
    setting.audit = "[audit.syslog]\nmode = \"required\"\npath = \"log.sock\"";
    let mut stage = Stage::build(setting).await;
    let at = stage.path("log.sock");
    let listen = || std::os::unix::net::UnixDatagram::bind(&at).unwrap();
    let log = listen();
    stage.start().await;
    let get = || {
        stage
            .vaultgram(&["get", "django/database#password"])
            .output()
            .unwrap()
    };
    assert_eq!(get().stdout, PASSWORD.as_bytes());
    let mut got = vec![0; 9999];
    for event in ["policy_loaded", "decided"] {
        let length = log.recv(&mut got).unwrap();
        let text = String::from_utf8_lossy(&got[..length]).into_owned();
        let event = format!("\"event\":\"{event}\"");
        assert!(
            text.starts_with("<86>1 20") && text.contains(&event),
            "{text}"
        );
    }
    drop(log);
    let refused = get();
    assert_eq!(refused.status.code(), Some(69));
    assert!(refused.stdout.is_empty());
    std::fs::remove_file(&at).unwrap();
    let _log = listen();
    assert_eq!(get().stdout, PASSWORD.as_bytes());
    let (code, said) = verify(&stage);
    assert_eq!(code, 0, "{said}");
}

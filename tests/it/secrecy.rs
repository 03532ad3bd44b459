//! The plaintext is nowhere but in the answers.

use crate::setting;
use crate::stage::{ALICE, BOB, PASSWORD, Stage};

/// Every form the password could be written in.
fn forms() -> Vec<Vec<u8>> {
    let json = serde_json::to_string(PASSWORD).unwrap();
    let escaped = json.trim_matches('"').to_owned();
    let plain = "pw-7f3a"; // the part that no encoding changes
    let utf16 = plain.encode_utf16().flat_map(u16::to_le_bytes).collect();
    vec![PASSWORD.into(), escaped.into(), plain.into(), utf16]
}

fn holds(bytes: &[u8]) -> bool {
    forms()
        .iter()
        .any(|form| bytes.windows(form.len()).any(|window| window == form))
}

#[tokio::test(flavor = "multi_thread")]
async fn plaintext_is_in_no_log_file_environment_or_argument() {
    let mut setting = setting();
    setting.log = "trace";
    setting.telegram = "delete_after = \"2s\"";
    let mut stage = Stage::build(setting).await;
    stage.start().await;
    assert!(
        stage
            .ask(ALICE, "/get_secret django/database")
            .await
            .contains(PASSWORD)
    );
    for question in [
        "/get_secret django/database#port",
        "/get_secret django/nothing",
        "/get_secret pw-7f3a/leak#pw-7f3a",
        "/pw-7f3a",
        "pw-7f3a",
    ] {
        stage
            .dc
            .send(BOB, telegram_dc::Chat::User(crate::stage::BROKER), question)
            .unwrap();
    }
    let read = stage
        .vaultgram(&["get", "django/database#password"])
        .output()
        .unwrap();
    assert!(holds(&read.stdout), "the positive control: {read:?}");
    stage
        .wait("the answer is deleted", || {
            !stage.chat(ALICE).iter().any(|m| m.text.contains(PASSWORD))
        })
        .await;
    stage.dc.drop_connections();
    stage.ask(ALICE, "/get_secret django/database").await;

    let pid = stage.broker.as_ref().unwrap().pid();
    for file in ["environ", "cmdline"] {
        let bytes = std::fs::read(format!("/proc/{pid}/{file}")).unwrap();
        assert!(!bytes.is_empty() && !holds(&bytes), "{file}");
    }
    let broker = stage.broker.take().unwrap();
    broker.terminate();
    assert_eq!(broker.exit().await.code(), Some(0));

    let log = stage.log();
    assert!(
        log.contains("\"level\":\"DEBUG\""),
        "the log is at its most talkative: {log}"
    );
    let mut read = 0;
    for entry in std::fs::read_dir(stage.directory.path()).unwrap() {
        let path = entry.unwrap().path();
        let bytes = std::fs::read(&path).unwrap();
        // Bob asked for a path with that name: the audit rightly keeps paths.
        let paths = String::from_utf8_lossy(&bytes)
            .replace("pw-7f3a/leak", "")
            .replace("\"pw-7f3a\"", "");
        assert!(!holds(paths.as_bytes()), "{}", path.display());
        read += 1;
    }
    assert!(
        read >= 6,
        "log, audit, state, session, configuration, policy"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn no_core_is_dumped_and_no_other_process_may_look() {
    let stage = crate::serving().await;
    let pid = stage.broker.as_ref().unwrap().pid();
    let limits = std::fs::read_to_string(format!("/proc/{pid}/limits")).unwrap();
    let core = limits
        .lines()
        .find(|line| line.starts_with("Max core file size"))
        .unwrap();
    assert_eq!(
        core.split_whitespace().skip(4).take(2).collect::<Vec<_>>(),
        ["0", "0"]
    );
    // What may not be looked into belongs to root in /proc. Where the tests run as root, so does
    // the broker, and everything of it belongs to root anyway.
    let memory = std::fs::metadata(format!("/proc/{pid}/mem")).unwrap();
    assert_eq!(std::os::unix::fs::MetadataExt::uid(&memory), 0);
}

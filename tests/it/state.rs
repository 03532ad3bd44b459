//! A broker whose state is in etcd, where other replicas could be.

use std::os::unix::fs::PermissionsExt;

use crate::etcd::Etcd;
use crate::setting;
use crate::stage::{ALICE, PASSWORD, Setting, Stage};

async fn on(etcd: &Etcd) -> Stage {
    let state = format!("[state.etcd]\nendpoints = {:?}\n", etcd.endpoints());
    // Whatever follows [audit] is a section of its own.
    let stage = Stage::build(Setting {
        telegram: "delete_after = \"10s\"",
        audit: &state,
        ..setting()
    });
    let stage = stage.await;
    let key = format!("VAULTGRAM_STATE_KEY=state-secret:{}\n", "01".repeat(32));
    std::fs::write(stage.path(".env"), key).unwrap();
    std::fs::set_permissions(stage.path(".env"), PermissionsExt::from_mode(0o600)).unwrap();
    stage
}

fn doctor(stage: &Stage) -> String {
    let ran = tokio::task::block_in_place(|| stage.vaultgram(&["doctor"]).output().unwrap());
    String::from_utf8(ran.stdout).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_and_a_stop_leave_the_state_to_the_next_one() {
    let etcd = Etcd::start();
    let mut stage = on(&etcd).await;
    stage.start().await;
    let answer = stage.ask(ALICE, "/get_secret django/database").await;
    assert!(answer.contains(PASSWORD), "{answer}");
    assert!(
        doctor(&stage).contains("1 replica runs"),
        "{}",
        doctor(&stage)
    );
    // It waits for the session to be free, as the lease of the one before has to end.
    stage.broker.take().unwrap().kill();
    stage.start().await;
    let answer = stage.ask(ALICE, "/get_secret django/database").await;
    assert!(answer.contains(PASSWORD), "{answer}");
    // The secrets that both sent are deleted all the same.
    let gone = || {
        !stage
            .chat(ALICE)
            .iter()
            .any(|message| message.text.contains(PASSWORD))
    };
    stage.wait("both answers are deleted", gone).await;

    let broker = stage.broker.take().unwrap();
    broker.terminate();
    assert!(broker.exit().await.success());
    assert!(
        doctor(&stage).contains("no replica runs"),
        "{}",
        doctor(&stage)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_another_replica_uses_is_not_used() {
    let etcd = Etcd::start();
    let mut stage = on(&etcd).await;
    stage.start().await;
    let config = std::fs::read_to_string(stage.path("vaultgram.toml")).unwrap();
    let second = config
        .replace("telegram.session", "copy.session")
        .replace("vaultgram.sock", "second.sock")
        .replace("[audit]\n", "[audit]\nfile = \"second.jsonl\"\n");
    std::fs::write(stage.path("second.toml"), second).unwrap();
    std::fs::copy(stage.path("telegram.session"), stage.path("copy.session")).unwrap();
    let mut command = stage.vaultgram(&["serve"]);
    command.env("VAULTGRAM_CONFIG", stage.path("second.toml"));
    let ran = tokio::task::block_in_place(|| command.output().unwrap());
    let said = String::from_utf8(ran.stderr).unwrap();
    assert_eq!(ran.status.code(), Some(75), "{said}");
    assert!(said.contains("uses the same Telegram session"), "{said}");
    assert!(said.contains("hint: stop the other one first"), "{said}");
    let answer = stage.ask(ALICE, "/get_secret django/database").await;
    assert!(answer.contains(PASSWORD), "the first goes on: {answer}");
}

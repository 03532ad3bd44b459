//! Policies change while vaultgram runs: good ones are put in force, bad ones change nothing.

use std::os::unix::fs::symlink;
use std::time::Duration;

use crate::metrics::metrics;
use crate::setting;
use crate::stage::{ALICE, BOB, PASSWORD, Stage};

const GET: &str = "/get_secret django/database";

fn permit(who: &str) -> String {
    format!("@id(\"reads\")\npermit({who}, action, resource in Path::\"secret/django\");\n")
}

/// As editors and deployments do it.
fn replace(stage: &Stage, name: &str, text: &str) {
    std::fs::write(stage.path("new"), text).unwrap();
    std::fs::rename(stage.path("new"), stage.path(name)).unwrap();
}

fn hang_up(stage: &Stage) {
    let pid = i32::try_from(stage.broker.as_ref().unwrap().pid()).unwrap();
    let pid = rustix::process::Pid::from_raw(pid).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::HUP).unwrap();
}

fn counted(stage: &Stage, line: &str) -> bool {
    metrics(stage).lines().any(|found| found == line)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_good_policy_is_put_in_force_and_a_bad_one_told_once() {
    let telegram = format!("admins = [{ALICE}]");
    let mut setting = setting();
    setting.telegram = &telegram;
    let mut stage = Stage::build(setting).await;
    stage.start().await;
    assert!(stage.ask(ALICE, GET).await.contains(PASSWORD));
    assert!(!stage.ask(BOB, GET).await.contains(PASSWORD));

    // By a change of the file alone.
    replace(&stage, "policy.cedar", &permit("principal is TelegramUser"));
    stage
        .wait("it is loaded", || stage.log().contains("policy.loaded"))
        .await;
    assert!(stage.ask(BOB, GET).await.contains(PASSWORD));
    assert!(stage.ask(ALICE, GET).await.contains(PASSWORD));
    let audit = std::fs::read_to_string(stage.path("audit.jsonl")).unwrap();
    let loaded = "\"event\":\"policy_loaded\",\"policy_hash\":\"";
    assert_eq!(audit.matches(loaded).count(), 2, "at the start, and now");

    // Bad, three times over: told once, and the old one stays.
    let told = |stage: &Stage| {
        let chat = stage.chat(ALICE).into_iter();
        let told = chat.filter(|m| !m.out && m.text.contains("cannot be put in force"));
        told.map(|m| m.text).collect::<Vec<_>>()
    };
    replace(
        &stage,
        "policy.cedar",
        "permit(principal in Group::\"nobodys\", action, resource);",
    );
    stage
        .wait("Alice is told", || told(&stage).len() == 1)
        .await;
    assert!(told(&stage)[0].contains("policy.cedar:1:21: the group \"nobodys\""));
    for _ in 0..20 {
        hang_up(&stage);
    }
    let refused = || stage.log().matches("daemon.hangup").count() > 0;
    stage.wait("it hears of it", refused).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(stage.ask(BOB, GET).await.contains(PASSWORD));
    assert_eq!(told(&stage).len(), 1);
    assert!(counted(&stage, "vaultgram_policy_outdated 1"));
    assert!(
        stage
            .ask(BOB, "/status")
            .await
            .contains("older than its files")
    );
    let run = |command: &str| {
        let ran = tokio::task::block_in_place(|| stage.vaultgram(&[command]).output().unwrap());
        String::from_utf8([ran.stdout, ran.stderr].concat()).unwrap()
    };
    assert!(
        run("status").contains("policy       older than its files"),
        "{}",
        run("status")
    );
    assert!(run("doctor").contains("nobodys"));

    // Cured, at once by SIGHUP; and groups and people are read again with it.
    let config = std::fs::read_to_string(stage.path("vaultgram.toml")).unwrap();
    let config = format!("{config}\n[people]\nbob = [\"telegram:{BOB}\"]\n");
    std::fs::write(stage.path("vaultgram.toml"), &config).unwrap();
    replace(
        &stage,
        "policy.cedar",
        &permit("principal in Person::\"bob\""),
    );
    hang_up(&stage);
    stage
        .wait("it is loaded", || {
            stage.log().matches("policy.loaded").count() == 2
        })
        .await;
    assert!(stage.ask(BOB, GET).await.contains(PASSWORD));
    assert!(!stage.ask(ALICE, GET).await.contains(PASSWORD));
    assert!(counted(&stage, "vaultgram_policy_outdated 0"));
    assert!(
        !stage
            .ask(BOB, "/status")
            .await
            .contains("older than its files")
    );
    let verified = stage
        .vaultgram(&["audit", "verify"])
        .arg(stage.path("audit.jsonl"))
        .output();
    assert!(verified.unwrap().status.success());
}

/// What is not read again is said to need a restart; what policies hang on is refused.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_read_again_is_said() {
    let mut stage = Stage::build(setting()).await;
    stage.start().await;
    let config = std::fs::read_to_string(stage.path("vaultgram.toml")).unwrap();
    let change = |section: &str, line: &str| {
        let changed = config.replace(&format!("[{section}]\n"), &format!("[{section}]\n{line}\n"));
        assert_ne!(changed, config);
        std::fs::write(stage.path("vaultgram.toml"), changed).unwrap();
    };
    change("audit", "durability = \"strict\"");
    let restart = || stage.log().contains("\"sections\":\"[audit]\"");
    stage.wait("a restart is asked for", restart).await;
    change("vault", "mounts = [\"secret\", \"other\"]");
    let refused = || {
        stage
            .log()
            .contains("[vault] mounts, mounts_v1 or engines, or")
    };
    stage.wait("it is refused", refused).await;
    assert!(stage.ask(ALICE, GET).await.contains(PASSWORD));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_is_turned_as_kubernetes_turns_it() {
    let mut stage = Stage::build(setting()).await;
    let config = std::fs::read_to_string(stage.path("vaultgram.toml")).unwrap();
    let config = config.replace("[groups]", "[policy]\nfiles = [\"rules\"]\n[groups]");
    std::fs::write(stage.path("vaultgram.toml"), config).unwrap();
    let rules = stage.path("rules");
    for (version, who) in [("..v1", "1001"), ("..v2", "1002")] {
        std::fs::create_dir_all(rules.join(version)).unwrap();
        let text = permit(&format!("principal == TelegramUser::\"{who}\""));
        std::fs::write(rules.join(version).join("a.cedar"), text).unwrap();
    }
    symlink("..v1", rules.join("..data")).unwrap();
    symlink("..data/a.cedar", rules.join("a.cedar")).unwrap();
    stage.start().await;
    assert!(stage.ask(ALICE, GET).await.contains(PASSWORD));
    symlink("..v2", rules.join("..new")).unwrap();
    std::fs::rename(rules.join("..new"), rules.join("..data")).unwrap();
    stage
        .wait("it is loaded", || stage.log().contains("policy.loaded"))
        .await;
    assert!(stage.ask(BOB, GET).await.contains(PASSWORD));
    assert!(!stage.ask(ALICE, GET).await.contains(PASSWORD));
}

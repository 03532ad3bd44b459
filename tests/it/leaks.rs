//! A secret that a program was given, pasted in a group.

use telegram_dc::Chat;

use crate::metrics::{fetch, metrics};
use crate::setting;
use crate::stage::{ALICE, BOB, GROUP, PASSWORD, Stage};

const TEAM: Chat = Chat::Group(GROUP);

/// The group is watched, and Bob, the admin, can be written to.
async fn watched() -> Stage {
    let telegram = format!("admins = [{BOB}]\nwatched_chats = [-{GROUP}]\n");
    let mut setting = setting();
    setting.telegram = &telegram;
    let mut stage = Stage::build(setting).await;
    stage.start().await;
    stage.ask(BOB, "/help").await;
    stage
}

fn stands(stage: &Stage) -> bool {
    let history = stage.dc.history(ALICE, TEAM);
    history.iter().any(|message| message.text.contains("7f3a"))
}

fn told(stage: &Stage) -> Vec<String> {
    let chat = stage.chat(BOB).into_iter().filter(|message| !message.out);
    let texts = chat.map(|message| message.text);
    texts
        .filter(|text| text.starts_with("A secret was leaked"))
        .collect()
}

fn read(stage: &Stage, arguments: &[&str]) -> String {
    let ran = stage.vaultgram(arguments).output().unwrap();
    assert!(ran.status.success(), "{ran:?}");
    String::from_utf8(ran.stdout).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_program_was_given_is_found_in_a_group() {
    let stage = watched().await;
    stage.dc.send(ALICE, TEAM, PASSWORD).unwrap();
    stage.ask(BOB, "/help").await;
    assert!(stands(&stage), "nobody was given it yet");

    let json = read(&stage, &["get", "django/database", "--json"]);
    assert!(json.contains("7f3a"));
    stage.dc.send(ALICE, TEAM, json.as_str()).unwrap();
    stage.wait("Bob is told", || told(&stage).len() == 1).await;
    let text = told(&stage).remove(0);
    let uid = rustix::process::getuid().as_raw();
    for said in [
        format!("in chat -{GROUP}, written by user {ALICE}"),
        "secret/django/database#password, version 1".to_owned(),
        format!("given to uid:{uid}"),
        "I deleted the message".to_owned(),
    ] {
        assert!(text.contains(&said), "{said}: {text}");
    }
    let left = stage.dc.history(ALICE, TEAM);
    let left: Vec<_> = left.iter().filter(|m| m.text.contains("7f3a")).collect();
    assert_eq!(left.len(), 1, "only the one from before");

    let audit = std::fs::read_to_string(stage.path("audit.jsonl")).unwrap();
    let line = |event: &str| {
        let event = format!("\"event\":\"{event}\"");
        let mut lines = audit.lines().filter(|line| line.contains(&event));
        serde_json::from_str::<serde_json::Value>(lines.next_back().unwrap()).unwrap()
    };
    let (leaked, released) = (line("leaked"), line("released"));
    assert_eq!(leaked["id"], released["id"]);
    assert_eq!(leaked["caller"], format!("uid:{uid}"));
    assert_eq!(leaked["path"], "secret/django/database");
    assert_eq!(
        (&leaked["field"], &leaked["version"]),
        (&"password".into(), &1.into())
    );
    assert_eq!(leaked["written_by"], ALICE);
    let chat = format!("telegram--{GROUP}-");
    assert!(
        leaked["in_message"].as_str().unwrap().starts_with(&chat),
        "{leaked}"
    );
    for place in [&audit, &stage.log(), &text] {
        assert!(!place.contains("7f3a"), "the value itself is nowhere");
    }
    let counted = "vaultgram_telegram_leaks_total{deleted=\"yes\"} 1";
    assert!(metrics(&stage).lines().any(|line| line == counted));
    let (_, health) = fetch(&stage, "/health");
    assert!(health.contains("\"watched_values\":1"), "{health}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_way_that_hands_it_out_is_known() {
    let stage = watched().await;
    let uid = rustix::process::getuid().as_raw();
    let ways: [&[&str]; 3] = [
        &["get", "django/database#password"],
        &["exec", "--env", "P=django/database#password", "--", "true"],
        &["get", "django/database@1"],
    ];
    for (count, way) in ways.iter().enumerate() {
        read(&stage, way);
        let pasted = format!("try {count}: {PASSWORD}");
        stage.dc.send(ALICE, TEAM, pasted.as_str()).unwrap();
        stage
            .wait("Bob is told", || told(&stage).len() == count + 1)
            .await;
        assert!(!stands(&stage), "{way:?}");
        assert!(told(&stage)[count].contains(&format!("uid:{uid}")));
    }
    let answer = stage.ask(ALICE, "/get_secret django/database").await;
    assert!(answer.contains("7f3a"));
    stage.dc.send(BOB, TEAM, PASSWORD).unwrap();
    stage
        .wait("Bob is told", || told(&stage).len() == ways.len() + 1)
        .await;
    let last = told(&stage).pop().unwrap();
    assert!(
        last.contains(&format!("given to telegram:{ALICE}")),
        "{last}"
    );
    assert!(last.contains(&format!("given to uid:{uid}")), "{last}");
}

fn leaks_on_record(stage: &Stage) -> usize {
    let audit = std::fs::read_to_string(stage.path("audit.jsonl")).unwrap_or_default();
    audit.matches("\"event\":\"leaked\"").count()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_audit_missed_is_recorded_later_also_by_the_next_process() {
    let mut stage = watched().await;
    read(&stage, &["get", "django/database"]);
    let (audit, aside) = (stage.path("audit.jsonl"), stage.path("aside"));
    for round in 1..=2 {
        // What is written now would be in no audit.
        std::fs::rename(&audit, &aside).unwrap();
        let pasted = format!("{PASSWORD} {round}");
        stage.dc.send(ALICE, TEAM, pasted.as_str()).unwrap();
        stage
            .wait("Bob is told", || told(&stage).len() == round)
            .await;
        assert!(!stands(&stage));
        stage
            .wait("it is said", || {
                stage.log().matches("broker.leaks_unrecorded").count() == round
            })
            .await;
        if round == 2 {
            stage.broker.take().unwrap().kill();
        }
        std::fs::rename(&aside, &audit).unwrap();
        if round == 2 {
            stage.start().await;
        }
        stage
            .wait("it is on record", || leaks_on_record(&stage) == round)
            .await;
    }
    let file = stage.path("audit.jsonl");
    read(&stage, &["audit", "verify", file.to_str().unwrap()]);
}

//! What people get in Telegram.

use serde_json::{Value, json};
use telegram_dc::Chat;

use crate::stage::{ALICE, BOB, BROKER, GROUP, MALLORY, PASSWORD, PATIENCE, Stage};
use crate::{serving, setting};

#[tokio::test(flavor = "multi_thread")]
async fn each_question_gets_its_answer() {
    let stage = serving().await;
    stage.bao.put("django/old", &json!({"key": "first"}));
    stage.bao.put("django/old", &json!({"key": "second"}));
    stage.bao.must(
        "POST",
        "secret/delete/django/old",
        &json!({"versions": [1]}),
    );

    let whole = stage.ask(ALICE, "/get_secret django/database").await;
    assert!(
        whole.contains(PASSWORD) && whole.contains("username"),
        "{whole}"
    );
    let field = stage
        .ask(ALICE, "/get_secret django/database#username")
        .await;
    assert!(
        field.contains("django") && !field.contains(PASSWORD),
        "{field}"
    );
    let mounted = stage
        .ask(ALICE, "/get_secret secret/django/old#key@2")
        .await;
    assert!(mounted.contains("second"), "{mounted}");

    for (person, question, expected) in [
        (
            ALICE,
            "/get_secret django/nothing",
            "no secret at this path",
        ),
        (
            ALICE,
            "/get_secret django/database#port",
            "it has: password, username",
        ),
        (
            ALICE,
            "/get_secret django/old@1",
            "ersion 1 of the secret is deleted",
        ),
        (ALICE, "/get_secret django/old@9", "no such version"),
        (ALICE, "/get_secret ../sys/seal", "\"..\" part"),
        (ALICE, "/get_secret a\u{202e}b", "\\u{202e}"),
        (ALICE, "/get_secret a\0b", "\\u{0}"),
        (ALICE, "/get_secret", "path is missing"),
        (ALICE, "/get_secret payroll/key", "not permitted"),
        (BOB, "/get_secret django/database", "not permitted"),
        (BOB, "/get_secret django/nothing", "not permitted"),
        (BOB, "/status", "ready"),
        (BOB, "/help", "/get_secret PATH"),
        (BOB, "/start", "/get_secret PATH"),
        (BOB, "/frobnicate", "/help"),
    ] {
        let answer = stage.ask(person, question).await;
        assert!(answer.contains(expected), "{question}: {answer}");
        assert!(!answer.contains(PASSWORD));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_learns_nothing() {
    let stage = serving().await;
    for text in ["/get_secret django/database", "/start", "hello"] {
        stage.dc.send(MALLORY, Chat::User(BROKER), text).unwrap();
    }
    // Answered after the stranger's messages were received, so silence is not delay.
    stage.ask(ALICE, "/get_secret django/database").await;
    assert!(stage.chat(MALLORY).iter().all(|message| message.out));
    let audit = std::fs::read_to_string(stage.path("audit.jsonl")).unwrap();
    assert!(!audit.contains(&MALLORY.to_string()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_never_goes_into_a_group() {
    let stage = serving().await;
    stage
        .dc
        .send(ALICE, Chat::Group(GROUP), "/get_secret django/database")
        .unwrap();
    let private = stage
        .dc
        .wait_for(ALICE, Chat::User(BROKER), PATIENCE, |message| !message.out);
    assert!(private.await.unwrap().text.contains(PASSWORD));
    let said = stage
        .dc
        .wait_for(BOB, Chat::Group(GROUP), PATIENCE, |message| {
            message.text.contains("private")
        });
    assert!(!said.await.unwrap().text.contains(PASSWORD));
    assert!(
        !stage
            .dc
            .history(BOB, Chat::Group(GROUP))
            .iter()
            .any(|m| m.text.contains(PASSWORD))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_deletes_itself_for_both_sides_even_after_a_crash() {
    let mut setting = setting();
    setting.telegram = "delete_after = \"1h\"";
    let mut stage = Stage::build(setting).await;
    stage.start().await;
    let shown = |stage: &Stage| {
        [ALICE, BROKER]
            .iter()
            .zip([BROKER, ALICE])
            .any(|(account, other)| {
                let chat = stage.dc.history(*account, Chat::User(other));
                chat.iter().any(|message| message.text.contains(PASSWORD))
            })
    };
    stage.ask(ALICE, "/get_secret django/database").await;
    stage.broker.take().unwrap().kill();
    let file = stage.path("vaultgram.toml");
    let config = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, config.replace("\"1h\"", "\"3s\"")).unwrap();
    tokio::time::sleep(std::time::Duration::from_secs(4)).await;
    assert!(shown(&stage), "nobody deletes while it is down");
    stage.start().await;
    stage
        .wait("the answer is deleted after a restart", || !shown(&stage))
        .await;
    let answers = stage
        .chat(ALICE)
        .iter()
        .filter(|message| !message.out)
        .count();
    assert_eq!(answers, 0, "nothing was answered again");

    let answer = stage.ask(ALICE, "/get_secret django/database").await;
    assert!(answer.contains(PASSWORD));
    stage.wait("the answer is deleted", || !shown(&stage)).await;
    let asked = stage
        .chat(ALICE)
        .iter()
        .any(|message| message.text.starts_with("/get_secret"));
    assert!(asked, "the question stays");
}

#[tokio::test(flavor = "multi_thread")]
async fn values_of_every_kind_are_shown_with_nothing_hidden() {
    let stage = serving().await;
    let values = json!({"number": 5432, "yes": true, "none": Value::Null, "list": ["a", {"b": 1}],
        "text": "two\nlines \u{202e}and 😀", "plain": "two\nlines 😀"});
    stage.bao.put("django/kinds", &values);
    let answer = stage.ask(ALICE, "/get_secret django/kinds").await;
    for expected in [
        "5432",
        "true",
        "null",
        r#"["a",{"b":1}]"#,
        r#""two\nlines \u202eand 😀""#,
        "plain:\ntwo\nlines 😀",
    ] {
        assert!(answer.contains(expected), "{expected}: {answer}");
    }
    stage.bao.put(
        "django/large",
        &json!({"a": "x".repeat(3000), "b": "y".repeat(3000)}),
    );
    let refused = stage.ask(ALICE, "/get_secret django/large").await;
    assert!(
        refused.contains('#') && !refused.contains("xxx"),
        "{refused}"
    );
    let part = stage.ask(ALICE, "/get_secret django/large#a").await;
    assert!(part.contains(&"x".repeat(3000)), "{part}");
}

//! Secrets listed, written, changed, deleted and rotated from chat, in a real OpenBao.

use serde_json::{Value, json};
use telegram_dc::{Chat, Fault, Message};

use crate::stage::{ALICE, BOB, BROKER, GROUP, PATIENCE, Stage};
use crate::{serving, setting};

const KEY: &str = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p";

/// The code that a question asks for.
pub(crate) fn code_in(question: &str) -> String {
    let (_, rest) = question.split_once("/confirm ").expect(question);
    rest.chars().take(4).collect()
}

impl Stage {
    async fn says(&self, person: i64, text: &str, expected: &str) -> String {
        let answer = self.ask(person, text).await;
        assert!(answer.contains(expected), "{text}: {answer}");
        answer
    }

    /// Asks for something, and confirms it.
    async fn confirmed(&self, text: &str, question: &str, expected: &str) {
        let question = self.says(ALICE, text, question).await;
        let confirm = format!("/confirm {}", code_in(&question));
        self.says(ALICE, &confirm, expected).await;
    }

    /// What OpenBao holds under `secret/`.
    fn holds(&self, path: &str) -> Value {
        let answer = self
            .bao
            .must("GET", &format!("secret/data/{path}"), &Value::Null);
        answer["data"]["data"].clone()
    }

    async fn nobody_sees(&self, value: &str) {
        self.wait("the value is gone from the chats", || {
            [
                (ALICE, BROKER),
                (BROKER, ALICE),
                (BOB, BROKER),
                (BROKER, BOB),
            ]
            .iter()
            .all(|(me, other)| {
                let chat = self.dc.history(*me, Chat::User(*other));
                chat.iter().all(|message| !message.text.contains(value))
            })
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_command_does_what_it_says() {
    let mut setting = setting();
    let admins = format!("admins = [{ALICE}]\nkeys_path = \"django/telegram\"");
    setting.telegram = &admins;
    let mut stage = Stage::build(setting).await;
    stage
        .bao
        .put("django/telegram", &json!({"api_hash": "0123abcd"}));
    stage.start().await;

    stage
        .says(ALICE, "/list django", "database\ntelegram")
        .await;
    let put = "/put_secret django/new user=me password=\"pläin \\\"text\\\"\"";
    stage
        .says(ALICE, put, "secret/django/new is written as version 1.")
        .await;
    assert_eq!(
        stage.holds("django/new"),
        json!({"user": "me", "password": "pläin \"text\""})
    );
    stage
        .says(ALICE, "/patch_secret django/new user=you", "as version 2.")
        .await;
    assert_eq!(stage.holds("django/new")["user"], "you");
    assert_eq!(stage.holds("django/new")["password"], "pläin \"text\"");
    let versions = stage
        .says(ALICE, "/versions django/new", "is at version 2.")
        .await;
    assert_eq!(versions.matches("live").count(), 2, "{versions}");

    let replace = "/put_secret django/new only=this";
    stage
        .confirmed(replace, "exists, at version 2", "as version 3.")
        .await;
    assert_eq!(stage.holds("django/new"), json!({"only": "this"}));
    let rotate = "/rotate django/new#only alphanumeric";
    stage
        .confirmed(rotate, "by a random value", "as version 4.")
        .await;
    let value = stage.holds("django/new")["only"]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(
        value.len() == 32 && value.chars().all(char::is_alphanumeric),
        "{value}"
    );
    stage.nobody_sees(&value).await;

    let delete = "/delete_secret django/new";
    stage
        .confirmed(delete, "Delete version 4, the newest,", "Version 4 of")
        .await;
    stage
        .says(
            ALICE,
            "/get_secret django/new",
            "ersion 4 of the secret is deleted",
        )
        .await;
    stage.says(ALICE, "/versions django/new", "deleted").await;
    stage
        .says(
            ALICE,
            "/undelete django/new",
            "Version 4 of secret/django/new is there again",
        )
        .await;
    assert_eq!(stage.holds("django/new")["only"], value);

    stage.says(ALICE, "/get_keys", "0123abcd").await;
    stage.says(BOB, "/get_keys", "not permitted").await;

    let register = format!("/register_key {KEY}");
    stage
        .confirmed(&register, KEY, "The key is registered")
        .await;
    stage.says(ALICE, "/keys", KEY).await;
    stage
        .confirmed("/forget_key 1", KEY, "The key is forgotten")
        .await;
    stage.says(ALICE, "/keys", "You have no key").await;
    stage.says(ALICE, "/help", "/rotate PATH#field").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_confirmation_counts_once_for_its_owner_and_for_what_was_shown() {
    let mut stage = serving().await;
    let nothing = "Nothing waits for you under this code";
    stage.bao.put("django/c", &json!({"n": "1"}));

    let question = stage
        .says(ALICE, "/put_secret django/c n=2", "at version 1")
        .await;
    let confirm = format!("/confirm {}", code_in(&question));
    stage.says(BOB, &confirm, nothing).await;
    // Somebody else writes meanwhile.
    stage.bao.put("django/c", &json!({"n": "other"}));
    stage.says(ALICE, &confirm, "at version 2 by now").await;
    stage.says(ALICE, &confirm, nothing).await;
    assert_eq!(stage.holds("django/c")["n"], "other");

    let question = stage
        .says(ALICE, "/delete_secret django/c", "version 2")
        .await;
    let cancel = format!("/cancel {}", code_in(&question));
    stage.says(ALICE, &cancel, "Cancelled").await;
    stage
        .says(ALICE, &format!("/confirm {}", code_in(&question)), nothing)
        .await;

    // What waits does not outlive the process, for it can hold values.
    let question = stage
        .says(ALICE, "/delete_secret django/c", "version 2")
        .await;
    stage.broker.take().unwrap().kill();
    stage.start().await;
    stage
        .says(ALICE, &format!("/confirm {}", code_in(&question)), nothing)
        .await;
    assert_eq!(stage.holds("django/c")["n"], "other");
}

#[tokio::test(flavor = "multi_thread")]
async fn values_leave_the_chat_and_refused_ones_change_nothing() {
    let stage = serving().await;
    for (person, text, expected) in [
        (ALICE, "/put_secret django/v a=sesame-1", "as version 1."),
        (ALICE, "/put_secret payroll/key a=sesame-2", "not permitted"),
        (
            ALICE,
            "/put_secret payroll/none a=sesame-3",
            "not permitted",
        ),
        (BOB, "/patch_secret django/v a=sesame-4", "not permitted"),
        (
            ALICE,
            "/patch_secret django/v a=“sesame-5”",
            "in place of what you type",
        ),
    ] {
        let answer = stage.says(person, text, expected).await;
        assert!(!answer.contains("sesame"), "{answer}");
        assert!(!answer.contains("delete it yourself"), "{answer}");
    }
    stage.nobody_sees("sesame").await;
    assert_eq!(stage.holds("django/v"), json!({"a": "sesame-1"}));
    assert_eq!(stage.holds("payroll/key"), json!({"key": "payroll"}));

    let group = Chat::Group(GROUP);
    stage
        .dc
        .send(ALICE, group, "/put_secret django/v a=sesame-6")
        .unwrap();
    let told = stage
        .dc
        .wait_for(ALICE, Chat::User(BROKER), PATIENCE, |message| {
            message.text.contains("use another value, in private")
        });
    told.await.unwrap();
    stage
        .wait("the value is gone from the group", || {
            let chat = stage.dc.history(BOB, group);
            chat.iter().all(|message| !message.text.contains("sesame"))
        })
        .await;
    assert_eq!(stage.holds("django/v"), json!({"a": "sesame-1"}));

    for file in ["audit.jsonl", "log"] {
        let text = std::fs::read_to_string(stage.path(file)).unwrap();
        assert!(!text.contains("sesame"), "{file}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_was_left_without_an_answer_hears_of_it_though_the_message_is_gone() {
    let mut stage = serving().await;
    stage.says(ALICE, "/status", "Vault:").await;
    let flood = Fault::error(420, "FLOOD_WAIT_600");
    stage.dc.fault("messages.sendMessage", flood, 1);
    let put = "/put_secret django/v a=sesame";
    stage.dc.send(ALICE, Chat::User(BROKER), put).unwrap();
    stage
        .wait("the answer is held up", || {
            stage.dc.count("messages.sendMessage") == 2
        })
        .await;
    stage.nobody_sees("sesame").await;
    let told = |stage: &Stage| {
        let chat = stage.chat(ALICE);
        let told = |message: &&Message| message.text.contains("interrupted");
        chat.iter().filter(told).count()
    };
    assert_eq!(told(&stage), 0);

    // Told once, whatever happens afterwards.
    for _ in 0..2 {
        stage.broker.take().unwrap().kill();
        stage.start().await;
        stage.wait("Alice hears of it", || told(&stage) == 1).await;
        stage.says(ALICE, "/status", "Vault:").await;
        assert_eq!(told(&stage), 1);
    }
    assert_eq!(stage.holds("django/v")["a"], "sesame");
}

//! A bot account with the same binary, from its token to a pressed button.

use serde_json::Value;
use telegram_dc::{Chat, Message};

use crate::crud::code_in;
use crate::login::{BOT, TOKEN, login, signed_out};
use crate::stage::{ALICE, PASSWORD, PATIENCE, Stage};

const BOT_CHAT: Chat = Chat::User(BOT);

impl Stage {
    async fn ask_bot(&self, text: &str) -> Message {
        let asked = self.dc.send(ALICE, BOT_CHAT, text).unwrap().id_for(ALICE);
        let answer = self.dc.wait_for(ALICE, BOT_CHAT, PATIENCE, |message| {
            !message.out && Some(message.id) > asked
        });
        answer.await.expect("an answer")
    }

    /// Alice asks for a deletion; the question, and what its buttons send.
    async fn question(&self) -> (Message, [Vec<u8>; 2]) {
        let question = self.ask_bot("/delete_secret django/database").await;
        let buttons: Vec<_> = question.buttons.concat();
        let [confirm, cancel] = buttons.try_into().expect("two buttons");
        assert_eq!([&*confirm.text, &*cancel.text], ["Confirm", "Cancel"]);
        (question, [confirm.data, cancel.data])
    }

    fn deletion_time(&self) -> Value {
        let path = "secret/metadata/django/database";
        let metadata = self.bao.must("GET", path, &Value::Null);
        metadata["data"]["versions"]["1"]["deletion_time"].clone()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn it_answers_and_asks_back_with_buttons() {
    let mut stage = signed_out().await;
    let (code, _, err) = login(&stage, &["login", "--bot"], &format!("{TOKEN}\n"));
    assert_eq!(code, 0, "{err}");
    stage.start().await;

    let answer = stage.ask_bot("/get_secret django/database").await;
    assert!(answer.text.contains(PASSWORD), "{}", answer.text);

    let (question, [_, cancel]) = stage.question().await;
    let pressed = stage.dc.press(ALICE, BOT_CHAT, question.id, &cancel).await;
    assert_eq!(pressed.unwrap().text, None);
    // What was let go of by writing keeps its buttons, which do nothing more.
    let (question, [old_confirm, _]) = stage.question().await;
    let typed = format!("/cancel {}", code_in(&question.text));
    let cancelled = stage.ask_bot(&typed).await.text;
    assert!(cancelled.contains("Cancelled"), "{cancelled}");
    let pressed = stage
        .dc
        .press(ALICE, BOT_CHAT, question.id, &old_confirm)
        .await;
    let alert = pressed.unwrap().text.unwrap();
    assert!(alert.contains("Nothing waits for you"), "{alert}");

    let (question, [confirm, _]) = stage.question().await;
    assert_eq!(stage.deletion_time(), "");
    let pressed = stage.dc.press(ALICE, BOT_CHAT, question.id, &confirm).await;
    assert_eq!(pressed.unwrap().text, None);
    stage
        .wait("the question says what became of it", || {
            let chat = stage.dc.history(ALICE, BOT_CHAT);
            let now = chat.iter().find(|message| message.id == question.id);
            now.is_some_and(|now| now.text.contains("Version 1 of") && now.buttons.is_empty())
        })
        .await;
    assert_ne!(stage.deletion_time(), "");
}

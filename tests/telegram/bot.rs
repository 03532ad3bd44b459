//! The same front end on a bot account: buttons under questions.

use std::sync::atomic::Ordering;

use telegram_dc::{Chat, Draft, Fault, Message, User};
use vaultgram::broker::ports::Coordination;
use vaultgram::domain::VersionState;

use super::changes::code;
use super::support::{ALICE, BOB, BROKER, World};

const GROUP: i64 = 70;
const STALE: &str = "Nothing waits for you under this code";

async fn bot() -> World {
    let account = User::new(BROKER, "Broker").username("vault_bot");
    World::on(account.bot("5000:token")).await.kept()
}

/// Alice's question, and what its buttons say.
async fn question(world: &World) -> (Message, Vec<Vec<u8>>) {
    let question = world.ask(ALICE, "/delete_secret django/database").await;
    let buttons = question.buttons.concat();
    let labels: Vec<_> = buttons.iter().map(|button| button.text.as_str()).collect();
    assert_eq!(labels, ["Confirm", "Cancel"]);
    let data = buttons.into_iter().map(|button| button.data).collect();
    (question, data)
}

impl World {
    /// What pressing a button of a message answers at once, if anything.
    async fn press(&self, user: i64, message: i32, data: &[u8]) -> Option<String> {
        let chat = Chat::User(BROKER);
        let answer = self.dc.press(user, chat, message, data).await.unwrap();
        assert_eq!(answer.alert, answer.text.is_some());
        answer.text
    }

    fn lives(&self) -> bool {
        self.kept.as_ref().unwrap().state("django/database", 1) == VersionState::Live
    }

    async fn becomes(&self, message: i32, text: &str) {
        self.until("the question says what happened", |world| {
            let answers = world.answers(ALICE);
            let question = answers.iter().find(|answer| answer.id == message).unwrap();
            question.text.contains(text) && question.buttons.is_empty()
        })
        .await;
    }
}

#[tokio::test]
async fn a_button_confirms_once() {
    let world = bot().await;
    let process = world.start().await;
    let (question, data) = question(&world).await;
    assert_eq!(world.press(ALICE, question.id, &data[0]).await, None);
    world
        .becomes(
            question.id,
            "Version 1 of secret/django/database is deleted",
        )
        .await;
    assert!(!world.lives());
    let typed = format!("/confirm {}", code(&question.text));
    world.says(ALICE, &typed, STALE).await;
    process.stop().await;
}

#[tokio::test]
async fn a_button_that_found_no_vault_leaves_the_code() {
    let world = bot().await;
    let _process = world.start().await;
    let (question, data) = question(&world).await;
    let down = &world.kept.as_ref().unwrap().down;
    down.store(true, Ordering::SeqCst);
    assert_eq!(world.press(ALICE, question.id, &data[0]).await, None);
    world
        .becomes(question.id, "the question still stands")
        .await;
    let confirm = format!("/confirm {}", code(&question.text));
    let again = world.ask(ALICE, &confirm).await;
    let data = &again.buttons.concat()[0].data;
    down.store(false, Ordering::SeqCst);
    assert_eq!(world.press(ALICE, again.id, data).await, None);
    world
        .becomes(again.id, "Version 1 of secret/django/database is deleted")
        .await;
}

#[tokio::test]
async fn a_button_tells_nothing_once_chat_is_locked() {
    let world = bot().await;
    let _process = world.start().await;
    let question = world.ask(ALICE, "/put_secret django/database a=b").await;
    let data = &question.buttons.concat()[0].data;
    let kept = world.kept.as_ref().unwrap();
    kept.write("django/database", &[("a", "c")]);
    let flood = Fault::error(420, "FLOOD_WAIT_1");
    world.dc.fault("messages.editMessage", flood, 1);
    assert_eq!(world.press(ALICE, question.id, data).await, None);
    world
        .until("the first try", |world| {
            world.dc.count("messages.editMessage") == 1
        })
        .await;
    world.coordination.put("locks/chat", b"").await.unwrap();
    let told = world.answer(ALICE, |m| m.id > question.id).await.text;
    assert!(told.contains("Locked"), "{told}");
}

#[tokio::test]
async fn a_lost_answer_makes_no_second_message() {
    let world = bot().await;
    let _process = world.start().await;
    let (question, data) = question(&world).await;
    world.dc.fault("messages.editMessage", Fault::LoseAnswer, 1);
    // What the app is told can be lost on the way, too.
    drop(
        world
            .dc
            .press(ALICE, Chat::User(BROKER), question.id, &data[1])
            .await,
    );
    world.becomes(question.id, "Cancelled").await;
    let twice = |world: &World| world.dc.count("messages.editMessage") == 2;
    world.until("the second try", twice).await;
    world.quiet().await;
    assert_eq!(world.answers(ALICE).len(), 1);
}

#[tokio::test]
async fn a_button_cancels() {
    let world = bot().await;
    let _process = world.start().await;
    let (question, data) = question(&world).await;
    assert_eq!(world.press(ALICE, question.id, &data[1]).await, None);
    world.becomes(question.id, "Cancelled").await;
    assert!(world.lives());
}

#[tokio::test]
async fn a_stale_button_says_so_and_does_nothing() {
    let world = bot().await;
    let process = world.start().await;
    let (used, data) = question(&world).await;
    world
        .says(ALICE, &format!("/cancel {}", code(&used.text)), "Cancelled")
        .await;
    let alert = world.press(ALICE, used.id, &data[0]).await.unwrap();
    assert!(alert.contains(STALE), "{alert}");
    // What waits does not outlive the process.
    let (lost, data) = question(&world).await;
    process.stop().await;
    let _process = world.start().await;
    let alert = world.press(ALICE, lost.id, &data[0]).await.unwrap();
    assert!(alert.contains(STALE), "{alert}");
    assert!(world.lives());
}

#[tokio::test]
async fn nobody_else_can_press_it() {
    let world = bot().await;
    world.dc.add_group(GROUP, "Ops", &[ALICE, BOB, BROKER]);
    let _process = world.start().await;
    let (question, data) = question(&world).await;
    world.quiet().await;
    // Bob's app sends what Alice's button would, as if it were one of his; the datacenter only
    // takes it from a message that has it.
    let copy = |chat| {
        let draft = Draft::new("copied").buttons(question.buttons.clone());
        world.dc.send(BROKER, chat, draft).unwrap();
    };
    copy(Chat::User(BOB));
    copy(Chat::Group(GROUP));
    let own = world.answers(BOB).pop().unwrap().id;
    for data in &data {
        let alert = world.press(BOB, own, data).await.unwrap();
        assert!(alert.contains(STALE), "{alert}");
    }
    // Where others see it, nobody is heard.
    world.dc.set_bot_patience(std::time::Duration::from_secs(1));
    let group = Chat::Group(GROUP);
    for user in [ALICE, BOB] {
        let shown = world.dc.history(user, group).pop().unwrap().id;
        let pressed = world.dc.press(user, group, shown, &data[0]).await;
        assert_eq!(pressed.unwrap_err().text, "BOT_RESPONSE_TIMEOUT");
    }
    assert!(world.lives());
    assert_eq!(world.answers(ALICE).len(), 1);
    assert_eq!(world.press(ALICE, question.id, &data[0]).await, None);
    world.becomes(question.id, "is deleted").await;
    assert!(!world.lives());
}

#[tokio::test]
async fn a_lock_closed_since_the_question_holds_its_buttons() {
    let world = bot().await;
    let _process = world.start().await;
    let (question, data) = question(&world).await;
    world.coordination.put("locks/chat", b"").await.unwrap();
    for data in &data {
        let alert = world.press(ALICE, question.id, data).await.unwrap();
        assert!(alert.contains("Locked"), "{alert}");
    }
    assert!(world.lives());
    world.coordination.delete("locks/chat").await.unwrap();
    assert_eq!(world.press(ALICE, question.id, &data[0]).await, None);
    world.becomes(question.id, "is deleted").await;
    assert!(!world.lives());
}

#[tokio::test]
async fn whoever_presses_is_authorised_afresh() {
    let mut world = bot().await;
    let process = world.start().await;
    let (question, data) = question(&world).await;
    process.stop().await;
    world.settings.allowed_users = [BOB].into();
    let _process = world.start().await;
    world.dc.set_bot_patience(std::time::Duration::from_secs(1));
    let chat = Chat::User(BROKER);
    let pressed = world.dc.press(ALICE, chat, question.id, &data[0]).await;
    assert_eq!(pressed.unwrap_err().text, "BOT_RESPONSE_TIMEOUT");
    assert!(world.lives());
}

#[tokio::test]
async fn a_bot_answers_and_withdraws_as_a_person_does() {
    let world = bot().await;
    let _process = world.start().await;
    let answer = world.ask(ALICE, "/get_secret django/database").await;
    assert!(answer.text.contains("old") && !answer.entities.is_empty());
    world
        .says(ALICE, "/put_secret new a=hunter2", "written as version 1")
        .await;
    world
        .until("the value is gone", |world| {
            let chat = world.dc.history(ALICE, Chat::User(BROKER));
            chat.iter().all(|message| !message.text.contains("hunter2"))
        })
        .await;
}

//! Hours without vaultgram: what people wrote meanwhile is answered once, however Telegram tells
//! of it.

use telegram_dc::Chat;

use crate::stage::{ALICE, BOB, BROKER, PASSWORD, Stage};
use crate::{serving, setting};

const CHANNEL: i64 = 78;
const GET: &str = "/get_secret django/database";

/// How many messages of the broker in `person`'s chat contain `text`.
fn answers(stage: &Stage, person: i64, text: &str) -> usize {
    let chat = stage.chat(person);
    let answers = chat.iter().filter(|message| !message.out);
    answers.filter(|answer| answer.text.contains(text)).count()
}

/// A stage on which vaultgram served and was stopped, with a supergroup.
async fn stopped() -> Stage {
    let mut setting = setting();
    setting.telegram = "delete_after = \"10m\"";
    let mut stage = Stage::build(setting).await;
    let people = [ALICE, BOB, BROKER];
    stage.dc.add_supergroup(CHANNEL, "Deployments", &people);
    stage.start().await;
    stage.ask(ALICE, "/help").await;
    let broker = stage.broker.take().unwrap();
    broker.terminate();
    assert!(broker.exit().await.success());
    stage
}

/// Starts it, and sees that all of Alice's nine and Bob's one are answered, once.
async fn all_answered(stage: &mut Stage) {
    stage.start().await;
    stage
        .wait("everything is answered", || {
            answers(stage, ALICE, PASSWORD) >= 9 && answers(stage, BOB, "not permitted") >= 1
        })
        .await;
    // What comes later is answered later, so nothing more is on its way.
    stage.ask(ALICE, "/status").await;
    stage.ask(BOB, "/status").await;
    assert_eq!(answers(stage, ALICE, PASSWORD), 9);
    assert_eq!(answers(stage, BOB, "not permitted"), 1);
}

fn write(stage: &Stage, in_channel: usize) {
    let channel = Chat::Channel(CHANNEL);
    for message in 0..9 {
        let chat = if message < in_channel {
            channel
        } else {
            Chat::User(BROKER)
        };
        stage.dc.send(ALICE, chat, GET).unwrap();
    }
    stage.dc.send(BOB, Chat::User(BROKER), GET).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_in_slices_is_answered_once() {
    let mut stage = stopped().await;
    stage.dc.set_difference_slice(2);
    let before = stage.dc.count("updates.getDifference");
    write(&stage, 0);
    all_answered(&mut stage).await;
    assert!(stage.dc.count("updates.getDifference") >= before + 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_telegram_no_longer_tells_is_read_from_the_chats() {
    let mut stage = stopped().await;
    write(&stage, 4);
    stage.dc.forget_updates(BROKER);
    stage.dc.forget_channel_updates(CHANNEL);
    all_answered(&mut stage).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_when_it_had_hardly_begun_it_misses_nothing() {
    let mut stage = serving().await;
    stage.broker.take().unwrap().kill();
    stage.dc.send(ALICE, Chat::User(BROKER), GET).unwrap();
    stage.start().await;
    stage
        .wait("Alice is answered", || {
            answers(&stage, ALICE, PASSWORD) == 1
        })
        .await;
}

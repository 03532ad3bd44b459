//! After an absence everything is answered once, however Telegram tells what was missed.

use std::time::Duration;

use telegram_dc::{Chat, Fault, User};

use super::support::{ALICE, BOB, BROKER, GET, VALUE, World};

const GROUP: i64 = 70;

#[tokio::test]
async fn what_comes_in_slices_is_answered_once() {
    let world = World::new().await;
    world.start().await.stop().await;
    world.dc.set_difference_slice(2);
    for _ in 0..9 {
        world.send(ALICE, "/help");
    }
    let before = world.dc.count("updates.getDifference");
    let _process = world.start().await;
    world
        .until("all answers", |world| world.answers(ALICE).len() == 9)
        .await;
    assert!(world.dc.count("updates.getDifference") >= before + 5);
    world.quiet().await;
    assert_eq!(world.answers(ALICE).len(), 9);
}

#[tokio::test]
async fn what_telegram_forgot_is_read_from_the_chats() {
    let mut world = World::new().await;
    world.settings.command_age = Duration::from_secs(20);
    world.dc.add_group(GROUP, "Small", &[ALICE, BROKER]);
    world.start().await.stop().await;
    world.send(BOB, "/help");
    tokio::time::sleep(Duration::from_secs(22)).await;
    for _ in 0..120 {
        world.send(ALICE, "no command");
    }
    world.send(ALICE, GET);
    world
        .dc
        .send(ALICE, Chat::Group(GROUP), "/help@vault_broker")
        .unwrap();
    world.dc.forget_updates(BROKER);
    let process = world.start().await;
    world
        .until("Alice's answers", |world| world.answers(ALICE).len() == 2)
        .await;
    world
        .until("Bob's answer", |world| world.answers(BOB).len() == 1)
        .await;
    assert!(world.answers(ALICE).iter().any(|m| m.text.contains(VALUE)));
    let old = &world.answers(BOB)[0].text;
    assert!(old.contains("old"), "{old}");
    // Reading it all once more changes nothing.
    process.stop().await;
    world.dc.forget_updates(BROKER);
    let _process = world.start().await;
    world.quiet().await;
    assert_eq!(world.answers(ALICE).len(), 2);
    assert_eq!(world.answers(BOB).len(), 2);
}

#[tokio::test]
async fn more_chats_than_a_page_holds_are_all_read() {
    let mut world = World::new().await;
    let crowd: Vec<i64> = (2000..2130).collect();
    for id in &crowd {
        world.dc.add_user(User::new(*id, format!("Person {id}")));
        world.settings.allowed_users.insert(*id);
    }
    world.start().await.stop().await;
    for id in &crowd {
        world.send(*id, "/help");
    }
    world.dc.forget_updates(BROKER);
    let _process = world.start().await;
    world
        .until("an answer for everybody", |world| {
            crowd.iter().all(|id| world.answers(*id).len() == 1)
        })
        .await;
}

#[tokio::test]
async fn what_telegram_forgot_of_a_channel_is_read_from_it() {
    let world = World::new().await;
    world.dc.add_supergroup(GROUP, "Ops", &[ALICE, BROKER]);
    let process = world.start().await;
    world
        .dc
        .send(ALICE, Chat::Channel(GROUP), "/help@vault_broker")
        .unwrap();
    world
        .until("an answer", |world| world.answers(ALICE).len() == 1)
        .await;
    process.stop().await;
    for _ in 0..40 {
        world
            .dc
            .send(ALICE, Chat::Channel(GROUP), "/help@vault_broker")
            .unwrap();
    }
    world.dc.forget_channel_updates(GROUP);
    let _process = world.start().await;
    world
        .until("every answer", |world| world.answers(ALICE).len() == 41)
        .await;
    world.quiet().await;
    assert_eq!(world.answers(ALICE).len(), 41);
}

#[tokio::test]
async fn somebody_telegram_no_longer_knows_by_their_hash_is_looked_up_again() {
    let world = World::new().await;
    let _process = world.start().await;
    world.quiet().await;
    let stale = Fault::error(400, "PEER_ID_INVALID");
    world.dc.fault("messages.sendMessage", stale.clone(), 1);
    world.send(ALICE, GET);
    world.answer(ALICE, |m| m.text.contains(VALUE)).await;
    // Once: then it is a refusal.
    let before = world.dc.count("messages.sendMessage");
    world.dc.fault("messages.sendMessage", stale, 2);
    world.send(ALICE, GET);
    world
        .until("both tries", |world| {
            world.dc.count("messages.sendMessage") == before + 2
        })
        .await;
    world.quiet().await;
    assert_eq!(world.answers(ALICE).len(), 1);
}

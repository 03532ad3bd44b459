//! After an absence everything is answered once, however Telegram tells what was missed.

use std::time::Duration;

use telegram_dc::{Announce, Chat, Fault, User};

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
    // On the second page of the history.
    world.send(ALICE, "/help");
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
        .until("Alice's answers", |world| world.answers(ALICE).len() == 3)
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
    assert_eq!(world.answers(ALICE).len(), 3);
    assert_eq!(world.answers(BOB).len(), 2);
}

#[tokio::test]
async fn a_history_that_is_refused_is_left_out() {
    let world = World::new().await;
    world.start().await.stop().await;
    world.send(ALICE, "/help");
    world.dc.forget_updates(BROKER);
    let refused = Fault::error(400, "PEER_ID_INVALID");
    world.dc.fault("messages.getHistory", refused, 1000);
    let _process = world.start().await;
    world
        .until("the refusal", |world| {
            world.dc.count("messages.getHistory") > 0
        })
        .await;
    world.quiet().await;
}

#[tokio::test]
async fn a_process_that_ends_while_it_reads_the_histories_loses_nothing() {
    let world = World::new().await;
    world.start().await.stop().await;
    world.send(ALICE, "/help");
    world.dc.forget_updates(BROKER);
    world.dc.fault("messages.getHistory", Fault::Hang, 1);
    let process = world.start().await;
    world
        .until("the history is asked for", |world| {
            world.dc.count("messages.getHistory") == 1
        })
        .await;
    process.stop().await;
    assert!(world.answers(ALICE).is_empty());
    let _process = world.start().await;
    world
        .until("the answer", |world| world.answers(ALICE).len() == 1)
        .await;
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
    // Also when the account's updates, which come first, are of a later moment.
    tokio::time::sleep(Duration::from_secs(3)).await;
    world.send(BOB, "/help");
    let _process = world.start().await;
    world
        .until("every answer", |world| world.answers(ALICE).len() == 41)
        .await;
    world.quiet().await;
    assert_eq!(world.answers(ALICE).len(), 41);
}

#[tokio::test]
async fn a_process_that_dies_before_it_has_read_a_channel_loses_nothing_of_it() {
    let world = World::new().await;
    world.dc.add_supergroup(GROUP, "Ops", &[ALICE, BROKER]);
    world.start().await.stop().await;
    for _ in 0..5 {
        to_channel(&world);
    }
    world.dc.forget_channel_updates(GROUP);
    tokio::time::sleep(Duration::from_secs(3)).await;
    world.send(BOB, "/help");
    // It reads the account's updates, and the channel's answer does not come.
    world
        .dc
        .fault("updates.getChannelDifference", Fault::Hang, 1);
    let process = world.start().await;
    world
        .until("Bob's answer", |world| world.answers(BOB).len() == 1)
        .await;
    process.stop().await;
    assert!(world.answers(ALICE).is_empty());
    let _process = world.start().await;
    world
        .until("every answer", |world| world.answers(ALICE).len() == 5)
        .await;
}

#[tokio::test]
async fn a_place_telegram_does_not_know_loses_nothing() {
    let world = World::new().await;
    world.dc.add_supergroup(GROUP, "Ops", &[ALICE, BROKER]);
    world.start().await.stop().await;
    for _ in 0..3 {
        to_channel(&world);
        world.send(BOB, "/help");
    }
    let refused = Fault::error(400, "PERSISTENT_TIMESTAMP_INVALID");
    world.dc.fault("updates.getDifference", refused, 1);
    // The list of chats is refused, too, before it is not; the first is asked for at sign-on.
    world
        .dc
        .fault("messages.getDialogs", Fault::error(400, "LIMIT_INVALID"), 2);
    let process = world.start().await;
    world
        .until("every answer", |world| {
            (world.answers(ALICE).len(), world.answers(BOB).len()) == (3, 3)
        })
        .await;
    world.quiet().await;
    process.stop().await;
    assert_eq!(world.answers(ALICE).len(), 3);
    assert_eq!(world.answers(BOB).len(), 4);
}

#[tokio::test]
async fn a_channel_that_is_refused_for_a_while_is_read_later() {
    let world = World::new().await;
    world.dc.add_supergroup(GROUP, "Ops", &[ALICE, BROKER]);
    world.start().await.stop().await;
    to_channel(&world);
    let refused = Fault::error(400, "PERSISTENT_TIMESTAMP_OUTDATED");
    world
        .dc
        .fault("updates.getChannelDifference", refused.clone(), 1);
    world
        .dc
        .fault("updates.getChannelDifference", Fault::error(500, "X"), 1);
    let _process = world.start().await;
    world
        .until("the answer", |world| world.answers(ALICE).len() == 1)
        .await;
}

#[tokio::test]
async fn a_channel_that_only_says_that_something_happened_is_answered() {
    for announce in [Announce::TooLong, Announce::TooLongWithPts] {
        let world = World::new().await;
        world.dc.add_supergroup(GROUP, "Ops", &[ALICE, BROKER]);
        world.dc.set_announce(GROUP, announce);
        let process = world.start().await;
        for count in 1..=3 {
            to_channel(&world);
            world
                .until("an answer", |world| world.answers(ALICE).len() == count)
                .await;
        }
        // And among what was missed.
        process.stop().await;
        to_channel(&world);
        world.send(BOB, "/help");
        let _process = world.start().await;
        world
            .until("the last answer", |world| world.answers(ALICE).len() == 4)
            .await;
    }
}

fn to_channel(world: &World) {
    world
        .dc
        .send(ALICE, Chat::Channel(GROUP), "/help@vault_broker")
        .unwrap();
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

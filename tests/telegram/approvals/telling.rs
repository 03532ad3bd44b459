//! How people are told of requests, whatever happens to the broker, to Telegram, or to cards.

use std::sync::Arc;
use std::time::Duration;

use telegram_dc::{Chat, Draft, Fault, Message};
use vaultgram::broker::ports::Coordination;
use vaultgram::broker::{Opened, Vote};
use vaultgram::domain::caller::UnixPeer;
use vaultgram::domain::{Action, Caller, Delivery, Request, RequestId};

use super::{CAROL, DAN, DESK, DESK_ID, SMALL, at, caller, desk};
use crate::support::{A_WHILE, ALICE, BOB, BROKER, MALLORY, SOON, World};

#[tokio::test]
async fn without_a_chat_those_who_may_decide_are_written_to() {
    // None is set, or the broker cannot write there.
    for chat in [None, Some(-1_000_000_000_999)] {
        let world = at(World::new().await, chat).await;
        let _process = world.start().await;
        let id = world
            .request(ALICE, "/request_secret two fix the import")
            .await;
        let first = world.told(BOB, "waits for approval").await;
        assert!(first.starts_with(&format!("📋 Request {id} ")));
        let card = world
            .answer(CAROL, |it| it.text.contains("waits for approval"))
            .await;
        world.send(CAROL, Draft::new("approve").reply_to(card.id));
        world.told(CAROL, "Your vote for").await;
        world.told(BOB, "so far 1").await;
        let cards = |user| {
            let answers = world.answers(user);
            answers
                .iter()
                .filter(|it| it.text.starts_with("📋"))
                .count()
        };
        assert_eq!(
            (cards(ALICE), cards(BOB), cards(CAROL), cards(DAN)),
            (0, 1, 1, 0)
        );
    }
}

#[tokio::test]
async fn killed_at_any_point_there_is_one_card_and_it_is_right() {
    let intent = format!(r#"{{"places":{{"{DESK_ID}":{{"message":null,"revision":null}}}}}}"#);
    // Before anything was stored, and between posting it and knowing its number.
    for kept in [None, Some(intent.as_bytes())] {
        let world = desk().await;
        let process = world.start().await;
        let (waiting, _) = world.waiting("two").await;
        let denied = world.request(BOB, "/request_secret two fix it too").await;
        world.shows(&denied, "waits for approval").await;
        let broker = Arc::clone(&process.broker);
        process.kill().await;
        for id in [&waiting, &denied] {
            let key = format!("cards/{id}");
            match kept {
                Some(kept) => world.coordination.put(&key, kept).await.unwrap(),
                None => world.coordination.delete(&key).await.unwrap(),
            }
        }
        // Decided elsewhere, while nobody tells.
        let vote = |approve: bool| {
            if approve {
                Vote::Approve { code: None }
            } else {
                let reason = "no".to_owned();
                Vote::Deny { reason }
            }
        };
        let by = RequestId::Connection(7);
        broker
            .vote(&by, &caller(CAROL), &waiting, vote(true))
            .await
            .unwrap();
        if kept.is_some() {
            broker
                .vote(&by, &caller(CAROL), &denied, vote(false))
                .await
                .unwrap();
        }
        if kept.is_some() {
            // Telegram may say no more of what was sent before than that it was.
            let sent = Fault::error(500, "RANDOM_ID_DUPLICATE");
            world.dc.fault("messages.sendMessage", sent, 2);
        }
        let _process = world.start().await;
        let card = world.shows(&waiting, "so far 1").await;
        if kept.is_some() {
            world.shows(&denied, "❌ is denied").await;
        }
        world.post_to_desk(BOB, Draft::new("approve").reply_to(card.id));
        world.shows(&waiting, "✅ is granted").await;
        world.told(ALICE, "✅ Request").await;
        tokio::time::sleep(A_WHILE).await;
        let told = |it: &&Message| it.text.contains("✅ Request");
        assert_eq!(world.answers(ALICE).iter().filter(told).count(), 1);
        assert_eq!(world.cards(&denied).len(), 1);
    }
}

#[tokio::test]
async fn what_was_told_is_not_sent_again_nor_by_the_next_process() {
    let world = desk().await;
    let process = world.start().await;
    let (id, _) = world.waiting("one").await;
    world.approves(BOB, &id, "is granted").await;
    world.shows(&id, "✅ is granted").await;
    world.told(ALICE, "✅ Request").await;
    world.quiet().await;
    process.stop().await;
    let _process = world.start().await;
    // Telegram would take it for the same; it is not even asked.
    let sent = world.dc.count("messages.sendMessage");
    world.waiting("two").await;
    let more = world.dc.count("messages.sendMessage") - sent;
    assert_eq!(more, 2, "the answer and the card");
}

#[tokio::test]
async fn a_flood_wait_or_a_lost_answer_makes_no_second_card() {
    let world = desk().await;
    let _process = world.start().await;
    world.quiet().await;
    for fault in [Fault::error(420, "FLOOD_WAIT_1"), Fault::LoseAnswer] {
        // The answer is sent first, and then the card.
        world.dc.fault("messages.sendMessage", fault, 1);
    }
    let (id, _) = world.waiting("one").await;
    let flood = Fault::error(420, "FLOOD_WAIT_1");
    world.dc.fault("messages.editMessage", flood, 1);
    world.dc.fault("messages.editMessage", Fault::LoseAnswer, 1);
    world
        .says(BOB, &format!("/deny {id} not today"), "is denied")
        .await;
    world.shows(&id, "❌ is denied").await;
}

#[tokio::test]
async fn a_deleted_card_is_posted_anew() {
    let world = desk().await;
    let _process = world.start().await;
    let (id, card) = world.waiting("two").await;
    world.dc.delete(BROKER, Chat::Channel(DESK), &[card.id]);
    world.approves(BOB, &id, "Your vote for").await;
    let anew = world.shows(&id, "so far 1").await;
    assert_ne!(anew.id, card.id);
    world.post_to_desk(CAROL, Draft::new("approve").reply_to(anew.id));
    world.shows(&id, "✅ is granted").await;
}

#[tokio::test]
async fn nothing_is_told_while_chat_is_locked() {
    let world = desk().await;
    let process = world.start().await;
    let (id, _) = world.waiting("two").await;
    let (granted, _) = world.waiting("one").await;
    world.approves(BOB, &granted, "is granted").await;
    world.shows(&granted, "✅ is granted").await;
    world.coordination.put("locks/chat", b"").await.unwrap();
    let by = RequestId::Connection(7);
    let (bob, vote) = (caller(BOB), Vote::Approve { code: None });
    let vote = process.broker.vote(&by, &bob, &id, vote);
    assert!(vote.await.is_err(), "nor is anything decided");
    world.approves(BOB, &id, "Locked").await;
    world.shows(&id, "so far 0").await;
    // On the host it goes on.
    let root = Caller::Unix(UnixPeer::known(0, 0, 7));
    let revoked = process.broker.revoke_approval(&by, &root, &granted);
    revoked.await.unwrap();
    tokio::time::sleep(A_WHILE).await;
    world.shows(&granted, "✅ is granted").await;
    world.coordination.delete("locks/chat").await.unwrap();
    world.shows(&granted, "❌ is revoked").await;
}

#[tokio::test]
async fn that_a_card_is_posted_is_kept_before() {
    let world = desk().await;
    let process = world.start().await;
    world.quiet().await;
    let flood = Fault::error(420, "FLOOD_WAIT_60");
    world.dc.fault("messages.sendMessage", flood, 1);
    let wanted = Request {
        id: RequestId::Connection(7),
        caller: caller(ALICE),
        action: Action::Read(Delivery::Message),
        target: process.broker.mounts().parse("one").unwrap(),
    };
    let opened = process.broker.open_approval(&wanted, "fix the import");
    let Ok(Opened::Open(approval)) = opened.await else {
        panic!("it is not opened");
    };
    let key = format!("cards/{}", approval.id);
    let kept = |world: &World| world.coordination.count(&key) == 1;
    world.until("it is kept", kept).await;
    assert!(world.desk().is_empty());
}

#[tokio::test]
async fn what_was_put_away_while_nobody_told_is_told() {
    let world = desk().await;
    let process = world.start().await;
    let (id, _) = world.waiting("two").await;
    let broker = Arc::clone(&process.broker);
    process.kill().await;
    let by = RequestId::Connection(7);
    broker.cancel(&by, &caller(ALICE), &id).await.unwrap();
    for _ in 0..2 {
        broker.tend_approvals().await.unwrap();
        world.later(601);
    }
    assert_eq!(broker.approvals_for_notices().await, Ok(vec![]));
    let _process = world.start().await;
    world.shows(&id, "is cancelled").await;
}

#[tokio::test]
async fn a_bots_card_has_buttons_and_whoever_presses_is_authorised_afresh() {
    let world = at(World::of_a_bot().await, Some(-SMALL)).await;
    let elsewhere = Chat::Group(SMALL + 1);
    world.dc.add_group(SMALL + 1, "Elsewhere", &[BOB, BROKER]);
    let _process = world.start().await;
    let id = world
        .request(ALICE, "/request_secret two fix the import")
        .await;
    let group = Chat::Group(SMALL);
    let card = |user| {
        let mut chat = world.dc.history(user, group);
        chat.retain(|it| it.text.starts_with("📋"));
        chat.pop()
    };
    world.until("the card", |_| card(BOB).is_some()).await;
    let buttons = card(BOB).unwrap().buttons.concat();
    let labels: Vec<_> = buttons.iter().map(|it| it.text.as_str()).collect();
    assert_eq!(labels, ["Approve", "Deny"]);
    let press = async |user, button: usize| {
        let message = card(user).unwrap().id;
        let pressed = world.dc.press(user, group, message, &*buttons[button].data);
        pressed.await.map(|it| it.text.unwrap())
    };
    assert!(press(ALICE, 0).await.unwrap().contains("your own"));
    assert!(press(DAN, 0).await.unwrap().contains("none of those"));
    assert!(
        press(BOB, 1)
            .await
            .unwrap()
            .contains(&format!("/deny {id} REASON"))
    );
    assert!(press(BOB, 0).await.unwrap().contains("Your vote for"));
    assert!(
        press(BOB, 0)
            .await
            .unwrap()
            .contains("approved this request already")
    );
    world
        .until("the vote", |_| card(BOB).unwrap().text.contains("so far 1"))
        .await;
    assert_eq!(card(BOB).unwrap().buttons.concat().len(), 2);
    world.dc.set_bot_patience(Duration::from_secs(1));
    assert_eq!(
        press(MALLORY, 0).await.unwrap_err().text,
        "BOT_RESPONSE_TIMEOUT"
    );
    // Nor does a button do anything where requests are not decided on.
    let copy = Draft::new("copied").buttons(card(BOB).unwrap().buttons);
    world.dc.send(BROKER, elsewhere, copy).unwrap();
    let copied = world.dc.history(BOB, elsewhere).pop().unwrap().id;
    let pressed = world.dc.press(BOB, elsewhere, copied, &*buttons[0].data);
    assert_eq!(pressed.await.unwrap_err().text, "BOT_RESPONSE_TIMEOUT");
    world.dc.set_bot_patience(SOON);
    assert!(press(CAROL, 0).await.unwrap().contains("is granted"));
    world
        .until("the end", |_| {
            let card = card(BOB).unwrap();
            card.text.contains("✅ is granted") && card.buttons.is_empty()
        })
        .await;
}

#[tokio::test]
async fn cards_of_nothing_and_of_long_ago_are_forgotten() {
    let world = desk().await;
    for (id, card) in [
        ("AAAAAA", r#"{"places":{}}"#),
        ("BBBBBB", r#"{"places":{},"settled":1}"#),
    ] {
        let key = format!("cards/{id}");
        let stored = world.coordination.put(&key, card.as_bytes());
        stored.await.unwrap();
    }
    let _process = world.start().await;
    let gone = |world: &World| world.coordination.count("cards/") == 0;
    world.until("they are gone", gone).await;
}

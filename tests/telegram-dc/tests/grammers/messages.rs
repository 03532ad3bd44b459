//! Messages: sent, answered, edited, deleted, read again, in chats of every kind.

use std::time::Duration;

use grammers_client::message::InputMessage;
use grammers_session::types::PeerId;
use grammers_tl_types::{enums, functions, types};
use telegram_dc::{ANONYMOUS_ADMIN, Chat, Draft, SERVICE_USER, Sender};

use crate::support::{ALICE, BOT, Connected, GROUP, SOON, SUPERGROUP, TestSession, datacenter};

#[tokio::test]
async fn a_preset_key_connects_and_an_echo_comes_back() {
    let dc = datacenter().await;
    let mut broker = Connected::new(&TestSession::signed_in(&dc, BOT).await).await;
    let sent = dc.send(ALICE, Chat::User(BOT), "hello").unwrap();
    let message = broker.next_message().await;
    assert_eq!(message.text(), "hello");
    assert_eq!(Some(message.id()), sent.id_for(BOT));
    message.reply("hello yourself").await.unwrap();

    let answer = dc
        .wait_for(ALICE, Chat::User(BOT), SOON, |m| !m.out)
        .await
        .unwrap();
    assert_eq!(answer.text, "hello yourself");
    assert_eq!(answer.reply_to, sent.id_for(ALICE));
}

#[tokio::test]
async fn messages_are_edited_and_deleted_for_both() {
    let dc = datacenter().await;
    let broker = Connected::new(&TestSession::signed_in(&dc, BOT).await).await;
    let alice = broker.find("alice").await;

    let message = broker.client.send_message(alice, "one").await.unwrap();
    broker
        .client
        .edit_message(alice, message.id(), "two")
        .await
        .unwrap();
    let seen = dc.history(ALICE, Chat::User(BOT));
    assert_eq!(seen.len(), 1);
    assert_eq!(
        (seen[0].text.as_str(), seen[0].edited.is_some()),
        ("two", true)
    );

    broker
        .client
        .delete_messages(alice, &[message.id()])
        .await
        .unwrap();
    assert_eq!(dc.history(ALICE, Chat::User(BOT)), []);
    assert_eq!(dc.count("messages.deleteMessages"), 1);
}

#[tokio::test]
async fn people_edit_and_delete_and_the_client_is_told() {
    let dc = datacenter().await;
    let mut broker = Connected::new(&TestSession::signed_in(&dc, BOT).await).await;
    for (chat, own) in [
        (Chat::User(BOT), Chat::User(ALICE)),
        (Chat::Group(GROUP), Chat::Group(GROUP)),
        (Chat::Channel(SUPERGROUP), Chat::Channel(SUPERGROUP)),
    ] {
        let sent = dc.send(ALICE, chat, "one").unwrap();
        let id = sent.id_for(ALICE).unwrap();
        assert_eq!(broker.next_message().await.text(), "one");
        dc.edit(ALICE, chat, id, "two").unwrap();
        assert_eq!(broker.next_edit().await.text(), "two");
        assert_eq!(dc.history(BOT, own).last().unwrap().text, "two");
        assert_eq!(dc.delete(ALICE, chat, &[id]), 1);
        assert_eq!(broker.next_deletion().await, [sent.id_for(BOT).unwrap()]);
        assert_eq!(dc.history(BOT, own), []);
    }
}

#[tokio::test]
async fn every_chat_is_listed_and_its_history_read() {
    let dc = datacenter().await;
    for n in 0..230 {
        dc.send(ALICE, Chat::User(BOT), format!("private {n}"))
            .unwrap();
    }
    dc.send(ALICE, Chat::Group(GROUP), "in the group").unwrap();
    dc.send(ALICE, Chat::Channel(SUPERGROUP), "in the supergroup")
        .unwrap();
    let broker = Connected::new(&TestSession::signed_in(&dc, BOT).await).await;

    let mut dialogs = broker.client.iter_dialogs();
    let mut titles = Vec::new();
    while let Some(dialog) = dialogs.next().await.unwrap() {
        titles.push(dialog.peer().name().unwrap_or_default().to_owned());
        let peer = dialog.peer().to_ref().await.unwrap().unwrap();
        let mut history = broker.client.iter_messages(peer);
        let mut texts = Vec::new();
        while let Some(message) = history.next().await.unwrap() {
            texts.push(message.text().to_owned());
        }
        texts.retain(|text| !text.is_empty());
        match titles.last().unwrap().as_str() {
            "Alice" => {
                let all: Vec<_> = (0..230).rev().map(|n| format!("private {n}")).collect();
                assert_eq!(texts, all);
            }
            "Ops" => assert_eq!(texts, ["in the group"]),
            "Ops big" => assert_eq!(texts, ["in the supergroup"]),
            other => panic!("no such chat: {other}"),
        }
    }
    titles.sort();
    assert_eq!(titles, ["Alice", "Ops", "Ops big"]);
}

#[tokio::test]
async fn the_client_writes_to_groups() {
    let dc = datacenter().await;
    let mut broker = Connected::new(&TestSession::signed_in(&dc, BOT).await).await;
    for chat in [Chat::Group(GROUP), Chat::Channel(SUPERGROUP)] {
        let asked = dc.send(ALICE, chat, "question").unwrap();
        let question = broker.next_message().await;
        assert_eq!(question.sender_id().and_then(PeerId::bare_id), Some(ALICE));
        question.reply("answer").await.unwrap();
        let answer = dc
            .wait_for(ALICE, chat, SOON, |m| m.text == "answer")
            .await
            .unwrap();
        assert_eq!(answer.from, Sender::User(BOT));
        assert_eq!(answer.reply_to, asked.id_for(ALICE));
    }
}

#[tokio::test]
async fn a_repeated_random_id_is_the_same_message() {
    let dc = datacenter().await;
    let broker = Connected::new(&TestSession::signed_in(&dc, BOT).await).await;
    let alice = broker.find("alice").await;
    let mut answers = Vec::new();
    for _ in 0..2 {
        answers.push(
            broker
                .client
                .invoke(&send_once(alice.into(), "once", 77))
                .await
                .unwrap(),
        );
    }
    assert_eq!(answers[0], answers[1]);
    broker
        .client
        .invoke(&send_once(alice.into(), "twice", 78))
        .await
        .unwrap();
    let texts: Vec<_> = dc
        .history(ALICE, Chat::User(BOT))
        .into_iter()
        .map(|message| message.text)
        .collect();
    assert_eq!(texts, ["once", "twice"]);
}

pub(crate) fn send_once(
    peer: enums::InputPeer,
    text: &str,
    random_id: i64,
) -> functions::messages::SendMessage {
    functions::messages::SendMessage {
        no_webpage: true,
        silent: false,
        background: false,
        clear_draft: false,
        noforwards: false,
        update_stickersets_order: false,
        invert_media: false,
        allow_paid_floodskip: false,
        peer,
        reply_to: None,
        message: text.to_owned(),
        random_id,
        reply_markup: None,
        entities: None,
        schedule_date: None,
        schedule_repeat_period: None,
        send_as: None,
        quick_reply_shortcut: None,
        effect: None,
        allow_paid_stars: None,
        suggested_post: None,
        rich_message: None,
    }
}

#[tokio::test]
async fn long_texts_go_packed_both_ways_up_to_the_limit() {
    let dc = datacenter().await;
    let mut broker = Connected::new(&TestSession::signed_in(&dc, BOT).await).await;
    let long = "ä".repeat(4096);
    dc.send(ALICE, Chat::User(BOT), long.clone()).unwrap();
    let message = broker.next_message().await;
    assert_eq!(message.text(), long);
    message.reply(long.as_str()).await.unwrap();
    assert_eq!(
        dc.history(ALICE, Chat::User(BOT)).last().unwrap().text,
        long
    );

    for (text, expected) in [
        ("x".repeat(4097), "MESSAGE_TOO_LONG"),
        (" ".into(), "MESSAGE_EMPTY"),
    ] {
        let error = message.reply(text.as_str()).await.unwrap_err();
        assert!(error.is(expected), "{error}");
        assert_eq!(
            dc.send(ALICE, Chat::User(BOT), text).unwrap_err().text,
            expected
        );
    }
}

#[tokio::test]
async fn formatting_is_kept() {
    let dc = datacenter().await;
    let broker = Connected::new(&TestSession::signed_in(&dc, BOT).await).await;
    let alice = broker.find("alice").await;
    let spoiler = types::MessageEntitySpoiler {
        offset: 4,
        length: 6,
    };
    let message = InputMessage::new()
        .text("the secret")
        .fmt_entities(vec![spoiler.clone().into()]);
    broker.client.send_message(alice, message).await.unwrap();
    let seen = dc.history(ALICE, Chat::User(BOT)).pop().unwrap();
    assert_eq!(seen.entities, [enums::MessageEntity::Spoiler(spoiler)]);
}

#[tokio::test]
async fn a_wrong_access_hash_is_refused() {
    let dc = datacenter().await;
    let broker = Connected::new(&TestSession::signed_in(&dc, BOT).await).await;
    let user = types::InputPeerUser {
        user_id: ALICE,
        access_hash: 1,
    };
    let error = broker
        .client
        .invoke(&send_once(user.into(), "hello", 1))
        .await
        .unwrap_err();
    assert!(error.is("PEER_ID_INVALID"), "{error}");
    let channel = types::InputPeerChannel {
        channel_id: SUPERGROUP,
        access_hash: 1,
    };
    let error = broker
        .client
        .invoke(&send_once(channel.into(), "hello", 2))
        .await
        .unwrap_err();
    assert!(error.is("CHANNEL_INVALID"), "{error}");
    assert_eq!(dc.history(ALICE, Chat::User(BOT)), []);
}

#[tokio::test]
async fn unusual_senders_are_shown_as_on_telegram() {
    let dc = datacenter().await;
    dc.add_channel(60, "News", &[ALICE]);
    let mut broker = Connected::new(&TestSession::signed_in(&dc, BOT).await).await;
    let there = Chat::Channel(SUPERGROUP);

    dc.send(
        ALICE,
        Chat::User(BOT),
        Draft::new("old").age(Duration::from_mins(10)),
    )
    .unwrap();
    let old = broker.next_message().await;
    let now = dc.send(ALICE, Chat::User(BOT), "now").unwrap();
    broker.next_message().await;
    assert!((600..605).contains(&(i64::from(now.date) - old.date().as_second())));

    dc.send(
        ALICE,
        Chat::User(BOT),
        Draft::new("forward").forwarded_from(BOT),
    )
    .unwrap();
    assert!(broker.next_message().await.forward_header().is_some());
    dc.send(
        ALICE,
        Chat::User(BOT),
        Draft::new("inline").via_bot(ANONYMOUS_ADMIN),
    )
    .unwrap();
    assert_eq!(
        broker.next_message().await.via_bot_id(),
        Some(ANONYMOUS_ADMIN)
    );
    dc.send(SERVICE_USER, Chat::User(BOT), "Login code: 12345")
        .unwrap();
    assert_eq!(
        sender(&broker.next_message().await),
        enums::Peer::User(types::PeerUser {
            user_id: SERVICE_USER
        })
    );

    dc.send(ANONYMOUS_ADMIN, there, "anonymous").unwrap();
    let anonymous = types::PeerUser {
        user_id: ANONYMOUS_ADMIN,
    };
    assert_eq!(sender(&broker.next_message().await), anonymous.into());
    for channel_id in [60, SUPERGROUP] {
        dc.send(ALICE, there, Draft::new("as a channel").sent_as(channel_id))
            .unwrap();
        assert_eq!(
            sender(&broker.next_message().await),
            types::PeerChannel { channel_id }.into()
        );
    }
}

fn sender(message: &grammers_client::message::Message) -> enums::Peer {
    message
        .sender_id()
        .unwrap_or_else(|| message.peer_id())
        .into()
}

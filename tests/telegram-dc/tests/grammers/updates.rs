//! Updates: their forms, repetition, gaps, and catching up after an absence.

use std::sync::Arc;

use grammers_client::Client;
use grammers_mtsender::SenderPool;
use grammers_session::Session;
use grammers_session::updates::UpdatesLike;
use telegram_dc::{Chat, Draft, Form, User};

use crate::support::{ALICE, BOT, Connected, GROUP, SUPERGROUP, TestSession, datacenter};

#[tokio::test]
async fn a_short_message_from_somebody_unknown_is_resolved_by_the_difference() {
    let dc = datacenter().await;
    let mut broker = Connected::settled(&dc, BOT).await;
    dc.send(
        ALICE,
        Chat::User(BOT),
        Draft::new("who am I?").form(Form::Short),
    )
    .unwrap();
    let message = broker.next_message().await;
    assert_eq!(message.text(), "who am I?");
    assert!(
        message.reply("no idea").await.is_err(),
        "grammers lacks the access hash"
    );

    // What vaultgram does about it: the difference from before the message.
    let state = broker
        .client
        .invoke(&grammers_tl_types::functions::updates::GetState {});
    let grammers_tl_types::enums::updates::State::State(state) = state.await.unwrap();
    let request = grammers_tl_types::functions::updates::GetDifference {
        pts: state.pts - 1,
        pts_limit: None,
        pts_total_limit: None,
        date: state.date,
        qts: 0,
        qts_limit: None,
    };
    let difference = broker.client.invoke(&request).await.unwrap();
    let grammers_tl_types::enums::updates::Difference::Difference(difference) = difference else {
        panic!("{difference:?}");
    };
    assert!(difference.users.iter().any(|user| user.id() == ALICE));
}

#[tokio::test]
async fn every_form_of_an_update_is_understood() {
    let dc = datacenter().await;
    let mut broker = Connected::settled(&dc, BOT).await;
    broker.find("alice").await;
    for form in [Form::Long, Form::Short, Form::Realistic] {
        dc.set_form(BOT, form);
        for chat in [
            Chat::User(BOT),
            Chat::Group(GROUP),
            Chat::Channel(SUPERGROUP),
        ] {
            let text = format!("{form:?} {chat:?}");
            dc.send(ALICE, chat, text.as_str()).unwrap();
            let message = broker.next_message().await;
            assert_eq!(message.text(), text);
            let id = message.reply("understood").await.unwrap().id();
            assert!(id > message.id());
        }
    }
}

#[tokio::test]
async fn a_repeated_update_comes_twice_and_is_one_message() {
    let dc = datacenter().await;
    let mut broker = Connected::settled(&dc, BOT).await;
    dc.send(ALICE, Chat::User(BOT), "once").unwrap();
    assert_eq!(broker.next_message().await.text(), "once");
    dc.repeat_update(BOT);
    dc.send(ALICE, Chat::User(BOT), "and another").unwrap();
    assert_eq!(broker.next_message().await.text(), "and another");
    drop(broker);

    // Below grammers' own filter of what it has seen.
    let session = TestSession::signed_in(&dc, BOT).await;
    let mut pool = SenderPool::new(Arc::clone(&session), 1);
    let client = Client::new(pool.handle.clone());
    tokio::spawn(pool.runner.run());
    client.get_me().await.unwrap();
    dc.send(ALICE, Chat::User(BOT), "twice").unwrap();
    dc.repeat_update(BOT);
    let both = [pool.updates.recv().await, pool.updates.recv().await].map(Option::unwrap);
    let [UpdatesLike::Updates(first), UpdatesLike::Updates(second)] = both else {
        panic!("{both:?}");
    };
    assert_eq!(first, second);
}

#[tokio::test]
async fn a_burst_reaches_the_client_whole() {
    let dc = datacenter().await;
    let mut broker = Connected::settled(&dc, BOT).await;
    let asked = dc.count("updates.getDifference");
    for n in 0..1000 {
        dc.send(ALICE, Chat::User(BOT), n.to_string()).unwrap();
    }
    for n in 0..1000 {
        assert_eq!(broker.next_message().await.text(), n.to_string());
    }
    assert_eq!(
        dc.count("updates.getDifference"),
        asked,
        "nothing had to be asked for again"
    );
}

#[tokio::test]
async fn what_came_during_a_cut_is_caught_up_with() {
    let dc = datacenter().await;
    let mut broker = Connected::settled(&dc, BOT).await;
    dc.send(ALICE, Chat::User(BOT), "before").unwrap();
    broker.next_message().await;
    dc.drop_connections();
    while dc.connections() > 0 {
        tokio::task::yield_now().await;
    }
    dc.send(ALICE, Chat::User(BOT), "during").unwrap();
    assert_eq!(
        broker.next_message_in_spite_of_errors().await.text(),
        "during"
    );
    dc.send(ALICE, Chat::User(BOT), "after").unwrap();
    assert_eq!(
        broker.next_message_in_spite_of_errors().await.text(),
        "after"
    );
}

#[tokio::test]
async fn a_long_absence_is_caught_up_with_in_slices() {
    let dc = datacenter().await;
    let session = TestSession::signed_in(&dc, BOT).await;
    let mut broker = Connected::new(&session).await;
    dc.send(ALICE, Chat::Channel(SUPERGROUP), "before").unwrap();
    broker.next_message().await;
    broker.updates.sync_update_state().await.unwrap();
    assert_eq!(session.updates_state().await.unwrap().channels.len(), 1);
    drop(broker);

    for n in 0..1200 {
        dc.send(ALICE, Chat::User(BOT), n.to_string()).unwrap();
    }
    for n in 0..250 {
        dc.send(ALICE, Chat::Channel(SUPERGROUP), format!("channel {n}"))
            .unwrap();
    }
    let calls = dc.count("updates.getDifference");
    let mut broker = Connected::new(&session).await;
    let (mut private, mut channel) = (Vec::new(), Vec::new());
    while private.len() + channel.len() < 1450 {
        let text = broker.next_message().await.text().to_owned();
        if text.starts_with("channel") {
            channel.push(text);
        } else {
            private.push(text);
        }
    }
    assert_eq!(
        private,
        (0..1200).map(|n| n.to_string()).collect::<Vec<_>>()
    );
    assert_eq!(
        channel,
        (0..250).map(|n| format!("channel {n}")).collect::<Vec<_>>()
    );
    assert!(
        dc.count("updates.getDifference") - calls >= 3,
        "slices of 500"
    );
    assert!(
        dc.count("updates.getChannelDifference") >= 3,
        "slices of 100"
    );
}

#[tokio::test]
async fn an_absence_beyond_the_log_is_said_to_be_too_long() {
    let dc = datacenter().await;
    let session = TestSession::signed_in(&dc, BOT).await;
    let mut broker = Connected::new(&session).await;
    dc.send(ALICE, Chat::User(BOT), "before").unwrap();
    broker.next_message().await;
    broker.updates.sync_update_state().await.unwrap();
    drop(broker);
    dc.send(ALICE, Chat::User(BOT), "lost").unwrap();
    dc.forget_updates(BOT);

    let mut broker = Connected::new(&session).await;
    // The first `next` applies the difference; a message after it is not missed.
    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    let sender = dc.clone();
    tokio::spawn(async move {
        while sender.count("updates.getDifference") < 2 {
            tokio::task::yield_now().await;
        }
        sender.send(ALICE, Chat::User(BOT), "after").unwrap();
    });
    assert_eq!(broker.next_message().await.text(), "after");
}

#[tokio::test]
async fn only_members_and_the_signed_in_get_updates() {
    let dc = datacenter().await;
    let stranger = dc.add_user(User::new(3, "Stranger"));
    let mut other = Connected::new(&TestSession::signed_in(&dc, stranger).await).await;
    dc.send(ALICE, Chat::Channel(SUPERGROUP), "not for you")
        .unwrap();
    dc.send(ALICE, Chat::Group(GROUP), "not for you").unwrap();
    dc.send(ALICE, Chat::User(stranger), "for you").unwrap();
    assert_eq!(other.next_message().await.text(), "for you");
    let refused = dc
        .send(stranger, Chat::Channel(SUPERGROUP), "let me in")
        .unwrap_err();
    assert_eq!(refused.text, "CHANNEL_PRIVATE");
}

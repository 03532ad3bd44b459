//! Time that passes: messages that delete themselves, and absences of every length.

use std::sync::Arc;
use std::time::Duration;

use grammers_client::InvocationError;
use grammers_client::update::Update;
use grammers_session::Session;
use grammers_tl_types::{enums, functions, types};
use telegram_dc::{Announce, Chat, Datacenter, Revocation};

use crate::support::{ALICE, BOT, Connected, SOON, SUPERGROUP, TestSession, datacenter};

const DAY: i32 = 86_400;

fn refused<T: std::fmt::Debug>(result: Result<T, InvocationError>) -> String {
    match result.unwrap_err() {
        InvocationError::Rpc(error) => error.name,
        other => panic!("{other}"),
    }
}

async fn connected(dc: &Datacenter, user: i64) -> Connected {
    Connected::new(&TestSession::signed_in(dc, user).await).await
}

#[tokio::test]
async fn messages_delete_themselves_for_both_when_their_time_is_over() {
    let dc = datacenter().await;
    let mut broker = connected(&dc, BOT).await;
    let peer: enums::InputPeer = broker.find("alice").await.into();
    let set = async |period| {
        let peer = peer.clone();
        broker
            .client
            .invoke(&functions::messages::SetHistoryTtl { peer, period })
            .await
    };
    for odd in [-DAY, 60, DAY + 1, 366 * DAY] {
        assert_eq!(refused(set(odd).await), "TTL_PERIOD_INVALID");
    }
    let id = |sent: telegram_dc::Sent, user| sent.id_for(user).unwrap();
    dc.send(ALICE, Chat::User(BOT), "for good").unwrap();
    let enums::Updates::Updates(told) = set(DAY).await.unwrap() else {
        panic!("short")
    };
    assert!(told.updates.iter().any(|update| matches!(update,
        enums::Update::NewMessage(types::UpdateNewMessage {
            message: enums::Message::Service(types::MessageService {
                action: enums::MessageAction::SetMessagesTtl(action), ..
            }), ..
        }) if action.period == DAY)));
    assert_eq!(refused(set(DAY).await), "CHAT_NOT_MODIFIED");

    let short = id(dc.send(ALICE, Chat::User(BOT), "for a day").unwrap(), BOT);
    let own = broker
        .client
        .send_message(broker.find("alice").await, "own")
        .await
        .unwrap()
        .id();
    let texts = |user, chat| {
        dc.history(user, chat)
            .into_iter()
            .map(|m| m.text)
            .collect::<Vec<_>>()
    };
    assert_eq!(dc.history(ALICE, Chat::User(BOT))[1].ttl_period, Some(DAY));
    dc.pass_time(Duration::from_hours(23));
    assert_eq!(
        texts(ALICE, Chat::User(BOT)),
        ["for good", "for a day", "own"]
    );
    dc.pass_time(Duration::from_hours(2));
    assert_eq!(broker.next_deletion().await, [short, own]);
    for (user, other) in [(ALICE, BOT), (BOT, ALICE)] {
        assert_eq!(texts(user, Chat::User(other)), ["for good"]);
    }

    assert_eq!(dc.set_history_ttl(ALICE, Chat::User(BOT), 0), Ok(()));
    let kept = dc.send(ALICE, Chat::User(BOT), "for good again").unwrap();
    dc.pass_time(Duration::from_hours(24 * 400));
    assert_eq!(
        dc.history(BOT, Chat::User(ALICE)).last().unwrap().id,
        id(kept, BOT)
    );
}

/// A session that has seen "before" in both chats, and is away.
async fn away(dc: &Datacenter) -> Arc<TestSession> {
    let session = TestSession::signed_in(dc, BOT).await;
    let mut broker = Connected::new(&session).await;
    for chat in [Chat::User(BOT), Chat::Channel(SUPERGROUP)] {
        dc.send(ALICE, chat, "before").unwrap();
        broker.next_message().await;
    }
    broker.updates.sync_update_state().await.unwrap();
    session
}

#[tokio::test]
async fn slices_are_as_small_as_ordered() {
    let dc = datacenter().await;
    let session = away(&dc).await;
    for n in 0..25 {
        dc.send(ALICE, Chat::User(BOT), n.to_string()).unwrap();
    }
    dc.set_difference_slice(5);
    let asked = dc.count("updates.getDifference");
    let mut broker = Connected::new(&session).await;
    for n in 0..25 {
        assert_eq!(broker.next_message().await.text(), n.to_string());
    }
    assert!(dc.count("updates.getDifference") - asked >= 5);
}

#[tokio::test]
async fn more_than_the_limit_is_too_long_in_a_channel_too() {
    let dc = datacenter().await;
    let session = away(&dc).await;
    let state = session.updates_state().await.unwrap();
    for chat in [Chat::User(BOT), Chat::Channel(SUPERGROUP)] {
        for n in 0..11 {
            dc.send(ALICE, chat, n.to_string()).unwrap();
        }
    }
    let broker = connected(&dc, BOT).await;
    let difference = functions::updates::GetDifference {
        pts: state.pts,
        pts_limit: None,
        pts_total_limit: None,
        date: state.date,
        qts: 0,
        qts_limit: None,
    };
    let ask = async || broker.client.invoke(&difference).await.unwrap();
    assert!(matches!(
        ask().await,
        enums::updates::Difference::Difference(_)
    ));
    dc.set_difference_limit(10);
    assert!(matches!(
        ask().await,
        enums::updates::Difference::TooLong(_)
    ));
    let wanting_little = functions::updates::GetDifference {
        pts_total_limit: Some(10),
        ..difference.clone()
    };
    dc.set_difference_limit(i32::MAX);
    let little = broker.client.invoke(&wanting_little).await.unwrap();
    assert!(matches!(little, enums::updates::Difference::TooLong(_)));

    // grammers takes the newest of the channel, and goes on from there.
    dc.set_difference_limit(10);
    drop(broker);
    let mut broker = Connected::new(&session).await;
    let asked = dc.count("updates.getChannelDifference");
    let sender = dc.clone();
    tokio::spawn(async move {
        while sender.count("updates.getChannelDifference") == asked {
            tokio::task::yield_now().await;
        }
        sender
            .send(ALICE, Chat::Channel(SUPERGROUP), "after")
            .unwrap();
    });
    let mut missed = Vec::new();
    loop {
        match broker.next_message().await.text() {
            "after" => break,
            text => missed.push(text.to_owned()),
        }
    }
    assert!(missed.len() < 11, "not the private messages: {missed:?}");
}

#[tokio::test]
async fn a_channel_that_is_only_announced_is_asked_for() {
    let dc = datacenter().await;
    let mut broker = connected(&dc, BOT).await;
    dc.send(ALICE, Chat::Channel(SUPERGROUP), "before").unwrap();
    assert_eq!(broker.next_message().await.text(), "before");
    let asked = dc.count("updates.getChannelDifference");
    dc.set_announce(SUPERGROUP, Announce::TooLong);
    dc.send(ALICE, Chat::Channel(SUPERGROUP), "announced")
        .unwrap();
    assert_eq!(broker.next_message().await.text(), "announced");
    assert!(dc.count("updates.getChannelDifference") > asked);

    // Of a `pts` in it, grammers thinks that it has come so far: what is before is lost.
    dc.set_announce(SUPERGROUP, Announce::TooLongWithPts);
    dc.send(ALICE, Chat::Channel(SUPERGROUP), "lost").unwrap();
    dc.set_announce(SUPERGROUP, Announce::Messages);
    dc.send(ALICE, Chat::Channel(SUPERGROUP), "after").unwrap();
    assert_eq!(broker.next_message().await.text(), "after");
}

#[tokio::test]
async fn a_channels_forgotten_changes_are_too_long() {
    let dc = datacenter().await;
    let broker = connected(&dc, BOT).await;
    dc.send(ALICE, Chat::Channel(SUPERGROUP), "lost").unwrap();
    dc.forget_channel_updates(SUPERGROUP);
    let mut dialogs = broker.client.iter_dialogs();
    let channel = dialogs
        .next()
        .await
        .unwrap()
        .unwrap()
        .peer()
        .to_ref()
        .await
        .unwrap()
        .unwrap();
    let request = functions::updates::GetChannelDifference {
        force: false,
        channel: channel.into(),
        filter: enums::ChannelMessagesFilter::Empty,
        pts: 1,
        limit: 100,
    };
    let difference = broker.client.invoke(&request).await.unwrap();
    let enums::updates::ChannelDifference::TooLong(too_long) = difference else {
        panic!("{difference:?}")
    };
    let newest = &too_long.messages[0];
    assert!(matches!(newest, enums::Message::Message(message) if message.message == "lost"));
}

#[tokio::test]
async fn reactions_are_told_without_a_pts() {
    let dc = datacenter().await;
    let mut broker = connected(&dc, BOT).await;
    let alice = broker.find("alice").await;
    let sent = broker.client.send_message(alice, "Approve?").await.unwrap();
    let id = dc.history(ALICE, Chat::User(BOT))[0].id;
    let state = async || {
        let state = broker.client.invoke(&functions::updates::GetState {}).await;
        let enums::updates::State::State(state) = state.unwrap();
        state.pts
    };
    let pts = state().await;
    dc.react(ALICE, Chat::User(BOT), id, Some("👍")).unwrap();
    let letter = dc.react(ALICE, Chat::User(BOT), id, Some("a")).unwrap_err();
    assert_eq!(letter.text, "REACTION_INVALID");
    assert_eq!(state().await, pts);
    let next = async {
        loop {
            if let Update::Raw(update) = broker.updates.next().await.unwrap()
                && let enums::Update::MessageReactions(told) = update.raw
            {
                return told;
            }
        }
    };
    let told = tokio::time::timeout(SOON, next)
        .await
        .expect("an update in time");
    assert_eq!(told.msg_id, sent.id());

    let react = functions::messages::SendReaction {
        big: false,
        add_to_recent: false,
        peer: alice.into(),
        msg_id: sent.id(),
        reaction: Some(vec![
            types::ReactionEmoji {
                emoticon: "👍".to_owned(),
            }
            .into(),
        ]),
    };
    broker.client.invoke(&react).await.unwrap();
    assert_eq!(
        refused(broker.client.invoke(&react).await),
        "MESSAGE_NOT_MODIFIED"
    );
    let both = [(ALICE, "👍".to_owned()), (BOT, "👍".to_owned())];
    assert_eq!(dc.history(ALICE, Chat::User(BOT))[0].reactions, both);

    dc.react(ALICE, Chat::User(BOT), id, None).unwrap();
    let ask = functions::messages::GetMessagesReactions {
        peer: alice.into(),
        id: vec![sent.id()],
    };
    let answer = broker.client.invoke(&ask).await.unwrap();
    let enums::Updates::Updates(answer) = answer else {
        panic!("{answer:?}")
    };
    let [enums::Update::MessageReactions(told)] = &answer.updates[..] else {
        panic!("one")
    };
    let enums::MessageReactions::Reactions(reactions) = &told.reactions;
    let [enums::ReactionCount::Count(count)] = &reactions.results[..] else {
        panic!("one")
    };
    assert_eq!((count.count, count.chosen_order), (1, Some(0)));
}

#[tokio::test]
async fn a_session_that_was_ended_is_told_how_at_every_call() {
    for (revocation, text) in [
        (Revocation::Unregistered, "AUTH_KEY_UNREGISTERED"),
        (Revocation::Revoked, "SESSION_REVOKED"),
        (Revocation::Deactivated, "USER_DEACTIVATED"),
    ] {
        let dc = datacenter().await;
        let broker = connected(&dc, BOT).await;
        let alice = broker.find("alice").await;
        dc.revoke(BOT, revocation);
        assert_eq!(refused(broker.client.get_me().await), text);
        assert_eq!(refused(broker.client.send_message(alice, "hi").await), text);
        assert_eq!(
            refused(broker.client.invoke(&functions::updates::GetState {}).await),
            text
        );
        assert_eq!(refused(broker.client.iter_dialogs().next().await), text);
        assert_eq!(dc.history(ALICE, Chat::User(BOT)), []);
    }
}

//! The client that vaultgram uses, on the simulated datacenter.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "tests"
)]

mod support;

use std::time::Duration;

use support::{Connected, TestSession};
use telegram_dc::{Chat, Datacenter, Options, User};

const BOT: i64 = 5000;
const ALICE: i64 = 1001;
const SOON: Duration = Duration::from_secs(10);

async fn datacenter() -> Datacenter {
    let dc = Datacenter::start(Options::default()).await.unwrap();
    dc.add_user(User::new(BOT, "Broker").username("broker"));
    dc.add_user(User::new(ALICE, "Alice").username("alice"));
    dc
}

#[tokio::test]
async fn a_preset_key_connects_and_an_echo_comes_back() {
    let dc = datacenter().await;
    let session = TestSession::signed_in(&dc, BOT).await;
    let mut broker = Connected::new(&session).await;
    assert!(broker.client.is_authorized().await.unwrap());

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
    let session = TestSession::signed_in(&dc, BOT).await;
    let broker = Connected::new(&session).await;
    let alice = broker
        .client
        .resolve_username("alice")
        .await
        .unwrap()
        .unwrap();
    let alice = alice.to_ref().await.unwrap().unwrap();

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

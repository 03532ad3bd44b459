//! Stopping: what is in flight is finished, a second signal ends it at once.

use std::time::Duration;

use telegram_dc::{Chat, Fault};

use crate::stage::{ALICE, BROKER, PASSWORD, PATIENCE, Stage};
use crate::{serving, setting};

#[tokio::test(flavor = "multi_thread")]
async fn a_request_in_flight_is_answered_then_it_exits_with_0() {
    let mut stage = serving().await;
    stage.ask(ALICE, "/get_secret django/database").await;
    let before = stage.dc.count("messages.sendMessage");
    stage.dc.fault(
        "messages.sendMessage",
        Fault::Delay(Duration::from_secs(2)),
        1,
    );
    stage
        .dc
        .send(
            ALICE,
            Chat::User(BROKER),
            "/get_secret django/database#password",
        )
        .unwrap();
    stage
        .wait("the answer is on its way", || {
            stage.dc.count("messages.sendMessage") > before
        })
        .await;
    let broker = stage.broker.take().unwrap();
    broker.terminate();
    let status = broker.exit().await;
    assert_eq!(status.code(), Some(0), "{}", stage.log());
    let answers = stage
        .chat(ALICE)
        .iter()
        .filter(|m| !m.out && m.text.contains(PASSWORD))
        .count();
    assert_eq!(answers, 2);
    assert!(
        !stage.path("vaultgram.sock").exists(),
        "the socket is removed"
    );

    // What was asked meanwhile is answered by the next run, and nothing twice.
    stage
        .dc
        .send(
            ALICE,
            Chat::User(BROKER),
            "/get_secret django/database#username",
        )
        .unwrap();
    stage.start().await;
    let answer = stage.dc.wait_for(ALICE, Chat::User(BROKER), PATIENCE, |m| {
        !m.out && m.text.contains("username") && !m.text.contains(PASSWORD)
    });
    assert!(answer.await.is_some(), "{}", stage.log());
    assert_eq!(stage.chat(ALICE).iter().filter(|m| !m.out).count(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_signal_ends_it_at_once() {
    let mut stage = serving().await;
    let before = stage.dc.count("messages.sendMessage");
    stage.dc.fault("messages.sendMessage", Fault::Hang, 1);
    stage
        .dc
        .send(ALICE, Chat::User(BROKER), "/get_secret django/database")
        .unwrap();
    stage
        .wait("the answer hangs", || {
            stage.dc.count("messages.sendMessage") > before
        })
        .await;
    let broker = stage.broker.take().unwrap();
    broker.terminate();
    stage
        .wait("it is stopping", || stage.log().contains("daemon.stopping"))
        .await;
    broker.terminate();
    assert_eq!(broker.exit().await.code(), Some(75), "{}", stage.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signed_out_account_without_a_socket_ends_it_with_advice() {
    let mut stage = Stage::build(setting()).await;
    let file = stage.path("vaultgram.toml");
    let config = std::fs::read_to_string(&file).unwrap();
    let socket = "[socket]\npath = \"vaultgram.sock\"\n";
    assert!(config.contains(socket));
    std::fs::write(&file, config.replace(socket, "")).unwrap();
    stage.spawn();
    let connected = || stage.log().contains("telegram.connected");
    stage.wait("vaultgram is connected", connected).await;
    stage.dc.revoke(BROKER, telegram_dc::Revocation::Revoked);
    let status = stage.broker.take().unwrap().exit().await;
    assert_eq!(status.code(), Some(69));
    assert!(stage.log().contains("vaultgram login"), "{}", stage.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_broker_on_the_same_files_refuses_to_start() {
    let stage = serving().await;
    let second = stage.vaultgram(&["serve"]).output().unwrap();
    assert!(
        [73, 78].contains(&second.status.code().unwrap()),
        "{second:?}"
    );
    let said = String::from_utf8(second.stderr).unwrap();
    assert!(said.contains("in use"), "{said}");
}

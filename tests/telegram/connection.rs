//! The connection comes back from everything but a sign-out.

use std::time::Duration;

use telegram_dc::{Chat, Fault, Revocation};
use vaultgram::telegram::{State, TelegramError};

use super::support::{A_WHILE, ALICE, BROKER, GET, SOON, VALUE, World, until};

const GROUP: i64 = 70;

#[tokio::test]
async fn what_was_missed_during_a_cut_is_answered() {
    let world = World::new().await;
    world.dc.add_supergroup(GROUP, "Ops", &[ALICE, BROKER]);
    let process = world.start().await;
    for round in 1..=3 {
        world.dc.refuse(true);
        world.dc.drop_connections();
        until("the cut", || world.dc.connections() == 0).await;
        world.send(ALICE, GET);
        world.dc.send(ALICE, Chat::Channel(GROUP), "/help").unwrap();
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert!(!matches!(process.status.get(), State::Connected { .. }));
        world.dc.refuse(false);
        world
            .until("both answers", |world| {
                world.answers(ALICE).len() == 2 * round
            })
            .await;
        process.connected().await;
    }
}

#[tokio::test]
async fn what_was_missed_while_stopped_is_answered() {
    let world = World::new().await;
    world.dc.add_supergroup(GROUP, "Ops", &[ALICE, BROKER]);
    world.start().await.stop().await;
    world.send(ALICE, GET);
    world.dc.send(ALICE, Chat::Channel(GROUP), "/help").unwrap();
    let _process = world.start().await;
    world
        .until("both answers", |world| world.answers(ALICE).len() == 2)
        .await;
}

#[tokio::test]
async fn a_silent_server_is_noticed_and_left() {
    let world = World::new().await;
    let process = world.start().await;
    world.quiet().await;
    // Nobody asks for anything: only the probe can notice.
    world.dc.black_hole(true);
    let mut states = process.status.watch();
    let noticed = states.wait_for(|state| matches!(state, State::Reconnecting { .. }));
    tokio::time::timeout(SOON, noticed)
        .await
        .expect("noticed")
        .unwrap();
    world.send(ALICE, GET);
    world.dc.black_hole(false);
    let answer = world.answer(ALICE, |_| true).await;
    assert!(answer.text.contains(VALUE));
}

#[tokio::test]
async fn a_server_silent_from_the_start_is_left_too() {
    let world = World::new().await;
    world.dc.black_hole(true);
    let process = world.launch().await;
    let mut states = process.status.watch();
    let noticed = states.wait_for(|state| matches!(state, State::Reconnecting { .. }));
    tokio::time::timeout(SOON, noticed)
        .await
        .expect("noticed")
        .unwrap();
    world.dc.black_hole(false);
    process.connected().await;
}

#[tokio::test]
async fn a_call_without_an_answer_has_the_connection_looked_at() {
    let mut world = World::new().await;
    world.settings.probe_interval = Duration::from_hours(1);
    let process = world.start().await;
    world.quiet().await;
    let slow = &world.store.slow;
    slow.store(true, std::sync::atomic::Ordering::SeqCst);
    world.send(ALICE, GET);
    let reads = || world.store.reads.load(std::sync::atomic::Ordering::SeqCst);
    until("the read", || reads() == 1).await;
    world.dc.black_hole(true);
    let mut states = process.status.watch();
    let noticed = states.wait_for(|state| matches!(state, State::Reconnecting { .. }));
    tokio::time::timeout(SOON, noticed)
        .await
        .expect("noticed")
        .unwrap();
    world.dc.black_hole(false);
    world.answer(ALICE, |m| m.text.contains(VALUE)).await;
}

#[tokio::test]
async fn what_telegram_calls_a_duplicate_was_sent() {
    let world = World::new().await;
    let _process = world.start().await;
    let method = "messages.sendMessage";
    world.dc.fault(method, Fault::LoseAnswer, 1);
    let known = Fault::error(500, "RANDOM_ID_DUPLICATE");
    world.dc.fault(method, known, 1);
    world.send(ALICE, "/help");
    until("the second try", || world.dc.count(method) == 2).await;
    tokio::time::sleep(A_WHILE).await;
    assert_eq!(world.dc.count(method), 2, "no third try");
    assert_eq!(world.answers(ALICE).len(), 1);
}

#[tokio::test]
async fn a_reply_survives_what_can_happen_to_it() {
    for fault in [
        Fault::error(420, "FLOOD_WAIT_1"),
        Fault::error(500, "INTERNAL"),
        Fault::error(-503, "Timeout"),
        Fault::Drop,
        Fault::LoseAnswer,
        Fault::Hang,
    ] {
        let world = World::new().await;
        let _process = world.start().await;
        world.dc.fault("messages.sendMessage", fault.clone(), 2);
        world.send(ALICE, GET);
        world.answer(ALICE, |m| m.text.contains(VALUE)).await;
        until("the last try", || {
            world.dc.count("messages.sendMessage") >= 3
        })
        .await;
        assert_eq!(world.answers(ALICE).len(), 1, "{fault:?}");
    }
}

#[tokio::test]
async fn a_flood_wait_holds_back_all_replies() {
    let world = World::new().await;
    let _process = world.start().await;
    let flood = Fault::error(420, "FLOOD_WAIT_3");
    world.dc.fault("messages.sendMessage", flood, 1);
    world.send(ALICE, "/help");
    until("the flood", || world.dc.count("messages.sendMessage") == 1).await;
    let began = std::time::Instant::now();
    for _ in 0..20 {
        world.send(ALICE, "/help");
    }
    world.answer(ALICE, |_| true).await;
    assert!(
        began.elapsed() > Duration::from_secs(2),
        "{:?}",
        began.elapsed()
    );
    world
        .until("all", |world| world.answers(ALICE).len() == 21)
        .await;
    // 22, and a few more where an answer took too long.
    assert!(world.dc.count("messages.sendMessage") < 32);
}

#[tokio::test]
async fn trouble_with_catching_up_is_waited_out() {
    let world = World::new().await;
    world.start().await.stop().await;
    for fault in [
        Fault::error(420, "FLOOD_WAIT_1"),
        Fault::error(500, "INTERNAL"),
        Fault::Drop,
        Fault::Hang,
    ] {
        world.dc.fault("updates.getDifference", fault, 1);
    }
    world.send(ALICE, GET);
    let _process = world.start().await;
    world.answer(ALICE, |m| m.text.contains(VALUE)).await;
    assert!(world.dc.count("updates.getDifference") < 20);
}

#[tokio::test]
async fn a_place_the_server_forgot_is_no_end() {
    let world = World::new().await;
    world.start().await.stop().await;
    world.send(ALICE, "/help");
    world.dc.forget_updates(BROKER);
    let before = world.dc.count("updates.getDifference");
    let _process = world.start().await;
    // One is too long, the next is not.
    until("a new place", || {
        world.dc.count("updates.getDifference") >= before + 2
    })
    .await;
    world.send(ALICE, GET);
    world.answer(ALICE, |m| m.text.contains(VALUE)).await;
}

#[tokio::test]
async fn new_salts_are_taken_up() {
    let world = World::new().await;
    let _process = world.start().await;
    for count in 1..=3 {
        world.dc.rotate_salt();
        world.send(ALICE, "/help");
        world
            .until("an answer", |world| world.answers(ALICE).len() == count)
            .await;
    }
}

#[tokio::test]
async fn a_revoked_session_ends_it_with_advice_and_few_calls() {
    for revocation in [
        Revocation::Unregistered,
        Revocation::Revoked,
        Revocation::Deactivated,
    ] {
        let world = World::new().await;
        let process = world.start().await;
        let status = std::sync::Arc::clone(&process.status);
        world.dc.revoke(BROKER, revocation);
        let error = process.end().await.unwrap_err();
        assert!(matches!(error, TelegramError::SignedOut(_)));
        assert!(error.to_string().contains("vaultgram login"));
        assert_eq!(status.get(), State::SignedOut);
        let calls = world.dc.count("users.getUsers") + world.dc.count("updates.getDifference");
        assert!(calls < 10, "{calls}");
    }
}

#[tokio::test]
async fn a_revoked_session_is_found_at_the_start() {
    let world = World::new().await;
    world.dc.revoke(BROKER, Revocation::Revoked);
    let error = world.launch().await.end().await.unwrap_err();
    assert!(error.to_string().contains("SESSION_REVOKED"));
}

#[tokio::test]
async fn a_duplicated_key_ends_it() {
    let world = World::new().await;
    let process = world.start().await;
    let duplicated = Fault::error(406, "AUTH_KEY_DUPLICATED");
    world.dc.fault("messages.sendMessage", duplicated, 1);
    world.send(ALICE, GET);
    let error = process.end().await.unwrap_err();
    assert!(error.to_string().contains("two processes at once"));
}

#[tokio::test]
async fn a_forgotten_key_is_a_sign_out_and_the_session_stays_as_it_is() {
    let world = World::new().await;
    let process = world.start().await;
    world.dc.forget_key(BROKER);
    let error = process.end().await.unwrap_err();
    assert!(matches!(error, TelegramError::SignedOut(_)), "{error}");
    let again = world.launch().await.end().await.unwrap_err();
    assert!(matches!(again, TelegramError::SignedOut(_)), "{again}");
    assert_eq!(world.open_session().unwrap().user(), Some(BROKER));
}

#[tokio::test]
async fn a_stop_answers_what_is_in_flight() {
    let world = World::new().await;
    let process = world.start().await;
    world
        .store
        .slow
        .store(true, std::sync::atomic::Ordering::SeqCst);
    world.send(ALICE, GET);
    let reads = || world.store.reads.load(std::sync::atomic::Ordering::SeqCst);
    until("the read", || reads() == 1).await;
    let status = std::sync::Arc::clone(&process.status);
    process.stop().await;
    assert_eq!(world.answers(ALICE).len(), 1);
    assert_eq!(status.get(), State::Stopped);
    until("the goodbye", || world.dc.connections() == 0).await;
    world.open_session().unwrap();
}

#[tokio::test]
async fn a_stop_works_while_there_is_no_connection() {
    let world = World::new().await;
    let process = world.start().await;
    world.dc.refuse(true);
    world.dc.drop_connections();
    until("the cut", || world.dc.connections() == 0).await;
    process.stop().await;
}

#[tokio::test]
async fn what_comes_while_stopping_is_answered_by_the_next() {
    let world = World::new().await;
    let process = world.start().await;
    world
        .store
        .slow
        .store(true, std::sync::atomic::Ordering::SeqCst);
    world.send(ALICE, GET);
    let reads = || world.store.reads.load(std::sync::atomic::Ordering::SeqCst);
    until("the read", || reads() == 1).await;
    process.accept.cancel();
    tokio::time::sleep(Duration::from_millis(100)).await;
    world.send(ALICE, "/help");
    process.stop().await;
    assert_eq!(world.answers(ALICE).len(), 1);
    let _process = world.start().await;
    world
        .until("the rest", |world| world.answers(ALICE).len() == 2)
        .await;
}

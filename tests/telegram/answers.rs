//! What people on the list get.

use std::collections::HashMap;
use std::sync::atomic::Ordering;

use grammers_session::Session;
use grammers_tl_types::enums::MessageEntity;
use telegram_dc::{Chat, Event, Fault, Form, Message};
use vaultgram::broker::ports::Coordination;

use super::support::{A_WHILE, ALICE, BOB, BROKER, GET, SOON, VALUE, World};

const GROUP: i64 = 70;

/// What is under the spoilers of a message.
fn hidden(message: &Message) -> Vec<String> {
    let units: Vec<u16> = message.text.encode_utf16().collect();
    message
        .entities
        .iter()
        .filter_map(|entity| {
            let MessageEntity::Spoiler(spoiler) = entity else {
                return None;
            };
            let start = usize::try_from(spoiler.offset).unwrap();
            let length = usize::try_from(spoiler.length).unwrap();
            Some(String::from_utf16(&units[start..start + length]).unwrap())
        })
        .collect()
}

#[tokio::test]
async fn a_permitted_person_gets_the_secret_hidden() {
    let world = World::new().await;
    let process = world.start().await;
    world.send(ALICE, GET);
    let answer = world.answer(ALICE, |_| true).await;
    assert_eq!(hidden(&answer), [VALUE, "django"]);
    assert!(
        answer
            .text
            .starts_with("🔑 secret/django/database (version 3)\npassword: ")
    );
    assert!(answer.text.ends_with("Deleted in 60 s."));
    assert_eq!(
        world.audit.all.lock().unwrap().len(),
        2,
        "decision and outcome"
    );
    process.stop().await;
}

#[tokio::test]
async fn one_field_can_be_asked_for() {
    let world = World::new().await;
    let _process = world.start().await;
    world.send(ALICE, "/get_secret secret/django/database#user@3");
    let answer = world.answer(ALICE, |_| true).await;
    assert_eq!(hidden(&answer), ["django"]);
    assert!(!answer.text.contains(VALUE));
}

#[tokio::test]
async fn denied_and_missing_read_the_same_to_one_without_permission() {
    let world = World::new().await;
    let _process = world.start().await;
    for (asked, path) in ["django/database", "no/such"].into_iter().enumerate() {
        world.send(BOB, format!("/get_secret {path}"));
        world
            .until("an answer", |world| world.answers(BOB).len() == asked + 1)
            .await;
    }
    for answer in world.answers(BOB) {
        let text = "You are not permitted to do this, or it does not exist.";
        assert_eq!(answer.text, text);
    }
    assert_eq!(world.store.reads.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn mistakes_are_answered_with_what_to_do() {
    let world = World::new().await;
    let _process = world.start().await;
    // Telegram itself refuses to carry more than a message holds.
    let huge = format!("/get_secret {}", "a".repeat(4096 - 12));
    let exchanges = [
        ("/help", "/get_secret PATH#field"),
        ("/start", "I hand out secrets"),
        ("/status", "Telegram: connected as @vault_broker since"),
        ("/status", "Vault: ready (version 2.7.2), token without end"),
        ("/nonsense", "/help lists"),
        ("/get_secret", "The path is missing"),
        ("/get_secret a//b", "empty, \".\" or \"..\" part"),
        ("/get_secret a\0b", "\\u{0}"),
        ("/get_secret a\u{202e}b", "\\u{202e}"),
        ("/get_secret no/such", "There is no secret at this path."),
        ("/get_secret django/database#nope", "it has: password, user"),
        ("/get_secret huge", "Ask for one field"),
        (
            "/get_secret huge#password",
            "/get_secret secret/huge#password sealed",
        ),
        (huge.as_str(), "longer than 512 bytes"),
    ];
    for (before, (text, answer)) in exchanges.into_iter().enumerate() {
        world.send(ALICE, text);
        world
            .until(answer, |world| world.answers(ALICE).len() > before)
            .await;
        let last = world.answers(ALICE).pop().unwrap();
        assert!(last.text.contains(answer), "{answer:?}: {}", last.text);
        assert!(last.entities.is_empty());
    }
}

#[tokio::test]
async fn a_group_only_hears_that_the_answer_is_elsewhere() {
    let world = World::new().await;
    world.dc.add_group(GROUP, "Ops", &[ALICE, BROKER, BOB]);
    world.dc.add_supergroup(GROUP, "Ops", &[ALICE, BROKER, BOB]);
    let _process = world.start().await;
    for (count, chat) in [Chat::Group(GROUP), Chat::Channel(GROUP)]
        .into_iter()
        .enumerate()
    {
        let sent = world
            .dc
            .send(ALICE, chat, "/get_secret@vault_broker django/database");
        let notice = world
            .dc
            .wait_for(BOB, chat, SOON, |m| m.text.contains("private"))
            .await
            .expect("a notice in the group");
        assert_eq!(notice.text, "Answered in your private chat.");
        assert_eq!(notice.reply_to, sent.unwrap().id_for(BOB));
        assert_eq!(world.answers(ALICE).len(), count + 1);
        assert_eq!(hidden(&world.answers(ALICE)[count])[0], VALUE);
        let group = world.dc.history(BOB, chat);
        assert_eq!(group.len(), 2, "{chat:?}");
    }
    assert!(world.answers(BOB).is_empty());
}

#[tokio::test]
async fn a_group_learns_nothing_when_the_private_answer_fails() {
    let world = World::new().await;
    world.dc.add_group(GROUP, "Ops", &[ALICE, BROKER]);
    let _process = world.start().await;
    let refusal = telegram_dc::Fault::error(403, "USER_PRIVACY_RESTRICTED");
    world.dc.fault("messages.sendMessage", refusal, 1);
    world.dc.send(ALICE, Chat::Group(GROUP), GET).unwrap();
    let notice = world
        .dc
        .wait_for(ALICE, Chat::Group(GROUP), SOON, |m| !m.out)
        .await
        .unwrap();
    assert!(notice.text.starts_with("I cannot write to you in private."));
    assert!(!notice.text.contains("PRIVACY"));
}

#[tokio::test]
async fn a_slow_group_holds_nobody_else_back() {
    let world = World::new().await;
    world.dc.add_group(GROUP, "Ops", &[ALICE, BROKER]);
    let _process = world.start().await;
    world.dc.send(ALICE, Chat::Group(GROUP), GET).unwrap();
    // The private answer comes first, then the notice, which has to wait.
    let delay = telegram_dc::Fault::Delay(std::time::Duration::ZERO);
    world.dc.fault("messages.sendMessage", delay, 1);
    let slow = telegram_dc::Fault::error(420, "SLOWMODE_WAIT_300");
    world.dc.fault("messages.sendMessage", slow, 1);
    world.answer(ALICE, |m| m.text.contains(VALUE)).await;
    super::support::until("the notice", || world.dc.count("messages.sendMessage") >= 2).await;
    world.send(ALICE, "/help");
    world.answer(ALICE, |m| m.text.contains("/status")).await;
}

#[tokio::test]
async fn talk_is_not_answered() {
    let world = World::new().await;
    world.dc.add_group(GROUP, "Ops", &[ALICE, BROKER]);
    let _process = world.start().await;
    for text in ["hello", "get_secret x", "/help@other_bot"] {
        world.send(ALICE, text);
    }
    for text in [
        "hello",
        "/nonsense",
        "/get_secret@other_bot django/database",
    ] {
        world.dc.send(ALICE, Chat::Group(GROUP), text).unwrap();
    }
    world.send(ALICE, "/help");
    world.answer(ALICE, |m| m.text.contains("/status")).await;
    tokio::time::sleep(A_WHILE).await;
    assert_eq!(world.answers(ALICE).len(), 1);
    assert!(
        world
            .dc
            .history(ALICE, Chat::Group(GROUP))
            .iter()
            .all(|m| m.out)
    );
}

#[tokio::test]
async fn nothing_is_sent_but_the_answer() {
    let world = World::new().await;
    let _process = world.start().await;
    world.send(ALICE, GET);
    world.answer(ALICE, |_| true).await;
    for method in [
        "messages.setTyping",
        "messages.readHistory",
        "account.updateStatus",
    ] {
        assert_eq!(world.dc.count(method), 0, "{method}");
    }
    assert_eq!(world.answers(ALICE).len(), 1);
    assert!(world.dc.count("messages.sendMessage") <= 2);
}

#[tokio::test]
async fn somebody_known_by_number_only_is_answered() {
    let world = World::new().await;
    let _process = world.start().await;
    world.quiet().await;
    world.dc.set_form(BROKER, Form::Short);
    world.send(ALICE, GET);
    assert_eq!(hidden(&world.answer(ALICE, |_| true).await)[0], VALUE);
}

#[tokio::test]
async fn somebody_known_by_number_only_is_answered_from_a_group() {
    let world = World::new().await;
    world.dc.add_group(GROUP, "Ops", &[ALICE, BROKER]);
    let _process = world.start().await;
    world.quiet().await;
    world.dc.set_form(BROKER, Form::Short);
    world.dc.send(ALICE, Chat::Group(GROUP), GET).unwrap();
    assert_eq!(hidden(&world.answer(ALICE, |_| true).await)[0], VALUE);
}

#[tokio::test]
async fn a_burst_of_a_thousand_is_answered_each_exactly_once() {
    let world = World::new().await;
    let _process = world.start().await;
    world.quiet().await;
    let differences = world.dc.count("updates.getDifference");
    let mut events = world.dc.subscribe();
    for number in 0..1000 {
        world.send(ALICE, format!("/get_secret burst/{number}"));
    }
    world.send(ALICE, GET);
    let mut answers = HashMap::<i32, String>::new();
    let all = async {
        while answers.len() < 1001 {
            if let Some(Event::New {
                account: ALICE,
                message,
            }) = events.recv().await
                && !message.out
            {
                answers.insert(message.id, message.text);
            }
        }
    };
    tokio::time::timeout(SOON * 3, all)
        .await
        .expect("1,001 answers");
    tokio::time::sleep(A_WHILE).await;
    assert_eq!(world.answers(ALICE).len(), 1001);
    assert_eq!(world.store.reads.load(Ordering::SeqCst), 1001);
    // The updates themselves found room: none had to be fetched, but for a gap or a cut.
    assert!(world.dc.count("updates.getDifference") <= differences + 2);
    let found = answers.values().filter(|text| text.contains(VALUE));
    assert_eq!(found.count(), 1);
}

#[tokio::test]
async fn a_repeated_update_is_answered_once() {
    let world = World::new().await;
    let _process = world.start().await;
    for text in [GET, "/help"] {
        world.send(ALICE, text);
        for _ in 0..5 {
            world.dc.repeat_update(BROKER);
        }
    }
    world
        .until("two answers", |world| world.answers(ALICE).len() == 2)
        .await;
    world.dc.repeat_update(BROKER);
    tokio::time::sleep(A_WHILE).await;
    assert_eq!(world.answers(ALICE).len(), 2);
    // One for each, unless an answer took too long.
    assert!(world.dc.count("messages.sendMessage") < 5);
}

#[tokio::test]
async fn a_message_fetched_again_after_a_restart_is_answered_once() {
    let world = World::new().await;
    world.start().await.stop().await;
    let early = std::fs::read(world.session_path()).unwrap();
    let process = world.start().await;
    for text in [GET, "/help"] {
        world.send(ALICE, text);
    }
    world
        .until("two answers", |world| world.answers(ALICE).len() == 2)
        .await;
    process.stop().await;
    assert_ne!(std::fs::read(world.session_path()).unwrap(), early);
    std::fs::write(world.session_path(), early).unwrap();
    let _process = world.start().await;
    world.quiet().await;
    assert_eq!(world.answers(ALICE).len(), 2);
    // Three, one of them to Bob; one more, if an answer took too long.
    assert!(world.dc.count("messages.sendMessage") < 5);
}

#[tokio::test]
async fn what_was_read_is_not_fetched_again() {
    let world = World::new().await;
    let process = world.start().await;
    let place = || async {
        let session = super::support::open_when_free(&world.session_path()).await;
        session.updates_state().await.unwrap().pts
    };
    world.quiet().await;
    process.stop().await;
    let before = place().await;
    let process = world.start().await;
    world.quiet().await;
    process.stop().await;
    assert!(place().await > before);
}

#[tokio::test]
async fn what_was_ready_when_chat_was_locked_is_not_told() {
    for (command, answer) in [
        ("/get_secret django/database", "Locked"),
        ("/get_secret django/database#nope", "Locked"),
        ("/list django", "Locked"),
        ("/versions django/database", "Locked"),
        ("/delete_secret django/database", "Locked"),
        // It was done, and not in vain.
        ("/put_secret new a=b", "written as version 1"),
    ] {
        let world = World::keeping().await;
        let _process = world.start().await;
        let flood = Fault::error(420, "FLOOD_WAIT_1");
        world.dc.fault("messages.sendMessage", flood, 1);
        world.send(ALICE, command);
        world
            .until("the first try", |world| {
                world.dc.count("messages.sendMessage") == 1
            })
            .await;
        world.coordination.put("locks/chat", b"").await.unwrap();
        let told = world.answer(ALICE, |_| true).await.text;
        assert!(told.contains(answer), "{command}: {told}");
        assert!(!told.contains("django"), "{command}: {told}");
    }
}

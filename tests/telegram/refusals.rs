//! What is not acted on, and what strangers get.

use std::sync::atomic::Ordering;
use std::time::Duration;

use telegram_dc::{ANONYMOUS_ADMIN, Chat, Draft, SERVICE_USER};
use vaultgram::telegram::StrangerReply;

use super::support::{A_WHILE, ALICE, BROKER, GET, MALLORY, World};

const GROUP: i64 = 70;
const CHANNEL: i64 = 80;

impl World {
    /// Waits for a command sent after all others to be answered, then a little longer.
    async fn settle(&self) {
        self.quiet().await;
        tokio::time::sleep(A_WHILE).await;
    }
}

#[tokio::test]
async fn a_stranger_gets_nothing_by_default() {
    let world = World::new().await;
    let _process = world.start().await;
    for text in [GET, "/get_secret no/such", "/start", "/status", "hello"] {
        world.send(MALLORY, text);
    }
    world.settle().await;
    assert!(world.answers(MALLORY).is_empty());
    assert_eq!(world.store.reads.load(Ordering::SeqCst), 0);
    assert!(world.audit.all.lock().unwrap().is_empty());
    assert_eq!(world.coordination.count("claims/"), 1, "only Bob's");
}

#[tokio::test]
async fn with_nobody_on_the_list_everybody_is_a_stranger() {
    let mut world = World::new().await;
    world.settings.allowed_users.clear();
    let _process = world.start().await;
    world.send(ALICE, GET);
    world.send(BROKER, GET);
    tokio::time::sleep(A_WHILE).await;
    assert!(world.answers(ALICE).is_empty());
}

#[tokio::test]
async fn a_stranger_gets_one_fixed_sentence_and_seldom() {
    let mut world = World::new().await;
    let sentence = "This account does not talk to you.";
    world.settings.stranger_reply = StrangerReply::Sentence(sentence.to_owned());
    let _process = world.start().await;
    for text in [GET, "/help", "hello", GET] {
        world.send(MALLORY, text);
    }
    world.answer(MALLORY, |m| m.text == sentence).await;
    world.settle().await;
    assert_eq!(world.answers(MALLORY).len(), 1);
    assert_eq!(world.store.reads.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn only_a_persons_own_words_count() {
    let mut world = World::new().await;
    for special in [ANONYMOUS_ADMIN, SERVICE_USER] {
        world.settings.allowed_users.insert(special);
    }
    world.settings.allowed_users.insert(CHANNEL);
    world.dc.add_supergroup(GROUP, "Ops", &[ALICE, BROKER]);
    world.dc.add_channel(CHANNEL, "News", &[ALICE, BROKER]);
    let _process = world.start().await;
    let group = Chat::Channel(GROUP);
    for (chat, draft) in [
        (Chat::User(BROKER), Draft::new(GET).forwarded_from(MALLORY)),
        (Chat::User(BROKER), Draft::new(GET).forwarded_from(ALICE)),
        (Chat::User(BROKER), Draft::new(GET).via_bot(MALLORY)),
        (group, Draft::new(GET).sent_as(GROUP)),
        (group, Draft::new(GET).sent_as(CHANNEL)),
        (Chat::Channel(CHANNEL), Draft::new(GET)),
    ] {
        world.dc.send(ALICE, chat, draft).unwrap();
    }
    let sent = world.dc.send(ALICE, Chat::User(BROKER), "nothing").unwrap();
    let id = sent.id_for(ALICE).unwrap();
    world.dc.edit(ALICE, Chat::User(BROKER), id, GET).unwrap();
    world.settle().await;
    assert!(world.answers(ALICE).is_empty());
    assert!(
        world
            .dc
            .history(ALICE, group)
            .iter()
            .all(|m| m.out || m.text == GET)
    );
    assert_eq!(world.store.reads.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn an_edit_found_by_catching_up_does_not_count_either() {
    let world = World::new().await;
    world.start().await.stop().await;
    let sent = world.dc.send(ALICE, Chat::User(BROKER), "nothing").unwrap();
    let id = sent.id_for(ALICE).unwrap();
    world.dc.edit(ALICE, Chat::User(BROKER), id, GET).unwrap();
    let _process = world.start().await;
    world.settle().await;
    assert!(world.answers(ALICE).is_empty());
}

#[tokio::test]
async fn an_old_command_is_refused_and_not_executed() {
    let world = World::new().await;
    let _process = world.start().await;
    world.send(ALICE, Draft::new(GET).age(Duration::from_secs(90)));
    world.send(ALICE, Draft::new("hello").age(Duration::from_secs(90)));
    let answer = world.answer(ALICE, |_| true).await;
    assert!(answer.text.contains("too old (more than 60 s)"));
    world.settle().await;
    assert_eq!(world.answers(ALICE).len(), 1);
    assert_eq!(world.store.reads.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn with_a_clock_that_is_behind_people_hear_of_the_clock() {
    let world = World::new().await;
    world.dc.clock_skew(300);
    let _process = world.start().await;
    world.send(ALICE, GET);
    let answer = world.answer(ALICE, |_| true).await;
    assert!(answer.text.contains("clock"), "{}", answer.text);
    assert!(!answer.text.contains("too old"), "{}", answer.text);
    assert_eq!(world.store.reads.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_command_from_before_a_long_stop_is_refused_after_it() {
    let mut world = World::new().await;
    world.settings.command_age = Duration::from_secs(1);
    world.start().await.stop().await;
    world.send(ALICE, GET);
    tokio::time::sleep(Duration::from_secs(3)).await;
    let _process = world.start().await;
    let answer = world.answer(ALICE, |_| true).await;
    assert!(answer.text.contains("too old"));
    assert_eq!(world.store.reads.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn no_state_store_no_secret() {
    let world = World::new().await;
    let _process = world.start().await;
    world.coordination.broken.store(true, Ordering::SeqCst);
    world.send(ALICE, GET);
    let answer = world.answer(ALICE, |_| true).await;
    assert!(
        answer.text.contains("cannot reach its state store"),
        "{}",
        answer.text
    );
    assert!(answer.entities.is_empty());
}

//! Tokens, sealed answers and offers: sent once, in the right form, and deleted again.

use std::sync::atomic::Ordering;
use std::time::Duration;

use telegram_dc::{Chat, Fault, Message};
use vaultgram::age::{self, Identities, NewIdentity};
use vaultgram::broker::ports::Coordination;

use super::support::{ALICE, BROKER, TOKEN, VALUE, World};

const SHORT: Duration = Duration::from_secs(2);
/// Longer than any test.
const LONG: Duration = Duration::from_hours(1);
const SEALED: &str = "/get_secret django/database sealed";
const SEALED_FILE: &str = "/get_secret huge sealed";
const WRAPPED: &str = "/get_secret django/database wrapped";

/// Alice has a key registered.
async fn with_key(world: &World) -> Identities {
    let key = NewIdentity::generate();
    let coordination = &world.coordination;
    let name = format!("keys/{ALICE}/{}", key.public);
    coordination.put(&name, &[0; 8]).await.unwrap();
    Identities::read(key.file.expose_secret(), || Err("no passphrase".into())).unwrap()
}

fn opened(sealed: &[u8], key: &Identities) -> String {
    let secret = age::open(sealed, key).unwrap();
    String::from_utf8(secret.expose_secret().to_vec()).unwrap()
}

/// Answers that stand, on one side or the other.
fn standing(world: &World) -> usize {
    let theirs = world.dc.history(ALICE, Chat::User(BROKER));
    let ours = world.dc.history(BROKER, Chat::User(ALICE));
    let all = theirs.iter().chain(&ours);
    all.filter(|message| message.text.starts_with('🔑')).count()
}

async fn answer(world: &World) -> Message {
    world
        .answer(ALICE, |message| message.text.starts_with('🔑'))
        .await
}

async fn gone(world: &World) {
    world.until("deletion", |world| standing(world) == 0).await;
    world
        .until("no intent", |world| {
            world.coordination.count("deletions/") == 0
        })
        .await;
}

#[tokio::test]
async fn a_sealed_answer_opens_with_the_key_as_it_stands_in_the_chat() {
    let world = World::new().await;
    let key = with_key(&world).await;
    let _process = world.start().await;
    world.send(ALICE, SEALED);
    let message = answer(&world).await;
    assert!(!message.text.contains(VALUE) && message.document.is_none());
    let expected = format!(r#"{{"password":"{VALUE}","user":"django"}}"#);
    assert_eq!(opened(message.text.as_bytes(), &key), expected);
}

#[tokio::test]
async fn a_long_sealed_answer_is_one_file_whatever_happens_on_the_way() {
    let mut world = World::new().await;
    world.settings.delete_after = SHORT;
    let key = with_key(&world).await;
    let _process = world.start().await;
    for fault in [Fault::error(420, "FLOOD_WAIT_1"), Fault::LoseAnswer] {
        world.dc.fault("upload.saveFilePart", fault.clone(), 1);
        world.dc.fault("messages.sendMedia", fault, 1);
    }
    let mut events = world.dc.subscribe();
    world.send(ALICE, SEALED_FILE);
    let message = answer(&world).await;
    let document = message.document.unwrap();
    assert_eq!(document.name, "huge.age");
    assert!(opened(&document.bytes, &key).contains(&"x".repeat(5000)));
    gone(&world).await;
    let mut files = 0;
    while let Ok(event) = events.try_recv() {
        if let telegram_dc::Event::New { account, message } = event {
            files += usize::from(account == ALICE && message.document.is_some());
        }
    }
    assert_eq!(files, 1);
    assert!(world.dc.count("messages.sendMedia") >= 3);
}

#[tokio::test]
async fn after_a_crash_every_form_is_found_and_deleted() {
    for (question, method) in [
        (SEALED, "messages.sendMessage"),
        (SEALED_FILE, "messages.sendMedia"),
        (WRAPPED, "messages.sendMessage"),
    ] {
        let mut world = World::new().await;
        world.settings.delete_after = LONG;
        with_key(&world).await;
        let process = world.start().await;
        world.dc.fault(method, Fault::LoseAnswer, 1);
        world.send(ALICE, question);
        world
            .until("the answer", |world| standing(world) == 2)
            .await;
        process.kill().await;
        assert_eq!(world.coordination.count("deletions/"), 1, "{question}");
        world.settings.delete_after = SHORT;
        let _process = world.start().await;
        gone(&world).await;
    }
}

#[tokio::test]
async fn a_bot_finds_its_secrets_again_without_a_history() {
    let mut world = World::of_a_bot().await;
    world.settings.delete_after = LONG;
    let process = world.start().await;
    world.send(ALICE, "/help");
    let help = world.answer(ALICE, |_| true).await;
    world.dc.fault("messages.sendMessage", Fault::LoseAnswer, 1);
    world.send(ALICE, super::support::GET);
    world
        .until("the answer", |world| standing(world) == 2)
        .await;
    process.kill().await;
    // Meanwhile the box grows.
    for _ in 0..150 {
        world.send(ALICE, "so much to say");
    }
    world.settings.delete_after = SHORT;
    let _process = world.start().await;
    gone(&world).await;
    assert!(world.dc.count("messages.getMessages") >= 2);
    assert_eq!(world.answers(ALICE), [help], "what is no secret stays");
}

#[tokio::test]
async fn a_bot_finds_secrets_it_sent_long_apart() {
    let mut world = World::of_a_bot().await;
    world.settings.delete_after = LONG;
    let process = world.start().await;
    world.send(ALICE, "/help");
    let help = world.answer(ALICE, |_| true).await;
    world.send(ALICE, super::support::GET);
    world.until("an answer", |world| standing(world) == 2).await;
    process.stop().await;
    // Longer than a secret is on its way.
    let later = 20 * 60;
    world.dc.clock_skew(later);
    world.clock.0.store(later, Ordering::SeqCst);
    let process = world.start().await;
    world.send(ALICE, super::support::GET);
    world.until("another", |world| standing(world) == 4).await;
    process.kill().await;
    assert_eq!(world.coordination.count("deletions/"), 2);
    world.settings.delete_after = SHORT;
    let _process = world.start().await;
    gone(&world).await;
    assert_eq!(world.answers(ALICE), [help], "what is no secret stays");
}

#[tokio::test]
async fn a_token_goes_when_it_dies() {
    let mut world = World::new().await;
    world.settings.delete_after = LONG;
    world.wrap_ttl = Duration::from_secs(3);
    let _process = world.start().await;
    world.send(ALICE, WRAPPED);
    let message = answer(&world).await;
    assert!(message.text.contains(TOKEN), "{}", message.text);
    gone(&world).await;
    let reads = &world.store.reads;
    assert_eq!(reads.load(std::sync::atomic::Ordering::SeqCst), 0);
}

#[tokio::test]
async fn only_plaintext_is_protected_from_being_copied() {
    let world = World::of_a_bot().await;
    with_key(&world).await;
    let _process = world.start().await;
    for (question, protected) in [
        (super::support::GET, true),
        (WRAPPED, false),
        (SEALED, false),
        (SEALED_FILE, false),
    ] {
        let before = world.answers(ALICE).len();
        world.send(ALICE, question);
        world
            .until("the answer", |world| world.answers(ALICE).len() > before)
            .await;
        let message = world.answers(ALICE).pop().unwrap();
        assert_eq!(message.noforwards, protected, "{question}");
    }
}

#[tokio::test]
async fn an_offer_stands_in_the_chat_and_holds_nothing() {
    let world = World::new().await;
    let _process = world.start().await;
    world.send(ALICE, "/get_secret django/database socket");
    let message = world.answer(ALICE, |_| true).await;
    assert!(
        message.text.contains("vaultgram collect "),
        "{}",
        message.text
    );
    assert!(
        message.text.contains("as Unix user 990"),
        "{}",
        message.text
    );
    assert_eq!(world.coordination.count("offers/"), 1);
    assert_eq!(world.coordination.count("deletions/"), 0);
}

#[tokio::test]
async fn a_chat_with_secrets_empties_itself_and_that_never_costs_an_answer() {
    let mut world = World::new().await;
    world.settings.history_ttl = Some(86_400);
    let set = |world: &World| world.dc.count("messages.setHistoryTTL");
    let process = world.start().await;
    world.send(ALICE, "/help");
    world.answer(ALICE, |_| true).await;
    assert_eq!(set(&world), 0, "no secret, no change");
    let fault = Fault::error(400, "CHAT_ADMIN_REQUIRED");
    world.dc.fault("messages.setHistoryTTL", fault, 1);
    world.send(ALICE, super::support::GET);
    answer(&world).await;
    world.until("the refusal", |world| set(world) == 1).await;
    let before = world.answers(ALICE).len();
    world.send(ALICE, super::support::GET);
    world
        .until("the next secret", |world| {
            world.answers(ALICE).len() > before
        })
        .await;
    world.quiet().await;
    assert_eq!(set(&world), 1, "a refusal stands for this process");
    process.stop().await;
    assert_eq!(world.coordination.count("history_ttl/"), 0, "and no longer");
    let process = world.start().await;
    world.send(ALICE, super::support::GET);
    world
        .until("it is set", |world| {
            world.coordination.count("history_ttl/") == 1
        })
        .await;
    world.send(ALICE, "/help");
    world
        .answer(ALICE, |message| message.ttl_period == Some(86_400))
        .await;
    process.stop().await;
    let calls = set(&world);
    let _process = world.start().await;
    let before = world.answers(ALICE).len();
    world.send(ALICE, super::support::GET);
    world
        .until("the answer", |world| world.answers(ALICE).len() > before)
        .await;
    world.quiet().await;
    assert_eq!(set(&world), calls, "once for each chat");
}

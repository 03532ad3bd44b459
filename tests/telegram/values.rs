//! Messages that carry values: gone at once, whatever comes of them.

use std::time::Duration;

use grammers_tl_types as tl;
use telegram_dc::{Chat, Draft, Fault};

use super::support::{ALICE, BOB, BROKER, World};

const GROUP: i64 = 70;
const OTHER: i64 = 71;

impl World {
    /// Nobody sees the value any more.
    async fn unseen(&self, value: &str) {
        self.until("the value is gone", |world| {
            [(ALICE, BROKER), (BROKER, ALICE), (BOB, BROKER)]
                .iter()
                .all(|(me, other)| {
                    let chat = world.dc.history(*me, Chat::User(*other));
                    chat.iter().all(|message| !message.text.contains(value))
                })
        })
        .await;
    }

    /// No intent to delete one is left.
    async fn no_withdrawals(&self) {
        self.until("no intents are left", |world| {
            world.coordination.count("withdrawals/") == 0
        })
        .await;
    }
}

#[tokio::test]
async fn it_goes_for_both_sides_whether_it_is_understood_or_not() {
    let world = World::keeping().await;
    let _process = world.start().await;
    for (user, text, expected) in [
        (ALICE, "/put_secret new a=hunter2", "written as version 1"),
        (ALICE, "/patch_secret new a=hunter2", "written as version 2"),
        (ALICE, "/put_secret new a=“hunter2”", "the sign “"),
        (ALICE, "/put_secret new#b a=hunter2", "without #field"),
        (ALICE, "/put_secret ../new a=hunter2", "\"..\" part"),
        (ALICE, "/Put new a=hunter2", "Did you mean /put_secret?"),
        (ALICE, "/Put new a=hunter2", "I deleted your message"),
        (ALICE, "/save new a=hunter2", "I deleted your message"),
        (ALICE, "/get_secret new a=hunter2", "I deleted your message"),
        (BOB, "/put_secret new a=hunter2", "not permitted"),
    ] {
        let answer = world.ask(user, text).await.text;
        assert!(answer.contains(expected), "{text}: {answer}");
        assert!(!answer.contains("hunter2"), "{answer}");
        assert!(!answer.contains("delete it yourself"), "{answer}");
        world.unseen("hunter2").await;
    }
    let old = Draft::new("/put_secret new a=hunter2").age(Duration::from_mins(5));
    world.send(ALICE, old);
    world.answer(ALICE, |m| m.text.contains("too old")).await;
    world.unseen("hunter2").await;
    world.no_withdrawals().await;
    assert_eq!(world.newest("new").0, 2);
}

#[tokio::test]
async fn a_private_key_goes_and_its_owner_hears_what_to_do() {
    let world = World::keeping().await;
    let _process = world.start().await;
    for text in [
        "/register_key AGE-SECRET-KEY-1HUNTER2QQQQQQQQQQQQQQ",
        "my key is age-secret-key-1HUNTER2QQQQQQQQQQQQQQ",
    ] {
        let answer = world.ask(ALICE, text).await.text;
        assert!(answer.contains("make a new key"), "{answer}");
        assert!(answer.contains("I deleted your message"), "{answer}");
        assert!(!answer.contains("HUNTER2"), "{answer}");
        world.unseen("HUNTER2").await;
    }
    let old = Draft::new("AGE-SECRET-KEY-1HUNTER2QQQQQQQQQQQQQQ").age(Duration::from_mins(5));
    world.send(BOB, old);
    world
        .answer(BOB, |m| m.text.contains("make a new key"))
        .await;
    world.unseen("HUNTER2").await;
    world.no_withdrawals().await;
}

#[tokio::test]
async fn what_was_not_simply_written_goes_and_is_not_done() {
    let world = World::keeping().await;
    world.dc.add_group(GROUP, "Ops", &[ALICE, BOB, BROKER]);
    let _process = world.start().await;
    let put = "/put_secret new a=hunter2";
    for draft in [
        Draft::new(put).forwarded_from(BOB),
        Draft::new(put).via_bot(BOB),
        Draft::new("/Put new a=hunter2").forwarded_from(ALICE),
    ] {
        let before = world.answers(ALICE).last().map_or(0, |answer| answer.id);
        world.send(ALICE, draft);
        let answer = world.answer(ALICE, |answer| answer.id > before).await.text;
        assert!(answer.contains("Nothing was done"), "{answer}");
        assert!(answer.contains("I deleted your message"), "{answer}");
        world.unseen("hunter2").await;
    }
    let before = world.answers(ALICE).len();
    for chat in [Chat::User(BROKER), Chat::Group(GROUP)] {
        let sent = world.dc.send(ALICE, chat, "nothing").unwrap();
        let id = sent.id_for(ALICE).unwrap();
        world.dc.edit(ALICE, chat, id, put).unwrap();
        world
            .until("it is gone", |world| {
                let seen = world.dc.history(ALICE, chat);
                seen.iter().all(|message| !message.text.contains("hunter2"))
            })
            .await;
    }
    world.quiet().await;
    world
        .until("both answers", |world| {
            world.answers(ALICE).len() == before + 2
        })
        .await;
    world.no_withdrawals().await;
    assert_eq!(world.newest("new").0, 0);
}

#[tokio::test]
async fn an_edit_after_the_command_is_no_second_answer() {
    let world = World::keeping().await;
    let _process = world.start().await;
    let refusal = Fault::error(403, "MESSAGE_DELETE_FORBIDDEN");
    world.dc.fault("messages.deleteMessages", refusal, 1);
    let sent = world
        .dc
        .send(ALICE, Chat::User(BROKER), "/put_secret new a=hunter2")
        .unwrap();
    world.answer(ALICE, |m| m.text.contains("version 1")).await;
    let id = sent.id_for(ALICE).unwrap();
    let edit = "/put_secret new a=hunter2 b=c";
    let chat = Chat::User(BROKER);
    world.dc.edit(ALICE, chat, id, edit).unwrap();
    world.unseen("hunter2").await;
    world.quiet().await;
    world.no_withdrawals().await;
    assert_eq!(world.answers(ALICE).len(), 1);
    assert_eq!(world.newest("new").0, 1);
    assert_eq!(world.coordination.count("unanswered/"), 0);
}

#[tokio::test]
async fn an_edit_that_cannot_be_deleted_is_told_once() {
    let world = World::keeping().await;
    let _process = world.start().await;
    let chat = Chat::User(BROKER);
    let sent = world.dc.send(ALICE, chat, "/help").unwrap();
    world
        .answer(ALICE, |m| m.text.contains("/put_secret"))
        .await;
    let refusal = Fault::error(403, "MESSAGE_DELETE_FORBIDDEN");
    world.dc.fault("messages.deleteMessages", refusal, 2);
    let id = sent.id_for(ALICE).unwrap();
    for edit in ["/put_secret new a=hunter2", "/put_secret new a=hunter3"] {
        world.dc.edit(ALICE, chat, id, edit).unwrap();
        world
            .answer(ALICE, |m| m.text.contains("delete it yourself"))
            .await;
        world.quiet().await;
    }
    assert_eq!(world.answers(ALICE).len(), 2);
    assert_eq!(world.coordination.count("unanswered/"), 0);
    assert_eq!(world.newest("new").0, 0);
}

#[tokio::test]
async fn an_edit_found_by_catching_up_goes_too() {
    for forget in [false, true] {
        let world = World::keeping().await;
        let process = world.start().await;
        world.quiet().await;
        process.stop().await;
        let chat = Chat::User(BROKER);
        let old = Draft::new("nothing").age(Duration::from_mins(5));
        let sent = world.dc.send(ALICE, chat, old).unwrap();
        let id = sent.id_for(ALICE).unwrap();
        let put = "/put_secret new a=hunter2";
        world.dc.edit(ALICE, chat, id, put).unwrap();
        world.send(ALICE, "hello");
        if forget {
            world.dc.forget_updates(BROKER);
        }
        let _process = world.start().await;
        world.unseen("hunter2").await;
        world
            .answer(ALICE, |m| m.text.contains("Nothing was"))
            .await;
        world.quiet().await;
        assert_eq!(world.answers(ALICE).len(), 1);
        assert_eq!(world.newest("new").0, 0);
        world.no_withdrawals().await;
    }
}

#[tokio::test]
async fn in_a_group_it_is_never_executed() {
    let world = World::keeping().await;
    world.dc.add_group(GROUP, "Ops", &[ALICE, BOB, BROKER]);
    world
        .dc
        .add_supergroup(OTHER, "More", &[ALICE, BOB, BROKER]);
    let _process = world.start().await;
    let put = "/put_secret new a=hunter2";
    for (count, (chat, text)) in [
        (Chat::Group(GROUP), put),
        (Chat::Group(GROUP), "/Put_secret new a=hunter2"),
        (Chat::Group(GROUP), "/patch new a=hunter2"),
        (Chat::Channel(OTHER), put),
    ]
    .into_iter()
    .enumerate()
    {
        world.dc.send(ALICE, chat, text).unwrap();
        world
            .until("an answer", |world| world.answers(ALICE).len() > count)
            .await;
        let answer = world.answers(ALICE).pop().unwrap().text;
        assert!(answer.contains("use another value, in private"), "{answer}");
        let stands = world
            .dc
            .history(BOB, chat)
            .iter()
            .any(|m| m.text.contains("hunter2"));
        // In a supergroup, only what its administrators allow.
        let may = matches!(chat, Chat::Group(_));
        assert_eq!(stands, !may);
        assert_eq!(answer.contains("delete it yourself"), !may, "{answer}");
    }
    assert_eq!(world.newest("new").0, 0);
    world.no_withdrawals().await;
}

#[tokio::test]
async fn where_it_cannot_be_deleted_people_hear_of_it() {
    let world = World::keeping().await;
    let _process = world.start().await;
    let refusal = Fault::error(403, "MESSAGE_DELETE_FORBIDDEN");
    world.dc.fault("messages.deleteMessages", refusal, 1);
    let answer = world.ask(ALICE, "/put_secret new a=hunter2").await.text;
    assert!(answer.contains("written as version 1"), "{answer}");
    assert!(answer.contains("I may not delete your message"), "{answer}");
    world.no_withdrawals().await;
}

#[tokio::test]
async fn a_crash_leaves_nothing_standing() {
    let world = World::keeping().await;
    let process = world.start().await;
    let flood = Fault::error(420, "FLOOD_WAIT_600");
    world.dc.fault("messages.deleteMessages", flood, 1);
    let answer = world.ask(ALICE, "/put_secret new a=hunter2").await.text;
    assert!(answer.contains("could not delete your message"), "{answer}");
    assert_eq!(world.coordination.count("withdrawals/"), 1);
    process.kill().await;
    let _process = world.start().await;
    world.unseen("hunter2").await;
    world.no_withdrawals().await;
    assert_eq!(world.newest("new").0, 1);
}

#[tokio::test]
async fn what_a_client_has_formatted_is_not_written() {
    let world = World::keeping().await;
    let _process = world.start().await;
    let bold = tl::types::MessageEntityBold {
        offset: 18,
        length: 4,
    };
    // Written as pass**word**, which the client turned into bold letters.
    let draft = Draft::new("/put_secret new a=passhunter2").entities(vec![bold.into()]);
    world.send(ALICE, draft);
    let answer = world.answer(ALICE, |_| true).await.text;
    assert!(
        answer.contains("took part of this for formatting"),
        "{answer}"
    );
    world.unseen("hunter2").await;
    assert_eq!(world.newest("new").0, 0);
}

#[tokio::test]
async fn what_telegram_holds_up_is_deleted_later() {
    let world = World::keeping().await;
    let _process = world.start().await;
    // Longer than the answer waits for it.
    let flood = Fault::error(420, "FLOOD_WAIT_11");
    world.dc.fault("messages.deleteMessages", flood, 1);
    let answer = world.ask(ALICE, "/put_secret new a=hunter2").await.text;
    assert!(answer.contains("could not delete your message"), "{answer}");
    world.unseen("hunter2").await;
    world.no_withdrawals().await;
}

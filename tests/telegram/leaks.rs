//! Values that were handed out, pasted where others read them.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use telegram_dc::{Chat, Draft, Fault};
use tokio_util::sync::CancellationToken;
use vaultgram::domain::AuditEvent;
use vaultgram::telegram::WatchedChats;

use super::company::Company;
use super::support::{A_WHILE, ALICE, BOB, BROKER, GET, MALLORY, Process, VALUE, World};

const GROUP: Chat = Chat::Group(70);
const OTHER: Chat = Chat::Group(71);
const SUPERGROUP: Chat = Chat::Channel(72);

/// Bob is the admin; Alice may read; Mallory is in the groups too. What was handed out to Alice
/// once is known.
async fn watched(chats: WatchedChats) -> (World, Process) {
    let world = watching(chats).await;
    let process = world.start().await;
    world.hand_out().await;
    (world, process)
}

/// As [`watched`], before anybody has started.
async fn watching(chats: WatchedChats) -> World {
    let mut world = World::new().await;
    world.settings.watched_chats = chats;
    world.admins = [BOB].into();
    let members = [ALICE, BOB, MALLORY, BROKER];
    world.dc.add_group(70, "Ops", &members);
    world.dc.add_group(71, "Off topic", &members);
    world.dc.add_supergroup(72, "More", &members);
    world
}

fn these(ids: &[i64]) -> WatchedChats {
    WatchedChats::These(ids.iter().copied().collect())
}

impl World {
    async fn hand_out(&self) {
        // So that the broker can address them.
        for user in [ALICE, BOB] {
            self.ask(user, "/help").await;
        }
        let answer = self.ask(ALICE, GET).await;
        assert!(answer.text.contains(VALUE));
    }

    fn stands(&self, chat: Chat, text: &str) -> bool {
        let history = self.dc.history(BOB, chat);
        history.iter().any(|message| message.text.contains(text))
    }

    /// What Bob was told of leaks.
    fn reported(&self) -> Vec<String> {
        let answers = self.answers(BOB).into_iter();
        answers
            .map(|message| message.text)
            .filter(|text| text.starts_with("A secret was leaked"))
            .collect()
    }

    fn leaks_on_record(&self) -> usize {
        let all = self.audit.all.lock().unwrap();
        let leaked = all
            .iter()
            .filter(|entry| matches!(entry.event, AuditEvent::Leaked { .. }));
        leaked.count()
    }
}

#[tokio::test]
async fn whoever_pastes_it_and_however_it_goes_and_the_admins_hear_where_it_was() {
    let (world, _process) = watched(these(&[-70])).await;
    let pasted = [
        (MALLORY, VALUE.to_owned()),
        (ALICE, format!("the password is \"{VALUE}\"!")),
        (BOB, format!("DB_PASSWORD={VALUE}\n")),
        (MALLORY, "aHVudGVyMi3OqW1lZ2E=".to_owned()),
        (MALLORY, "https://x/?p=hunter2%2D%CE%A9mega".to_owned()),
        (
            MALLORY,
            "{\"password\": \"hunter2-\\u03a9mega\"}".to_owned(),
        ),
        // Who may not command cannot hide it in a command.
        (MALLORY, format!("/put_secret new a={VALUE}")),
    ];
    for (count, (writer, text)) in pasted.iter().enumerate() {
        world.dc.send(*writer, GROUP, text.as_str()).unwrap();
        world
            .until("the admin is told", |world| world.reported().len() > count)
            .await;
        assert!(!world.stands(GROUP, text), "{text}");
        let told = world.reported().pop().unwrap();
        for said in [
            "in chat -70",
            &format!("written by user {writer}"),
            "secret/django/database#password, version 3",
            "given to telegram:1001",
            "I deleted the message",
        ] {
            assert!(told.contains(said), "{said}: {told}");
        }
        assert!(!told.contains("mega"), "{told}");
    }
    let all = world.audit.all.lock().unwrap();
    let released = |event: &AuditEvent| matches!(event, AuditEvent::Released(_));
    let released = all.iter().find(|entry| released(&entry.event)).unwrap();
    let leaked = all
        .iter()
        .filter(|entry| matches!(entry.event, AuditEvent::Leaked { .. }));
    let leaked: Vec<_> = leaked.collect();
    assert_eq!(leaked.len(), pasted.len());
    for (entry, (writer, _)) in leaked.iter().zip(pasted) {
        assert_eq!(
            (&entry.id, &entry.caller),
            (&released.id, &released.caller),
            "the request by which it was handed out"
        );
        let AuditEvent::Leaked { writer: by, .. } = entry.event else {
            panic!()
        };
        assert_eq!(by, Some(writer));
    }
}

#[tokio::test]
async fn edited_and_forwarded_messages_are_looked_at_too() {
    let (world, _process) = watched(these(&[-70])).await;
    let sent = world.dc.send(MALLORY, GROUP, "wait…").unwrap();
    let id = sent.id_for(MALLORY).unwrap();
    world.dc.edit(MALLORY, GROUP, id, VALUE).unwrap();
    world
        .until("the edit is found", |world| world.reported().len() == 1)
        .await;
    assert!(!world.stands(GROUP, VALUE));
    let forwarded = Draft::new(VALUE).forwarded_from(ALICE);
    world.dc.send(MALLORY, GROUP, forwarded).unwrap();
    world
        .until("the forward is found", |world| world.reported().len() == 2)
        .await;
    assert!(!world.stands(GROUP, VALUE));
}

#[tokio::test]
async fn other_texts_other_chats_and_what_is_sent_to_us_are_left_alone() {
    let (world, _process) = watched(these(&[-70])).await;
    world.dc.send(MALLORY, OTHER, VALUE).unwrap();
    for text in [
        "django",
        "secret/django/database",
        "hunter2",
        "hunter2-Ωmegalo",
    ] {
        world.dc.send(MALLORY, GROUP, text).unwrap();
    }
    // The last holds a value, and something after it.
    world
        .until("the one is found", |world| world.reported().len() == 1)
        .await;
    let put = format!("/put_secret new a={VALUE}");
    world.dc.send(ALICE, GROUP, put.as_str()).unwrap();
    world
        .answer(ALICE, |m| m.text.contains("use another value, in private"))
        .await;
    world.quiet().await;
    tokio::time::sleep(A_WHILE).await;
    assert!(world.stands(OTHER, VALUE), "nobody watches there");
    assert!(world.stands(GROUP, "secret/django/database") && world.stands(GROUP, "django"));
    assert_eq!(world.reported().len(), 1);
    assert_eq!(world.leaks_on_record(), 1);
}

#[tokio::test]
async fn all_is_every_chat_but_what_we_write_ourselves() {
    let (world, _process) = watched(WatchedChats::All).await;
    world.dc.send(MALLORY, OTHER, VALUE).unwrap();
    world
        .until("it is found in a group", |world| {
            world.reported().len() == 1
        })
        .await;
    world.send(MALLORY, VALUE);
    world
        .until("and in private", |world| world.reported().len() == 2)
        .await;
    assert!(world.answers(ALICE).iter().any(|m| m.text.contains(VALUE)));
    assert!(!world.stands(OTHER, VALUE));
}

#[tokio::test]
async fn nothing_is_watched_unasked() {
    let (world, _process) = watched(WatchedChats::None).await;
    world.dc.send(MALLORY, GROUP, VALUE).unwrap();
    world.quiet().await;
    tokio::time::sleep(A_WHILE).await;
    assert!(world.stands(GROUP, VALUE));
    assert_eq!((world.reported().len(), world.leaks_on_record()), (0, 0));
}

#[tokio::test]
async fn where_it_may_not_be_deleted_that_is_said_once() {
    let (world, _process) = watched(WatchedChats::All).await;
    let sent = world.dc.send(MALLORY, SUPERGROUP, VALUE).unwrap();
    world
        .until("the admin is told", |world| world.reported().len() == 1)
        .await;
    assert!(world.reported()[0].contains("I may not delete it"));
    // As when a client adds a preview.
    let id = sent.id_for(MALLORY).unwrap();
    let again = format!("{VALUE} again");
    world
        .dc
        .edit(MALLORY, SUPERGROUP, id, again.as_str())
        .unwrap();
    world.quiet().await;
    tokio::time::sleep(A_WHILE).await;
    assert_eq!((world.reported().len(), world.leaks_on_record()), (1, 1));
}

#[tokio::test]
async fn after_a_day_it_is_forgotten() {
    let (world, _process) = watched(these(&[-70])).await;
    world.clock.0.store(24 * 3600 + 5, Ordering::SeqCst);
    world.dc.send(MALLORY, GROUP, VALUE).unwrap();
    tokio::time::sleep(A_WHILE).await;
    assert!(world.stands(GROUP, VALUE));
    assert!(world.reported().is_empty());
}

#[tokio::test]
async fn a_crash_keeps_neither_the_deletion_nor_the_word_to_the_admins_from_happening() {
    let (world, process) = watched(these(&[-70])).await;
    let flood = Fault::error(420, "FLOOD_WAIT_600");
    world.dc.fault("messages.deleteMessages", flood, 1);
    let blocked = Fault::error(500, "SEND_FAILED");
    world.dc.fault("messages.sendMessage", blocked, usize::MAX);
    world.dc.send(MALLORY, GROUP, VALUE).unwrap();
    world
        .until("it is on record", |world| world.leaks_on_record() == 1)
        .await;
    world
        .until("the word waits", |world| {
            world.coordination.count("leaks/untold/") == 1
        })
        .await;
    process.kill().await;
    world.dc.clear_faults();
    let _process = world.start().await;
    world
        .until("it is gone", |world| !world.stands(GROUP, VALUE))
        .await;
    world
        .until("the admin is told", |world| world.reported().len() == 1)
        .await;
    world
        .until("nothing waits", |world| {
            world.coordination.count("leaks/untold/") == 0
        })
        .await;
}

#[tokio::test]
async fn a_leak_is_done_with_once_it_is_on_record_or_waits_for_that() {
    let (world, process) = watched(these(&[-70])).await;
    let stop = CancellationToken::new();
    let broker = Arc::clone(&process.broker);
    let recording = tokio::spawn({
        let stop = stop.clone();
        async move { broker.record_leaks(stop).await }
    });
    let finished = |world: &World| {
        let finished = world.coordination.finished.lock().unwrap();
        let seen = finished.iter().filter(|key| key.starts_with("leaks/seen/"));
        seen.count()
    };
    world.dc.send(MALLORY, GROUP, VALUE).unwrap();
    world
        .until("it is finished", |world| finished(world) == 1)
        .await;
    assert_eq!(world.leaks_on_record(), 1);

    world.audit.full.store(true, Ordering::SeqCst);
    world.dc.send(MALLORY, GROUP, VALUE).unwrap();
    world
        .until("it waits", |world| {
            world.coordination.count("leaks/unrecorded/") == 1
        })
        .await;
    world
        .until("it is finished", |world| finished(world) == 2)
        .await;

    // What only this process knows is not finished: the next may see it again.
    world.coordination.broken.store(true, Ordering::SeqCst);
    world.dc.send(MALLORY, GROUP, VALUE).unwrap();
    world
        .until("the admin is told", |world| world.reported().len() == 3)
        .await;
    assert_eq!((finished(&world), world.leaks_on_record()), (2, 1));

    world.coordination.broken.store(false, Ordering::SeqCst);
    world.audit.full.store(false, Ordering::SeqCst);
    world
        .until("all are on record", |world| world.leaks_on_record() == 3)
        .await;
    world
        .until("nothing waits", |world| {
            world.coordination.count("leaks/unrecorded/") == 0
        })
        .await;
    stop.cancel();
    recording.await.unwrap();
}

#[tokio::test]
async fn what_one_did_not_tell_the_other_tells() {
    let (world, company) = (watching(these(&[-70])).await, Company::new());
    let one = world.replica(&company).await;
    world.hand_out().await;
    // It was not there when the value was handed out.
    let _two = world.replica(&company).await;
    world.ask(BOB, "/help").await;
    let trouble = Fault::error(500, "INTERNAL");
    world.dc.fault("messages.sendMessage", trouble, 1000);
    world.dc.send(MALLORY, GROUP, VALUE).unwrap();
    world
        .until("it is to be told", |_| company.count("leaks/untold/") == 1)
        .await;
    assert_eq!(company.owner("leaks/untold/"), Some(0));
    one.kill().await;
    world.dc.clear_faults();
    world
        .until("the admin is told", |world| world.reported().len() == 1)
        .await;
    world
        .until("nothing waits", |_| company.count("leaks/untold/") == 0)
        .await;
    assert_eq!(world.reported().len(), 1);
}

/// Another value than [`VALUE`].
const TROUT: &str = "tr0ut-Ωmega-17";

/// As [`watching`], with two values that may be handed out.
async fn watching_two(chats: WatchedChats) -> World {
    let world = watching(chats).await.kept();
    let kept = world.kept.as_ref().unwrap();
    kept.write("django/database", &[("password", VALUE)]);
    kept.write("fish", &[("password", TROUT)]);
    world
}

#[tokio::test]
async fn one_message_is_told_once_whatever_each_knows_of_it_and_all_is_on_record() {
    let (world, company) = (watching_two(these(&[-70])).await, Company::new());
    let one = world.replica(&company).await;
    world.hand_out().await;
    let two = world.replica(&company).await;
    world.ask(BOB, "/help").await;
    one.member.lose_touch();
    world.says(ALICE, "/get_secret fish", TROUT).await;
    one.member.come_back();
    assert!(one.knows(VALUE) && !one.knows(TROUT));
    assert!(two.knows(TROUT) && !two.knows(VALUE));

    let both = format!("{VALUE} {TROUT}");
    world.dc.send(MALLORY, GROUP, both.as_str()).unwrap();
    world
        .until("both are on record", |world| world.leaks_on_record() == 2)
        .await;
    world
        .until("the admin is told", |world| world.reported().len() == 1)
        .await;
    world.quiet().await;
    tokio::time::sleep(A_WHILE).await;
    assert_eq!((world.reported().len(), world.leaks_on_record()), (1, 2));
    let said = "What other replicas handed out of it is in their audits";
    assert!(world.reported()[0].contains(said));
}

#[tokio::test]
async fn an_edit_that_brings_another_value_is_told_too() {
    let world = watching_two(WatchedChats::All).await;
    let _process = world.start().await;
    world.hand_out().await;
    world.says(ALICE, "/get_secret fish", TROUT).await;
    let sent = world.dc.send(MALLORY, SUPERGROUP, VALUE).unwrap();
    world
        .until("the admin is told", |world| world.reported().len() == 1)
        .await;
    let id = sent.id_for(MALLORY).unwrap();
    for other in [TROUT, VALUE] {
        world.dc.edit(MALLORY, SUPERGROUP, id, other).unwrap();
        world
            .until("and of the edit", |world| world.reported().len() == 2)
            .await;
        world.quiet().await;
    }
    tokio::time::sleep(A_WHILE).await;
    assert_eq!((world.reported().len(), world.leaks_on_record()), (2, 2));
    assert!(world.reported()[1].contains("secret/fish#password"));
}

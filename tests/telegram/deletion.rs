//! Sent secrets go away again, on both sides, whatever happens in between.

use std::collections::HashSet;
use std::time::Duration;

use telegram_dc::{Chat, Event, Fault};
use tokio::sync::mpsc;
use vaultgram::broker::ports::Coordination;

use super::support::{ALICE, BROKER, GET, SOON, VALUE, World, until};

const SHORT: Duration = Duration::from_secs(2);
/// Longer than any test.
const LONG: Duration = Duration::from_hours(1);

/// The secrets that are there to see, on one side or the other.
fn standing(world: &World) -> usize {
    let theirs = world.dc.history(ALICE, Chat::User(BROKER));
    let ours = world.dc.history(BROKER, Chat::User(ALICE));
    let secrets = theirs.iter().chain(&ours);
    secrets.filter(|m| m.text.contains(VALUE)).count()
}

/// Follows secrets by what happens to them: on a busy machine, one may be deleted before a test
/// comes to look for it.
struct Watch {
    events: mpsc::Receiver<Event>,
    /// How many ever appeared, on one side or the other.
    shown: usize,
    standing: HashSet<(i64, i32)>,
}

impl Watch {
    fn new(world: &World) -> Self {
        Self {
            events: world.dc.subscribe(),
            shown: 0,
            standing: HashSet::new(),
        }
    }

    async fn until(&mut self, what: &str, holds: impl Fn(&Self) -> bool) {
        let following = async {
            while !holds(self) {
                match self.events.recv().await.expect("an event") {
                    Event::New { account, message } if message.text.contains(VALUE) => {
                        self.shown += 1;
                        self.standing.insert((account, message.id));
                    }
                    Event::Deleted { account, ids, .. } => {
                        for id in ids {
                            self.standing.remove(&(account, id));
                        }
                    }
                    Event::New { .. } | Event::Edited { .. } => {}
                }
            }
        };
        tokio::time::timeout(SOON, following)
            .await
            .unwrap_or_else(|_| panic!("waited in vain for: {what}"));
    }

    /// So many messages appeared for both sides, and all are gone.
    async fn come_and_gone(&mut self, messages: usize) {
        self.until("the secrets", |watch| watch.shown >= 2 * messages)
            .await;
        self.until("deletion", |watch| watch.standing.is_empty())
            .await;
        assert_eq!(self.shown, 2 * messages);
    }
}

#[tokio::test]
async fn a_secret_is_deleted_for_both_sides_and_the_question_stays() {
    let mut world = World::new().await;
    world.settings.delete_after = SHORT;
    let _process = world.start().await;
    let mut watch = Watch::new(&world);
    world.send(ALICE, GET);
    let answer = world.answer(ALICE, |_| true).await;
    assert!(answer.text.contains("Deleted in 2 s."));
    watch.come_and_gone(1).await;
    let left = world.dc.history(ALICE, Chat::User(BROKER));
    assert_eq!((left.len(), left[0].text.as_str()), (1, GET));
    world
        .until("no intent", |world| {
            world.coordination.count("deletions/") == 0
        })
        .await;
}

#[tokio::test]
async fn many_are_deleted_in_few_calls() {
    let mut world = World::new().await;
    world.settings.delete_after = SHORT;
    let _process = world.start().await;
    let mut watch = Watch::new(&world);
    for _ in 0..250 {
        world.send(ALICE, GET);
    }
    watch.come_and_gone(250).await;
    assert!(world.dc.count("messages.deleteMessages") < 60);
}

#[tokio::test]
async fn a_failing_deletion_is_tried_again() {
    let mut world = World::new().await;
    world.settings.delete_after = SHORT;
    let _process = world.start().await;
    for fault in [
        Fault::error(420, "FLOOD_WAIT_1"),
        Fault::error(500, "INTERNAL"),
        Fault::error(400, "SOMETHING_ODD"),
        Fault::Hang,
        Fault::Drop,
    ] {
        world.dc.fault("messages.deleteMessages", fault, 1);
    }
    world.send(ALICE, GET);
    world.answer(ALICE, |_| true).await;
    world.until("deletion", |world| standing(world) == 0).await;
}

#[tokio::test]
async fn a_restart_still_deletes() {
    let mut world = World::new().await;
    world.settings.delete_after = LONG;
    let process = world.start().await;
    world.send(ALICE, GET);
    world.answer(ALICE, |_| true).await;
    process.stop().await;
    assert_eq!(standing(&world), 2);
    world.settings.delete_after = SHORT;
    let _process = world.start().await;
    world.until("deletion", |world| standing(world) == 0).await;
    world
        .until("no intent", |world| {
            world.coordination.count("deletions/") == 0
        })
        .await;
}

#[tokio::test]
async fn killed_between_sending_and_knowing_still_deletes() {
    let mut world = World::new().await;
    world.settings.delete_after = LONG;
    let process = world.start().await;
    world.dc.fault("messages.sendMessage", Fault::LoseAnswer, 1);
    world.send(ALICE, GET);
    world
        .until("the secret", |world| standing(world) == 2)
        .await;
    process.kill().await;
    assert_eq!(world.coordination.count("deletions/"), 1);
    world.settings.delete_after = SHORT;
    let _process = world.start().await;
    world.until("deletion", |world| standing(world) == 0).await;
}

#[tokio::test]
async fn a_lost_answer_makes_neither_two_messages_nor_one_that_stays() {
    let mut world = World::new().await;
    world.settings.delete_after = SHORT;
    let _process = world.start().await;
    let mut watch = Watch::new(&world);
    world.dc.fault("messages.sendMessage", Fault::LoseAnswer, 1);
    world.send(ALICE, GET);
    until("a second try", || {
        world.dc.count("messages.sendMessage") >= 2
    })
    .await;
    watch.come_and_gone(1).await;
}

#[tokio::test]
async fn the_time_runs_from_the_first_try_that_may_have_arrived() {
    let mut world = World::new().await;
    world.settings.delete_after = Duration::from_secs(8);
    world.settings.request_timeout = Duration::from_secs(5);
    let _process = world.start().await;
    world.dc.fault("messages.sendMessage", Fault::LoseAnswer, 1);
    world.dc.fault("messages.sendMessage", Fault::Hang, 2);
    world.send(ALICE, GET);
    until("the last try, after more than 8 s", || {
        world.dc.count("messages.sendMessage") >= 4
    })
    .await;
    let began = std::time::Instant::now();
    world.until("deletion", |world| standing(world) == 0).await;
    let took = began.elapsed();
    assert!(took < Duration::from_secs(7), "{took:?}");
}

#[tokio::test]
async fn a_second_try_may_be_told_that_the_first_arrived() {
    let mut world = World::new().await;
    world.settings.delete_after = SHORT;
    let _process = world.start().await;
    for fault in [Fault::LoseAnswer, Fault::error(500, "RANDOM_ID_DUPLICATE")] {
        world.dc.fault("messages.sendMessage", fault, 1);
    }
    world.send(ALICE, GET);
    world.answer(ALICE, |_| true).await;
    world.until("deletion", |world| standing(world) == 0).await;
    // One more, if an answer took too long; it does not go on without end.
    assert!((2..=3).contains(&world.dc.count("messages.sendMessage")));
}

#[tokio::test]
async fn an_intent_without_a_message_is_cleared_away() {
    let world = World::new().await;
    let process = world.start().await;
    world.send(ALICE, "/help");
    world.answer(ALICE, |_| true).await;
    process.stop().await;
    let intent = format!(r#"{{"user":{ALICE},"hash":0,"since":1}}"#);
    let key = "deletions/telegram-1001-99";
    let coordination = &world.coordination;
    coordination.put(key, intent.as_bytes()).await.unwrap();
    let _process = world.start().await;
    world
        .until("no intent", |world| {
            world.coordination.count("deletions/") == 0
        })
        .await;
    assert_eq!(world.answers(ALICE).len(), 1, "what is no secret stays");
}

#[tokio::test]
async fn one_that_is_refused_holds_up_no_other() {
    let mut world = World::new().await;
    world.settings.delete_after = LONG;
    let process = world.start().await;
    for count in 1..=2 {
        world.send(ALICE, GET);
        world
            .until("a secret", |world| standing(world) == 2 * count)
            .await;
    }
    process.stop().await;
    // Both are due at once, so one call is for both, and then one for each.
    world.settings.delete_after = Duration::ZERO;
    let refusal = Fault::error(403, "MESSAGE_DELETE_FORBIDDEN");
    world.dc.fault("messages.deleteMessages", refusal, 2);
    let _process = world.start().await;
    world
        .until("the other goes at once", |world| standing(world) == 2)
        .await;
    assert_eq!(world.dc.count("messages.deleteMessages"), 3);
    world
        .until("the refused goes later", |world| standing(world) == 0)
        .await;
    assert_eq!(world.dc.count("messages.deleteMessages"), 4);
}

//! A message has one effect, also across restarts.

use vaultgram::broker::ports::Claim;
use vaultgram::broker::{Asked, Beside, Outcome};
use vaultgram::domain::{Action, Delivery};

use crate::world::{World, field};

const READ: Action = Action::Read(Delivery::Message);

#[tokio::test]
async fn what_is_begun_and_not_finished_is_interrupted_after_a_restart() {
    let mut world = World::new();
    let request = world.request(Action::Put { over: None }, "a");
    let fields = [field()];
    let beside = Beside::fields(&fields);
    let done = world.broker().handle_with(request.clone(), beside).await;
    assert!(matches!(done, Ok(Outcome::Written(_))));
    let again = world.broker().handle_with(request.clone(), beside).await;
    assert!(matches!(again, Ok(Outcome::Duplicate)));
    world.restart().await;
    world.store.take_calls();
    let after = world.broker().handle_with(request.clone(), beside).await;
    assert!(matches!(after, Ok(Outcome::Interrupted)));
    let again = world.broker().handle_with(request, beside).await;
    assert!(matches!(again, Ok(Outcome::Duplicate)), "that is told once");
    assert!(world.store.take_calls().is_empty());
}

#[tokio::test]
async fn what_changes_nothing_is_done_again() {
    let mut world = World::new();
    let changing = world.request(Action::Invoke(Delivery::Message), "db/creds/app");
    let made = world.request(READ, "db/creds/app");
    let read = world.request(READ, "a");
    let question = world.request(Action::Delete, "a");
    for request in [&changing, &made, &read, &question] {
        let claim = world.broker().claim(&request.id).await;
        assert_eq!(claim, Ok(Claim::Ours));
    }
    world.restart().await;
    for request in [changing, made] {
        let after = world.broker().handle(request).await;
        assert!(matches!(after, Ok(Outcome::Interrupted)));
    }
    assert!(world.store.take_calls().is_empty());
    let after = world.broker().handle(read.clone()).await;
    assert!(matches!(after, Ok(Outcome::Released(_))));
    let again = world.broker().handle(read).await;
    assert!(matches!(again, Ok(Outcome::Duplicate)), "once");
    let asked = world.broker().ask(&question).await;
    assert!(matches!(asked, Ok(Asked::Confirm { .. })));
}

#[tokio::test]
async fn what_is_finished_is_a_duplicate_after_a_restart() {
    let mut world = World::new();
    let request = world.request(READ, "a");
    world.broker().handle(request.clone()).await.ok().unwrap();
    world.broker().finish(&request.id).await.unwrap();
    world.restart().await;
    let after = world.broker().handle(request).await;
    assert!(matches!(after, Ok(Outcome::Duplicate)));

    // To finish what nobody claimed claims nothing.
    let other = world.id();
    world.broker().finish(&other).await.unwrap();
    assert_eq!(world.broker().claim(&other).await, Ok(Claim::Ours));
}

//! A message has one effect, also across restarts.

use vaultgram::broker::Outcome;
use vaultgram::broker::ports::Claim;
use vaultgram::domain::{Action, Delivery};

use crate::world::World;

const READ: Action = Action::Read(Delivery::Message);

#[tokio::test]
async fn what_is_begun_and_not_finished_is_interrupted_after_a_restart() {
    let mut world = World::new();
    let request = world.request(READ, "a");
    let done = world.broker().handle(request.clone()).await;
    assert!(matches!(done, Ok(Outcome::Released(_))));
    let again = world.broker().handle(request.clone()).await;
    assert!(matches!(again, Ok(Outcome::Duplicate)));
    world.restart().await;
    world.store.take_calls();
    let after = world.broker().handle(request.clone()).await;
    assert!(matches!(after, Ok(Outcome::Interrupted)));
    let again = world.broker().handle(request).await;
    assert!(matches!(again, Ok(Outcome::Duplicate)), "that is told once");
    assert!(world.store.take_calls().is_empty());
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

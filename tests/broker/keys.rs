//! People's public keys.

use tokio_util::task::TaskTracker;
use vaultgram::broker::{BrokerError, Outcome};
use vaultgram::domain::{Action, Delivery};

use crate::world::{ALICE, BOB, World, error, user};

pub(crate) const KEY: &str = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p";
const SEALED: Action = Action::Read(Delivery::Sealed);

pub(crate) async fn register(world: &World, who: (i64, u32), key: &str) -> Result<(), BrokerError> {
    let id = world.id();
    world.broker().register_key(&id, &user(who), key).await
}

fn generated() -> String {
    age::x25519::Identity::generate().to_public().to_string()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn there_are_five_at_most_however_many_come_at_once() {
    let world = World::new();
    let (broker, tasks) = (world.broker(), TaskTracker::new());
    let all: Vec<_> = (0..20)
        .map(|_| {
            let (broker, id, key) = (broker.clone(), world.id(), generated());
            tasks.spawn(async move { broker.register_key(&id, &user(ALICE), &key).await })
        })
        .collect();
    let mut registered = 0;
    for one in all {
        match one.await.unwrap() {
            Ok(()) => registered += 1,
            Err(error) => assert_eq!(error, BrokerError::TooManyKeys(5)),
        }
    }
    assert_eq!(registered, 5);
    assert_eq!(broker.keys(&user(ALICE)).await.unwrap().len(), 5);
    // Bob has his own.
    register(&world, BOB, KEY).await.unwrap();
    assert_eq!(broker.keys(&user(BOB)).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_sealed_answer_needs_a_key_of_ones_own() {
    let world = World::new();
    register(&world, BOB, KEY).await.unwrap();
    assert_eq!(error(world.ask(SEALED, "a").await), BrokerError::NoKey);
    assert!(world.store.take_calls().is_empty());
    register(&world, ALICE, KEY).await.unwrap();
    let sealed = world.ask(SEALED, "a").await;
    assert!(matches!(sealed, Ok(Outcome::Sealed(sealed)) if sealed.keys == 1));
}

#[tokio::test]
async fn a_key_is_forgotten_in_any_notation_and_only_ones_own() {
    let world = World::new();
    register(&world, ALICE, KEY).await.unwrap();
    let forget = async |who, key: &str| {
        let id = world.id();
        world.broker().forget_key(&id, &user(who), key).await
    };
    assert_eq!(forget(BOB, KEY).await, Err(BrokerError::UnknownKey));
    let capitals = format!(" {} ", KEY.to_uppercase());
    assert_eq!(forget(ALICE, &capitals).await, Ok(()));
    assert_eq!(forget(ALICE, KEY).await, Err(BrokerError::UnknownKey));
}

#[tokio::test]
async fn an_unrecorded_key_is_not_registered_and_one_not_forgotten() {
    let world = World::new();
    world.audit.fail_in(1);
    let failed = error(register(&world, ALICE, KEY).await);
    assert!(matches!(failed, BrokerError::Audit(_)));
    assert!(world.broker().keys(&user(ALICE)).await.unwrap().is_empty());
    register(&world, ALICE, KEY).await.unwrap();
    world.audit.fail_in(1);
    let id = world.id();
    let failed = world.broker().forget_key(&id, &user(ALICE), KEY).await;
    assert!(matches!(failed, Err(BrokerError::Audit(_))));
    assert_eq!(world.broker().keys(&user(ALICE)).await.unwrap().len(), 1);
}

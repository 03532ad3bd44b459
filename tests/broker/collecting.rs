//! Asked for in chat, collected on the host: by one user, once, while it may be.

use std::time::Duration;

use tokio_util::task::TaskTracker;
use vaultgram::broker::ports::StoreError;
use vaultgram::broker::{BrokerError, Collected, Offer, Outcome};
use vaultgram::domain::policy::DenialReason;
use vaultgram::domain::{Action, AuditEvent, Delivery};

use crate::world::{ALICE, BOB, VALUE, World, error, peer};

async fn offer(world: &World, target: &str) -> Offer {
    let outcome = world.ask(Action::Read(Delivery::Socket), target).await;
    let Ok(Outcome::Offered(offer)) = outcome else {
        panic!("no offer");
    };
    world.store.take_calls();
    world.audit.take();
    offer
}

async fn collect(world: &World, code: &str, who: (i64, u32)) -> Result<Collected, BrokerError> {
    world.broker().collect(code, &peer(who)).await
}

fn released(collected: Result<Collected, BrokerError>) -> bool {
    let Ok(Collected::Released(secret)) = collected else {
        return false;
    };
    assert_eq!(secret.fields[0].json.expose_secret(), VALUE.as_bytes());
    true
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_at_once_one_gets_it() {
    let world = World::new();
    for _ in 0..5 {
        let code = offer(&world, "a").await.code;
        let (broker, tasks) = (world.broker(), TaskTracker::new());
        let all: Vec<_> = (0..64)
            .map(|_| {
                let (broker, code) = (broker.clone(), code.clone());
                tasks.spawn(async move { broker.collect(&code, &peer(ALICE)).await })
            })
            .collect();
        let mut got = 0;
        for one in all {
            got += usize::from(released(one.await.unwrap()));
        }
        assert_eq!(got, 1);
        let collected = |event: &AuditEvent| matches!(event, AuditEvent::Collected { .. });
        let events = world.audit.take();
        assert_eq!(events.iter().filter(|event| collected(event)).count(), 1);
        assert!(!released(collect(&world, &code, ALICE).await), "nor later");
    }
}

#[tokio::test]
async fn only_whose_it_is_and_only_in_time() {
    let mut world = World::new();
    let code = offer(&world, "a").await.code;
    let nothing = BrokerError::NothingToCollect;
    assert_eq!(error(collect(&world, &code, BOB).await), nothing);
    assert_eq!(error(collect(&world, "", ALICE).await), nothing);

    // The account is another user's by now, or nobody's.
    for now in [Some(BOB.1), None] {
        match now {
            Some(uid) => world.unix_users.insert(ALICE.0, uid),
            None => world.unix_users.remove(&ALICE.0),
        };
        for who in [ALICE, BOB] {
            assert_eq!(error(collect(&world, &code, who).await), nothing);
        }
    }
    world.unix_users.insert(ALICE.0, ALICE.1);
    assert!(world.store.take_calls().is_empty());
    assert!(released(collect(&world, &code, ALICE).await));

    let late = offer(&world, "a").await;
    world.clock.pass(Duration::from_mins(10));
    assert_eq!(error(collect(&world, &late.code, ALICE).await), nothing);
    assert!(world.store.take_calls().is_empty());
}

#[tokio::test]
async fn an_offer_is_not_handed_out_while_chat_is_locked() {
    let world = World::new();
    let code = offer(&world, "a").await.code;
    world.broker().lock_chat().await.unwrap();
    let Ok(Collected::Denied(denial)) = collect(&world, &code, ALICE).await else {
        panic!("it must be denied");
    };
    assert_eq!(denial.reason, DenialReason::ChatLocked);
    assert!(world.store.take_calls().is_empty());
    let id = world.id();
    let opened = world.broker().unlock_chat(&id, &peer(ALICE)).await;
    assert_eq!(opened, Ok(true));
    assert!(released(collect(&world, &code, ALICE).await));
}

#[tokio::test]
async fn what_could_not_be_read_uses_nothing_up() {
    let world = World::new();
    let code = offer(&world, "a").await.code;
    world.store.fail(Some(StoreError::Unavailable));
    let unavailable = BrokerError::Store(StoreError::Unavailable);
    assert_eq!(error(collect(&world, &code, ALICE).await), unavailable);
    world.store.fail(None);
    assert!(released(collect(&world, &code, ALICE).await));
}

#[tokio::test]
async fn what_is_not_recorded_is_not_handed_over() {
    let world = World::new();
    let code = offer(&world, "a").await.code;
    world.audit.fail_in(1);
    let failed = error(collect(&world, &code, ALICE).await);
    assert!(matches!(failed, BrokerError::Audit(_)));
    assert!(world.store.take_calls().is_empty());
    world.audit.fail_in(2);
    let failed = error(collect(&world, &code, ALICE).await);
    assert!(matches!(failed, BrokerError::Audit(_)));
    // It was claimed, and is not given a second time.
    let failed = error(collect(&world, &code, ALICE).await);
    assert_eq!(failed, BrokerError::NothingToCollect);
}

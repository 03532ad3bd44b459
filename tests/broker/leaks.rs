//! A leak that the audit does not take is recorded as soon as it does, by whichever process.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use vaultgram::broker::{Broker, Leak};
use vaultgram::domain::{Action, AuditEntry, AuditEvent, Delivery, RequestId};

use crate::world::{VALUE, World};

const MESSAGE: RequestId = RequestId::Message {
    chat: -1,
    message: 7,
};
/// Where they wait.
const WAITING: &str = "leaks/unrecorded/";

/// A broker that handed out a secret of Alice's, which then stood in a message.
async fn leaking(world: &World) -> (Arc<Broker>, Vec<Leak>) {
    let broker = world.broker();
    broker.watch_for_leaks();
    let request = world.request(Action::Read(Delivery::Message), "django/database");
    broker.handle(request).await.ok().unwrap();
    world.audit.take();
    let leaks = broker.leaks_in(VALUE);
    assert_eq!(leaks.len(), 1);
    (broker, leaks)
}

/// What is recorded until there is something, and a second more.
async fn recorded(world: &World, broker: &Broker) -> Vec<AuditEntry> {
    let stop = CancellationToken::new();
    let waiting = async {
        while world.audit.entries.lock().unwrap().is_empty() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
        stop.cancel();
    };
    let both = async { tokio::join!(broker.record_leaks(stop.clone()), waiting) };
    let in_time = tokio::time::timeout(Duration::from_secs(30), both).await;
    assert!(in_time.is_ok(), "it is not recorded");
    world.audit.take_entries()
}

async fn waiting(world: &World) -> usize {
    use vaultgram::broker::ports::Coordination;
    world.coordination.list(WAITING).await.unwrap().len()
}

/// As an audit that works has it.
async fn expected(broker: &Broker, world: &World, leaks: &[Leak]) -> Vec<AuditEntry> {
    broker.leaked(leaks, &MESSAGE, Some(6666)).await.unwrap();
    let expected = world.audit.take_entries();
    let [entry] = &expected[..] else {
        panic!("{expected:?}")
    };
    assert!(matches!(entry.event, AuditEvent::Leaked { .. }));
    expected
}

#[tokio::test]
async fn what_the_audit_does_not_take_at_once_it_takes_later() {
    let world = World::new();
    let (broker, leaks) = leaking(&world).await;
    let expected = expected(&broker, &world, &leaks).await;
    world.audit.fail_in(1);
    broker.leaked(&leaks, &MESSAGE, Some(6666)).await.unwrap();
    assert_eq!((world.audit.take(), waiting(&world).await), (vec![], 1));
    world.clock.pass(Duration::from_mins(1));
    assert_eq!(recorded(&world, &broker).await, expected, "as it was found");
    assert_eq!(waiting(&world).await, 0);
    // And what comes while it looks after them.
    let stop = CancellationToken::new();
    let late = async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        world.audit.fail_in(1);
        broker.leaked(&leaks, &MESSAGE, None).await.unwrap();
        while world.audit.entries.lock().unwrap().is_empty() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        stop.cancel();
    };
    let both = async { tokio::join!(broker.record_leaks(stop.clone()), late) };
    let in_time = tokio::time::timeout(Duration::from_secs(30), both).await;
    assert!(in_time.is_ok(), "it is not recorded");
}

#[tokio::test]
async fn the_next_process_records_what_this_one_could_not() {
    let mut world = World::new();
    let (broker, leaks) = leaking(&world).await;
    let mut expected = expected(&broker, &world, &leaks).await;
    world.audit.fail_in(1);
    broker.leaked(&leaks, &MESSAGE, Some(6666)).await.unwrap();
    world.restart().await;
    let recorded = recorded(&world, &world.broker()).await;
    // Kept to the millisecond, which is what a record shows.
    let at = expected[0].at;
    expected[0].at = at.replace_millisecond(at.millisecond()).unwrap();
    assert_eq!(recorded, expected);
    assert_eq!(waiting(&world).await, 0);
}

#[tokio::test]
async fn without_a_state_store_it_waits_in_memory_and_that_is_said() {
    let world = World::new();
    let (broker, leaks) = leaking(&world).await;
    world.coordination.close().await.unwrap();
    world.audit.fail_in(1);
    let kept = broker.leaked(&leaks, &MESSAGE, Some(6666)).await;
    assert!(kept.is_err(), "a later process would not know");
    assert_eq!(recorded(&world, &broker).await.len(), 1);
}

#[tokio::test]
async fn a_stop_tries_once_more() {
    let world = World::new();
    let (broker, leaks) = leaking(&world).await;
    world.audit.fail_in(1);
    broker.leaked(&leaks, &MESSAGE, None).await.unwrap();
    let stop = CancellationToken::new();
    // The first try fails too, and the next would come too late.
    world.audit.fail_in(1);
    let soon = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        stop.cancel();
    };
    tokio::join!(broker.record_leaks(stop.clone()), soon);
    assert_eq!(world.audit.take().len(), 1);
}

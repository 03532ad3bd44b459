//! No audit, no secret; and what was done is never told to have been refused.

use vaultgram::broker::ports::StoreError;
use vaultgram::broker::{Asked, BrokerError, Outcome};
use vaultgram::domain::{Action, AuditEvent, Delivery, Recipe};

use crate::keys::{KEY, register};
use crate::world::{ALICE, World, error};

const ROTATE: Action = Action::Rotate {
    recipe: Recipe::Password,
    over: 3,
};

/// Every action, on what, and what of the store does the work.
const ACTIONS: [(Action, &str, &str); 14] = [
    (Action::Read(Delivery::Message), "a", "read"),
    (Action::Read(Delivery::Wrapped), "a", "wrap"),
    (Action::Read(Delivery::Sealed), "a#password", "read"),
    (Action::Read(Delivery::Socket), "a", ""),
    (Action::List, "a", "list"),
    (Action::Versions, "a", "history"),
    (Action::Put { over: Some(3) }, "a", "put"),
    (Action::Patch { over: None }, "a", "patch"),
    (ROTATE, "a#password", "patch"),
    (Action::Delete, "a", "delete"),
    (Action::Undelete, "a@1", "undelete"),
    (Action::Destroy, "a@1", "destroy"),
    (Action::Invoke(Delivery::Wrapped), "db/a", "invoke_wrapped"),
    // What is not recorded is taken back.
    (Action::Read(Delivery::Message), "db/a", "revoke"),
];

#[tokio::test]
async fn what_is_not_recorded_is_not_done_or_not_handed_over() {
    let world = World::new();
    register(&world, ALICE, KEY).await.unwrap();
    for (action, target, call) in ACTIONS {
        // The decision.
        world.audit.fail_in(1);
        let failed = error(world.ask(action, target).await);
        assert!(matches!(failed, BrokerError::Audit(_)), "{action:?}");
        assert!(world.store.take_calls().is_empty(), "{action:?}");

        // What came of it.
        world.audit.fail_in(2);
        let failed = error(world.ask(action, target).await);
        if action.changes() {
            assert_eq!(failed, BrokerError::DoneUnrecorded, "{action:?}");
        } else {
            assert!(matches!(failed, BrokerError::Audit(_)), "{action:?}");
        }
        let calls = world.store.take_calls();
        assert_eq!(calls.last().copied().unwrap_or(""), call, "{action:?}");

        world.audit.fail_in(3);
        assert!(world.ask(action, target).await.is_ok(), "{action:?}");
        world.store.take_calls();
    }
}

#[tokio::test]
async fn an_unrecorded_failure_is_not_told_as_done() {
    let world = World::new();
    for (fails, told) in [
        (StoreError::Unclear, "store_unclear"),
        (StoreError::Conflict { current: 4 }, "audit_unavailable"),
        (StoreError::Unavailable, "audit_unavailable"),
    ] {
        world.store.fail(Some(fails));
        world.audit.fail_in(2);
        let failed = error(world.ask(Action::Patch { over: None }, "a").await);
        assert_eq!(failed.name(), told);
    }
}

#[tokio::test]
async fn a_question_is_on_record_before_it_is_asked() {
    let world = World::new();
    for count in [1, 2] {
        world.audit.fail_in(count);
        let request = world.request(Action::Delete, "a");
        let failed = error(world.broker().ask(&request).await);
        assert!(matches!(failed, BrokerError::Audit(_)));
    }
    let request = world.request(Action::Delete, "a");
    let asked = world.broker().ask(&request).await;
    assert!(matches!(asked, Ok(Asked::Confirm { current: 3 })));
}

#[tokio::test]
async fn a_change_is_recorded_with_its_version() {
    let world = World::new();
    for (action, target, wanted) in [
        (
            Action::Put { over: Some(3) },
            "a",
            AuditEvent::Written { version: Some(4) },
        ),
        (
            Action::Delete,
            "a",
            AuditEvent::Deleted { version: Some(3) },
        ),
        (
            Action::Delete,
            "a@2",
            AuditEvent::Deleted { version: Some(2) },
        ),
        (
            Action::Undelete,
            "a@1",
            AuditEvent::Undeleted { version: 1 },
        ),
    ] {
        world.ask(action, target).await.ok().unwrap();
        assert_eq!(world.audit.take().last(), Some(&wanted));
    }
    let deleted = world.ask(Action::Delete, "a@2").await;
    assert!(matches!(deleted, Ok(Outcome::Deleted(Some(2)))));
}

#[tokio::test]
async fn what_is_at_hand_is_decided_and_released_in_one_record_of_both() {
    let world = World::new();
    register(&world, ALICE, KEY).await.unwrap();
    *world.store.at_hand.lock().unwrap() = true;
    let records = || std::mem::take(&mut *world.audit.entries.lock().unwrap());
    records();
    let read = Action::Read(Delivery::Message);
    let Ok(Outcome::Released(secret)) = world.ask(read, "a#password").await else {
        panic!("it is not released");
    };
    assert_eq!(secret.fields.len(), 1);
    let [decided, released] = &records()[..] else {
        panic!("not two records");
    };
    assert!(matches!(
        decided.event,
        AuditEvent::Decided { allowed: true, .. }
    ));
    assert!(matches!(&released.event, AuditEvent::Released(it) if it.version == Some(3)));
    assert!(world.store.take_calls().is_empty());

    // Both or none, and then nothing is handed over.
    world.audit.fail_in(1);
    assert!(matches!(
        error(world.ask(read, "a").await),
        BrokerError::Audit(_)
    ));
    assert!(records().is_empty());

    // Not for whom policy refuses, and not where more is to be done than to hand it over.
    let forbidden = world.ask(read, "forbidden").await;
    assert!(matches!(forbidden, Ok(Outcome::Denied(_))));
    assert_eq!(records().len(), 1);
    for (action, target, call) in [
        (Action::Read(Delivery::Wrapped), "a", "wrap"),
        (Action::Read(Delivery::Sealed), "a", "read"),
        (read, "a#other", "read"),
    ] {
        drop(world.ask(action, target).await);
        assert_eq!(world.store.take_calls(), [call], "{action:?}");
        assert_eq!(records().len(), 2);
    }
}

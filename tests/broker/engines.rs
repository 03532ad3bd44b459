//! Mounts without versions: what means nothing there, and what nobody gets is taken back.

use vaultgram::broker::ports::StoreError;
use vaultgram::broker::{Asked, BrokerError, Outcome};
use vaultgram::domain::{Action, AuditEvent, Delivery, Reading, Recipe};

use crate::keys::{KEY, register};
use crate::world::{ALICE, LEASE, World, error, peer};

const READ: Action = Action::Read(Delivery::Message);
const INVOKE: Action = Action::Invoke(Delivery::Message);

#[tokio::test]
async fn what_means_nothing_where_it_is_asked_is_refused_with_a_reason() {
    let world = World::new();
    let rotate = Action::Rotate {
        recipe: Recipe::Hex,
        over: 0,
    };
    for (action, target, refused) in [
        (INVOKE, "secret/a", BrokerError::NotAnEngine),
        (INVOKE, "old/a", BrokerError::NotAnEngine),
        (READ, "old/a@1", BrokerError::NoVersions),
        (Action::Versions, "old/a", BrokerError::NoVersions),
        (Action::Undelete, "old/a", BrokerError::NoVersions),
        (Action::Destroy, "old/a", BrokerError::NoVersions),
        (
            Action::Patch { over: None },
            "old/a",
            BrokerError::OnlyWhole,
        ),
        (rotate, "old/a#password", BrokerError::OnlyWhole),
        (READ, "db/a@1", BrokerError::NoVersions),
        (INVOKE, "db/a@1", BrokerError::MeaninglessVersion),
        (Action::Versions, "db/a", BrokerError::NotKv),
        (Action::Put { over: Some(0) }, "db/a", BrokerError::NotKv),
        (Action::Patch { over: None }, "db/a", BrokerError::NotKv),
        (Action::Delete, "db/a", BrokerError::NotKv),
        (rotate, "db/a#password", BrokerError::NotKv),
        (
            Action::Invoke(Delivery::Socket),
            "db/a",
            BrokerError::InvokeOnHost,
        ),
        (
            Action::Destroy,
            "secret/a#password",
            BrokerError::MeaninglessField,
        ),
    ] {
        let asked = error(world.broker().ask(&world.request(action, target)).await);
        let done = error(world.ask(action, target).await);
        assert_eq!((&asked, &done), (&refused, &refused), "{action:?} {target}");
    }
    let done = error(world.ask(Action::Destroy, "secret/a").await);
    assert_eq!(done, BrokerError::NoVersionNamed);
    assert!(world.store.take_calls().is_empty());
    let done = world.ask(Action::Destroy, "secret/a@2").await;
    assert!(matches!(done, Ok(Outcome::Destroyed(2))));
    let destroyed = AuditEvent::Destroyed { version: 2 };
    assert_eq!(world.audit.take().last(), Some(&destroyed));
}

#[tokio::test]
async fn where_there_are_no_versions_a_question_is_about_what_is_there() {
    let world = World::new();
    let ask = async |action| {
        let request = world.request(action, "old/a");
        match world.broker().ask(&request).await {
            Ok(Asked::Confirm { current }) => Ok(current),
            Ok(_) => panic!("it must be asked"),
            Err(error) => Err(error),
        }
    };
    assert_eq!(ask(Action::Delete).await, Ok(1));
    assert_eq!(ask(Action::Put { over: Some(0) }).await, Ok(1));
    *world.store.absent.lock().unwrap() = true;
    let absent = BrokerError::Store(StoreError::NotFound);
    assert_eq!(ask(Action::Delete).await, Err(absent));
    assert_eq!(ask(Action::Put { over: Some(0) }).await, Ok(0));
    assert_eq!(world.store.take_calls(), ["exists"; 4]);
}

#[tokio::test]
async fn a_lease_is_on_record_and_what_nobody_gets_is_taken_back() {
    let world = World::new();
    register(&world, ALICE, KEY).await.unwrap();
    let sealed = [
        (Action::Read(Delivery::Sealed), "read"),
        (Action::Invoke(Delivery::Sealed), "invoke"),
    ];
    for (action, call) in [(READ, "read"), (INVOKE, "invoke")]
        .into_iter()
        .chain(sealed)
    {
        world.ask(action, "db/creds/app").await.ok().unwrap();
        assert_eq!(world.store.take_calls(), [call], "it is handed over");
        let last = world.audit.take().pop().unwrap();
        assert_eq!(last.lease(), Some(LEASE), "{last:?}");

        world.audit.fail_in(2);
        assert!(world.ask(action, "db/creds/app").await.is_err());
        assert_eq!(world.store.take_calls(), [call, "revoke"], "{action:?}");
    }
    // What was invoked is done, and must not look as if nothing had happened.
    for (action, call, name) in [
        (READ, "read", "no_such_field"),
        (INVOKE, "invoke", "done_no_such_field"),
    ] {
        let failed = error(world.ask(action, "db/creds/app#nothing").await);
        assert_eq!(failed.name(), name);
        assert_eq!(world.store.take_calls(), [call, "revoke"], "{action:?}");
    }
}

#[tokio::test]
async fn what_cannot_be_collected_is_taken_back() {
    let world = World::new();
    let offer = async || match world
        .ask(Action::Read(Delivery::Socket), "db/creds/app")
        .await
    {
        Ok(Outcome::Offered(offer)) => offer.code,
        _ => panic!("it is offered"),
    };
    let code = offer().await;
    world
        .broker()
        .collect(&code, &peer(ALICE))
        .await
        .ok()
        .unwrap();
    assert_eq!(world.store.take_calls(), ["read"]);
    let collected = |event: &AuditEvent| event.lease() == Some(LEASE);
    assert!(world.audit.take().iter().any(collected));

    let code = offer().await;
    world.audit.fail_in(2);
    let failed = error(world.broker().collect(&code, &peer(ALICE)).await);
    assert!(matches!(failed, BrokerError::Audit(_)), "{failed}");
    assert_eq!(world.store.take_calls(), ["read", "revoke"]);

    // Of two at once, one comes too late.
    let code = offer().await;
    let (broker, alice) = (world.broker(), peer(ALICE));
    let both = tokio::join!(broker.collect(&code, &alice), broker.collect(&code, &alice));
    assert_ne!(both.0.is_ok(), both.1.is_ok());
    let calls = world.store.take_calls();
    assert_eq!(
        calls.iter().filter(|call| **call == "revoke").count(),
        1,
        "{calls:?}"
    );
}

#[tokio::test]
async fn an_engines_work_that_is_not_recorded_is_not_told_as_not_done() {
    let world = World::new();
    world.audit.fail_in(2);
    let failed = error(world.ask(INVOKE, "db/rotate-root/pg").await);
    assert_eq!(failed, BrokerError::DoneUnrecorded);
    let reading = Reading::default();
    assert_eq!(AuditEvent::Released(reading).lease(), None);
}

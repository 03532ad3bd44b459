//! The lock on chat holds in the broker, whatever a front end forgets.

use vaultgram::broker::{BrokerError, Outcome};
use vaultgram::domain::policy::DenialReason;
use vaultgram::domain::{Action, AuditEvent, Caller, Delivery};

use crate::keys::{KEY, register};
use crate::world::{ALICE, World, error, peer, user};

#[tokio::test]
async fn nothing_comes_of_chat_while_it_is_locked() {
    let mut world = World::new();
    register(&world, ALICE, KEY).await.unwrap();
    world.broker().lock_chat().await.unwrap();
    world.audit.take();
    world.restart().await;
    for delivery in Delivery::ALL {
        let outcome = world.ask(Action::Read(delivery), "a").await;
        let Ok(Outcome::Denied(denial)) = outcome else {
            panic!("{delivery:?}");
        };
        assert_eq!(denial.reason, DenialReason::ChatLocked);
    }
    let denied = AuditEvent::Decided {
        allowed: false,
        reason: Some("chat_locked"),
        policies: vec![],
        vault_role: None,
        grant: None,
    };
    assert_eq!(world.audit.take(), vec![denied; 4]);
    let id = world.id();
    let forgotten = world.broker().forget_key(&id, &user(ALICE), KEY).await;
    assert_eq!(forgotten, Err(BrokerError::ChatLocked));
    let registered = register(&world, ALICE, KEY).await;
    assert_eq!(registered, Err(BrokerError::ChatLocked));
    assert!(world.store.take_calls().is_empty());

    // The socket is not chat.
    let mut request = world.request(Action::Read(Delivery::Socket), "a");
    request.caller = Caller::Unix(peer(ALICE));
    let outcome = world.broker().handle(request).await;
    assert!(matches!(outcome, Ok(Outcome::Released(_))));
}

#[tokio::test]
async fn both_are_on_record_and_a_failing_audit_keeps_it_locked() {
    let world = World::new();
    let broker = world.broker();
    let (id, root) = (world.id(), peer((0, 0)));
    assert_eq!(broker.unlock_chat(&id, &root).await, Ok(false));
    assert!(world.audit.take().is_empty());

    world.audit.fail_in(1);
    broker.lock_chat().await.unwrap();
    assert_eq!(broker.chat_locked().await, Ok(true));
    world.audit.fail_in(1);
    let failed = error(broker.unlock_chat(&id, &root).await);
    assert!(matches!(failed, BrokerError::Audit(_)));
    assert_eq!(broker.chat_locked().await, Ok(true));

    broker.lock_chat().await.unwrap();
    assert_eq!(world.audit.take(), [AuditEvent::ChatLocked]);
    assert_eq!(broker.unlock_chat(&id, &root).await, Ok(true));
    assert_eq!(world.audit.take(), [AuditEvent::ChatUnlocked]);
    assert_eq!(broker.chat_locked().await, Ok(false));
}

//! Leases of what was handed over: whose they are, how they are kept, renewed and revoked.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use vaultgram::broker::ports::{Coordination, StoreError};
use vaultgram::broker::{Broker, BrokerError, LeaseInfo, LeaseName, Outcome};
use vaultgram::domain::caller::UnixPeer;
use vaultgram::domain::{Action, AuditEvent, Caller, Delivery, LeaseAction, Subject};

use crate::world::{ALICE, BOB, CAROL, LEASE, World, error, peer, user};

const HOUR: Duration = Duration::from_hours(1);

fn chat(who: (i64, u32)) -> Caller {
    Caller::Telegram(user(who))
}

/// A broker that handed a dynamic secret to Alice, and its lease's code.
async fn handed_over(world: &World) -> (Arc<Broker>, String) {
    let broker = world.broker();
    let code = ask(world, &broker).await;
    (broker, code)
}

async fn ask(world: &World, broker: &Broker) -> String {
    let request = world.request(Action::Read(Delivery::Message), "db/creds/app");
    let Ok(Outcome::Released(secret)) = broker.handle(request).await else {
        panic!("it is released")
    };
    world.store.take_calls();
    world.audit.take();
    secret.lease().unwrap().code.clone().unwrap()
}

async fn leases(broker: &Broker, caller: &Caller) -> Vec<LeaseInfo> {
    broker.leases(caller).await.unwrap()
}

async fn stored(world: &World) -> usize {
    world.coordination.list("leases/").await.unwrap().len()
}

/// Runs the broker's looking after leases; to be cancelled.
fn looked_after(broker: &Arc<Broker>) -> (CancellationToken, tokio::task::JoinHandle<()>) {
    let (broker, stop) = (Arc::clone(broker), CancellationToken::new());
    let stopped = stop.clone();
    let running = TaskTracker::new().spawn(async move { broker.run_leases(stopped).await });
    (stop, running)
}

async fn until(what: &str, holds: impl Fn() -> bool) {
    for _ in 0..1000 {
        if holds() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("never: {what}");
}

#[tokio::test]
async fn only_its_holder_and_administrators_have_a_lease() {
    let world = World::new();
    let (broker, code) = handed_over(&world).await;
    let name = LeaseName::Code(&code);
    let seen = leases(&broker, &chat(ALICE)).await;
    assert_eq!(seen.len(), 1);
    assert_eq!(
        (seen[0].code.as_str(), seen[0].lease.as_str()),
        (&*code, LEASE)
    );
    assert_eq!(
        (seen[0].path.as_str(), seen[0].holder.as_str()),
        ("db/creds/app", "telegram:1001")
    );
    assert!(seen[0].left > HOUR / 2 && seen[0].left <= HOUR && seen[0].kept.is_none());

    let root = UnixPeer {
        uid: 0,
        ..peer(BOB)
    };
    for may in [
        chat((CAROL, 0)),
        Caller::Unix(peer(ALICE)),
        Caller::Unix(root),
    ] {
        assert_eq!(leases(&broker, &may).await.len(), 1, "{may}");
        assert!(
            broker.lease(&may, LeaseName::Id(LEASE)).await.is_ok(),
            "{may}"
        );
    }
    for other in [chat(BOB), Caller::Unix(peer(BOB))] {
        assert!(leases(&broker, &other).await.is_empty(), "{other}");
        for name in [
            name,
            LeaseName::Id(LEASE),
            LeaseName::Code("XXXX"),
            LeaseName::Id("db/x"),
        ] {
            let id = world.id();
            let failed = [
                error(broker.lease(&other, name).await),
                error(broker.renew_lease(&id, &other, name, HOUR).await),
                error(broker.revoke_lease(&id, &other, name).await),
            ];
            assert!(
                failed
                    .iter()
                    .all(|error| *error == BrokerError::UnknownLease)
            );
        }
        let kept = broker.keep_lease(&world.id(), &other, name, HOUR).await;
        assert_eq!(error(kept), BrokerError::UnknownLease);
    }
    assert!(world.store.take_calls().is_empty());
    let refused = world.audit.take();
    let refusal = AuditEvent::Decided {
        allowed: false,
        reason: Some("not_the_holder"),
        policies: vec![],
        vault_role: None,
        grant: None,
    };
    // Two callers, two names that mean a lease, two actions; and keeping.
    assert_eq!(refused, vec![refusal; 2 * 2 * 2 + 2]);
}

#[tokio::test]
async fn a_kept_lease_is_asked_for_in_full_and_granted_step_by_step() {
    let world = World::new();
    let (broker, code) = handed_over(&world).await;
    let keep = async |span| {
        broker
            .keep_lease(&world.id(), &chat(ALICE), LeaseName::Code(&code), span)
            .await
    };
    // It lasts that long anyway.
    let kept = keep(HOUR / 2).await.unwrap();
    assert!(!kept.cut && kept.lease.left > HOUR / 2);
    assert!(world.store.take_calls().is_empty());
    world.audit.take();

    let kept = keep(2 * HOUR).await.unwrap();
    assert!(!kept.cut && kept.lease.left <= HOUR && kept.lease.kept.unwrap() > HOUR);
    assert_eq!(world.store.take_calls(), ["renew", "renew"]);
    let [decided, kept, renewed] = world.audit.take().try_into().unwrap();
    assert!(matches!(decided, AuditEvent::Decided { allowed: true, .. }));
    assert_eq!(kept, AuditEvent::LeaseKept { seconds: 7200 });
    assert_eq!(renewed, AuditEvent::LeaseRenewed { seconds: 3600 });

    let kept = keep(8 * HOUR).await.unwrap();
    assert!(kept.cut && kept.lease.kept.unwrap() <= 2 * HOUR, "{kept:?}");
    for wrong in [Duration::ZERO, 24 * 31 * HOUR] {
        assert_eq!(error(keep(wrong).await), BrokerError::KeptTooLong);
    }
    world.audit.take();
    world.store.take_calls();
    // No record, no effect.
    for fails in [1, 2] {
        world.audit.fail_in(fails);
        assert_eq!(error(keep(8 * HOUR).await).name(), "audit_unavailable");
        assert!(world.store.take_calls().is_empty(), "{fails}");
    }
    world.audit.take();
    world.store.fail(Some(StoreError::Unavailable));
    assert_eq!(error(keep(8 * HOUR).await).name(), "store_unavailable");
    let reason = "store_unavailable";
    assert_eq!(
        world.audit.take().last(),
        Some(&AuditEvent::Failed { reason })
    );
}

#[tokio::test]
async fn what_cannot_be_renewed_is_kept_only_for_what_it_lasts() {
    let world = World::new();
    world.store.lease.lock().unwrap().renewable = false;
    let (broker, code) = handed_over(&world).await;
    let keep = async |span| {
        broker
            .keep_lease(&world.id(), &chat(ALICE), LeaseName::Code(&code), span)
            .await
    };
    assert!(keep(HOUR / 2).await.is_ok());
    assert_eq!(error(keep(2 * HOUR).await), BrokerError::NotRenewable);
    assert!(world.store.take_calls().is_empty());
}

#[tokio::test]
async fn a_lease_is_revoked_once_and_on_record() {
    let world = World::new();
    let (broker, code) = handed_over(&world).await;
    assert_eq!(stored(&world).await, 1);
    let alice = chat(ALICE);
    world.store.fail(Some(StoreError::Unavailable));
    let (id, name) = (world.id(), LeaseName::Code(&code));
    let failed = broker.revoke_lease(&id, &alice, name).await;
    assert_eq!(error(failed).name(), "store_unavailable");
    assert_eq!(leases(&broker, &alice).await.len(), 1, "it is still there");
    world.store.fail(None);
    let revoked = broker.revoke_lease(&id, &alice, name).await.unwrap();
    assert_eq!(revoked.lease, LEASE);
    assert_eq!(world.audit.take().last(), Some(&AuditEvent::LeaseRevoked));
    assert!(leases(&broker, &alice).await.is_empty());
    assert_eq!(stored(&world).await, 0);
    let again = broker.revoke_lease(&id, &alice, name).await;
    assert_eq!(error(again), BrokerError::UnknownLease);

    let code = ask(&world, &broker).await;
    world.audit.fail_in(2);
    let revoked = broker
        .revoke_lease(&id, &alice, LeaseName::Code(&code))
        .await;
    assert_eq!(error(revoked), BrokerError::DoneUnrecorded);
    assert!(leases(&broker, &alice).await.is_empty());
}

#[tokio::test]
async fn while_chat_is_locked_nothing_is_done_with_a_lease_from_there() {
    let world = World::new();
    let (broker, code) = handed_over(&world).await;
    broker.lock_chat().await.unwrap();
    let (id, name) = (world.id(), LeaseName::Code(&code));
    let refused = broker.revoke_lease(&id, &chat(ALICE), name).await;
    assert_eq!(error(refused), BrokerError::ChatLocked);
    let host = Caller::Unix(peer(ALICE));
    assert!(broker.revoke_lease(&id, &host, name).await.is_ok());
}

#[tokio::test]
async fn kept_leases_are_renewed_in_time_and_others_end() {
    let world = World::new();
    world.store.lease.lock().unwrap().duration = Duration::from_secs(3);
    let (broker, kept) = handed_over(&world).await;
    let other = ask(&world, &broker).await;
    let span = Duration::from_mins(1);
    broker
        .keep_lease(&world.id(), &chat(ALICE), LeaseName::Code(&kept), span)
        .await
        .unwrap();
    world.store.take_calls();
    world.audit.take();
    let (stop, running) = looked_after(&broker);
    until("the other one ends", || broker.lease_count() == 1).await;
    let left = leases(&broker, &chat(ALICE)).await;
    assert!(left[0].code == kept && kept != other && left[0].renewed.is_some());
    assert!(world.store.take_calls().contains(&"renew"));
    let renewed = AuditEvent::LeaseRenewed { seconds: 3 };
    assert!(world.audit.take().contains(&renewed));
    assert_eq!(stored(&world).await, 1);

    // An outage is outlasted, for as long as the lease lasts.
    world.store.fail(Some(StoreError::Unavailable));
    until("it is tried", || {
        !world.store.calls.lock().unwrap().is_empty()
    })
    .await;
    world.store.fail(None);
    until("renewed again", || {
        world
            .store
            .calls
            .lock()
            .unwrap()
            .iter()
            .filter(|call| **call == "renew")
            .count()
            > 2
    })
    .await;

    stop.cancel();
    running.await.unwrap();
    assert_eq!(world.store.take_calls().last(), Some(&"revoke"));
    assert_eq!(world.audit.take().last(), Some(&AuditEvent::LeaseRevoked));
    assert_eq!((broker.lease_count(), stored(&world).await), (0, 0));
}

#[tokio::test]
async fn what_was_left_behind_is_revoked_as_soon_as_that_works() {
    let mut world = World::new();
    drop(handed_over(&world).await);
    world.restart().await;
    let broker = world.broker();
    assert_eq!(broker.recover_leases().await, Ok(1));
    assert!(
        leases(&broker, &chat(ALICE)).await.is_empty(),
        "it is nobody's any more"
    );
    world.store.fail(Some(StoreError::Unavailable));
    let (stop, running) = looked_after(&broker);
    until("it is tried", || {
        !world.store.calls.lock().unwrap().is_empty()
    })
    .await;
    assert_eq!(stored(&world).await, 1);
    world.store.fail(None);
    until("it is revoked", || broker.lease_count() == 0).await;
    assert_eq!(stored(&world).await, 0);
    let entry = world.audit.take_entries().pop().unwrap();
    let subject = Subject::Lease {
        action: LeaseAction::Revoke,
        lease: LEASE.to_owned(),
        path: "db/creds/app".to_owned(),
    };
    assert_eq!(
        (entry.event, entry.subject),
        (AuditEvent::LeaseRevoked, subject)
    );
    stop.cancel();
    running.await.unwrap();
}

#[tokio::test]
async fn what_cannot_be_given_back_now_is_given_back_later() {
    let world = World::new();
    let (broker, _) = handed_over(&world).await;
    let request = world.request(Action::Read(Delivery::Message), "db/creds/app");
    let Ok(Outcome::Released(secret)) = broker.handle(request).await else {
        panic!("it is released")
    };
    world.store.take_calls();
    world.store.fail(Some(StoreError::Unavailable));
    broker.give_back(&world.id(), &secret).await;
    world.store.fail(None);
    assert_eq!(world.store.take_calls(), ["revoke"]);
    assert_eq!(
        leases(&broker, &chat(ALICE)).await.len(),
        1,
        "nobody is shown it any more"
    );
    let (stop, running) = looked_after(&broker);
    until("it is given back", || broker.lease_count() == 1).await;
    stop.cancel();
    running.await.unwrap();
}

//! Several brokers that share one state, each a process of its own.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use vaultgram::broker::ports::Coordination;
use vaultgram::broker::{Beside, Broker, BrokerError, Duty, Heir, LeaseName, Outcome, Waiting};
use vaultgram::domain::group::{Groups, Member as GroupMember};
use vaultgram::domain::person::Account;
use vaultgram::domain::{Action, AuditEvent, Caller, Delivery, People, Request};

use crate::company::{Company, Member};
use crate::world::{ALICE, CAROL, World, error, field, peer, user};

const READ: Action = Action::Read(Delivery::Message);
const HOUR: Duration = Duration::from_hours(1);

/// A broker, and the process that it is.
fn replica(world: &World, company: &Arc<Company>) -> (Arc<Broker>, Arc<Member>) {
    let member = company.join();
    (world.broker_on(member.clone()), member)
}

fn alice() -> Caller {
    Caller::Telegram(user(ALICE))
}

/// The code of a dynamic secret's lease that Alice has from `broker`.
async fn leased(world: &World, broker: &Broker) -> String {
    let Ok(Outcome::Released(secret)) = broker.handle(world.request(READ, "db/creds/app")).await
    else {
        panic!("it is released")
    };
    world.store.take_calls();
    world.audit.take();
    secret.lease().unwrap().code.clone().unwrap()
}

fn looked_after(broker: &Arc<Broker>) -> (CancellationToken, tokio::task::JoinHandle<()>) {
    let (broker, stop) = (Arc::clone(broker), CancellationToken::new());
    let stopped = stop.clone();
    let running = TaskTracker::new().spawn(async move { broker.run_leases(stopped).await });
    (stop, running)
}

#[tokio::test]
async fn whoever_was_busy_when_another_ended_looks_as_soon_as_it_waits() {
    let company = Company::new();
    let (one, other) = (company.join(), company.join());
    let coordination: Arc<dyn Coordination> = one;
    let mut heir = Heir::new(&coordination);
    let soon = Duration::from_millis(100);
    let waited = tokio::time::timeout(soon, heir.wait()).await;
    assert!(waited.is_err(), "nobody has ended");
    other.end();
    tokio::time::timeout(soon, heir.wait()).await.unwrap();
    let waited = tokio::time::timeout(soon, heir.wait()).await;
    assert!(waited.is_err(), "it has looked");
}

#[tokio::test]
async fn a_duty_is_one_process_s_until_that_ends() {
    let (world, company) = (World::new(), Company::new());
    let ((first, one), (second, two)) = (replica(&world, &company), replica(&world, &company));
    assert!(first.on_duty(Duty::Chat).await && first.on_duty(Duty::Chat).await);
    assert!(!second.on_duty(Duty::Chat).await);
    assert!(second.on_duty(Duty::Approvals).await, "each by itself");
    one.lose_touch();
    assert!(!first.on_duty(Duty::Chat).await);
    assert!(second.on_duty(Duty::Chat).await);
    one.come_back();
    assert!(!first.on_duty(Duty::Chat).await);
    second.lay_down(Duty::Chat).await;
    assert!(first.on_duty(Duty::Chat).await && !second.on_duty(Duty::Chat).await);
    // Who comes back before anybody missed it goes on.
    one.lose_touch();
    one.come_back();
    assert!(first.on_duty(Duty::Chat).await);
    one.end();
    two.end();
    let (third, _) = replica(&world, &company);
    assert!(third.on_duty(Duty::Chat).await && third.on_duty(Duty::Approvals).await);
}

#[tokio::test(start_paused = true)]
async fn a_lock_once_closed_is_so_for_all_though_they_looked_just_before() {
    let (world, company) = (World::new(), Company::new());
    let ((first, _), (second, _)) = (replica(&world, &company), replica(&world, &company));
    // One look is enough for an answer.
    assert_eq!(second.chat_locked().await, Ok(false));
    company.set_broken(true);
    assert_eq!(second.chat_locked().await, Ok(false));
    tokio::time::sleep(Duration::from_millis(250)).await;
    assert!(second.chat_locked().await.is_err());
    company.set_broken(false);
    let answering = async {
        loop {
            second.chat_locked().await.unwrap();
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::select! {
        () = answering => {}
        locked = first.lock_chat() => locked.unwrap(),
    }
    assert_eq!(second.chat_locked().await, Ok(true));
    assert_eq!(first.chat_locked().await, Ok(true));
    // And open again at the next look.
    let (id, root) = (world.id(), peer((0, 0)));
    assert_eq!(second.unlock_chat(&id, &root).await, Ok(true));
    assert_eq!(first.chat_locked().await, Ok(false));
}

#[tokio::test]
async fn who_is_out_of_touch_does_nothing_for_chat_and_goes_on_for_programs() {
    let (world, company) = (World::new(), Company::new());
    let (broker, member) = replica(&world, &company);
    let request = world.request(READ, "a");
    let hold = broker.hold(&request.id).await.unwrap().ours().unwrap();
    member.lose_touch();
    let fields = [field()];
    let refused = broker.handle_held(hold, request.clone(), Beside::default());
    assert_eq!(error(refused.await), BrokerError::OutOfTouch);
    // Back again it is another membership: somebody else may have done it.
    member.come_back();
    let refused = broker.handle_held(hold, request, Beside::default()).await;
    assert_eq!(error(refused), BrokerError::OutOfTouch);
    *world.store.at_hand.lock().unwrap() = true;
    let request = world.request(READ, "a");
    let hold = broker.hold(&request.id).await.unwrap().ours().unwrap();
    member.lose_touch();
    let refused = broker.handle_held(hold, request, Beside::default()).await;
    assert_eq!(error(refused), BrokerError::OutOfTouch);
    assert!(world.store.take_calls().is_empty());
    assert!(world.audit.take().contains(&AuditEvent::Failed {
        reason: "out_of_touch"
    }));

    *world.store.at_hand.lock().unwrap() = false;
    company.set_broken(true);
    for action in [READ, Action::List, Action::Put { over: None }] {
        let request = Request {
            id: vaultgram::domain::RequestId::Connection(1),
            caller: Caller::Unix(peer(ALICE)),
            ..world.request(action, "a")
        };
        let done = broker.handle_with(request, Beside::fields(&fields)).await;
        assert!(done.is_ok(), "{action:?}");
    }
    let leased = Request {
        id: vaultgram::domain::RequestId::Connection(2),
        caller: Caller::Unix(peer(ALICE)),
        ..world.request(READ, "db/creds/app")
    };
    let refused = broker.handle(leased).await;
    assert!(matches!(error(refused), BrokerError::Coordination(_)));
    assert_eq!(world.store.take_calls().last(), Some(&"revoke"));
}

#[tokio::test]
async fn what_one_replica_began_another_does_again_where_that_is_safe() {
    let (world, company) = (World::new(), Company::new());
    let ((first, one), (second, _)) = (replica(&world, &company), replica(&world, &company));
    let (read, write) = (world.request(READ, "a"), world.request(Action::Delete, "a"));
    for request in [&read, &write] {
        assert!(first.hold(&request.id).await.unwrap().ours().is_some());
    }
    let waits = async { (second.handle(read).await, second.handle(write).await) };
    let ends = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert!(world.store.take_calls().is_empty(), "it is the other's");
        one.end();
    };
    let ((read, write), ()) = tokio::join!(waits, ends);
    assert!(matches!(read, Ok(Outcome::Released(_))));
    assert!(matches!(write, Ok(Outcome::Interrupted)));
    assert_eq!(world.store.take_calls(), ["read"]);
}

#[tokio::test]
async fn a_lease_is_shown_kept_and_revoked_by_any_replica() {
    let (world, company) = (World::new(), Company::new());
    let ((first, _), (second, _)) = (replica(&world, &company), replica(&world, &company));
    let code = leased(&world, &first).await;
    let name = LeaseName::Code(&code);
    let shown = second.leases(&alice()).await.unwrap();
    assert_eq!((shown.len(), &shown[0].code), (1, &code));
    assert!(shown[0].renewable && shown[0].left > HOUR / 2);

    let kept = second
        .keep_lease(&world.id(), &alice(), name, 2 * HOUR)
        .await;
    assert!(kept.unwrap().lease.kept.is_some());
    assert_eq!(second.lease_count(), 1);
    let shown = first.leases(&alice()).await.unwrap();
    assert!(shown[0].kept.is_some(), "as the other keeps it");
    // The former looks after it no more: it does not revoke it when it stops.
    world.store.take_calls();
    let (stop, running) = looked_after(&first);
    stop.cancel();
    running.await.unwrap();
    assert_eq!(first.lease_count(), 0);
    assert!(world.store.take_calls().is_empty());

    first
        .revoke_lease(&world.id(), &alice(), name)
        .await
        .unwrap();
    assert_eq!(world.store.take_calls(), ["revoke"]);
    assert_eq!(company.count("leases/"), 0);
    assert!(second.leases(&alice()).await.unwrap().is_empty());
    let gone = second.renew_lease(&world.id(), &alice(), name, HOUR).await;
    assert_eq!(error(gone), BrokerError::UnknownLease);
    let (stop, running) = looked_after(&second);
    stop.cancel();
    running.await.unwrap();
    assert_eq!(second.lease_count(), 0);
    assert!(world.store.take_calls().is_empty());
}

#[tokio::test]
async fn what_one_that_ended_left_is_spared_for_its_holder_to_keep() {
    let (world, company) = (World::new(), Company::new());
    let ((first, one), (second, two)) = (replica(&world, &company), replica(&world, &company));
    let (stop, running) = looked_after(&second);
    let holder = alice();
    let (kept, lost) = (leased(&world, &first).await, leased(&world, &first).await);
    tokio::time::sleep(Duration::from_millis(100)).await;
    one.end();
    let inherited = async {
        while second.lease_count() < 2 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), inherited)
        .await
        .unwrap();
    assert_eq!(second.leases(&alice()).await.unwrap().len(), 2);
    let name = LeaseName::Code(&kept);
    let id = world.id();
    let keeping = second.keep_lease(&id, &holder, name, HOUR / 2).await;
    assert!(keeping.unwrap().lease.kept.is_some());
    assert!(!world.store.take_calls().contains(&"revoke"));
    stop.cancel();
    running.await.unwrap();
    assert_eq!(company.count("leases/"), 0, "{lost} too: it stops");

    // Who finds itself alone at its start has nobody to spare it for.
    let code = leased(&world, &second).await;
    two.end();
    let (third, _) = replica(&world, &company);
    assert_eq!(third.recover_leases().await, Ok(1));
    assert!(third.leases(&alice()).await.unwrap().is_empty(), "{code}");
    let (stop, running) = looked_after(&third);
    let revoked = async {
        while company.count("leases/") > 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), revoked)
        .await
        .unwrap();
    assert_eq!(world.store.take_calls(), ["revoke"]);
    stop.cancel();
    running.await.unwrap();
}

#[tokio::test]
async fn of_the_same_request_opened_at_two_replicas_one_stays() {
    for _ in 0..20 {
        let mut world = World::new();
        let members = vec![GroupMember::Account(Account::Telegram(CAROL))];
        let groups = [("leads".to_owned(), members)].into();
        world.groups = Groups::new(&groups, People::default()).unwrap();
        "@approvals(\"1\") @approvers(\"leads\") permit(principal, action, resource);"
            .clone_into(&mut world.policy);
        let (world, company) = (Arc::new(world), Company::new());
        let tasks = TaskTracker::new();
        let asking: Vec<_> = (0..2)
            .map(|_| {
                let (world, (broker, _)) = (world.clone(), replica(&world, &company));
                tasks.spawn(async move {
                    let Ok(Outcome::NeedsApproval(waiting)) =
                        broker.handle(world.request(READ, "a")).await
                    else {
                        panic!("it needs approval")
                    };
                    matches!(waiting, Waiting::Opened(_))
                })
            })
            .collect();
        let mut opened = 0;
        for one in asking {
            opened += usize::from(one.await.unwrap());
        }
        assert_eq!((opened, company.count("approvals/open/")), (1, 1));
    }
}

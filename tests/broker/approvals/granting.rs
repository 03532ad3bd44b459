//! What was granted: used, used up, extended, taken back, and what was made under it.

use std::time::Duration;

use vaultgram::broker::ports::{Coordination, StoreError};
use vaultgram::broker::{Collected, Opened};
use vaultgram::domain::RequestId;
use vaultgram::domain::approval::State;
use vaultgram::domain::policy::DenialReason;

use super::*;
use crate::world::{LEASE, VALUE, error};

#[tokio::test]
async fn what_is_for_one_use_is_used_once_and_given_back_where_nothing_came_of_it() {
    let world = world();
    let broker = world.broker();
    let approval = granted(&world, &broker, "once", &[BOB.0]).await;
    world.store.fail(Some(StoreError::Unavailable));
    let failed = error(ask(&world, &broker, "once").await);
    assert_eq!(failed, StoreError::Unavailable.into());
    assert_eq!(
        steps(&world),
        ["allowed by grant", "used", "failed", "given_back"]
    );
    // Nobody knows what came of this.
    world.store.fail(None);
    assert!(released(&world, &broker, "once").await);
    assert_eq!(now(&broker, &approval).await.state, State::Used);
    assert_eq!(steps(&world), ["allowed by grant", "used", "released"]);
    assert!(matches!(
        waiting(&world, &broker, "once").await,
        Waiting::Opened(_)
    ));
}

/// Policy that lets those in who say why; first they need somebody's word for it.
const WITH_A_REASON: &str = r#"
@id("why") APPROVALS
permit(principal, action, resource == Path::"secret/why")
when { context has reason && context.reason like "*INC-*" };
"#;

#[tokio::test]
async fn the_reason_of_what_was_never_granted_opens_nothing() {
    let approvals = r#"@approvals("1") @approvers("leads")"#;
    let mut world = world();
    world.policy = WITH_A_REASON.replace("APPROVALS", approvals);
    let broker = world.broker();
    let wanted = read(&world, ALICE.0, "why");
    let empty = broker.open_approval(&wanted, " ").await;
    assert!(
        matches!(empty, Ok(Opened::Denied(_))),
        "nothing is no reason"
    );
    let approval = open(broker.open_approval(&wanted, "INC-1 is open").await);
    let free = WITH_A_REASON.replace("APPROVALS", "");
    for policy in [&free, &world.policy.clone()] {
        policy.clone_into(&mut world.policy);
        let broker = world.broker();
        assert!(!released(&world, &broker, "why").await, "{policy}");
    }
    approve(&world, &broker, BOB.0, &approval).await.unwrap();
    assert!(released(&world, &broker, "why").await, "as it was granted");
    broker.lock_chat().await.unwrap();
    assert!(!released(&world, &broker, "why").await, "chat is locked");
    world.coordination.delete("locks/chat").await.unwrap();
    let name = approval.id.to_string();
    let bob = on_telegram(BOB.0);
    broker
        .revoke_approval(&world.id(), &bob, &name)
        .await
        .unwrap();
    free.clone_into(&mut world.policy);
    assert!(!released(&world, &world.broker(), "why").await, "revoked");
}

#[tokio::test]
async fn what_may_have_been_done_uses_it_up() {
    let world = world();
    let broker = world.broker();
    granted(&world, &broker, "once", &[BOB.0]).await;
    world.store.fail(Some(StoreError::Unclear));
    error(ask(&world, &broker, "once").await);
    world.store.fail(None);
    assert!(!released(&world, &broker, "once").await);
}

#[tokio::test]
async fn a_use_that_is_not_on_record_is_not_made() {
    let world = world();
    let broker = world.broker();
    let approval = granted(&world, &broker, "once", &[BOB.0]).await;
    for record in [1, 2] {
        world.audit.fail_in(record);
        let failed = error(ask(&world, &broker, "once").await);
        assert!(matches!(failed, BrokerError::Audit(_)));
        assert!(world.store.take_calls().is_empty());
    }
    assert_eq!(now(&broker, &approval).await.state, State::Granted);
}

#[tokio::test]
async fn what_waits_to_be_collected_is_used_by_who_collects_it() {
    let world = world();
    let broker = world.broker();
    let socket = Action::Read(Delivery::Socket);
    let wanted = Request {
        action: socket,
        ..read(&world, ALICE.0, "once")
    };
    let approval = open(broker.open_approval(&wanted, "").await);
    approve(&world, &broker, BOB.0, &approval).await.unwrap();
    assert!(!released(&world, &broker, "once").await, "another delivery");
    let offer = async || match world.ask(socket, "once").await {
        Ok(Outcome::Offered(offer)) => offer.code,
        _ => panic!("no offer"),
    };
    let (first, second) = (offer().await, offer().await);
    world.store.take_calls();
    let collected = broker.collect(&first, &peer(ALICE)).await;
    assert!(matches!(collected, Ok(Collected::Released(_))));
    world.audit.take();
    let Ok(Collected::Denied(denial)) = broker.collect(&second, &peer(ALICE)).await else {
        panic!("it was collected twice");
    };
    assert_eq!(denial.reason, DenialReason::NeedsApproval);
}

#[tokio::test]
async fn whoever_may_take_back_does_so_at_once_with_what_was_made() {
    let world = world();
    let broker = world.broker();
    for who in [
        on_telegram(BOB.0),
        on_telegram(ALICE.0),
        on_host(ALICE),
        on_telegram(CAROL),
    ] {
        let approval = granted(&world, &broker, "db/creds/app", &[BOB.0]).await;
        assert!(released(&world, &broker, "db/creds/app").await);
        assert_eq!(broker.lease_count(), 1);
        world.store.take_calls();
        world.audit.take();
        let name = approval.id.to_string();
        let revoked = broker
            .revoke_approval(&world.id(), &who, &name)
            .await
            .unwrap();
        let by = broker.concerned(&revoked);
        assert!(matches!(revoked.state, State::Revoked { .. }), "{by:?}");
        assert_eq!(world.store.take_calls(), ["revoke"]);
        assert_eq!(broker.lease_count(), 0);
        assert_eq!(steps(&world), ["revoked"]);
        let again = broker.revoke_approval(&world.id(), &who, &name).await;
        assert!(matches!(
            refused(again),
            Refusal::Over(State::Revoked { .. }, _)
        ));
        let Waiting::Opened(next) = waiting(&world, &broker, "db/creds/app").await else {
            panic!("it must be asked for anew");
        };
        let next = next.id.to_string();
        broker
            .cancel(&world.id(), &on_telegram(ALICE.0), &next)
            .await
            .unwrap();
    }
}

#[tokio::test]
async fn what_was_made_ends_with_the_time_that_was_granted() {
    let world = world();
    let broker = world.broker();
    let approval = granted(&world, &broker, "db/creds/app", &[BOB.0]).await;
    assert!(released(&world, &broker, "db/creds/app").await);
    world.clock.pass(Duration::from_mins(26));
    broker.tend_approvals().await.unwrap();
    let warned = now(&broker, &approval).await;
    assert!(warned.grant.unwrap().warned && warned.revision > approval.revision);
    assert_eq!(broker.lease_count(), 1);
    world.clock.pass(Duration::from_mins(4));
    world.audit.take();
    world.store.fail(Some(StoreError::Unavailable));
    broker.tend_approvals().await.unwrap();
    assert_eq!(steps(&world), ["ended"]);
    // It is tried again by whoever looks after leases.
    assert_eq!(world.store.take_calls().last(), Some(&"revoke"));
    assert_eq!(now(&broker, &approval).await.state, State::Ended);
}

#[tokio::test]
async fn what_one_use_made_lasts_as_long_as_was_granted_and_can_be_taken_back() {
    let world = world();
    let broker = world.broker();
    let bob = on_telegram(BOB.0);
    for taken_back in [true, false] {
        let approval = granted(&world, &broker, "db/creds/once", &[BOB.0]).await;
        assert!(released(&world, &broker, "db/creds/once").await);
        // Time enough to be put away, were it over.
        for _ in 0..2 {
            broker.tend_approvals().await.unwrap();
            world.clock.pass(Duration::from_mins(11));
        }
        assert_eq!(now(&broker, &approval).await.state, State::Used);
        assert_eq!(broker.lease_count(), 1);
        if taken_back {
            let name = approval.id.to_string();
            let revoked = broker.revoke_approval(&world.id(), &bob, &name).await;
            assert!(matches!(revoked.unwrap().state, State::Revoked { .. }));
        } else {
            world.clock.pass(Duration::from_mins(8));
            broker.tend_approvals().await.unwrap();
        }
        assert_eq!(broker.lease_count(), 0);
    }
}

#[tokio::test]
async fn what_is_made_while_it_is_taken_back_ends_too() {
    let world = world();
    let broker = world.broker();
    let approval = granted(&world, &broker, "db/creds/app", &[BOB.0]).await;
    // The store yields within a read, and meanwhile this is done.
    let (id, bob, name) = (world.id(), on_telegram(BOB.0), approval.id.to_string());
    let (asked, revoked) = tokio::join!(
        ask(&world, &broker, "db/creds/app"),
        broker.revoke_approval(&id, &bob, &name)
    );
    revoked.unwrap();
    match asked {
        Ok(Outcome::Released(_) | Outcome::NeedsApproval(_)) => {}
        Err(error) => assert_eq!(error, ApprovalError::Over.into()),
        Ok(_) => panic!("none of these"),
    }
    broker.tend_approvals().await.unwrap();
    assert_eq!(broker.lease_count(), 0);
    let calls = world.store.take_calls();
    assert_eq!(
        calls.contains(&"read"),
        calls.contains(&"revoke"),
        "{calls:?}"
    );
    assert!(LEASE.starts_with("db/"));
}

#[tokio::test]
async fn a_grant_is_extended_through_the_same_tier_and_ends_as_one() {
    let world = world();
    let broker = world.broker();
    let first = granted(&world, &broker, "db/creds/app", &[BOB.0]).await;
    assert!(released(&world, &broker, "db/creds/app").await);
    world.clock.pass(Duration::from_mins(20));
    let (alice, name) = (on_telegram(ALICE.0), first.id.to_string());
    let extend = async |who: &Caller| {
        broker
            .extend(&world.id(), who, &name, "it takes longer")
            .await
    };
    assert_eq!(refused(extend(&on_telegram(BOB.0)).await), Refusal::NotOwn);
    world.audit.take();
    let more = open(extend(&on_host(ALICE)).await);
    assert_eq!(more.extends, Some(first.id.clone()));
    assert_eq!(
        of_approval(extend(&alice).await),
        ApprovalError::Asked(more.id.clone())
    );
    assert_eq!(
        refused(approve(&world, &broker, ALICE.0, &more).await),
        Refusal::Own
    );
    world.audit.take();
    approve(&world, &broker, CAROL, &more).await.unwrap();
    assert_eq!(steps(&world), ["voted", "granted", "extended"]);
    assert_eq!(now(&broker, &more).await.state, State::Applied);
    let extended = now(&broker, &first).await;
    assert_eq!(extended.votes[0].person, "telegram:1003");
    world.clock.pass(Duration::from_mins(29));
    broker.tend_approvals().await.unwrap();
    assert!(released(&world, &broker, "db/creds/app").await);
    assert_eq!(broker.lease_count(), 2);
    let revoked = broker.revoke_approval(&world.id(), &alice, &name).await;
    revoked.unwrap();
    assert_eq!(broker.lease_count(), 0);
    assert!(!released(&world, &broker, "db/creds/app").await);
}

#[tokio::test]
async fn what_another_process_took_back_and_put_away_ends_here_too() {
    let world = world();
    let (broker, other) = (world.broker(), world.broker());
    let approval = granted(&world, &broker, "db/creds/app", &[BOB.0]).await;
    assert!(released(&world, &broker, "db/creds/app").await);
    let (name, bob) = (approval.id.to_string(), on_telegram(BOB.0));
    let revoked = other.revoke_approval(&world.id(), &bob, &name).await;
    revoked.unwrap();
    for _ in 0..2 {
        other.tend_approvals().await.unwrap();
        world.clock.pass(Duration::from_mins(11));
    }
    assert_eq!(broker.lease_count(), 1);
    broker.tend_approvals().await.unwrap();
    assert_eq!(broker.lease_count(), 0);
}

#[tokio::test]
async fn what_is_over_or_for_one_use_is_not_extended() {
    let world = world();
    let broker = world.broker();
    let alice = on_telegram(ALICE.0);
    let extend = async |approval: &ApprovalInfo| {
        let name = approval.id.to_string();
        broker
            .extend(&world.id(), &alice, &name, "it takes longer")
            .await
    };
    let once = granted(&world, &broker, "once", &[BOB.0]).await;
    assert_eq!(refused(extend(&once).await), Refusal::Once);
    let pending = request(&world, &broker, "two").await;
    assert_eq!(refused(extend(&pending).await), Refusal::NotGranted);
    let first = granted(&world, &broker, "one", &[BOB.0]).await;
    let Ok(Opened::Open(more)) = extend(&first).await else {
        panic!("it is not opened");
    };
    world.clock.pass(Duration::from_hours(1));
    let late = approve(&world, &broker, BOB.0, &more).await;
    assert!(matches!(refused(late), Refusal::Over(State::Ended, _)));
    assert!(matches!(
        refused(extend(&first).await),
        Refusal::Over(State::Ended, _)
    ));
}

#[tokio::test]
async fn what_is_over_is_put_away_and_in_the_end_forgotten() {
    let mut world = world();
    let approval = request(&world, &world.broker(), "one").await;
    let name = approval.id.to_string();
    let alice = on_telegram(ALICE.0);
    world
        .broker()
        .cancel(&world.id(), &alice, &name)
        .await
        .unwrap();
    // Whoever tells people still sees it for a while, also after a restart.
    world.restart().await;
    let broker = world.broker();
    broker.tend_approvals().await.unwrap();
    assert_eq!(broker.approvals_for_notices().await.unwrap().len(), 1);
    world.clock.pass(Duration::from_mins(10));
    broker.tend_approvals().await.unwrap();
    assert_eq!(broker.approvals_for_notices().await.unwrap(), []);
    assert_eq!(now(&broker, &approval).await.state, State::Cancelled);
    let id = approval.id.clone();
    let kept = broker.approval_for_notice(&id).await.unwrap();
    assert_eq!(kept.map(|info| info.id), Some(id.clone()));
    world.clock.pass(Duration::from_hours(31 * 24));
    let stop = tokio_util::sync::CancellationToken::new();
    let keeping = broker.keep_approvals(stop.clone());
    let forgotten = async {
        while broker.approval_for_notice(&id).await.unwrap().is_some() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        stop.cancel();
    };
    tokio::time::timeout(Duration::from_secs(30), async {
        tokio::join!(keeping, forgotten)
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn a_leak_takes_back_what_was_granted_with_what_was_made() {
    let world = world();
    let broker = world.broker();
    broker.watch_for_leaks();
    let approval = granted(&world, &broker, "db/creds/app", &[BOB.0]).await;
    assert!(released(&world, &broker, "db/creds/app").await);
    let leaks = broker.leaks_in(VALUE);
    assert_eq!(leaks.len(), 1);
    let message = RequestId::Message {
        chat: -1,
        message: 7,
    };
    broker.leaked(&leaks, &message, None).await.unwrap();
    let state = now(&broker, &approval).await.state;
    assert!(matches!(state, State::Revoked { .. }), "{state:?}");
    assert_eq!(broker.lease_count(), 0);
    assert!(!released(&world, &broker, "db/creds/app").await);
}

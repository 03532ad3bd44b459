//! Breaking the glass: at once, loudly, for a short time, and looked at by others.

use std::time::Duration;

use vaultgram::broker::ports::StoreError;
use vaultgram::broker::{ApprovalError, Filter};
use vaultgram::domain::approval::{Review, State};

use super::*;
use crate::world::error;

async fn broken(world: &World, broker: &Broker) -> ApprovalInfo {
    let request = read(world, ALICE.0, "glass");
    open(broker.break_glass(&request, "production is down").await)
}

#[tokio::test]
async fn it_is_had_at_once_for_a_short_time_and_on_record() {
    let world = world();
    let broker = world.broker();
    let break_for = async |path: &str, reason: &str| {
        let request = read(&world, ALICE.0, path);
        broker.break_glass(&request, reason).await
    };
    assert_eq!(
        of_approval(break_for("one", "production is down").await),
        ApprovalError::NoGlass
    );
    assert_eq!(
        of_approval(break_for("free", "production is down").await),
        ApprovalError::NotNeeded
    );
    assert_eq!(
        of_approval(break_for("glass", "because").await),
        ApprovalError::ReasonTooShort(10)
    );
    let failed = {
        world.audit.fail_in(1);
        break_for("glass", "production is down").await
    };
    assert!(matches!(failed, Err(BrokerError::Audit(_))));
    assert!(!released(&world, &broker, "glass").await);
    world.store.fail(Some(StoreError::NotFound));
    let nothing = break_for("glass", "production is down").await;
    assert_eq!(error(nothing), StoreError::NotFound.into());
    world.store.fail(None);
    world.audit.take();
    let approval = broken(&world, &broker).await;
    assert_eq!(steps(&world), ["refused", "broken"]);
    assert_eq!(approval.state, State::Granted);
    assert!(matches!(approval.review, Some(Review::Open { .. })));
    assert!(released(&world, &broker, "glass").await);
    let (id, alice) = (world.id(), on_telegram(ALICE.0));
    let more = broker.extend(&id, &alice, approval.id.as_str(), "a little longer");
    assert_eq!(of_approval(more.await), ApprovalError::NotExtended);
    world.clock.pass(Duration::from_mins(15));
    assert!(!released(&world, &broker, "glass").await);
}

#[tokio::test]
async fn it_nags_until_somebody_else_has_looked_at_it() {
    let world = world();
    let broker = world.broker();
    let approval = broken(&world, &broker).await;
    for reminders in 1..=3 {
        world.clock.pass(Duration::from_hours(1));
        for _ in 0..2 {
            broker.tend_approvals().await.unwrap();
        }
        let Some(Review::Open {
            reminders: found, ..
        }) = now(&broker, &approval).await.review
        else {
            panic!("nobody has looked at it");
        };
        assert_eq!(found, reminders);
    }
    let bob = on_telegram(BOB.0);
    assert_eq!(
        broker.approvals(&bob, Filter::Pending).await.unwrap().len(),
        1
    );
    let review = async |who: &Caller, note: &str| {
        broker
            .review(&world.id(), who, approval.id.as_str(), note)
            .await
    };
    assert_eq!(
        refused(review(&on_host(ALICE), "it was fine").await),
        Refusal::Own
    );
    assert_eq!(
        of_approval(review(&bob, "fine").await),
        ApprovalError::ReasonTooShort(10)
    );
    world.audit.take();
    let done = review(&bob, "a real outage").await.unwrap();
    assert!(matches!(done.review, Some(Review::Done { by, .. }) if by == "telegram:1002"));
    assert_eq!(steps(&world), ["reviewed"]);
    let again = review(&on_telegram(CAROL), "a real outage").await;
    assert_eq!(
        refused(again),
        Refusal::ReviewedAlready("telegram:1002".to_owned())
    );
    assert_eq!(broker.approvals(&bob, Filter::Pending).await.unwrap(), []);
}

#[tokio::test]
async fn who_breaks_much_waits_for_others_and_may_be_stopped() {
    let world = world();
    let broker = world.broker();
    let mut last = None;
    for _ in 0..3 {
        last = Some(broken(&world, &broker).await);
    }
    let request = read(&world, ALICE.0, "glass");
    let more = broker.break_glass(&request, "production is down").await;
    assert_eq!(of_approval(more), ApprovalError::TooMuchBroken(3));
    let name = last.unwrap().id.to_string();
    let stopped = broker
        .revoke_approval(&world.id(), &on_telegram(BOB.0), &name)
        .await;
    assert!(matches!(stopped.unwrap().state, State::Revoked { .. }));
    // That somebody broke it is no agreement of anybody's: it may be requested beside.
    open(
        broker
            .open_approval(&read(&world, ALICE.0, "glass"), "to fix it")
            .await,
    );
}

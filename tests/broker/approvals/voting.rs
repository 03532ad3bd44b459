//! Votes: whose count, for what, and until when.

use std::time::Duration;

use vaultgram::broker::{ApprovalError, Filter};
use vaultgram::domain::approval::State;

use super::*;
use crate::world::error;

#[tokio::test]
async fn nobody_decides_on_their_own_request_by_whatever_account() {
    let mut world = world();
    world.groups = groups(&[ALICE.0, BOB.0], &[DAN]);
    let broker = world.broker();
    let approval = request(&world, &broker, "one").await;
    for own in [on_telegram(ALICE.0), on_host(ALICE)] {
        for ballot in [
            Vote::Approve { code: None },
            Vote::Deny {
                reason: "no".to_owned(),
            },
        ] {
            let found = vote(&world, &broker, &own, &approval, ballot).await;
            assert_eq!(refused(found), Refusal::Own, "{own}");
        }
    }
    assert_eq!(
        now(&broker, &approval).await,
        approval,
        "nothing has changed"
    );
    assert!(!broker.concerned(&approval).approvers.contains(&ALICE.0));
}

#[tokio::test]
async fn each_person_counts_once_and_separate_groups_are_separate() {
    let world = world();
    let broker = world.broker();
    let approval = request(&world, &broker, "two").await;
    let one = approve(&world, &broker, BOB.0, &approval).await.unwrap();
    assert_eq!(
        (one.state.name(), one.asks[0].have, one.revision),
        ("pending", 1, 2)
    );
    for again in [on_telegram(BOB.0), on_host(BOB)] {
        let found = vote(
            &world,
            &broker,
            &again,
            &approval,
            Vote::Approve { code: None },
        )
        .await;
        assert_eq!(refused(found), Refusal::VotedAlready, "{again}");
    }
    assert!(!released(&world, &broker, "two").await);
    let two = approve(&world, &broker, CAROL, &approval).await.unwrap();
    assert_eq!(two.state, State::Granted, "carol stands for security");
    assert!(released(&world, &broker, "two").await);
}

#[tokio::test]
async fn a_denial_has_a_reason_and_ends_it() {
    let world = world();
    let broker = world.broker();
    let approval = request(&world, &broker, "one").await;
    let deny = |reason: &str| Vote::Deny {
        reason: reason.to_owned(),
    };
    let bob = on_telegram(BOB.0);
    let found = vote(&world, &broker, &bob, &approval, deny(" ")).await;
    assert_eq!(of_approval(found), ApprovalError::ReasonTooShort(1));
    world.audit.take();
    let denied = vote(&world, &broker, &bob, &approval, deny("not today")).await;
    let by_bob = State::Denied {
        by: "telegram:1002".to_owned(),
        reason: "not today".to_owned(),
    };
    assert_eq!(denied.unwrap().state, by_bob);
    let [AuditEvent::Approval(record)] = &world.audit.take()[..] else {
        panic!("one record");
    };
    let reason = "not today".to_owned();
    assert_eq!(record.step, ApprovalStep::Denied { reason });
    world.clock.pass(Duration::from_mins(3));
    let late = error(approve(&world, &broker, CAROL, &approval).await);
    assert_eq!(
        late.to_string(),
        "this request is over: telegram:1002 denied it (not today), 3 min ago"
    );
    assert!(!released(&world, &broker, "one").await);
}

#[tokio::test]
async fn a_vote_after_the_end_says_what_happened() {
    let world = world();
    let broker = world.broker();
    let approval = request(&world, &broker, "one").await;
    world.clock.pass(Duration::from_hours(24));
    let late = error(approve(&world, &broker, BOB.0, &approval).await);
    assert!(
        late.to_string().contains("nobody decided in time"),
        "{late}"
    );
    // Also before anybody has noted it.
    assert_eq!(now(&broker, &approval).await.state, State::Expired);
    let bob = on_telegram(BOB.0);
    let waiting = broker.approvals(&bob, Filter::Pending).await;
    assert_eq!(waiting, Ok(vec![]));
    world.audit.take();
    broker.tend_approvals().await.unwrap();
    assert_eq!(steps(&world), ["expired"]);
    assert_eq!(now(&broker, &approval).await.state, State::Expired);

    let approval = request(&world, &broker, "one").await;
    let (id, alice) = (world.id(), on_telegram(ALICE.0));
    let name = approval.id.to_string();
    let foreign = broker.cancel(&id, &on_telegram(BOB.0), &name).await;
    assert_eq!(refused(foreign), Refusal::NotOwn);
    broker.cancel(&id, &on_host(ALICE), &name).await.unwrap();
    let late = error(approve(&world, &broker, BOB.0, &approval).await);
    assert!(late.to_string().contains("cancelled"), "{late}");
    let again = broker.cancel(&id, &alice, &name).await;
    assert!(matches!(refused(again), Refusal::Over(State::Cancelled, _)));
}

#[tokio::test]
async fn what_counts_is_policy_and_groups_as_they_are_today() {
    let mut world = world();
    let broker = world.broker();
    let approval = granted(&world, &broker, "two", &[BOB.0, DAN]).await;
    assert!(released(&world, &broker, "two").await);
    world.groups = groups(&[CAROL, EVE], &[CAROL, DAN]);
    assert!(
        !released(&world, &world.broker(), "two").await,
        "bob's vote is none any more"
    );
    world.groups = groups(&[BOB.0, CAROL], &[CAROL, DAN]);
    let before = world.policy.clone();
    world.policy = before.replace("@reason(\"10\")", "@reason(\"100\")");
    assert!(
        !released(&world, &world.broker(), "two").await,
        "that reason is too short"
    );
    world.policy = before.clone();
    assert!(released(&world, &world.broker(), "two").await);

    // Votes on what has changed since.
    let pending = request(&world, &world.broker(), "one").await;
    let one = "@id(\"one\") @approvals(\"1\") @approvers(\"leads\") @grant(\"1h\")";
    world.policy = before.replace(one, "");
    let found = approve(&world, &world.broker(), BOB.0, &pending).await;
    assert_eq!(of_approval(found), ApprovalError::NotNeeded);
    world.policy = before.replace(
        "resource == Path::\"secret/one\"",
        "resource == Path::\"secret/else\"",
    );
    let found = approve(&world, &world.broker(), BOB.0, &pending).await;
    assert_eq!(of_approval(found), ApprovalError::RefusedByNow);
    world.policy = before.replace(one, &one.replace("leads", "security"));
    let found = approve(&world, &world.broker(), BOB.0, &pending).await;
    assert_eq!(refused(found), Refusal::NotApprover);
    let dan = approve(&world, &world.broker(), DAN, &pending)
        .await
        .unwrap();
    assert_eq!(dan.state, State::Granted, "he is asked by now");
    drop(approval);
}

#[tokio::test]
async fn no_vote_counts_that_is_not_on_record_or_while_chat_is_locked() {
    let world = world();
    let broker = world.broker();
    let approval = request(&world, &broker, "one").await;
    world.audit.fail_in(1);
    let failed = error(approve(&world, &broker, BOB.0, &approval).await);
    assert!(matches!(failed, BrokerError::Audit(_)));
    assert_eq!(now(&broker, &approval).await, approval);
    broker.lock_chat().await.unwrap();
    let locked = error(approve(&world, &broker, BOB.0, &approval).await);
    assert_eq!(locked, BrokerError::ChatLocked);
    let bob = on_host(BOB);
    let at_host = vote(
        &world,
        &broker,
        &bob,
        &approval,
        Vote::Approve { code: None },
    );
    assert_eq!(at_host.await.unwrap().state, State::Granted);
}

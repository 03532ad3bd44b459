//! Asking for approval: what can be looked at is, before anybody is bothered.

use std::time::Duration;

use vaultgram::broker::ports::StoreError;
use vaultgram::broker::{ApprovalError, ApprovalRules, BrokerError, Filter, Opened, Waiting};
use vaultgram::domain::policy::DenialReason;
use vaultgram::domain::{Action, Delivery};

use super::*;
use crate::world::error;

#[tokio::test]
async fn a_plain_read_opens_a_request_where_no_reason_is_asked_for() {
    let world = world();
    let broker = world.broker();
    let Waiting::Opened(approval) = waiting(&world, &broker, "one").await else {
        panic!("it was not opened");
    };
    assert_eq!(steps(&world), ["refused", "opened"]);
    assert_eq!(
        world.store.take_calls(),
        ["history"],
        "is there such a secret?"
    );
    assert_eq!(approval.requester, "telegram:1001");
    let [ask] = &approval.asks[..] else { panic!() };
    assert_eq!(
        (ask.approvals, ask.have, ask.policy.as_str()),
        (1, 0, "one")
    );
    assert_eq!(
        approval.waits_until,
        approval.opened + Duration::from_hours(24)
    );
    let again = waiting(&world, &broker, "one").await;
    assert_eq!(again, Waiting::Known(approval.clone()));
    assert_eq!(steps(&world), ["refused"]);

    let granted = approve(&world, &broker, BOB.0, &approval).await.unwrap();
    assert_eq!(steps(&world), ["voted", "granted"]);
    let until = granted.grant.unwrap().until;
    assert!(until <= broker.now() + Duration::from_hours(1));
    for _ in 0..2 {
        assert!(released(&world, &broker, "one").await);
        assert_eq!(steps(&world), ["allowed by grant", "released"]);
    }
    world.clock.pass(Duration::from_hours(1));
    assert!(matches!(
        waiting(&world, &broker, "one").await,
        Waiting::Opened(_)
    ));
}

#[tokio::test]
async fn a_reason_is_asked_for_where_policy_wants_one() {
    let world = world();
    let broker = world.broker();
    let needed = waiting(&world, &broker, "two").await;
    let expected = Waiting::ReasonNeeded {
        characters: 10,
        alone: false,
    };
    assert_eq!(needed, expected);
    let open_with = async |reason: &str| {
        let request = read(&world, ALICE.0, "two");
        broker.open_approval(&request, reason).await
    };
    for short in ["", "too short", "aaaaaaaaaaaa"] {
        let found = of_approval(open_with(short).await);
        assert_eq!(found, ApprovalError::ReasonTooShort(10), "{short}");
    }
    for unfit in ["to fix\nthe login", &"long ".repeat(101)] {
        let found = of_approval(open_with(unfit).await);
        assert_eq!(found, ApprovalError::UnfitReason(500));
    }
    assert_eq!(
        broker.approvals(&on_telegram(ALICE.0), Filter::All).await,
        Ok(vec![])
    );
    let approval = open(open_with("  to fix the login ").await);
    assert_eq!(approval.reason, "to fix the login");
    let again = of_approval(open_with("to fix the login").await);
    assert_eq!(again, ApprovalError::Asked(approval.id.clone()));
    for who in [BOB.0, DAN] {
        approve(&world, &broker, who, &approval).await.unwrap();
    }
    let again = of_approval(open_with("to fix the login").await);
    assert_eq!(again, ApprovalError::Granted(approval.id));
}

#[tokio::test]
async fn nobody_is_bothered_for_nothing() {
    let world = world();
    let broker = world.broker();
    let open_of = async |path: &str| {
        let request = read(&world, ALICE.0, path);
        broker.open_approval(&request, "to fix the login").await
    };
    assert_eq!(of_approval(open_of("free").await), ApprovalError::NotNeeded);
    let Ok(Opened::Denied(denial)) = open_of("forbidden").await else {
        panic!("it must be denied");
    };
    assert_eq!(denial.reason, DenialReason::NotPermitted);
    world.store.fail(Some(StoreError::NotFound));
    assert_eq!(error(open_of("one").await), StoreError::NotFound.into());
    assert_eq!(
        error(ask(&world, &broker, "one").await),
        StoreError::NotFound.into()
    );
    world.store.fail(Some(StoreError::Unavailable));
    assert_eq!(error(open_of("one").await), StoreError::Unavailable.into());
    // Whoever may read it may not look any further.
    world.store.fail(Some(StoreError::Forbidden));
    assert!(matches!(open_of("one").await, Ok(Opened::Open(_))));
    world.store.fail(None);
    let mut meaningless = read(&world, ALICE.0, "two@3");
    meaningless.action = Action::List;
    let found = broker.open_approval(&meaningless, "to fix the login").await;
    assert_eq!(error(found), BrokerError::MeaninglessVersion);
    // What an engine would make cannot be looked at.
    world.store.take_calls();
    assert!(matches!(open_of("db/creds/app").await, Ok(Opened::Open(_))));
    assert!(world.store.take_calls().is_empty());
}

#[tokio::test]
async fn nothing_is_opened_that_is_not_on_record_nor_while_chat_is_locked() {
    let world = world();
    let broker = world.broker();
    world.audit.fail_in(1);
    let request = read(&world, ALICE.0, "one");
    let failed = error(broker.open_approval(&request, "").await);
    assert!(matches!(failed, BrokerError::Audit(_)));
    assert_eq!(broker.approvals_for_notices().await, Ok(vec![]));
    broker.lock_chat().await.unwrap();
    let locked = broker.open_approval(&request, "").await;
    assert!(
        matches!(locked, Ok(Opened::Denied(denial)) if denial.reason == DenialReason::ChatLocked)
    );
}

#[tokio::test]
async fn there_are_only_so_many() {
    let mut world = world();
    world.approvals = ApprovalRules {
        per_person: 2,
        per_day: 4,
        ..ApprovalRules::default()
    };
    let broker = world.broker();
    let open_as = async |who: i64, path: &str| {
        let request = read(&world, who, path);
        broker.open_approval(&request, "to fix the login").await
    };
    let first = open(open_as(ALICE.0, "one").await);
    open(open_as(ALICE.0, "two").await);
    assert_eq!(
        of_approval(open_as(ALICE.0, "once").await),
        ApprovalError::TooMany(2)
    );
    let mut alias = read(&world, ALICE.0, "once");
    (alias.caller, alias.action) = (on_host(ALICE), Action::Read(Delivery::Socket));
    let found = broker.open_approval(&alias, "to fix the login").await;
    assert_eq!(
        of_approval(found),
        ApprovalError::TooMany(2),
        "by another account"
    );
    let name = first.id.to_string();
    broker
        .cancel(&world.id(), &on_telegram(ALICE.0), &name)
        .await
        .unwrap();
    open(open_as(ALICE.0, "once").await);
    open(open_as(BOB.0, "once").await);
    assert_eq!(
        of_approval(open_as(BOB.0, "one").await),
        ApprovalError::TooManyToday(4)
    );
    world.clock.pass(Duration::from_hours(24));
    open(open_as(BOB.0, "one").await);
}

#[tokio::test]
async fn nobody_uses_up_what_is_everybodys() {
    let mut world = world();
    world.approvals = ApprovalRules {
        per_day: 5,
        per_person_per_day: 2,
        ..ApprovalRules::default()
    };
    let open_as = async |who: Caller, path: &str| {
        let request = Request {
            caller: who,
            ..read(&world, ALICE.0, path)
        };
        let broker = world.broker();
        broker.open_approval(&request, "to fix the login").await
    };
    open(open_as(on_telegram(ALICE.0), "one").await);
    open(open_as(on_host(ALICE), "two").await);
    for alias in [on_telegram(ALICE.0), on_host(ALICE)] {
        let found = of_approval(open_as(alias, "once").await);
        assert_eq!(found, ApprovalError::TooManyOfYoursToday(2));
    }
    for who in [BOB.0, CAROL] {
        open(open_as(on_telegram(who), "one").await);
    }
    open(open_as(on_telegram(BOB.0), "two").await);
    let found = of_approval(open_as(on_telegram(DAN), "one").await);
    assert_eq!(found, ApprovalError::TooManyToday(5));
    world.clock.pass(Duration::from_hours(24));
    open(open_as(on_telegram(ALICE.0), "once").await);
}

#[tokio::test]
async fn whoever_looks_is_counted_and_on_record_before_that() {
    let mut world = world();
    world.approvals = ApprovalRules {
        per_person: 1,
        per_person_per_day: 3,
        ..ApprovalRules::default()
    };
    let broker = world.broker();
    let open_of = async |path: &str| {
        let request = read(&world, ALICE.0, path);
        broker.open_approval(&request, "to fix the login").await
    };
    world.store.fail(Some(StoreError::NotFound));
    world.audit.fail_in(1);
    let unrecorded = error(open_of("one").await);
    assert!(matches!(unrecorded, BrokerError::Audit(_)));
    assert!(world.store.take_calls().is_empty(), "not on record");
    for _ in 0..2 {
        assert_eq!(error(open_of("one").await), StoreError::NotFound.into());
        assert_eq!(steps(&world), ["refused"]);
    }
    assert_eq!(
        error(ask(&world, &broker, "one").await),
        StoreError::NotFound.into(),
        "a plain read looks too"
    );
    assert_eq!(world.store.take_calls(), ["history"; 3]);
    for path in ["one", "two"] {
        let found = of_approval(open_of(path).await);
        assert_eq!(found, ApprovalError::TooManyOfYoursToday(3));
    }
    let plain = of_approval(ask(&world, &broker, "one").await);
    assert_eq!(plain, ApprovalError::TooManyOfYoursToday(3));
    let glass = read(&world, ALICE.0, "glass");
    let taken = broker.break_glass(&glass, "nobody answers").await;
    assert_eq!(open(taken).state.name(), "granted", "that is another limit");
    assert!(world.store.take_calls().is_empty(), "nobody looked");

    world.clock.pass(Duration::from_hours(24));
    world.store.fail(None);
    open(open_of("one").await);
    world.store.take_calls();
    assert_eq!(of_approval(open_of("two").await), ApprovalError::TooMany(1));
    assert!(
        world.store.take_calls().is_empty(),
        "not with one that waits"
    );
}

#[tokio::test]
async fn breaking_the_glass_looks_no_more_often() {
    let mut world = world();
    world.approvals.per_person_per_day = 2;
    let broker = world.broker();
    let glass = async || {
        let request = read(&world, ALICE.0, "glass");
        broker.break_glass(&request, "nobody answers").await
    };
    world.store.fail(Some(StoreError::NotFound));
    for _ in 0..2 {
        assert_eq!(error(glass().await), StoreError::NotFound.into());
    }
    assert_eq!(steps(&world), ["refused", "refused"]);
    assert_eq!(world.store.take_calls(), ["history"; 2]);
    for _ in 0..3 {
        open(glass().await);
    }
    assert_eq!(of_approval(glass().await), ApprovalError::TooMuchBroken(3));
    assert!(world.store.take_calls().is_empty());
}

#[tokio::test]
async fn only_those_see_a_request_whom_it_concerns() {
    let world = world();
    let broker = world.broker();
    let approval = request(&world, &broker, "one").await;
    let name = approval.id.to_string().to_lowercase();
    for who in [
        on_telegram(ALICE.0),
        on_host(ALICE),
        on_telegram(BOB.0),
        on_host(BOB),
        on_telegram(CAROL),
    ] {
        assert_eq!(
            broker.approval(&who, &name).await,
            Ok(approval.clone()),
            "{who}"
        );
    }
    for who in [on_telegram(EVE), on_telegram(DAN), on_host((EVE, 995))] {
        let id = world.id();
        let mut found = vec![
            of_approval(broker.approval(&who, &name).await),
            of_approval(broker.cancel(&id, &who, &name).await),
            of_approval(broker.revoke_approval(&id, &who, &name).await),
            of_approval(broker.extend(&id, &who, &name, "longer please").await),
            of_approval(broker.review(&id, &who, &name, "looks fine to me").await),
        ];
        for ballot in [
            Vote::Approve { code: None },
            Vote::Deny {
                reason: "no".to_owned(),
            },
        ] {
            found.push(of_approval(
                vote(&world, &broker, &who, &approval, ballot).await,
            ));
        }
        found.push(of_approval(broker.approval(&who, "nonsense").await));
        found.dedup();
        assert_eq!(found, [ApprovalError::Unknown], "{who}");
    }
    let seen = async |who: i64, filter| {
        let found = broker.approvals(&on_telegram(who), filter).await.unwrap();
        found.len()
    };
    assert_eq!(seen(ALICE.0, Filter::Mine).await, 1);
    assert_eq!(seen(BOB.0, Filter::Mine).await, 0);
    assert_eq!(seen(BOB.0, Filter::Pending).await, 1);
    assert_eq!(seen(DAN, Filter::All).await, 0);
    assert_eq!(seen(DAN, Filter::Pending).await, 0);
    let told = broker.concerned(&approval);
    assert_eq!(told.requester, [ALICE.0].into());
    assert_eq!(told.approvers, [BOB.0, CAROL].into());
    world.clock.pass(Duration::from_mins(1));
    let newer = request(&world, &broker, "once").await;
    let found = broker.approvals(&on_telegram(BOB.0), Filter::Pending).await;
    assert_eq!(found, Ok(vec![newer, approval]), "the newest first");
}

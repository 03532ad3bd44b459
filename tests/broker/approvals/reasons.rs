//! What a reason opens by itself: granted at once, for a time, on record, and taken back like anything.

use std::time::Duration;

use vaultgram::broker::Opened;
use vaultgram::domain::approval::State;

use super::*;
use crate::world::LEASE;

const POLICY: &str = r#"
@id("why") @reason("10") @grant("30m")
permit(principal, action, resource == Path::"secret/why");
@id("once") @reason("10") @once("true")
permit(principal, action, resource == Path::"secret/once");
@id("said")
permit(principal, action, resource == Path::"secret/said")
when { context has reason && context.reason like "*INC-*" };
@id("either") @reason("10")
permit(principal, action, resource == Path::"secret/either");
@id("others") @approvals("1") @approvers("leads")
permit(principal, action, resource == Path::"secret/either");
@id("shut") @reason("10")
permit(principal, action, resource == Path::"secret/shut");
@id("lock") @approvals("1") @approvers("leads")
forbid(principal, action, resource == Path::"secret/shut");
@id("db") @reason("10") @grant("30m")
permit(principal, action, resource in Path::"db");
@id("free") permit(principal, action, resource == Path::"secret/free");
"#;

fn world() -> World {
    let mut world = super::world();
    POLICY.clone_into(&mut world.policy);
    world
}

async fn open_for(
    world: &World,
    broker: &Broker,
    path: &str,
    reason: &str,
) -> Result<Opened, BrokerError> {
    let request = read(world, ALICE.0, path);
    broker.open_approval(&request, reason).await
}

#[tokio::test]
async fn a_reason_that_is_enough_is_granted_at_once_for_a_time() {
    let world = world();
    let broker = world.broker();
    let needed = waiting(&world, &broker, "why").await;
    let expected = Waiting::ReasonNeeded {
        characters: 10,
        alone: true,
    };
    assert_eq!(needed, expected);
    let short = of_approval(open_for(&world, &broker, "why", "because").await);
    assert_eq!(short, ApprovalError::ReasonTooShort(10));
    world.audit.take();

    let approval = open(open_for(&world, &broker, "why", "to fix the login").await);
    assert_eq!(steps(&world), ["refused", "opened", "granted"]);
    assert_eq!(approval.state, State::Granted);
    assert!(approval.is_unasked() && approval.asks.is_empty());
    assert_eq!(approval.reason, "to fix the login");
    let grant = approval.grant.clone().unwrap();
    assert_eq!(grant.until, approval.opened + Duration::from_mins(30));
    assert!(broker.concerned(&approval).approvers.is_empty());
    for _ in 0..2 {
        assert!(released(&world, &broker, "why").await);
        assert_eq!(steps(&world), ["allowed by grant", "released"]);
    }
    let again = of_approval(open_for(&world, &broker, "why", "to fix it again").await);
    assert_eq!(again, ApprovalError::Granted(approval.id.clone()));
    // It is Alice's alone, and nobody's to vote on.
    let bobs = read(&world, BOB.0, "why");
    let outcome = broker.handle(bobs).await;
    assert!(matches!(outcome, Ok(Outcome::NeedsApproval(_))));
    let name = approval.id.to_string();
    let found = of_approval(broker.approval(&on_telegram(BOB.0), &name).await);
    assert_eq!(found, ApprovalError::Unknown);

    world.clock.pass(Duration::from_mins(30));
    assert_eq!(waiting(&world, &broker, "why").await, expected);
    open(open_for(&world, &broker, "why", "to fix it again").await);
    assert!(released(&world, &broker, "why").await);
}

#[tokio::test]
async fn it_is_taken_back_with_what_was_made_under_it() {
    let world = world();
    let broker = world.broker();
    for who in [on_telegram(ALICE.0), on_host(ALICE), on_telegram(CAROL)] {
        let opened = open_for(&world, &broker, "db/creds/app", "to fix the login");
        let approval = open(opened.await);
        assert!(released(&world, &broker, "db/creds/app").await);
        assert_eq!(broker.lease_count(), 1, "{LEASE}");
        let name = approval.id.to_string();
        broker
            .revoke_approval(&world.id(), &who, &name)
            .await
            .unwrap();
        assert_eq!(broker.lease_count(), 0, "{who}");
        assert!(!released(&world, &broker, "db/creds/app").await);
    }
}

#[tokio::test]
async fn what_is_for_one_use_is_used_once() {
    let world = world();
    let broker = world.broker();
    open(open_for(&world, &broker, "once", "to fix the login").await);
    assert!(released(&world, &broker, "once").await);
    assert!(!released(&world, &broker, "once").await);
}

#[tokio::test]
async fn a_reason_that_policy_reads_is_granted_too_and_no_other() {
    let world = world();
    let broker = world.broker();
    let plain = ask(&world, &broker, "said").await;
    assert!(matches!(plain, Ok(Outcome::Denied(_))));
    for other in ["to fix the login", ""] {
        let refused = open_for(&world, &broker, "said", other).await;
        assert!(matches!(refused, Ok(Opened::Denied(_))), "{other}");
    }
    world.audit.take();
    let approval = open(open_for(&world, &broker, "said", "INC-1 is open").await);
    assert_eq!(steps(&world), ["refused", "opened", "granted"]);
    let grant = approval.grant.clone().unwrap();
    assert_eq!(grant.until, approval.opened + Duration::from_hours(1));
    assert!(released(&world, &broker, "said").await);
    assert_eq!(steps(&world), ["allowed by grant", "released"]);
    let name = approval.id.to_string();
    let alice = on_telegram(ALICE.0);
    broker
        .revoke_approval(&world.id(), &alice, &name)
        .await
        .unwrap();
    assert!(!released(&world, &broker, "said").await);
    open(open_for(&world, &broker, "said", "INC-2 is open").await);
    world.clock.pass(Duration::from_hours(1));
    assert!(!released(&world, &broker, "said").await, "its time is over");
    let found = of_approval(open_for(&world, &broker, "free", "INC-1 is open").await);
    assert_eq!(found, ApprovalError::NotNeeded);
}

#[tokio::test]
async fn who_gives_a_reason_waits_for_nobody_where_that_is_enough() {
    let world = world();
    let broker = world.broker();
    let plain = waiting(&world, &broker, "either").await;
    assert!(matches!(plain, Waiting::ReasonNeeded { alone: true, .. }));
    let pending = open(open_for(&world, &broker, "either", "because").await);
    assert_eq!(pending.state, State::Pending);
    assert_eq!(pending.asks.len(), 1, "those are asked who may agree");
    let granted = open(open_for(&world, &broker, "either", "to fix the login").await);
    assert_eq!(granted.state, State::Granted);
    assert!(released(&world, &broker, "either").await);
    // What is shut is not opened by a reason.
    let shut = open(open_for(&world, &broker, "shut", "to fix the login").await);
    assert_eq!((shut.state.name(), shut.asks.len()), ("pending", 1));
    assert!(!released(&world, &broker, "shut").await);
    approve(&world, &broker, BOB.0, &shut).await.unwrap();
    assert!(released(&world, &broker, "shut").await);
}

#[tokio::test]
async fn it_is_extended_by_another_reason() {
    let world = world();
    let broker = world.broker();
    let first = open(open_for(&world, &broker, "why", "to fix the login").await);
    world.clock.pass(Duration::from_mins(20));
    let (alice, name) = (on_telegram(ALICE.0), first.id.to_string());
    let extend = async |reason: &str| broker.extend(&world.id(), &alice, &name, reason).await;
    let short = of_approval(extend("because").await);
    assert_eq!(short, ApprovalError::ReasonTooShort(10));
    world.audit.take();
    let more = open(extend("it takes longer").await);
    assert_eq!(steps(&world), ["refused", "opened", "granted", "extended"]);
    assert_eq!(more.state, State::Applied);
    world.clock.pass(Duration::from_mins(29));
    assert!(released(&world, &broker, "why").await);
    world.clock.pass(Duration::from_mins(1));
    assert!(!released(&world, &broker, "why").await);
}

#[tokio::test]
async fn it_ends_with_the_policy_that_granted_it() {
    let mut world = world();
    let broker = world.broker();
    open(open_for(&world, &broker, "db/creds/app", "to fix the login").await);
    assert!(released(&world, &broker, "db/creds/app").await);
    for (policy, lasts) in [
        (POLICY.replace("\"10\"", "\"16\""), true),
        (POLICY.replace("\"10\"", "\"17\""), false),
    ] {
        policy.clone_into(&mut world.policy);
        broker.replace_policy(world.loaded(), "").await.unwrap();
        broker.tend_approvals().await.unwrap();
        assert_eq!(broker.lease_count() == 1, lasts);
        assert_eq!(released(&world, &broker, "db/creds/app").await, lasts);
        broker.tend_approvals().await.unwrap();
    }
}

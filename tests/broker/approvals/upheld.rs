//! What was made under a grant lasts as long as it would still be granted.

use std::time::Duration;

use super::*;

/// What Bob and Carol agreed to for half an hour.
const MADE: &str = r#"@id("db") @approvals("1") @approvers("leads") @grant("30m")
permit(principal, action, resource in Path::"db");"#;

/// A broker under which Alice has a lease, for which `votes` agreed.
async fn with_lease(world: &World, votes: &[i64]) -> std::sync::Arc<Broker> {
    let broker = world.broker();
    granted(world, &broker, "db/creds/app", votes).await;
    assert!(released(world, &broker, "db/creds/app").await);
    broker.tend_approvals().await.unwrap();
    assert_eq!(broker.lease_count(), 1);
    world.store.take_calls();
    broker
}

/// Whether that lease lasts, once the world's policy is in force.
async fn lasts(world: &World, broker: &Broker) -> bool {
    let mut changed = broker.approvals_changed();
    changed.mark_unchanged();
    broker.replace_policy(world.loaded(), "").await.unwrap();
    assert!(
        changed.has_changed().unwrap(),
        "who looks after them is woken"
    );
    broker.tend_approvals().await.unwrap();
    let lasts = broker.lease_count() == 1;
    let calls = world.store.take_calls();
    assert_eq!(calls.contains(&"revoke"), !lasts, "{calls:?}");
    lasts
}

#[tokio::test]
async fn what_an_approver_agreed_to_ends_when_they_are_none_any_more() {
    let mut world = world();
    let broker = with_lease(&world, &[BOB.0]).await;
    world.groups = groups(&[BOB.0, CAROL], &[DAN]);
    assert!(lasts(&world, &broker).await, "another group changed");
    world.groups = groups(&[CAROL, DAN], &[CAROL, DAN]);
    assert!(!lasts(&world, &broker).await);
}

#[tokio::test]
async fn what_a_policy_granted_ends_with_it_and_not_with_others() {
    for (policy, expected) in [
        (
            format!("{MADE} {POLICY}").replacen("@id(\"db\")", "@id(\"x\")", 1),
            true,
        ),
        (MADE.replace("\"1\"", "\"2\""), false),
        (MADE.replace("leads", "security"), false),
        (MADE.replace("30m", "1h"), true),
        (MADE.replace("@grant", "@once(\"true\") @grant"), false),
        (MADE.replace("@grant", "@reason(\"60\") @grant"), false),
        (
            format!("{MADE} forbid(principal, action, resource);"),
            false,
        ),
        (String::new(), false),
        (
            "permit(principal, action, resource in Path::\"db\");".to_owned(),
            true,
        ),
    ] {
        let mut world = world();
        let broker = with_lease(&world, &[BOB.0]).await;
        policy.clone_into(&mut world.policy);
        assert_eq!(lasts(&world, &broker).await, expected, "{policy}");
    }
}

#[tokio::test]
async fn a_shorter_grant_ends_what_was_made_sooner() {
    let mut world = world();
    let broker = with_lease(&world, &[BOB.0]).await;
    world.policy = MADE.replace("30m", "10m");
    assert!(lasts(&world, &broker).await);
    world.clock.pass(Duration::from_mins(10));
    broker.tend_approvals().await.unwrap();
    assert_eq!(broker.lease_count(), 0);
}

#[tokio::test]
async fn the_lease_of_a_use_that_was_made_is_upheld_too() {
    let mut world = world();
    let once = MADE.replace("@grant", "@once(\"true\") @grant");
    once.clone_into(&mut world.policy);
    let broker = with_lease(&world, &[BOB.0]).await;
    assert!(lasts(&world, &broker).await, "it was for one use");
    world.policy = once.replace("\"1\"", "\"2\"");
    assert!(!lasts(&world, &broker).await);
}

#[tokio::test]
async fn what_was_taken_through_broken_glass_ends_with_the_right_to_break_it() {
    let mut world = world();
    let glass = MADE.replace("@grant", "@break_glass(\"15m\") @grant");
    glass.clone_into(&mut world.policy);
    let broker = world.broker();
    let request = read(&world, ALICE.0, "db/creds/app");
    open(broker.break_glass(&request, "nobody answers").await);
    assert!(released(&world, &broker, "db/creds/app").await);
    world.store.take_calls();
    assert!(lasts(&world, &broker).await);
    MADE.clone_into(&mut world.policy);
    assert!(!lasts(&world, &broker).await);
}

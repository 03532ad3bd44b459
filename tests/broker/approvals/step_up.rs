//! Votes that carry a code of the voter's authenticator.

use std::time::Duration;

use vaultgram::broker::ApprovalError;
use vaultgram::broker::ports::StoreError;
use vaultgram::domain::SecretValue;

use super::*;
use crate::world::error;

async fn vote_with(
    world: &World,
    broker: &Broker,
    approval: &ApprovalInfo,
    code: Option<&str>,
) -> Result<ApprovalInfo, BrokerError> {
    let code = code.map(|code| SecretValue::new(code.as_bytes().to_vec()));
    vote(
        world,
        broker,
        &on_telegram(BOB.0),
        approval,
        Vote::Approve { code },
    )
    .await
}

#[tokio::test]
async fn a_vote_counts_with_the_right_code_only() {
    let world = world();
    let broker = world.broker();
    let approval = request(&world, &broker, "code").await;
    world.store.take_calls();
    world.audit.take();
    let found = vote_with(&world, &broker, &approval, None).await;
    assert_eq!(refused(found), Refusal::CodeNeeded);
    let found = vote_with(&world, &broker, &approval, Some("654321")).await;
    assert_eq!(of_approval(found), ApprovalError::WrongCode);
    assert_eq!(steps(&world), ["step_up_failed"]);
    for (fails, told) in [
        (
            StoreError::Rejected("unknown key".to_owned()),
            ApprovalError::NoAuthenticator("telegram:1002".to_owned()).into(),
        ),
        (
            StoreError::Unavailable,
            BrokerError::from(StoreError::Unavailable),
        ),
    ] {
        world.store.fail(Some(fails));
        assert_eq!(
            error(vote_with(&world, &broker, &approval, Some("123456")).await),
            told
        );
    }
    world.store.fail(None);
    let granted = vote_with(&world, &broker, &approval, Some("123456"))
        .await
        .unwrap();
    assert_eq!(granted.votes[0].step_up.as_deref(), Some("totp"));
    assert_eq!(steps(&world), ["voted", "granted"]);
    assert!(released(&world, &broker, "code").await);
}

#[tokio::test]
async fn nobody_guesses() {
    let world = world();
    let broker = world.broker();
    let approval = request(&world, &broker, "code").await;
    for _ in 0..5 {
        let found = vote_with(&world, &broker, &approval, Some("000000")).await;
        assert_eq!(of_approval(found), ApprovalError::WrongCode);
    }
    world.store.take_calls();
    let another = world.broker();
    let found = vote_with(&world, &another, &approval, Some("123456")).await;
    assert_eq!(of_approval(found), ApprovalError::TooManyCodes);
    assert!(world.store.take_calls().is_empty());
    world.clock.pass(Duration::from_mins(5));
    let granted = vote_with(&world, &another, &approval, Some("123456")).await;
    let name = granted.unwrap().id.to_string();
    // Who knows the code has not guessed.
    let (id, bob) = (world.id(), on_telegram(BOB.0));
    broker.revoke_approval(&id, &bob, &name).await.unwrap();
    let approval = request(&world, &broker, "code").await;
    for _ in 0..5 {
        let found = vote_with(&world, &broker, &approval, Some("000000")).await;
        assert_eq!(of_approval(found), ApprovalError::WrongCode);
    }
}

#[tokio::test]
async fn a_code_that_cannot_help_is_not_used() {
    let world = world();
    let broker = world.broker();
    let plain = request(&world, &broker, "one").await;
    world.store.take_calls();
    assert!(
        vote_with(&world, &broker, &plain, Some("000000"))
            .await
            .is_ok()
    );
    assert!(world.store.take_calls().is_empty(), "nobody asked for it");
    let over = vote_with(&world, &broker, &plain, Some("123456")).await;
    assert_eq!(refused(over), Refusal::Granted);
    assert!(world.store.take_calls().is_empty());
}

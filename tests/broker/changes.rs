//! What is asked for must mean something.

use vaultgram::broker::ports::StoreError;
use vaultgram::broker::{Asked, Beside, BrokerError, Outcome};
use vaultgram::domain::{Action, Caller, Recipe};

use crate::world::{ALICE, World, error, field, peer};

const ROTATE: Action = Action::Rotate {
    recipe: Recipe::Hex,
    over: 3,
};

#[tokio::test]
async fn a_field_or_a_version_that_means_nothing_is_refused() {
    let world = World::new();
    let field = [
        Action::List,
        Action::Versions,
        Action::Put { over: Some(0) },
        Action::Patch { over: None },
        Action::Delete,
        Action::Undelete,
    ];
    for action in field {
        let request = world.request(action, "a#password");
        let asked = error(world.broker().ask(&request).await);
        let done = error(world.ask(action, "a#password").await);
        let refused = BrokerError::MeaninglessField;
        assert_eq!((&asked, &done), (&refused, &refused));
    }
    let version = [
        (Action::List, "a@1"),
        (Action::Versions, "a@1"),
        (Action::Put { over: Some(0) }, "a@1"),
        (Action::Patch { over: None }, "a@1"),
        (ROTATE, "a#password@1"),
    ];
    for (action, target) in version {
        let request = world.request(action, target);
        let asked = error(world.broker().ask(&request).await);
        let done = error(world.ask(action, target).await);
        let refused = BrokerError::MeaninglessVersion;
        assert_eq!((&asked, &done), (&refused, &refused));
    }
    assert!(world.store.take_calls().is_empty());
}

#[tokio::test]
async fn only_a_field_that_is_there_is_rotated_and_only_as_it_was_shown() {
    let world = World::new();
    let request = world.request(ROTATE, "a#pasword");
    let asked = error(world.broker().ask(&request).await);
    let done = error(world.ask(ROTATE, "a#pasword").await);
    // Who may rotate need not be one who may read.
    let refused = BrokerError::NoSuchField(vec![]);
    assert_eq!((&asked, &done), (&refused, &refused));
    let older = Action::Rotate {
        recipe: Recipe::Hex,
        over: 2,
    };
    let done = error(world.ask(older, "a#password").await);
    let current = 3;
    assert_eq!(done, StoreError::Conflict { current }.into());
    assert!(!world.store.take_calls().contains(&"patch"));
    assert!(world.ask(ROTATE, "a#password").await.is_ok());
}

#[tokio::test]
async fn an_undelete_that_names_no_version_means_the_newest() {
    let world = World::new();
    let failed = error(world.ask(Action::Undelete, "a").await);
    assert_eq!(failed, BrokerError::NewestNotDeleted);
    assert_eq!(world.store.take_calls(), ["history"]);
    *world.store.newest_deleted.lock().unwrap() = true;
    let done = world.ask(Action::Undelete, "a").await;
    assert!(matches!(done, Ok(Outcome::Undeleted(3))));
}

#[tokio::test]
async fn only_a_put_may_be_confirmed_where_there_is_nothing() {
    let world = World::new();
    world.store.fail(Some(StoreError::NotFound));
    let request = world.request(Action::Put { over: Some(0) }, "a");
    let asked = world.broker().ask(&request).await;
    assert!(matches!(asked, Ok(Asked::Confirm { current: 0 })));
    for (action, target) in [
        (Action::Patch { over: None }, "a"),
        (Action::Delete, "a"),
        (Action::Undelete, "a@1"),
        (ROTATE, "a#password"),
    ] {
        let request = world.request(action, target);
        let failed = error(world.broker().ask(&request).await);
        assert_eq!(failed, BrokerError::Store(StoreError::NotFound));
    }
}

#[tokio::test]
async fn where_a_version_must_be_named_it_is_for_people_and_not_for_programs() {
    let world = World::new();
    *world.store.strict.lock().unwrap() = true;
    let patch = Action::Patch { over: None };
    let done = world.ask(patch, "a").await;
    assert!(matches!(done, Ok(Outcome::Written(Some(new))) if new.number == 4));
    assert_eq!(world.store.take_calls(), ["patch", "history", "patch"]);
    let mut request = world.request(patch, "a");
    request.caller = Caller::Unix(peer(ALICE));
    let done = world
        .broker()
        .handle_with(request, Beside::fields(&[field()]))
        .await;
    assert_eq!(error(done), StoreError::CasRequired.into());
    assert_eq!(world.store.take_calls(), ["patch"]);
}

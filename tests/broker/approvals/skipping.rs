//! No way in goes past policy, whichever a front end takes.

use vaultgram::broker::{Asked, ChangedVersions, Collected};
use vaultgram::domain::{Recipe, SecretPath, SecretValue};

use super::*;
use crate::world::{field, local};

/// What the store does where somebody looks whether there is anything to approve.
const LOOKS: [&str; 3] = ["history", "exists", "wrapped"];

const ACTIONS: [(Action, &str); 17] = [
    (Action::Read(Delivery::Message), "a"),
    (Action::Read(Delivery::Wrapped), "a"),
    (Action::Read(Delivery::Sealed), "a#password"),
    (Action::Read(Delivery::Socket), "a"),
    (Action::Read(Delivery::Message), "old/a"),
    (Action::Read(Delivery::Message), "db/a"),
    (Action::List, "a"),
    (Action::Versions, "a"),
    (Action::Put { over: Some(3) }, "a"),
    (Action::Patch { over: None }, "a"),
    (
        Action::Rotate {
            recipe: Recipe::Password,
            over: Some(3),
        },
        "a#password",
    ),
    (Action::Delete, "a"),
    (Action::Undelete, "a@1"),
    (Action::Destroy, "a@1"),
    (Action::Invoke(Delivery::Wrapped), "db/a"),
    (Action::Invoke(Delivery::Message), "db/a"),
    (Action::Delete, "old/a"),
];

fn nothing_done(world: &World, what: &str) {
    let calls = world.store.take_calls();
    let done = calls.iter().find(|call| !LOOKS.contains(call));
    assert_eq!(done, None, "{what}");
}

#[tokio::test]
async fn whatever_is_asked_for_by_whatever_way_waits_for_approval() {
    let mut world = world();
    "@approvals(\"1\") @approvers(\"leads\") permit(principal, action, resource);"
        .clone_into(&mut world.policy);
    (world.approvals.per_person, world.approvals.per_day) = (1000, 1000);
    *world.store.at_hand.lock().unwrap() = true;
    let broker = world.broker();
    for (action, target) in ACTIONS {
        let what = format!("{action:?} {target}");
        let outcome = world.ask(action, target).await;
        assert!(matches!(outcome, Ok(Outcome::NeedsApproval(_))), "{what}");
        let fields = [field()];
        let beside = Beside::fields(&fields);
        let request = world.request(action, target);
        let hold = broker.hold(&request.id).await.unwrap().ours().unwrap();
        let outcome = broker.handle_held(hold, request, beside);
        assert!(
            matches!(outcome.await, Ok(Outcome::NeedsApproval(_))),
            "{what}"
        );
        let asked = broker.ask(&world.request(action, target)).await;
        assert!(matches!(asked, Ok(Asked::NeedsApproval(_))), "{what}");
        nothing_done(&world, &what);
    }
    "secret/data/a".clone_into(&mut world.store.wrapped_at.lock().unwrap());
    let token = SecretValue::new(b"token".to_vec());
    let alice = local(ALICE);
    let outcome = broker.unwrap(world.id(), &alice, &token).await;
    assert!(matches!(outcome, Ok(Outcome::NeedsApproval(_))));
    nothing_done(&world, "unwrap");
    let path = SecretPath::new("secret", "a").unwrap();
    for action in [Action::Delete, Action::Undelete, Action::Destroy] {
        let id = world.id();
        let changed = broker.change_versions(&id, &alice, action, &path, &[1, 2]);
        assert!(matches!(
            changed.await,
            Ok(ChangedVersions::NeedsApproval(_))
        ));
        nothing_done(&world, "versions");
    }
    for action in [Action::Read(Delivery::Socket), Action::List, Action::Delete] {
        assert!(!broker.would_allow(&alice, action, &path));
    }
    "permit(principal, action, resource);".clone_into(&mut world.policy);
    let socket = Action::Read(Delivery::Socket);
    let Ok(Outcome::Offered(offer)) = world.ask(socket, "b").await else {
        panic!("no offer");
    };
    // Policy has changed since it was offered.
    let collected = broker.collect(&offer.code, &peer(ALICE)).await;
    assert!(matches!(collected, Ok(Collected::Denied(_))));
    nothing_done(&world, "collect");
}

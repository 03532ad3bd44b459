//! Several versions at once: all decided before the first is touched.

use vaultgram::broker::ports::StoreError;
use vaultgram::broker::{BrokerError, ChangedVersions};
use vaultgram::domain::{Action, AuditEvent, RequestId, SecretPath, Subject, VersionFacts};

use crate::world::{ALICE, World, error, local};

async fn change(
    world: &World,
    action: Action,
    path: &str,
    versions: &[u64],
) -> Result<ChangedVersions, BrokerError> {
    let (broker, id) = (world.broker(), RequestId::Connection(1));
    let path = SecretPath::new("secret", path).unwrap();
    broker
        .change_versions(&id, &local(ALICE), action, &path, versions)
        .await
}

#[tokio::test]
async fn each_is_decided_then_each_is_done_and_recorded() {
    let world = World::new();
    for (action, call, wanted) in [
        (
            Action::Delete,
            "delete",
            AuditEvent::Deleted { version: Some(2) },
        ),
        (
            Action::Undelete,
            "undelete",
            AuditEvent::Undeleted { version: 2 },
        ),
        (
            Action::Destroy,
            "destroy",
            AuditEvent::Destroyed { version: 2 },
        ),
    ] {
        let done = change(&world, action, "a", &[3, 2]).await;
        assert_eq!(done, Ok(ChangedVersions::Done(vec![3, 2])));
        assert_eq!(world.store.take_calls(), [call, call]);
        let events = world.audit.take();
        let allowed =
            |event: &AuditEvent| matches!(event, AuditEvent::Decided { allowed: true, .. });
        assert_eq!(
            events.iter().map(allowed).collect::<Vec<_>>(),
            [true, true, false, false]
        );
        assert_eq!(events[3], wanted);
    }
}

#[tokio::test]
async fn nothing_is_done_where_one_is_refused_or_a_decision_is_not_recorded() {
    let world = World::new();
    let refused = change(&world, Action::Delete, "forbidden", &[1, 2]).await;
    assert!(matches!(refused, Ok(ChangedVersions::Denied(_))));
    assert_eq!(world.audit.take().len(), 1);
    world.audit.fail_in(1);
    let failed = error(change(&world, Action::Delete, "a", &[1, 2]).await);
    assert!(matches!(failed, BrokerError::Audit(_)));
    assert!(world.store.take_calls().is_empty());
    // Done, and not recorded: the rest stays.
    world.audit.fail_in(2);
    let failed = error(change(&world, Action::Delete, "a", &[1, 2]).await);
    assert_eq!(failed, BrokerError::DoneUnrecorded);
    assert_eq!(world.store.take_calls(), ["delete"]);
}

#[tokio::test]
async fn what_is_so_already_is_passed_over_and_what_fails_ends_it() {
    let world = World::new();
    for nothing in [
        StoreError::NotFound,
        StoreError::NoSuchVersion,
        StoreError::NotDeleted { version: 1 },
        StoreError::Deleted(VersionFacts::default()),
        StoreError::Destroyed(VersionFacts::default()),
    ] {
        world.store.fail(Some(nothing));
        let done = change(&world, Action::Undelete, "a", &[1, 2]).await;
        assert_eq!(done, Ok(ChangedVersions::Done(vec![])));
        assert_eq!(world.store.take_calls(), ["undelete"; 2]);
    }
    world.store.fail(Some(StoreError::Unavailable));
    world.audit.take();
    let failed = error(change(&world, Action::Undelete, "a", &[1, 2, 3]).await);
    assert_eq!(failed, StoreError::Unavailable.into());
    assert_eq!(world.store.take_calls(), ["undelete"]);
    // Each has an outcome, also those that were not tried.
    let entries = world.audit.take_entries();
    let outcomes = entries.iter().filter_map(|entry| {
        let (AuditEvent::Failed { reason }, Subject::Secret { target, .. }) =
            (&entry.event, &entry.subject)
        else {
            return None;
        };
        Some((target.version, *reason))
    });
    assert_eq!(
        outcomes.collect::<Vec<_>>(),
        [
            (Some(1), "store_unavailable"),
            (Some(2), "not_tried"),
            (Some(3), "not_tried"),
        ]
    );
}

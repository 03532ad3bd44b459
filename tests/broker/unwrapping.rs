//! Unwrapping: judged by where the token was made, on record, and whole or not at all.

use std::time::Duration;

use vaultgram::broker::ports::StoreError;
use vaultgram::broker::{Beside, BrokerError, Outcome};
use vaultgram::domain::{Action, AuditEvent, Delivery, RequestId, SecretValue, Subject};

use crate::world::{ALICE, LEASE, VALUE, World, error, local};

/// Alice's program brings a token that was made at `path`.
async fn unwrap(world: &World, path: &str) -> Result<Outcome, BrokerError> {
    path.clone_into(&mut world.store.wrapped_at.lock().unwrap());
    let token = SecretValue::new(b"token".to_vec());
    let id = RequestId::Connection(1);
    world.broker().unwrap(id, &local(ALICE), &token).await
}

/// That it was refused stands in the audit, and nothing else does.
fn recorded(world: &World, made_at: Option<&str>, reason: &'static str) {
    let entries = world.audit.take_entries();
    let [entry] = &entries[..] else {
        panic!("{entries:?}");
    };
    let made_at = made_at.map(str::to_owned);
    assert_eq!(entry.subject, Subject::Wrapped { made_at });
    assert_eq!(entry.event, AuditEvent::Failed { reason });
    assert_eq!(entry.caller, local(ALICE));
}

#[tokio::test]
async fn it_is_judged_by_the_path_the_token_was_made_at() {
    let world = World::new();
    for (made_at, path) in [
        ("secret/data/team/app", "secret/team/app"),
        ("old/data/app", "old/data/app"),
        ("db/creds/app", "db/creds/app"),
    ] {
        let Ok(Outcome::Released(secret)) = unwrap(&world, made_at).await else {
            panic!("{made_at} is not released");
        };
        assert_eq!(secret.fields[0].json.expose_secret(), VALUE.as_bytes());
        assert_eq!(world.store.take_calls(), ["wrapped", "unwrap"]);
        let entries = world.audit.take_entries();
        let [decided, released] = &entries[..] else {
            panic!("{entries:?}");
        };
        assert!(matches!(
            decided.event,
            AuditEvent::Decided { allowed: true, .. }
        ));
        assert!(matches!(released.event, AuditEvent::Released(_)));
        for entry in &entries {
            let Subject::Secret { action, target } = &entry.subject else {
                panic!("{entry:?}");
            };
            assert_eq!((*action, &*target.to_string()), (Action::Unwrap, path));
            assert_eq!(entry.caller, local(ALICE));
        }
    }

    let denied = unwrap(&world, "secret/data/forbidden").await;
    assert!(matches!(denied, Ok(Outcome::Denied(_))));
    assert_eq!(world.store.take_calls(), ["wrapped"], "it is still good");
    let denied = world.audit.take();
    assert!(matches!(
        denied[..],
        [AuditEvent::Decided { allowed: false, .. }]
    ));
}

#[tokio::test]
async fn what_was_made_by_no_reading_that_is_served_stays_wrapped() {
    let world = World::new();
    for made_at in [
        "sys/wrapping/wrap",
        "auth/token/create",
        "auth/approle/role/app/secret-id",
        "elsewhere/data/app",
        "secret/metadata/app",
        "secret/data/",
        "secret/data/a/../b",
        "secret/app",
        "db",
        "",
    ] {
        let refused = error(unwrap(&world, made_at).await);
        assert_eq!(refused, BrokerError::WrappedElsewhere, "{made_at}");
        assert_eq!(world.store.take_calls(), ["wrapped"], "{made_at}");
        recorded(&world, Some(made_at), "wrapped_elsewhere");
    }
    world.store.fail(Some(StoreError::NotWrapped));
    let refused = error(unwrap(&world, "secret/data/app").await);
    assert_eq!(refused, StoreError::NotWrapped.into());
    recorded(&world, None, "not_wrapped");
    world.store.fail(None);
    world.store.take_calls();
    // Nor can a path be claimed for a token.
    let done = world.ask(Action::Unwrap, "a").await;
    assert_eq!(error(done), StoreError::Unsupported.into());
    assert!(world.store.take_calls().is_empty());
}

#[tokio::test]
async fn a_lease_inside_is_looked_after_and_what_is_not_recorded_is_taken_back() {
    let world = World::new();
    let broker = world.broker();
    "db/creds/app".clone_into(&mut world.store.wrapped_at.lock().unwrap());
    let token = SecretValue::new(b"token".to_vec());
    let id = RequestId::Connection(1);
    let Ok(Outcome::Released(secret)) = broker.unwrap(id, &local(ALICE), &token).await else {
        panic!("it is not released");
    };
    let leases = broker.leases(&local(ALICE)).await.unwrap();
    assert_eq!(
        leases[0].code,
        *secret.lease().unwrap().code.as_ref().unwrap()
    );
    assert_eq!(world.audit.take()[1].lease(), Some(LEASE));
    world.store.take_calls();

    world.audit.fail_in(1);
    let failed = error(unwrap(&world, "db/creds/app").await);
    assert!(matches!(failed, BrokerError::Audit(_)), "{failed}");
    assert_eq!(world.store.take_calls(), ["wrapped"]);
    world.audit.fail_in(2);
    let failed = error(unwrap(&world, "db/creds/app").await);
    assert_eq!(failed, BrokerError::DoneUnrecorded);
    assert_eq!(world.store.take_calls(), ["wrapped", "unwrap", "revoke"]);
}

#[tokio::test]
async fn a_token_lives_as_long_as_asked_and_no_longer_than_configured() {
    let world = World::new();
    for (action, target) in [
        (Action::Read(Delivery::Wrapped), "a"),
        (Action::Invoke(Delivery::Wrapped), "db/a"),
    ] {
        for (asked, granted) in [(None, 300), (Some(60), 60), (Some(3600), 300)] {
            let beside = Beside {
                wrap_ttl: asked.map(Duration::from_secs),
                ..Beside::default()
            };
            let request = world.request(action, target);
            let done = world.broker().handle_with(request, beside).await;
            let Ok(Outcome::Wrapped(wrapped)) = done else {
                panic!("it is not wrapped");
            };
            assert_eq!(wrapped.facts.ttl, Duration::from_secs(granted));
        }
    }
}

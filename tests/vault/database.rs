//! Dynamic database credentials, on a real PostgreSQL.

use std::time::Duration;

use serde_json::{Value, json};
use vaultgram::broker::ports::{SecretStore, StoreError};
use vaultgram::domain::{Origin, Secret};

use crate::engines::{role, value};
use crate::openbao::OpenBao;
use crate::postgres::Postgres;
use crate::world::{World, error, permit, settings};

fn lease(secret: &Secret) -> String {
    let Origin::Leased(lease) = &secret.origin else {
        panic!("{:?}", secret.origin);
    };
    assert!(lease.id.starts_with("database/creds/app/"), "{}", lease.id);
    assert_eq!(lease.duration, Duration::from_hours(1));
    assert!(lease.renewable);
    lease.id.clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn credentials_open_the_database_until_they_are_revoked() {
    let (bao, postgres) = (OpenBao::start(), Postgres::start());
    postgres.mount_in(&bao);
    let world = World::start(settings(bao.address(), role(&bao)));
    let at = permit("database", "creds/app", None);
    let secret = world.store.read(&at).await.unwrap();
    let (user, password) = (value(&secret, "username"), value(&secret, "password"));
    assert!(postgres.lets_in(&user, &password));
    assert!(
        !postgres.lets_in(&user, "another"),
        "passwords are asked for"
    );

    let other = world.store.read(&at).await.unwrap();
    assert_ne!(value(&other, "username"), user, "each read makes its own");
    world.store.revoke(&lease(&secret)).await.unwrap();
    assert!(!postgres.lets_in(&user, &password), "revoked");
    let (user, password) = (value(&other, "username"), value(&other, "password"));
    assert!(postgres.lets_in(&user, &password), "the other one lives on");
    lease(&other);

    let fixed = permit("database", "static-creds/fixed", None);
    let fixed = world.store.read(&fixed).await.unwrap();
    assert_eq!(fixed.origin, Origin::Plain);
    assert!(postgres.lets_in("fixed", &value(&fixed, "password")));

    let nobody = permit("database", "creds/nobody", None);
    let refused = error(world.store.read(&nobody).await);
    assert!(
        matches!(&refused, StoreError::Rejected(said) if said.contains("unknown role")),
        "{refused:?}"
    );
    let roles = permit("database", "roles/app", None);
    let refused = error(world.store.read(&roles).await);
    assert_eq!(refused, StoreError::Forbidden, "the shipped policy");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrapped_credential_is_made_for_who_unwraps_it() {
    let (bao, postgres) = (OpenBao::start(), Postgres::start());
    postgres.mount_in(&bao);
    let world = World::start(settings(bao.address(), role(&bao)));
    let at = permit("database", "creds/app", None);
    let wrapped = world.store.wrap(&at, Duration::from_mins(1)).await.unwrap();
    assert_eq!(wrapped.facts.ttl, Duration::from_mins(1));
    #[expect(clippy::disallowed_methods, reason = "who has the token unwraps")]
    let token = String::from_utf8(wrapped.token.expose_secret().to_vec()).unwrap();
    let unwrapped = bao.must("POST", "sys/wrapping/unwrap", &json!({ "token": token }));
    let text = |name: &str| unwrapped["data"][name].as_str().unwrap().to_owned();
    assert!(postgres.lets_in(&text("username"), &text("password")));
    let lease = unwrapped["lease_id"].as_str().unwrap();
    bao.must("PUT", "sys/leases/revoke", &json!({ "lease_id": lease }));
    assert!(!postgres.lets_in(&text("username"), &text("password")));
    assert_eq!(
        bao.call("LIST", "sys/leases/lookup/database/creds/app", &Value::Null)
            .0,
        404
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_lasts_as_long_as_it_is_renewed_and_past_the_token_it_was_made_with() {
    let (bao, postgres) = (OpenBao::start(), Postgres::start());
    postgres.mount_in(&bao);
    let auth = role(&bao);
    // Each login's token is replaced before this, and lives on as long as the lease hangs on it.
    let short = json!({"token_ttl": "15s", "token_max_ttl": "15s"});
    bao.must("POST", "auth/approle/role/engines", &short);
    let world = World::start(settings(bao.address(), auth));
    let made_with = || bao.tokens_of("engines");
    let at = permit("database", "creds/brief", None);
    let secret = world.store.read(&at).await.unwrap();
    let first = made_with();
    let (user, password) = (value(&secret, "username"), value(&secret, "password"));
    let lease = secret.lease().unwrap().id.clone();
    let renew = async |seconds| {
        world
            .store
            .renew(&lease, Duration::from_secs(seconds))
            .await
    };
    let replaced = || made_with().iter().any(|token| !first.contains(token));
    let mut renewals = 0;
    while renewals < 4 || !replaced() {
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(renew(3).await, Ok(Duration::from_secs(3)));
        renewals += 1;
    }
    assert!(
        postgres.lets_in(&user, &password),
        "past its first time, and past its token"
    );
    // More than the role's maximum is cut, and less is less.
    let most = renew(7200).await.unwrap();
    assert!(
        most > Duration::from_mins(29) && most < Duration::from_mins(30),
        "{most:?}"
    );
    assert_eq!(renew(3).await, Ok(Duration::from_secs(3)));
    world.store.revoke(&lease).await.unwrap();
    assert!(!postgres.lets_in(&user, &password));
    let gone = error(renew(3).await);
    assert!(matches!(gone, StoreError::Rejected(_)), "{gone:?}");
}

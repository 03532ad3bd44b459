//! A running store and what tests ask of it.

use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use time::OffsetDateTime;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use vaultgram::broker::ports::{SecretStore, StoreError, StoreHealth, Wrapped};
use vaultgram::domain::caller::{Caller, UnixPeer};
use vaultgram::domain::group::Groups;
use vaultgram::domain::policy_load::PolicySource;
use vaultgram::domain::{
    Action, Decision, Delivery, Field, History, MountKind, Mounts, Permit, Policy, Request,
    RequestId, Secret, SecretPath, SecretValue, Target,
};
use vaultgram::vault::{Auth, Method, SecretId, Settings, Store};

use crate::openbao::OpenBao;

/// How long a condition may take to come true on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// A store whose background loop runs until it is stopped or dropped.
pub(crate) struct World {
    pub(crate) store: Permitted,
    stop: CancellationToken,
    running: JoinHandle<()>,
}

impl World {
    /// Starts a store with `settings`.
    pub(crate) fn start(settings: Settings) -> Self {
        let store = Arc::new(Store::new(settings).unwrap());
        let stop = CancellationToken::new();
        let running = TaskTracker::new().spawn({
            let (store, stop) = (store.clone(), stop.clone());
            async move { store.run(stop).await }
        });
        Self {
            store: Permitted(store),
            stop,
            running,
        }
    }

    /// Tells the store to stop, and waits until it has.
    pub(crate) async fn stop(&mut self) {
        self.stop.cancel();
        (&mut self.running).await.unwrap();
    }

    /// Reads `secret/PATH`.
    pub(crate) async fn read(&self, path: &str) -> Result<Secret, StoreError> {
        self.store.read(&permit("secret", path, None)).await
    }

    /// Reads `secret/PATH` for a policy that names `role`.
    pub(crate) async fn read_as(&self, role: &str, path: &str) -> Result<Secret, StoreError> {
        let target = permit("secret", path, None).target().clone();
        let action = Action::Read(Delivery::Socket);
        let text = format!("@vault_role(\"{role}\") permit(principal, action, resource);");
        self.store.read(&permit_by(&text, action, target)).await
    }

    /// Reads the field `key` of `secret/PATH` as JSON text.
    pub(crate) async fn field(&self, path: &str, key: &str) -> Result<String, StoreError> {
        let secret = self.read(path).await?;
        Ok(fields(&secret)
            .into_iter()
            .find(|(name, _)| name == key)
            .unwrap()
            .1)
    }

    /// Waits until the store says so of itself.
    pub(crate) async fn wait_for(&self, what: &str, wanted: impl Fn(&StoreHealth) -> bool) {
        let start = Instant::now();
        loop {
            let health = self.store.health().await;
            if wanted(&health) {
                return;
            }
            assert!(
                start.elapsed() < PATIENCE,
                "waited in vain for {what}: {health:?}"
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Waits until it serves.
    pub(crate) async fn ready(&self) {
        self.wait_for("ready", |health| matches!(health, StoreHealth::Ready(_)))
            .await;
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.running.abort();
    }
}

/// Settings for `address`.
pub(crate) fn settings(address: String, auth: Auth) -> Settings {
    Settings {
        address,
        namespace: None,
        ca_cert: None,
        client_cert: None,
        client_key: None,
        server_name: None,
        mounts: mounts(),
        auth,
        request_timeout: Duration::from_secs(10),
    }
}

/// What the tests mount, or ask for where there is nothing.
pub(crate) fn mounts() -> Mounts {
    let kv2 = ["secret", "elsewhere", "old", "nowhere"].map(|name| (name, MountKind::Kv2));
    let kv1 = [("legacy", MountKind::Kv1)];
    let engines = ["database", "pki", "transit", "totp", "ssh", "nothing"];
    let engines = engines.map(|name| (name, MountKind::Engine));
    let all = kv2.into_iter().chain(kv1).chain(engines);
    Mounts::of(all.map(|(name, kind)| (name.to_owned(), kind)).collect()).unwrap()
}

/// A token somebody made.
pub(crate) fn static_token(token: &str) -> Auth {
    Auth::Token(secret(token))
}

/// The policy we ship.
pub(crate) const SHIPPED: &str = include_str!("../../policies/vault/broker.hcl");

/// Makes role `name` with the shipped policy and nothing else; `more` adds to its settings.
pub(crate) fn app_role(bao: &OpenBao, name: &str, more: &Value) -> Auth {
    app_role_with(bao, name, SHIPPED, more)
}

/// As [`app_role`], with the policy `rules`.
pub(crate) fn app_role_with(bao: &OpenBao, name: &str, rules: &str, more: &Value) -> Auth {
    bao.policy(name, rules);
    let mut role = json!({"token_policies": name, "token_no_default_policy": true});
    for (key, value) in more.as_object().unwrap() {
        role[key] = value.clone();
    }
    let (role_id, secret_id) = bao.role(name, &role);
    by_app_role(role_id, SecretId::Plain(secret(&secret_id)))
}

/// AppRole at its usual place.
pub(crate) fn by_app_role(role_id: String, secret_id: SecretId) -> Auth {
    Auth::Method {
        mount: "approle".to_owned(),
        method: Method::AppRole { role_id, secret_id },
    }
}

/// A secret.
pub(crate) fn secret(text: &str) -> SecretValue {
    SecretValue::new(text.as_bytes().to_vec())
}

/// The store, given for each call a permit for that action and the target of the one at hand.
pub(crate) struct Permitted(Arc<Store>);

impl Deref for Permitted {
    type Target = Arc<Store>;

    fn deref(&self) -> &Arc<Store> {
        &self.0
    }
}

impl Permitted {
    pub(crate) async fn wrap(&self, at: &Permit, ttl: Duration) -> Result<Wrapped, StoreError> {
        let permit = permit_to(Action::Read(Delivery::Wrapped), at.target().clone());
        self.0.wrap(&permit, ttl).await
    }

    pub(crate) async fn list(&self, at: &Permit) -> Result<Vec<String>, StoreError> {
        let permit = permit_to(Action::List, at.target().clone());
        self.0.list(&permit).await
    }

    pub(crate) async fn history(&self, at: &Permit) -> Result<History, StoreError> {
        let permit = permit_to(Action::Versions, at.target().clone());
        self.0.history(&permit).await
    }

    pub(crate) async fn put(
        &self,
        at: &Permit,
        fields: &[Field],
        over: impl Into<Option<u64>>,
    ) -> Result<Option<u64>, StoreError> {
        let over = over.into();
        let permit = permit_to(Action::Put { over }, at.target().clone());
        let new = self.0.put(&permit, fields, over).await?;
        Ok(new.map(|new| new.number))
    }

    pub(crate) async fn patch(
        &self,
        at: &Permit,
        fields: &[Field],
        over: Option<u64>,
    ) -> Result<u64, StoreError> {
        let permit = permit_to(Action::Patch { over }, at.target().clone());
        self.0
            .patch(&permit, fields, over)
            .await
            .map(|new| new.number)
    }

    pub(crate) async fn delete(&self, at: &Permit) -> Result<Option<u64>, StoreError> {
        let permit = permit_to(Action::Delete, at.target().clone());
        self.0.delete(&permit).await
    }

    pub(crate) async fn destroy(&self, at: &Permit, version: u64) -> Result<(), StoreError> {
        let permit = permit_to(Action::Destroy, at.target().clone());
        self.0.destroy(&permit, version).await
    }

    pub(crate) async fn exists(&self, at: &Permit) -> Result<bool, StoreError> {
        let permit = permit_to(Action::Delete, at.target().clone());
        self.0.exists(&permit).await
    }

    pub(crate) async fn invoke(&self, at: &Permit, fields: &[Field]) -> Result<Secret, StoreError> {
        let permit = permit_to(Action::Invoke(Delivery::Socket), at.target().clone());
        self.0.invoke(&permit, fields).await
    }

    pub(crate) async fn invoke_wrapped(
        &self,
        at: &Permit,
        fields: &[Field],
        ttl: Duration,
    ) -> Result<Wrapped, StoreError> {
        let permit = permit_to(Action::Invoke(Delivery::Wrapped), at.target().clone());
        self.0.invoke_wrapped(&permit, fields, ttl).await
    }

    pub(crate) async fn undelete(&self, at: &Permit, version: u64) -> Result<(), StoreError> {
        let permit = permit_to(Action::Undelete, at.target().clone());
        self.0.undelete(&permit, version).await
    }
}

/// Permission to read `mount/path`.
pub(crate) fn permit(mount: &str, path: &str, version: Option<u64>) -> Permit {
    permit_for(SecretPath::new(mount, path).unwrap(), version)
}

/// Permission for the folder `secret/PATH`.
pub(crate) fn folder(path: &str) -> Permit {
    permit_for(SecretPath::folder("secret", path).unwrap(), None)
}

fn permit_for(path: SecretPath, version: Option<u64>) -> Permit {
    let target = Target {
        path,
        field: None,
        version,
    };
    permit_to(Action::Read(Delivery::Socket), target)
}

/// Permission from a policy that permits everything.
pub(crate) fn permit_to(action: Action, target: Target) -> Permit {
    permit_by("permit(principal, action, resource);", action, target)
}

/// Permission from `policy`.
pub(crate) fn permit_by(policy: &str, action: Action, target: Target) -> Permit {
    let policy = PolicySource {
        name: "test".to_owned(),
        text: policy.to_owned(),
    };
    let mounts = Mounts::new(vec![target.path.mount().to_owned()]).unwrap();
    let policy = Policy::load(&[policy], Groups::default(), &mounts).unwrap();
    let request = Request {
        id: RequestId::Connection(1),
        caller: Caller::Unix(UnixPeer::known(1, 1, 1)),
        action,
        target,
    };
    match policy.decide(&request, OffsetDateTime::UNIX_EPOCH) {
        Decision::Allow(permit) => permit,
        Decision::Deny(denial) => panic!("{denial:?}"),
        Decision::NeedsApproval(need) => panic!("{need:?}"),
    }
}

/// A field to write, its value as JSON text.
pub(crate) fn field(name: &str, json: &str) -> Field {
    Field {
        name: name.to_owned(),
        json: SecretValue::new(json.as_bytes().to_vec()),
    }
}

/// Names and JSON texts.
#[expect(clippy::disallowed_methods, reason = "tests compare the plaintext")]
pub(crate) fn fields(secret: &Secret) -> Vec<(String, String)> {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    secret
        .fields
        .iter()
        .map(|field| (field.name.clone(), text(field.json.expose_secret())))
        .collect()
}

/// The error of what must fail (secrets have no `Debug`, so no `unwrap_err`).
pub(crate) fn error<T>(result: Result<T, StoreError>) -> StoreError {
    match result {
        Ok(_) => panic!("it must fail"),
        Err(error) => error,
    }
}

/// The name of the error that a version is deleted or destroyed, and the number of that version.
pub(crate) fn gone<T>(result: Result<T, StoreError>) -> (&'static str, u64) {
    let error = error(result);
    let (StoreError::Deleted(facts) | StoreError::Destroyed(facts)) = &error else {
        panic!("{error:?}");
    };
    assert!(facts.created.starts_with("20"), "{facts:?}");
    let deleted = matches!(error, StoreError::Deleted(_));
    assert!(!deleted || facts.created < facts.deletion, "{facts:?}");
    (error.name(), facts.number)
}

/// Why the store is logged out, which it must be.
pub(crate) async fn logged_out(store: &Store) -> String {
    let health = store.health().await;
    let StoreHealth::LoggedOut { reason } = health else {
        panic!("{health:?}");
    };
    reason
}

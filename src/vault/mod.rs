//! Vault or OpenBao as the secret store: logs in, stays logged in, reads and writes KV, and asks
//! other engines.
//!
//! | file | holds |
//! |---|---|
//! | `settings` | where Vault is, checked |
//! | `method` | the ways to log in and what each needs, checked |
//! | `request` | one request, and the headers that go with a token |
//! | `client` | one exchange: its turn, its time-out, what an answer means |
//! | `wire` | HTTP/1.1 and TLS on kept connections that hold nothing of what passed |
//! | `kv` | reading a secret of KV version 2, and what each answer means |
//! | `metadata` | the names in a folder, the versions of a secret |
//! | `kv_write` | writing, deleting, undeleting, destroying, and what each answer means |
//! | `engine` | KV version 1, and every other engine: read, list, invoke; renewing and ending a lease |
//! | `mount` | whether a mount is what the configuration says |
//! | `wrap` | having Vault keep an answer for who brings a token |
//! | `auth` | how each method logs in, and what Vault grants |
//! | `unwrap` | a secret id that came wrapped: looked at first, unwrapped once |
//! | `cache` | what was read and may be kept for a while |
//! | `session` | a token and its lease: begin, look up, renew, revoke |
//! | `sessions` | which session a request is made with |
//! | `login` | which session is current, and what to do when Vault refuses it |
//! | `keeper` | the background loop that renews and replaces the session in time |
//! | `held` | the sessions beside the current one: alive while held, then revoked |
//! | `leases` | the sessions that dynamic secrets hang on |
//! | `roles` | the sessions of token roles, for policies that name one |
//! | `schedule` | when, as pure functions |
//! | `health` | the server's own word on its state |
//!
//! [`Store`] is the adapter: [`Store::run`] keeps it logged in, [`SecretStore`] does the rest.

mod auth;
mod cache;
mod client;
mod engine;
mod health;
mod held;
mod keeper;
mod kv;
mod kv_write;
mod leases;
mod login;
mod metadata;
mod method;
mod mount;
mod request;
mod roles;
mod schedule;
mod session;
mod sessions;
mod settings;
mod unwrap;
mod wire;
mod wrap;

#[cfg(test)]
#[path = "../../tests/support/openbao.rs"]
mod openbao;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use metrics::counter;
use tokio_util::sync::CancellationToken;

pub use cache::Cached;
pub use method::{Auth, Jwt, Method, SecretId};
pub use settings::{Settings, SettingsError};

use crate::broker::ports::{SecretStore, StoreError, StoreHealth, Wrapped, WrappedFacts};
use crate::domain::{
    Action, Delivery, Field, History, MountKind, Mounts, Permit, Secret, SecretValue, Target,
    VersionFacts,
};
use crate::telemetry::metrics::LEASE_RENEWALS;
use crate::vault::client::Client;
use crate::vault::engine::Engine;
use crate::vault::health::Probe;
use crate::vault::leases::Leases;
use crate::vault::login::Login;
use crate::vault::metadata::Metadata;
use crate::vault::mount::Looked;
use crate::vault::roles::Roles;
use crate::vault::session::Session;
use crate::vault::sessions::Sessions;

/// Secrets in Vault or OpenBao.
pub struct Store {
    client: Arc<Client>,
    sessions: Arc<Sessions>,
    mounts: Mounts,
    looked: Looked,
    leases: Leases,
    probe: Probe,
    warning: Option<String>,
}

impl Store {
    /// Checks `settings`; connects to nothing. Reads work once [`Store::run`] has logged in.
    ///
    /// # Errors
    /// When a setting cannot work, with what to write instead.
    pub fn new(settings: Settings) -> Result<Self, SettingsError> {
        let address = settings::check(&settings)?;
        let client = Arc::new(Client::new(&address, &settings)?);
        Ok(Self {
            client: client.clone(),
            sessions: Arc::new(Sessions {
                client,
                login: Login::new(settings.auth),
                roles: Roles::default(),
            }),
            mounts: settings.mounts,
            looked: Looked::default(),
            leases: Leases::default(),
            probe: Probe::default(),
            warning: settings::warning(&address),
        })
    }

    /// What works but should not stay so, for the log and `doctor`: plain HTTP to another host.
    #[must_use]
    pub fn warning(&self) -> Option<&str> {
        self.warning.as_deref()
    }

    /// Waits until the first login of [`Store::run`] has ended, however that was; `patience` at
    /// the most.
    pub async fn first_login(&self, patience: Duration) {
        // What came of it is for `health` to say.
        drop(self.sessions.login.session(patience).await);
    }

    /// Whether a wrapped secret id is still good, with what to do if not; `None` where logging in
    /// needs none. It is not unwrapped: that works only once, and is for [`Store::run`].
    pub async fn examine_wrapped(&self) -> Option<Result<(), String>> {
        self.sessions.login.examine(&self.client).await
    }

    /// Logs in, renews, logs in again, whatever Vault does, until `stop`; then revokes the
    /// tokens that came from logins of ours. Run it once, beside the reads.
    pub async fn run(&self, stop: CancellationToken) {
        let Sessions { login, .. } = &*self.sessions;
        tokio::join!(
            keeper::keep(login, &self.client, &stop),
            login.held().keep(&self.client, &stop),
            self.leases.keep(&stop),
        );
        keeper::end(&self.sessions).await;
    }

    /// What is mounted where `target` lies. The broker asks for nothing elsewhere.
    fn kind(&self, target: &Target) -> Result<MountKind, StoreError> {
        let kind = self.mounts.kind(target.path.mount());
        kind.ok_or(StoreError::Unsupported)
    }

    /// Refuses `permit` where there are no versions. The broker never asks for that there.
    fn versioned(&self, permit: &Permit) -> Result<(), StoreError> {
        meant(permit, self.kind(permit.target())? == MountKind::Kv2)
    }

    /// A mount that is not KV version 2, for one session.
    fn engine<'a>(&'a self, kind: MountKind, session: &'a Session) -> Engine<'a> {
        Engine {
            client: &self.client,
            access: session.access(),
            kind,
            looked: &self.looked,
        }
    }

    /// Does `what` with the session that `permit` is for, and once more with a new one if that one
    /// turns out dead: what Vault refused it has not done.
    async fn logged_in<T, F>(
        &self,
        permit: &Permit,
        what: impl Fn(Arc<Session>) -> F,
    ) -> Result<T, StoreError>
    where
        F: Future<Output = Result<T, StoreError>>,
    {
        self.logged_in_as(permit.terms().vault_role.as_deref(), what)
            .await
    }

    /// As [`Store::logged_in`], in a token role, or as ourselves.
    async fn logged_in_as<T, F>(
        &self,
        role: Option<&str>,
        what: impl Fn(Arc<Session>) -> F,
    ) -> Result<T, StoreError>
    where
        F: Future<Output = Result<T, StoreError>>,
    {
        let session = self.sessions.session(role).await?;
        let result = what(session.clone()).await;
        if !matches!(result, Err(StoreError::Forbidden)) {
            return result;
        }
        // Vault says the same to a dead token and to a path outside our policy.
        let another = self.sessions.instead_of(role, session).await?;
        match another {
            Some(session) => what(session).await,
            None => result,
        }
    }
}

/// Refuses what `permit` is not for. The broker never asks for that; should it by mistake, nothing
/// comes of it.
fn meant(permit: &Permit, meant: bool) -> Result<(), StoreError> {
    if meant {
        return Ok(());
    }
    tracing::error!(
        event = "vault.permit_misused",
        request = %permit.request().id,
        action = permit.action().name(),
    );
    Err(StoreError::Unsupported)
}

#[async_trait]
impl SecretStore for Store {
    async fn read(&self, permit: &Permit) -> Result<Secret, StoreError> {
        meant(
            permit,
            // Before a rotation: does the field exist?
            matches!(
                permit.action(),
                Action::Read(Delivery::Message | Delivery::Sealed | Delivery::Socket)
                    | Action::Rotate { .. }
            ),
        )?;
        let (client, target) = (&self.client, permit.target());
        let kind = self.kind(target)?;
        self.logged_in(permit, move |session| async move {
            match kind {
                MountKind::Kv2 => kv::read(client, session.access(), target).await,
                MountKind::Kv1 | MountKind::Engine => {
                    let secret = self.engine(kind, &session).read(&target.path).await?;
                    self.leases.made(&secret, &session);
                    Ok(secret)
                }
            }
        })
        .await
    }

    async fn wrap(&self, permit: &Permit, ttl: Duration) -> Result<Wrapped, StoreError> {
        meant(
            permit,
            matches!(permit.action(), Action::Read(Delivery::Wrapped)),
        )?;
        let (client, target) = (&self.client, permit.target());
        let kind = self.kind(target)?;
        self.logged_in(permit, move |session| async move {
            match kind {
                MountKind::Kv2 => wrap::wrap(client, session.access(), target, ttl).await,
                MountKind::Kv1 | MountKind::Engine => {
                    let engine = self.engine(kind, &session);
                    let wrapped = engine.wrap(&target.path, ttl).await?;
                    if kind == MountKind::Engine {
                        self.leases.made_unseen(&session, wrapped.facts.ttl);
                    }
                    Ok(wrapped)
                }
            }
        })
        .await
    }

    async fn wrapped(&self, token: &SecretValue) -> Result<WrappedFacts, StoreError> {
        wrap::wrapped(&self.client, token).await
    }

    async fn unwrap(&self, permit: &Permit, token: &SecretValue) -> Result<Secret, StoreError> {
        meant(permit, permit.action() == Action::Unwrap)?;
        wrap::unwrap(&self.client, self.kind(permit.target())?, token).await
    }

    async fn invoke(&self, permit: &Permit, fields: &[Field]) -> Result<Secret, StoreError> {
        let target = permit.target();
        let kind = self.kind(target)?;
        let delivered = matches!(
            permit.action(),
            Action::Invoke(Delivery::Message | Delivery::Sealed | Delivery::Socket)
        );
        meant(permit, delivered && kind == MountKind::Engine)?;
        self.logged_in(permit, move |session| async move {
            let engine = self.engine(kind, &session);
            let secret = engine.invoke(&target.path, fields).await?;
            self.leases.made(&secret, &session);
            Ok(secret)
        })
        .await
    }

    async fn invoke_wrapped(
        &self,
        permit: &Permit,
        fields: &[Field],
        ttl: Duration,
    ) -> Result<Wrapped, StoreError> {
        let target = permit.target();
        let kind = self.kind(target)?;
        let wrapped = permit.action() == Action::Invoke(Delivery::Wrapped);
        meant(permit, wrapped && kind == MountKind::Engine)?;
        self.logged_in(permit, move |session| async move {
            let engine = self.engine(kind, &session);
            let wrapped = engine.invoke_wrapped(&target.path, fields, ttl).await?;
            self.leases.made_unseen(&session, wrapped.facts.ttl);
            Ok(wrapped)
        })
        .await
    }

    async fn revoke(&self, lease: &str) -> Result<(), StoreError> {
        let client = &self.client;
        self.logged_in_as(None, move |session| async move {
            engine::revoke(client, session.access(), lease).await
        })
        .await?;
        self.leases.ended(lease);
        Ok(())
    }

    async fn renew(&self, lease: &str, increment: Duration) -> Result<Duration, StoreError> {
        let client = &self.client;
        let renewed = self
            .logged_in_as(None, move |session| async move {
                engine::renew(client, session.access(), lease, increment).await
            })
            .await;
        let result = if renewed.is_ok() { "renewed" } else { "failed" };
        counter!(LEASE_RENEWALS, "result" => result).increment(1);
        let granted = renewed?;
        self.leases.renewed(lease, granted);
        Ok(granted)
    }

    async fn list(&self, permit: &Permit) -> Result<Vec<String>, StoreError> {
        meant(permit, matches!(permit.action(), Action::List))?;
        let (client, target) = (&self.client, permit.target());
        let kind = self.kind(target)?;
        self.logged_in(permit, move |session| async move {
            match kind {
                MountKind::Kv2 => metadata::list(client, session.access(), &target.path).await,
                MountKind::Kv1 | MountKind::Engine => {
                    self.engine(kind, &session).list(&target.path).await
                }
            }
        })
        .await
    }

    async fn exists(&self, permit: &Permit) -> Result<bool, StoreError> {
        let target = permit.target();
        let kind = self.kind(target)?;
        meant(permit, permit.action().changes() && kind == MountKind::Kv1)?;
        self.logged_in(permit, move |session| async move {
            self.engine(kind, &session).exists(&target.path).await
        })
        .await
    }

    async fn history(&self, permit: &Permit) -> Result<History, StoreError> {
        // Before a change too: what is there now? And before something kept is handed out: is it
        // still so?
        let action = permit.action();
        let before = action.changes() || matches!(action, Action::Read(_));
        meant(permit, action == Action::Versions || before)?;
        self.versioned(permit)?;
        let (client, target) = (&self.client, permit.target());
        self.logged_in(permit, move |session| async move {
            metadata::read(client, session.access(), &target.path)
                .await
                .map(Metadata::history)
        })
        .await
    }

    async fn put(
        &self,
        permit: &Permit,
        fields: &[Field],
        over: Option<u64>,
    ) -> Result<Option<VersionFacts>, StoreError> {
        meant(permit, matches!(permit.action(), Action::Put { .. }))?;
        let (client, target) = (&self.client, permit.target());
        let kind = self.kind(target)?;
        meant(permit, kind != MountKind::Engine)?;
        self.logged_in(permit, move |session| async move {
            if kind == MountKind::Kv2 {
                let written = kv_write::put(client, session.access(), target, fields, over);
                return written.await.map(Some);
            }
            let engine = self.engine(kind, &session);
            engine.put(&target.path, fields, over).await.map(|()| None)
        })
        .await
    }

    async fn patch(
        &self,
        permit: &Permit,
        fields: &[Field],
        over: Option<u64>,
    ) -> Result<VersionFacts, StoreError> {
        meant(
            permit,
            matches!(
                permit.action(),
                Action::Patch { .. } | Action::Rotate { .. }
            ),
        )?;
        self.versioned(permit)?;
        let (client, target) = (&self.client, permit.target());
        self.logged_in(permit, move |session| async move {
            kv_write::patch(client, session.access(), target, fields, over).await
        })
        .await
    }

    async fn delete(&self, permit: &Permit) -> Result<Option<u64>, StoreError> {
        meant(permit, matches!(permit.action(), Action::Delete))?;
        let (client, target) = (&self.client, permit.target());
        let kind = self.kind(target)?;
        meant(permit, kind != MountKind::Engine)?;
        self.logged_in(permit, move |session| async move {
            if kind == MountKind::Kv2 {
                let deleted = kv_write::delete(client, session.access(), target);
                return deleted.await.map(Some);
            }
            let engine = self.engine(kind, &session);
            engine.delete(&target.path).await.map(|()| None)
        })
        .await
    }

    async fn undelete(&self, permit: &Permit, version: u64) -> Result<(), StoreError> {
        meant(permit, matches!(permit.action(), Action::Undelete))?;
        self.versioned(permit)?;
        let (client, target) = (&self.client, permit.target());
        self.logged_in(permit, move |session| async move {
            kv_write::undelete(client, session.access(), target, version).await
        })
        .await
    }

    async fn destroy(&self, permit: &Permit, version: u64) -> Result<(), StoreError> {
        meant(permit, matches!(permit.action(), Action::Destroy))?;
        self.versioned(permit)?;
        let (client, target) = (&self.client, permit.target());
        self.logged_in(permit, move |session| async move {
            kv_write::destroy(client, session.access(), target, version).await
        })
        .await
    }

    async fn health(&self) -> StoreHealth {
        self.probe
            .health(&self.client, &self.sessions.login, &self.leases)
            .await
    }
}

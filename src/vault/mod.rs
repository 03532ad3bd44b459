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
//! | `store` | what the broker asks for, and which file does it |
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
//! [`Store`] is the adapter: [`Store::run`] keeps it logged in, `store` does the rest.

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
mod store;
mod totp;
mod unwrap;
mod wire;
mod wrap;

#[cfg(test)]
#[path = "../../tests/support/openbao.rs"]
mod openbao;

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use cache::Cached;
pub use method::{Auth, Jwt, Method, SecretId};
pub use settings::{Settings, SettingsError};

use crate::broker::ports::StoreError;
use crate::domain::{MountKind, Mounts, Permit, Target};
use crate::vault::client::Client;
use crate::vault::engine::Engine;
use crate::vault::health::Probe;
use crate::vault::leases::Leases;
use crate::vault::login::Login;
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
                tasks: TaskTracker::new(),
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
        let in_vault = kind.filter(|kind| *kind != MountKind::Pipelines);
        in_vault.ok_or(StoreError::Unsupported)
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

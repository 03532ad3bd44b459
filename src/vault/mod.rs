//! Vault or OpenBao as the secret store: logs in, stays logged in, reads and writes KV version 2.
//!
//! | file | holds |
//! |---|---|
//! | `settings` | where Vault is and how to log in, checked |
//! | `client` | one request: its headers, its turn, its time-out, what an answer means |
//! | `wire` | HTTP/1.1 and TLS on kept connections that hold nothing of what passed |
//! | `kv` | reading a secret, and what each answer means |
//! | `metadata` | the names in a folder, the versions of a secret |
//! | `kv_write` | writing, deleting, undeleting, and what each answer means |
//! | `mount` | whether a mount is KV version 2 |
//! | `wrap` | having Vault keep an answer for who brings a token |
//! | `session` | a token and its lease: log in, look up, renew, revoke |
//! | `login` | which session is current, and what to do when Vault refuses it |
//! | `keeper` | the background loop that renews and replaces the session in time |
//! | `schedule` | when, as pure functions |
//! | `health` | the server's own word on its state |
//!
//! [`Store`] is the adapter: [`Store::run`] keeps it logged in, [`SecretStore`] does the rest.

mod client;
mod health;
mod keeper;
mod kv;
mod kv_write;
mod login;
mod metadata;
mod mount;
mod schedule;
mod session;
mod settings;
mod wire;
mod wrap;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;

pub use settings::{Auth, Settings, SettingsError};

use crate::broker::ports::{SecretStore, StoreError, StoreHealth, Wrapped};
use crate::domain::{Action, Delivery, Field, History, Permit, Secret};
use crate::vault::client::Client;
use crate::vault::health::Probe;
use crate::vault::login::{Login, Verdict};
use crate::vault::metadata::Metadata;
use crate::vault::session::Session;

/// Secrets in Vault's or OpenBao's KV version 2.
pub struct Store {
    client: Client,
    login: Login,
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
        let client = Client::new(&address, &settings)?;
        Ok(Self {
            client,
            login: Login::new(settings.auth),
            probe: Probe::default(),
            warning: settings::warning(&address),
        })
    }

    /// What works but should not stay so, for the log and `doctor`: plain HTTP to another host.
    #[must_use]
    pub fn warning(&self) -> Option<&str> {
        self.warning.as_deref()
    }

    /// Logs in, renews, logs in again, whatever Vault does, until `stop`; then revokes the
    /// token if it came from a login of ours. Run it once, beside the reads.
    pub async fn run(&self, stop: CancellationToken) {
        keeper::keep(&self.login, &self.client, &stop).await;
    }

    /// Does `what` with the current session, and once more with a new one if that one turns out
    /// dead: what Vault refused it has not done.
    async fn logged_in<T, F>(&self, what: impl Fn(Arc<Session>) -> F) -> Result<T, StoreError>
    where
        F: Future<Output = Result<T, StoreError>>,
    {
        let session = self.login.session(self.client.patience()).await?;
        match what(session.clone()).await {
            // Vault says the same to a dead token and to a path outside our policy.
            Err(StoreError::Forbidden) => match self.login.confirm(&self.client, &session).await {
                Verdict::Healthy => Err(StoreError::Forbidden),
                Verdict::Replaced(session) => what(session).await,
                Verdict::Lost(problem) => Err(problem.into()),
            },
            result => result,
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
        self.logged_in(
            move |session| async move { kv::read(client, session.access(), target).await },
        )
        .await
    }

    async fn wrap(&self, permit: &Permit, ttl: Duration) -> Result<Wrapped, StoreError> {
        meant(
            permit,
            matches!(permit.action(), Action::Read(Delivery::Wrapped)),
        )?;
        let (client, target) = (&self.client, permit.target());
        self.logged_in(move |session| async move {
            wrap::wrap(client, session.access(), target, ttl).await
        })
        .await
    }

    async fn list(&self, permit: &Permit) -> Result<Vec<String>, StoreError> {
        meant(permit, matches!(permit.action(), Action::List))?;
        let (client, target) = (&self.client, permit.target());
        self.logged_in(move |session| async move {
            metadata::list(client, session.access(), &target.path).await
        })
        .await
    }

    async fn history(&self, permit: &Permit) -> Result<History, StoreError> {
        // Before a change too: what is there now?
        let action = permit.action();
        meant(permit, action == Action::Versions || action.changes())?;
        let (client, target) = (&self.client, permit.target());
        self.logged_in(move |session| async move {
            metadata::read(client, session.access(), &target.path)
                .await
                .map(Metadata::history)
        })
        .await
    }

    async fn put(&self, permit: &Permit, fields: &[Field], over: u64) -> Result<u64, StoreError> {
        meant(permit, matches!(permit.action(), Action::Put { .. }))?;
        let (client, target) = (&self.client, permit.target());
        self.logged_in(move |session| async move {
            kv_write::put(client, session.access(), target, fields, over).await
        })
        .await
    }

    async fn patch(
        &self,
        permit: &Permit,
        fields: &[Field],
        over: Option<u64>,
    ) -> Result<u64, StoreError> {
        meant(
            permit,
            matches!(permit.action(), Action::Patch | Action::Rotate { .. }),
        )?;
        let (client, target) = (&self.client, permit.target());
        self.logged_in(move |session| async move {
            kv_write::patch(client, session.access(), target, fields, over).await
        })
        .await
    }

    async fn delete(&self, permit: &Permit) -> Result<u64, StoreError> {
        meant(permit, matches!(permit.action(), Action::Delete))?;
        let (client, target) = (&self.client, permit.target());
        self.logged_in(move |session| async move {
            kv_write::delete(client, session.access(), target).await
        })
        .await
    }

    async fn undelete(&self, permit: &Permit, version: u64) -> Result<(), StoreError> {
        meant(permit, matches!(permit.action(), Action::Undelete))?;
        let (client, target) = (&self.client, permit.target());
        self.logged_in(move |session| async move {
            kv_write::undelete(client, session.access(), target, version).await
        })
        .await
    }

    async fn health(&self) -> StoreHealth {
        self.probe.health(&self.client, &self.login).await
    }
}

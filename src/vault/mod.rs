//! Vault or OpenBao as the secret store: logs in, stays logged in, reads KV version 2.
//!
//! | file | holds |
//! |---|---|
//! | `settings` | where Vault is and how to log in, checked |
//! | `client` | one HTTP request: time-out, size limit, short-lived idle connections |
//! | `kv` | reading a secret, and what each answer means |
//! | `session` | a token and its lease: log in, look up, renew, revoke |
//! | `login` | which session is current, and what to do when Vault refuses it |
//! | `keeper` | the background loop that renews and replaces the session in time |
//! | `schedule` | when, as pure functions |
//! | `health` | the server's own word on its state |
//!
//! [`Store`] is the adapter: [`Store::run`] keeps it logged in, [`SecretStore`] reads.

mod client;
mod health;
mod keeper;
mod kv;
mod login;
mod schedule;
mod session;
mod settings;

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;

pub use settings::{Auth, Settings, SettingsError};

use crate::broker::ports::{SecretStore, StoreError, StoreHealth};
use crate::domain::{Permit, Secret};
use crate::vault::client::Client;
use crate::vault::health::Probe;
use crate::vault::login::{Login, Verdict};

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
}

#[async_trait]
impl SecretStore for Store {
    async fn read(&self, permit: &Permit) -> Result<Secret, StoreError> {
        let target = permit.target();
        let session = self.login.session(self.client.patience()).await?;
        match kv::read(&self.client, session.access(), target).await {
            // Vault says the same to a dead token and to a path outside our policy.
            Err(StoreError::Forbidden) => match self.login.confirm(&self.client, &session).await {
                Verdict::Healthy => Err(StoreError::Forbidden),
                Verdict::Replaced(session) => {
                    kv::read(&self.client, session.access(), target).await
                }
                Verdict::Lost(problem) => Err(problem.into()),
            },
            result => result,
        }
    }

    async fn health(&self) -> StoreHealth {
        self.probe.health(&self.client, &self.login).await
    }
}

//! An issuer, and vaultgram that trusts it.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::issuer::{Page, Signer, Site};
use super::memory::{Memory, Set};
use crate::identity::{IdentityError, Issuer, Oidc, Proven};

/// When everything happens.
pub(super) const NOW: i64 = 1_800_000_000;

pub(super) struct World {
    pub(super) site: Site,
    pub(super) clock: Arc<Set>,
    pub(super) memory: Arc<Memory>,
    pub(super) oidc: Arc<Oidc>,
}

impl World {
    /// An issuer with the keys of `signers`.
    pub(super) async fn new(signers: &[&Signer]) -> Self {
        Self::with(Page::keys(signers)).await
    }

    /// An issuer that has `page` where its keys should be.
    pub(super) async fn with(page: Page) -> Self {
        Self::at(Site::start(page).await, None)
    }

    /// Trusts `site`, and `ca` there.
    pub(super) fn at(site: Site, ca: Option<Vec<u8>>) -> Self {
        let settings = Issuer {
            ca,
            ..settings(&site.address)
        };
        let clock = Arc::new(Set::at(NOW));
        let memory = Arc::new(Memory::default());
        let oidc = Oidc::new(vec![settings], clock.clone(), memory.clone()).unwrap();
        Self {
            site,
            clock,
            memory,
            oidc: Arc::new(oidc),
        }
    }

    /// Claims of a good token.
    pub(super) fn claims(&self) -> Value {
        json!({
            "iss": self.site.address,
            "aud": "vaultgram",
            "sub": "repo:acme/app:ref:refs/heads/main",
            "iat": NOW - 10,
            "nbf": NOW - 10,
            "exp": NOW + 290,
            "jti": "1",
            "repository": "acme/app",
        })
    }

    /// The same, changed: `null` leaves out.
    pub(super) fn claims_but(&self, changes: &Value) -> Value {
        let mut claims = self.claims();
        let all = claims.as_object_mut().unwrap();
        for (name, value) in changes.as_object().unwrap() {
            if value.is_null() {
                all.remove(name);
            } else {
                all.insert(name.clone(), value.clone());
            }
        }
        claims
    }

    pub(super) async fn verify(&self, token: &str) -> Result<Proven, IdentityError> {
        self.oidc.verify("forge", token).await
    }

    /// What is wrong with `token`; `ok` for nothing.
    pub(super) async fn name(&self, token: &str) -> &'static str {
        match self.verify(token).await {
            Ok(_) => "ok",
            Err(error) => error.name(),
        }
    }
}

/// How an issuer at `address` is trusted.
pub(super) fn settings(address: &str) -> Issuer {
    Issuer {
        name: "forge".to_owned(),
        issuer: address.to_owned(),
        audience: "vaultgram".to_owned(),
        jwks_url: None,
        session_ttl: Duration::from_mins(15),
        ca: None,
    }
}

/// A part of a token.
pub(super) fn part(value: &Value) -> String {
    URL_SAFE_NO_PAD.encode(value.to_string())
}

/// Lets time pass for what is kept, but not for the clock on the wall.
pub(super) async fn later(time: Duration) {
    tokio::time::pause();
    tokio::time::advance(time).await;
    tokio::time::resume();
}

//! Tokens of trusted issuers (OIDC), such as GitHub's for each job.
//!
//! A token counts once: whoever reads it on its way or in a log finds it used up. So it is
//! exchanged for a session ([`crate::identity::sessions`]) by who got it.

use std::collections::BTreeMap;
use std::sync::Arc;

use sha2::{Digest, Sha256};
use time::OffsetDateTime;

use crate::broker::ports::{Clock, Coordination};
use crate::domain::job::Job;
use crate::identity::claims::{Claims, LEEWAY};
use crate::identity::jwks::Jwks;
use crate::identity::once::once;
use crate::identity::token::Token;
use crate::identity::{IdentityError, Issuer, SettingsError, count, result};

/// Everything that is needed to check tokens.
pub struct Oidc {
    issuers: BTreeMap<String, Trusted>,
    clock: Arc<dyn Clock>,
    coordination: Arc<dyn Coordination>,
}

/// An issuer, and its keys.
struct Trusted {
    settings: Issuer,
    keys: Jwks,
}

/// Who somebody proved to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proven {
    /// Who.
    pub job: Job,
    /// Until when this may be taken for granted.
    pub until: OffsetDateTime,
}

impl Oidc {
    /// Trusts `issuers`. Fetches nothing yet.
    ///
    /// # Errors
    /// When one of them cannot work.
    pub fn new(
        issuers: Vec<Issuer>,
        clock: Arc<dyn Clock>,
        coordination: Arc<dyn Coordination>,
    ) -> Result<Self, SettingsError> {
        let mut trusted: BTreeMap<String, Trusted> = BTreeMap::new();
        for settings in issuers {
            let name = settings.name.clone();
            if trusted.contains_key(&name) {
                return Err(SettingsError::Twice(name));
            }
            let tokens = (&settings.issuer, &settings.audience);
            let mut others = trusted.values().map(|it| &it.settings);
            if let Some(other) = others.find(|it| (&it.issuer, &it.audience) == tokens) {
                let other = other.name.clone();
                return Err(SettingsError::SameTokens { name, other });
            }
            let keys = Jwks::new(&settings)?;
            trusted.insert(name, Trusted { settings, keys });
        }
        Ok(Self {
            issuers: trusted,
            clock,
            coordination,
        })
    }

    /// Checks `token` of the issuer that is called `issuer`, and uses it up.
    ///
    /// # Errors
    /// When it proves nothing, or that cannot be found out.
    pub async fn verify(&self, issuer: &str, token: &str) -> Result<Proven, IdentityError> {
        let proven = self.check(issuer, token).await;
        count("token", result(&proven));
        proven
    }

    async fn check(&self, issuer: &str, token: &str) -> Result<Proven, IdentityError> {
        let issuer = self.issuers.get(issuer).ok_or(IdentityError::Issuer)?;
        let token = Token::read(token)?;
        if !token.is_from(&issuer.settings.issuer) {
            return Err(IdentityError::Issuer);
        }
        let key = issuer.keys.key(&token.key_id).await?;
        let claims = Claims {
            text: token.text,
            payload: key.open(token.text, token.algorithm)?,
        };
        let now = self.clock.now();
        let ends = claims.check(&issuer.settings, now)? + LEEWAY;
        let job = claims.job(&issuer.settings)?;
        // Last, so that only what would be taken is used up; and remembered for longer than any
        // replica takes it, whose clock may be behind. By what it calls its issuer: under two names
        // here it is one token.
        let iss = hex::encode(Sha256::digest(&issuer.settings.issuer));
        let name = format!("identity/tokens/{iss}/{}", claims.id());
        once(&*self.coordination, &name, ends + LEEWAY).await?;
        Ok(Proven {
            job,
            until: ends.min(now + issuer.settings.session_ttl),
        })
    }
}

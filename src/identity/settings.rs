//! Which issuers are trusted, checked before anything is fetched.

use std::net::IpAddr;
use std::time::Duration;

use thiserror::Error;
use url::Url;

use crate::domain::job::is_issuer;
use crate::identity::fetch::Fetch;

/// Longest session: whoever needs more proves again who it is.
const MAX_SESSION: Duration = Duration::from_hours(24);

/// An issuer whose word is taken.
#[derive(Debug, Clone)]
pub struct Issuer {
    /// What policies call it: `github`.
    pub name: String,
    /// What its tokens call it (`iss`): an address that begins with `https://`, or with `http://` on
    /// this machine.
    pub issuer: String,
    /// For whom its tokens must be (`aud`).
    pub audience: String,
    /// Where its keys are; without it, where it says itself (OIDC discovery).
    pub jwks_url: Option<String>,
    /// How long a session lasts that was had for one of its tokens, at most.
    pub session_ttl: Duration,
    /// Certificate authorities to trust there instead of the system's, in PEM.
    pub ca: Option<Vec<u8>>,
}

/// A setting of an issuer that cannot work.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SettingsError {
    /// Not a name.
    #[error(
        "{0:?} cannot name an issuer; use up to 32 small letters, digits and -, beginning with a letter, \
         as in \"github\""
    )]
    Name(String),
    /// Used before.
    #[error("there are two issuers called {0}")]
    Twice(String),
    /// Nothing says which of the two a token is for.
    #[error(
        "{name} takes the same tokens as {other}, as issuer and audience are the same; leave it out, \
         or give it an audience of its own"
    )]
    SameTokens {
        /// The issuer's name.
        name: String,
        /// The one before.
        other: String,
    },
    /// Not an address to fetch anything from.
    #[error("the {what} of {name} cannot be used: {cause}")]
    Address {
        /// The issuer's name.
        name: String,
        /// Which address.
        what: &'static str,
        /// What is wrong with it.
        cause: &'static str,
    },
    /// Anybody's tokens.
    #[error("{0} has no audience; name one, or it would be enough to have a token for anybody")]
    Audience(String),
    /// Zero, or days.
    #[error(
        "the sessions of {0} must last from a second to a day; fifteen minutes is a good value"
    )]
    SessionTtl(String),
    /// Nobody to trust.
    #[error("the certificate authorities of {name} cannot be used: {cause}; they must be PEM")]
    Ca {
        /// The issuer's name.
        name: String,
        /// What is wrong with them.
        cause: String,
    },
    /// The system trusts nobody.
    #[error(
        "this system has no certificate authorities; name those of {0}, or install ca-certificates"
    )]
    NoAuthorities(String),
}

impl Issuer {
    /// Checks all that can be without a network.
    ///
    /// # Errors
    /// When it cannot work.
    pub fn verify(&self) -> Result<(), SettingsError> {
        Fetch::new(self)?;
        self.check().map(drop)
    }

    /// Where its keys are told.
    pub(super) fn check(&self) -> Result<Place, SettingsError> {
        if !is_issuer(&self.name) {
            return Err(SettingsError::Name(self.name.clone()));
        }
        if self.audience.is_empty() {
            return Err(SettingsError::Audience(self.name.clone()));
        }
        if !(Duration::from_secs(1)..=MAX_SESSION).contains(&self.session_ttl) {
            return Err(SettingsError::SessionTtl(self.name.clone()));
        }
        let refuse = |what| {
            let name = self.name.clone();
            move |cause| SettingsError::Address { name, what, cause }
        };
        let issuer = address(&self.issuer).map_err(refuse("issuer"))?;
        if issuer.query().is_some() {
            return Err(refuse("issuer")(
                "it has a query; it must be as tokens have it",
            ));
        }
        if let Some(url) = &self.jwks_url {
            let url = address(url).map_err(refuse("jwks_url"))?;
            return Ok(Place::Keys(url));
        }
        // The address as it is configured, not as a parser writes it.
        let base = self.issuer.trim_end_matches('/');
        let text = format!("{base}/.well-known/openid-configuration");
        address(&text)
            .map(Place::Discovery)
            .map_err(refuse("issuer"))
    }
}

/// Where an issuer's keys are told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    /// There they are.
    Keys(Url),
    /// There it says where they are.
    Discovery(Url),
}

/// Reads an address that may be fetched from: `https`, or `http` on this machine.
pub(super) fn address(text: &str) -> Result<Url, &'static str> {
    let url = Url::parse(text).map_err(|_| "it is not an address; write it like https://host")?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err("it holds a user name or password");
    }
    if url.fragment().is_some() {
        return Err("it has a fragment (#)");
    }
    match url.scheme() {
        "https" if url.has_host() => Ok(url),
        "http" if is_local(&url) => Ok(url),
        "http" => Err("it begins with http://, which is for this machine only; use https://"),
        _ => Err("it does not begin with https://"),
    }
}

/// Whether it is on this machine.
fn is_local(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let loopback = |address: IpAddr| address.is_loopback();
    host == "localhost" || bare.parse().is_ok_and(loopback)
}

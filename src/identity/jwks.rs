//! The keys of an issuer (JSON Web Key Set): each for one algorithm, and for nothing else.

use std::collections::BTreeMap;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyOperations, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde::Deserialize;
use serde_json::{Map, Value};
use tokio::time::timeout;

use crate::identity::IdentityError;
use crate::identity::fetch::{Document, Fetch};
use crate::identity::settings::{Issuer, Place, SettingsError, address};
use crate::identity::shelf::{Fetched, Shelf};

/// Most keys of an issuer: a few that rotate.
pub(super) const MAX_KEYS: usize = 64;
/// Lengths of the modulus of an RSA key that is taken, in bytes.
const RSA: std::ops::RangeInclusive<usize> = 256..=512;
/// Longest text of an error in the log, in signs.
const MAX_ERROR: usize = 300;
/// How long fetching may take, discovery included.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long keys are taken without asking again, whatever the issuer says.
const FRESH: (Duration, Duration) = (Duration::from_mins(10), Duration::from_hours(1));
/// The shortest time from one fetch to the next, whoever asks for unknown keys.
const PAUSE: Duration = Duration::from_secs(30);
/// How long they are taken while the issuer does not answer.
const KEEP: Duration = Duration::from_hours(24);

/// The keys of one issuer, fetched when they are needed.
pub(super) struct Jwks {
    source: Arc<Source>,
    shelf: Arc<Shelf<Keys>>,
}

/// Where they come from.
struct Source {
    name: String,
    issuer: String,
    place: Place,
    fetch: Fetch,
}

impl Jwks {
    pub(super) fn new(issuer: &Issuer) -> Result<Self, SettingsError> {
        let source = Source {
            place: issuer.check()?,
            name: issuer.name.clone(),
            issuer: issuer.issuer.clone(),
            fetch: Fetch::new(issuer)?,
        };
        Ok(Self {
            source: Arc::new(source),
            shelf: Shelf::new(PAUSE, KEEP),
        })
    }

    /// The key called `id`.
    ///
    /// # Errors
    /// When there is none, or the issuer does not tell.
    pub(super) async fn key(&self, id: &str) -> Result<Arc<Key>, IdentityError> {
        let known = |keys: Arc<Keys>| keys.0.get(id).cloned();
        if let Some(key) = self.shelf.fresh().and_then(known) {
            return Ok(key);
        }
        let source = Arc::clone(&self.source);
        self.shelf.renew(|| source.read()).await;
        match self.shelf.held().map(known) {
            Some(Some(key)) => Ok(key),
            // It may be newer than what there is.
            _ if self.shelf.fresh().is_none() => Err(IdentityError::JwksDown),
            _ => Err(IdentityError::KeyUnknown),
        }
    }
}

/// Fetches the keys of `issuer`, as who checks does not know it yet. Returns how many can be used.
///
/// # Errors
/// Says why none can.
pub async fn examine(issuer: &Issuer) -> Result<usize, String> {
    let jwks = Jwks::new(issuer).map_err(|error| error.to_string())?;
    let late = |_| Err("it did not answer in time".to_owned());
    let fetched = timeout(PATIENCE, jwks.source.fetch()).await;
    let (keys, _) = fetched.unwrap_or_else(late)?;
    match keys.0.len() {
        0 => Err("none of its keys can be used".to_owned()),
        keys => Ok(keys),
    }
}

impl Source {
    /// The keys as they are now; what went wrong is logged.
    async fn read(self: Arc<Self>) -> Option<Fetched<Keys>> {
        let late = |_| Err("it did not answer in time".to_owned());
        match timeout(PATIENCE, self.fetch()).await.unwrap_or_else(late) {
            Ok((value, max_age)) => {
                let keys = value.0.len();
                tracing::info!(
                    event = "identity.issuer_keys_read",
                    issuer = self.name,
                    keys
                );
                let (least, most) = FRESH;
                let fresh_for = max_age.unwrap_or(least).clamp(least, most);
                Some(Fetched { value, fresh_for })
            }
            Err(error) => {
                // It may repeat what the issuer sent.
                let error: String = error.chars().take(MAX_ERROR).collect();
                tracing::warn!(
                    event = "identity.issuer_keys_not_read",
                    issuer = self.name,
                    error,
                    hint = "keys read before are taken for a day; then its tokens are refused"
                );
                None
            }
        }
    }

    async fn fetch(&self) -> Result<(Keys, Option<Duration>), String> {
        #[derive(Deserialize)]
        struct Configuration {
            issuer: String,
            jwks_uri: String,
        }
        let place = match &self.place {
            Place::Keys(url) => url.clone(),
            Place::Discovery(url) => {
                let Document { text, .. } = self.fetch.get(url).await?;
                let found: Configuration = serde_json::from_slice(&text)
                    .map_err(|error| format!("its configuration cannot be read: {error}"))?;
                if found.issuer != self.issuer {
                    return Err(format!("it calls itself {:?}", found.issuer));
                }
                let place = address(&found.jwks_uri)
                    .map_err(|cause| format!("the address of its keys cannot be used: {cause}"))?;
                // What comes over TLS sends nobody to what does not.
                if url.scheme() == "https" && place.scheme() != "https" {
                    return Err("it has its keys fetched without TLS".to_owned());
                }
                place
            }
        };
        let Document { text, max_age } = self.fetch.get(&place).await?;
        Ok((Keys::parse(&text)?, max_age))
    }
}

/// Keys by their ids.
pub(super) struct Keys(BTreeMap<String, Arc<Key>>);

/// A key, and what it is for.
pub(super) struct Key {
    algorithm: Algorithm,
    key: DecodingKey,
}

impl Keys {
    /// Reads a key set. Keys that are for something else, or have no id, are left out.
    pub(super) fn parse(text: &[u8]) -> Result<Self, String> {
        #[derive(Deserialize)]
        struct Set {
            keys: Vec<Value>,
        }
        let set: Set = serde_json::from_slice(text)
            .map_err(|error| format!("its keys cannot be read: {error}"))?;
        if set.keys.len() > MAX_KEYS {
            return Err(format!("it has more than {MAX_KEYS} keys"));
        }
        let mut keys = BTreeMap::new();
        for jwk in set.keys {
            let Ok(jwk) = serde_json::from_value::<Jwk>(jwk) else {
                continue;
            };
            let (Some(id), Some(key)) = (&jwk.common.key_id, Key::new(&jwk)) else {
                continue;
            };
            if keys.insert(id.clone(), Arc::new(key)).is_some() {
                return Err("two of its keys have one id".to_owned());
            }
        }
        Ok(Self(keys))
    }
}

impl Key {
    /// `None` where it is not for checking signatures, or not for one of our algorithms.
    fn new(jwk: &Jwk) -> Option<Self> {
        let common = &jwk.common;
        let signs = common.public_key_use.as_ref();
        let checks = common.key_operations.as_ref();
        if signs.is_some_and(|it| *it != PublicKeyUse::Signature)
            || checks.is_some_and(|all| !all.contains(&KeyOperations::Verify))
        {
            return None;
        }
        let said = common.key_algorithm.map(|algorithm| algorithm.to_string());
        let said = said.as_deref();
        let algorithm = match &jwk.algorithm {
            AlgorithmParameters::RSA(parameters) => {
                let modulus = URL_SAFE_NO_PAD.decode(&parameters.n).ok()?;
                let leading = modulus.iter().take_while(|byte| **byte == 0).count();
                if !RSA.contains(&(modulus.len() - leading)) {
                    return None;
                }
                let said = said.unwrap_or("RS256");
                ["RS256", "RS384", "RS512", "PS256"]
                    .contains(&said)
                    .then_some(said)?
            }
            AlgorithmParameters::EllipticCurve(parameters) => {
                let only = match parameters.curve {
                    EllipticCurve::P256 => "ES256",
                    EllipticCurve::P384 => "ES384",
                    EllipticCurve::P521 | EllipticCurve::Ed25519 => return None,
                };
                (said.unwrap_or(only) == only).then_some(only)?
            }
            AlgorithmParameters::OctetKey(_) | AlgorithmParameters::OctetKeyPair(_) => return None,
        };
        Some(Self {
            algorithm: Algorithm::from_str(algorithm).ok()?,
            key: DecodingKey::from_jwk(jwk).ok()?,
        })
    }

    /// What `token` says, if this key signed it with `algorithm`, and that is what it is for.
    /// Nothing else of it is checked here: neither times, which are not by our clock, nor whom
    /// it is for.
    pub(super) fn open(
        &self,
        token: &str,
        algorithm: Algorithm,
    ) -> Result<Map<String, Value>, IdentityError> {
        if algorithm != self.algorithm {
            return Err(IdentityError::Algorithm);
        }
        let mut only = Validation::new(algorithm);
        only.required_spec_claims.clear();
        only.validate_exp = false;
        only.validate_nbf = false;
        only.validate_aud = false;
        let opened = jsonwebtoken::decode::<Map<String, Value>>(token, &self.key, &only);
        opened.map(|opened| opened.claims).map_err(|error| {
            let unreadable = matches!(
                error.kind(),
                ErrorKind::Base64(_) | ErrorKind::Json(_) | ErrorKind::Utf8(_)
            );
            if unreadable {
                IdentityError::Malformed("it is not a token (JWT)")
            } else {
                IdentityError::Signature
            }
        })
    }
}

//! A token (JWT) before its signature is checked: which key is to open it, if any.

use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::Algorithm;
use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::Value;

use crate::identity::IdentityError;

/// Longest token, in bytes.
pub(super) const MAX_TOKEN: usize = 16 * 1024;
/// The algorithms that are taken: all with a public key, so that who can check cannot sign.
const ALGORITHMS: [&str; 6] = ["RS256", "RS384", "RS512", "ES256", "ES384", "PS256"];

const NO_TOKEN: IdentityError = IdentityError::Malformed("it is not a token (JWT)");

/// What a token says of itself. Anybody can write this.
pub(super) struct Token<'t> {
    pub(super) text: &'t str,
    pub(super) algorithm: Algorithm,
    pub(super) key_id: String,
    issuer: Option<Value>,
}

impl<'t> Token<'t> {
    /// Takes `text` apart.
    pub(super) fn read(text: &'t str) -> Result<Self, IdentityError> {
        #[derive(Deserialize)]
        struct Header {
            alg: String,
            kid: Option<String>,
            crit: Option<IgnoredAny>,
        }
        #[derive(Deserialize)]
        struct Payload {
            iss: Option<Value>,
        }
        if text.len() > MAX_TOKEN {
            return Err(IdentityError::Malformed("it is longer than 16 KiB"));
        }
        let mut parts = text.split('.');
        let (Some(header), Some(payload), Some(_), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(NO_TOKEN);
        };
        let header: Header = part(header)?;
        if !ALGORITHMS.contains(&header.alg.as_str()) {
            return Err(IdentityError::Algorithm);
        }
        if header.crit.is_some() {
            let why = "it has extensions that must be understood (crit), and are not";
            return Err(IdentityError::Malformed(why));
        }
        let payload: Payload = part(payload)?;
        Ok(Self {
            text,
            algorithm: Algorithm::from_str(&header.alg).map_err(|_| IdentityError::Algorithm)?,
            key_id: header.kid.ok_or(IdentityError::KeyUnknown)?,
            issuer: payload.iss,
        })
    }

    /// Whether it says that it is from `issuer`. That another's key opens it is out of the
    /// question; but who is wrong about the issuer learns so, and no keys are fetched.
    pub(super) fn is_from(&self, issuer: &str) -> bool {
        self.issuer.as_ref().and_then(Value::as_str) == Some(issuer)
    }
}

fn part<T: DeserializeOwned>(text: &str) -> Result<T, IdentityError> {
    let json = URL_SAFE_NO_PAD.decode(text).map_err(|_| NO_TOKEN)?;
    serde_json::from_slice(&json).map_err(|_| NO_TOKEN)
}

//! Who proves to be a GitHub App: a signed statement that lives for minutes.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::SystemRandom;
use ring::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use serde_json::json;
use time::OffsetDateTime;

use crate::actions::github::settings::SettingsError;
use crate::domain::SecretValue;

/// For how long a statement holds, in seconds: GitHub takes none of more than ten minutes.
const LIFETIME: i64 = 9 * 60;
/// GitHub's advice, against clocks that go wrong, in seconds.
const BACKDATED: i64 = 60;

/// A GitHub App.
pub(super) struct App {
    id: String,
    key: RsaKeyPair,
}

impl App {
    /// The App of that id, or an error that repeats nothing of the key.
    pub(super) fn new(id: String, key: &SecretValue) -> Result<Self, SettingsError> {
        if id.is_empty() || id.len() > 64 || !id.bytes().all(|it| it.is_ascii_alphanumeric()) {
            return Err(SettingsError::AppId);
        }
        #[expect(clippy::disallowed_methods, reason = "the key is read here, once")]
        let pem = key.expose_secret();
        let der = PrivateKeyDer::from_pem_slice(pem).map_err(|_| SettingsError::AppKey)?;
        let key = if let PrivateKeyDer::Pkcs1(der) = &der {
            RsaKeyPair::from_der(der.secret_pkcs1_der())
        } else if let PrivateKeyDer::Pkcs8(der) = &der {
            RsaKeyPair::from_pkcs8(der.secret_pkcs8_der())
        } else {
            return Err(SettingsError::AppKey);
        };
        let key = key.map_err(|_| SettingsError::AppKey)?;
        Ok(Self { id, key })
    }

    /// A statement that it is us who ask (RFC 7519); `None` where the key does not sign.
    pub(super) fn statement(&self, now: OffsetDateTime) -> Option<SecretValue> {
        let now = now.unix_timestamp();
        let head = json!({"alg": "RS256", "typ": "JWT"});
        let claims = json!({"iat": now - BACKDATED, "exp": now + LIFETIME, "iss": self.id});
        let part = |json: &serde_json::Value| URL_SAFE_NO_PAD.encode(json.to_string());
        let mut text = format!("{}.{}", part(&head), part(&claims));
        let mut signature = vec![0; self.key.public().modulus_len()];
        let random = SystemRandom::new();
        let signed = self
            .key
            .sign(&RSA_PKCS1_SHA256, &random, text.as_bytes(), &mut signature);
        signed.ok()?;
        text.push('.');
        URL_SAFE_NO_PAD.encode_string(&signature, &mut text);
        Some(SecretValue::new(text.into_bytes()))
    }
}

//! Where GitHub is and who we are there, checked before anything is sent.

use std::net::IpAddr;
use std::time::Duration;

use thiserror::Error;
use url::Url;

use crate::actions::github::app::App;
use crate::domain::SecretValue;

/// How to reach GitHub.
pub struct Settings {
    /// `https://api.github.com`, or `https://HOST/api/v3` of a GitHub Enterprise Server.
    pub address: String,
    /// Who we are there.
    pub credentials: Credentials,
    /// The longest wait for one answer.
    pub request_timeout: Duration,
    /// The longest wait for a whole call: further tries and rate limits included.
    pub patience: Duration,
}

/// Who we are at GitHub.
pub enum Credentials {
    /// A personal access token, best a fine-grained one.
    Token(SecretValue),
    /// A GitHub App, installed where the repositories are.
    App {
        /// Its client id (`Iv23li…`) or its number.
        id: String,
        /// Its private key, PEM.
        key: SecretValue,
    },
}

/// A setting that cannot work. Never repeats a secret, nor an address that may hold one.
#[derive(Debug, Error)]
pub enum SettingsError {
    /// Not a URL.
    #[error(
        "the GitHub address is not a URL ({0}); write https://api.github.com, or \
         https://HOST/api/v3 for a GitHub Enterprise Server"
    )]
    Address(String),
    /// The token would be readable on the way.
    #[error("the GitHub address must be https://; http:// is for this machine only")]
    Scheme,
    /// `user:password@`.
    #[error("the GitHub address holds a user name or password; remove it")]
    AddressCredentials,
    /// A query or fragment.
    #[error("the GitHub address has something after its path; remove it")]
    Path,
    /// Would not survive as a header.
    #[error(
        "the GitHub token is empty or holds a space, a line break or another character it cannot have"
    )]
    Token,
    /// Not the id of an App.
    #[error("the id of the GitHub App is its client id, like Iv23li…, or its number")]
    AppId,
    /// Not an RSA key.
    #[error(
        "the GitHub App's key cannot be used; it must be the PEM file of a private RSA key, as \
         GitHub makes it, without a passphrase"
    )]
    AppKey,
    /// Zero, or one longer than the whole.
    #[error(
        "the GitHub time-outs are wrong: request_timeout must be more than zero, and patience no less"
    )]
    Timeout,
    /// The HTTP client would not start.
    #[error("the HTTP client for GitHub cannot be set up: {0}")]
    Client(String),
}

/// Who we are, ready for use.
pub(super) enum Identity {
    Token(SecretValue),
    App(Box<App>),
}

/// Checks everything that can be checked without connecting.
pub(super) fn check(settings: Settings) -> Result<(Url, Identity), SettingsError> {
    let zero = settings.request_timeout.is_zero();
    if zero || settings.patience < settings.request_timeout {
        return Err(SettingsError::Timeout);
    }
    let address = check_address(&settings.address)?;
    let identity = match settings.credentials {
        Credentials::Token(token) => {
            #[expect(clippy::disallowed_methods, reason = "whether it can be a header")]
            let bytes = token.expose_secret();
            if bytes.is_empty() || !bytes.iter().all(u8::is_ascii_graphic) {
                return Err(SettingsError::Token);
            }
            Identity::Token(token)
        }
        Credentials::App { id, key } => Identity::App(Box::new(App::new(id, &key)?)),
    };
    Ok((address, identity))
}

fn check_address(text: &str) -> Result<Url, SettingsError> {
    let url = Url::parse(text).map_err(|error| SettingsError::Address(error.to_string()))?;
    let host = url.host_str().unwrap_or_default();
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let local = bare == "localhost" || bare.parse::<IpAddr>().is_ok_and(|it| it.is_loopback());
    if url.scheme() != "https" && !(url.scheme() == "http" && local) {
        return Err(SettingsError::Scheme);
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(SettingsError::AddressCredentials);
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(SettingsError::Path);
    }
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(address: &str, credentials: Credentials) -> Result<(Url, Identity), SettingsError> {
        check(Settings {
            address: address.to_owned(),
            credentials,
            request_timeout: Duration::from_secs(1),
            patience: Duration::from_secs(1),
        })
    }

    fn token(text: &str) -> Credentials {
        Credentials::Token(SecretValue::new(text.as_bytes().to_vec()))
    }

    #[test]
    fn addresses_that_cannot_work_are_refused_with_advice() {
        for (address, advice) in [
            ("", "not a URL"),
            ("api.github.com", "not a URL"),
            ("http://api.github.com", "must be https://"),
            ("http://10.0.0.1/api/v3", "must be https://"),
            ("ftp://localhost", "must be https://"),
            ("https://me:hunter2@github.example.org", "remove it"),
            ("https://api.github.com/?a=b", "remove it"),
            ("https://api.github.com/#x", "remove it"),
        ] {
            let error = with(address, token("t")).err().unwrap().to_string();
            assert!(error.contains(advice), "{address}: {error}");
            assert!(!error.contains("hunter2"));
        }
        for address in [
            "https://api.github.com",
            "https://github.example.org/api/v3",
            "http://127.0.0.1:1",
            "http://[::1]:1/api/v3/",
        ] {
            assert!(with(address, token("t")).is_ok(), "{address}");
        }
    }

    #[test]
    fn credentials_that_cannot_work_are_refused_and_not_repeated() {
        let address = "https://api.github.com";
        for text in ["", "hunter2 ", "hunter2\r\nx: y", "hunter2é"] {
            let error = with(address, token(text)).err().unwrap().to_string();
            assert!(
                error.contains("token") && !error.contains("hunter2"),
                "{error}"
            );
        }
        let key = || SecretValue::new(b"-----BEGIN hunter2-----".to_vec());
        for (id, advice) in [("", "client id"), ("a b", "client id"), ("1", "PEM")] {
            let app = Credentials::App {
                id: id.to_owned(),
                key: key(),
            };
            let error = with(address, app).err().unwrap().to_string();
            assert!(
                error.contains(advice) && !error.contains("hunter2"),
                "{error}"
            );
        }
    }
}

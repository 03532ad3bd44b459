//! Where Vault is and how to log in, checked before anything is sent.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use rustls::pki_types::ServerName;
use thiserror::Error;
use url::Url;

use crate::domain::Mounts;
use crate::vault::method::{self, Auth};

/// How to reach Vault. Nothing else is read, no proxy setting either; only where the system's
/// certificates are may be said by `SSL_CERT_FILE` and `SSL_CERT_DIR`, as to other programs.
pub struct Settings {
    /// `https://host:port`, or `http://` on this machine.
    pub address: String,
    /// OpenBao's or Vault Enterprise's namespace.
    pub namespace: Option<String>,
    /// A PEM file of certificate authorities to trust instead of the system's.
    pub ca_cert: Option<PathBuf>,
    /// A PEM file of the certificate to show to Vault, with its chain.
    pub client_cert: Option<PathBuf>,
    /// A PEM file of the certificate's private key.
    pub client_key: Option<PathBuf>,
    /// What Vault's certificate is checked against where that is not the address's host.
    pub server_name: Option<String>,
    /// What is mounted where.
    pub mounts: Mounts,
    /// How to log in.
    pub auth: Auth,
    /// The longest wait for one answer, connecting and queueing included.
    pub request_timeout: Duration,
}

/// A setting that cannot work. Never repeats a secret, nor an address that may hold one.
#[derive(Debug, Error)]
pub enum SettingsError {
    /// Not a URL.
    #[error("the Vault address is not a URL ({0}); write it like https://vault.example.org:8200")]
    Address(String),
    /// Neither http nor https.
    #[error(
        "the Vault address begins with {0}://; it must be https://, or http:// on this machine"
    )]
    Scheme(String),
    /// `user:password@`.
    #[error(
        "the Vault address holds a user name or password; remove it; [vault] auth says how to sign in"
    )]
    Credentials,
    /// A path, query or fragment.
    #[error("the Vault address has something after host and port; write only https://host:port")]
    Path,
    /// Would not survive as a header or path; names the setting.
    #[error(
        "the Vault {0} is empty or holds a space, a line break or another character it cannot have"
    )]
    Text(&'static str),
    /// Would not survive in JSON.
    #[error("the Vault password is empty or not UTF-8 text")]
    Password,
    /// The certificate file.
    #[error("the CA certificate {path} cannot be used: {cause}; it must be a PEM file")]
    CaCert {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        cause: String,
    },
    /// The client certificate file.
    #[error(
        "the client certificate {path} cannot be used: {cause}; it must be a PEM file, the \
         certificate first and then those that signed it"
    )]
    ClientCert {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        cause: String,
    },
    /// The client key file.
    #[error(
        "the client key {path} cannot be used: {cause}; it must be a PEM file with one private \
         key, without a passphrase"
    )]
    ClientKey {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        cause: String,
    },
    /// The key of another certificate.
    #[error("the client key {key} does not belong to the client certificate {certificate}")]
    ClientKeyOfAnother {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's file.
        key: PathBuf,
    },
    /// One of the two alone.
    #[error("a client certificate goes with its key: set client_cert and client_key, or neither")]
    ClientHalf,
    /// Not a name that a certificate could have.
    #[error("the Vault server name is neither a host name nor an IP address")]
    ServerName,
    /// Nobody to trust.
    #[error(
        "this system has no certificate authorities ({0}); name yours in ca_cert, or install \
         ca-certificates"
    )]
    NoAuthorities(String),
    /// Zero.
    #[error("the Vault time-out is zero; five seconds is a good value")]
    Timeout,
    /// The HTTP client would not start.
    #[error("the HTTP client cannot be set up: {0}")]
    Client(String),
}

/// Checks everything that can be checked without connecting.
pub(super) fn check(settings: &Settings) -> Result<Url, SettingsError> {
    if settings.request_timeout.is_zero() {
        return Err(SettingsError::Timeout);
    }
    if let Some(namespace) = &settings.namespace {
        check_text("namespace", namespace.as_bytes())?;
    }
    if let Some(name) = &settings.server_name {
        ServerName::try_from(name.as_str()).map_err(|_| SettingsError::ServerName)?;
    }
    method::check(&settings.auth)?;
    check_address(&settings.address)
}

/// Whether the connection would carry secrets readable over a network.
pub(super) fn warning(address: &Url) -> Option<String> {
    let host = address.host_str().unwrap_or_default();
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let local = host == "localhost"
        || bare
            .parse::<IpAddr>()
            .is_ok_and(|address| address.is_loopback());
    (address.scheme() == "http" && !local).then(|| {
        format!("Vault at {host} is spoken to without TLS: secrets cross the network readable; use https://")
    })
}

fn check_address(text: &str) -> Result<Url, SettingsError> {
    let url = Url::parse(text).map_err(|error| SettingsError::Address(error.to_string()))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(SettingsError::Scheme(url.scheme().to_owned()));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(SettingsError::Credentials);
    }
    if url.path() != "/" || url.query().is_some() || url.fragment().is_some() {
        return Err(SettingsError::Path);
    }
    Ok(url)
}

/// Refuses a text that would not survive as a header; `name` is the setting's.
pub(super) fn check_text(name: &'static str, text: &[u8]) -> Result<(), SettingsError> {
    if text.is_empty() || !text.iter().all(u8::is_ascii_graphic) {
        return Err(SettingsError::Text(name));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::SecretValue;

    fn settings(address: &str, token: &str) -> Settings {
        Settings {
            address: address.to_owned(),
            namespace: None,
            ca_cert: None,
            client_cert: None,
            client_key: None,
            server_name: None,
            mounts: Mounts::new(vec!["secret".to_owned()]).unwrap(),
            auth: Auth::Token(SecretValue::new(token.as_bytes().to_vec())),
            request_timeout: Duration::from_secs(1),
        }
    }

    #[test]
    fn addresses_that_cannot_work_are_refused_with_advice() {
        let cases = [
            ("", "not a URL"),
            ("vault.example.org", "not a URL"),
            ("http://", "not a URL"),
            ("http://[::1", "not a URL"),
            ("https://host:99999", "not a URL"),
            ("vault.example.org:8200", "must be https://"),
            ("unix:///run/bao.sock", "must be https://"),
            ("https://admin:hunter2@vault", "remove it"),
            ("https://vault/v1", "only https://host:port"),
            ("https://vault/?a=b", "only https://host:port"),
            ("https://vault/#x", "only https://host:port"),
        ];
        for (address, advice) in cases {
            let error = check(&settings(address, "t")).unwrap_err().to_string();
            assert!(error.contains(advice), "{address}: {error}");
            assert!(!error.contains("hunter2"));
        }
        for address in [
            "https://vault:8200",
            "http://127.0.0.1:8200/",
            "http://[::1]:1",
        ] {
            assert!(check(&settings(address, "t")).is_ok(), "{address}");
        }
    }

    #[test]
    fn credentials_that_cannot_be_sent_are_refused_without_repeating_them() {
        for token in ["", "s.abc\n", "s. abc", "s.\u{e9}"] {
            let error = check(&settings("https://vault", token))
                .unwrap_err()
                .to_string();
            assert_eq!(error.matches("token").count(), 1, "{error}");
            assert!(!error.contains("abc"));
        }
    }

    #[test]
    fn plain_http_to_another_host_is_warned_about() {
        for (address, warned) in [
            ("http://vault.example.org", true),
            ("http://10.0.0.1:8200", true),
            ("https://vault.example.org", false),
            ("http://localhost:8200", false),
            ("http://127.1.2.3", false),
            ("http://[::1]:8200", false),
        ] {
            let url = check_address(address).unwrap();
            assert_eq!(warning(&url).is_some(), warned, "{address}");
        }
    }
}

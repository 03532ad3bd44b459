//! Whom TLS towards Vault trusts, and who it says we are: read from files, once, at start.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use zeroize::Zeroizing;

use crate::vault::settings::{Settings, SettingsError};

/// TLS 1.2 or 1.3 with what `settings` name.
pub(super) fn config(settings: &Settings) -> Result<ClientConfig, SettingsError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
        .map_err(|error| SettingsError::Client(error.to_string()))?
        .with_root_certificates(match &settings.ca_cert {
            Some(path) => authorities(path)?,
            None => systems_authorities()?,
        });
    let mut config = match (&settings.client_cert, &settings.client_key) {
        (None, None) => builder.with_no_client_auth(),
        (Some(certificate), Some(key)) => {
            let chain = client_chain(certificate)?;
            builder
                .with_client_auth_cert(chain, client_key(key)?)
                .map_err(|error| misfit(certificate, key, &error))?
        }
        (Some(_), None) | (None, Some(_)) => return Err(SettingsError::ClientHalf),
    };
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

/// What is wrong with a pair that cannot be used.
fn misfit(certificate: &Path, key: &Path, error: &rustls::Error) -> SettingsError {
    if let rustls::Error::InconsistentKeys(_) = error {
        return SettingsError::ClientKeyOfAnother {
            certificate: certificate.to_owned(),
            key: key.to_owned(),
        };
    }
    let (path, cause) = (key.to_owned(), error.to_string());
    if let rustls::Error::InvalidCertificate(_) = error {
        let path = certificate.to_owned();
        return SettingsError::ClientCert { path, cause };
    }
    SettingsError::ClientKey { path, cause }
}

fn authorities(path: &Path) -> Result<RootCertStore, SettingsError> {
    let refuse = |(path, cause): (PathBuf, String)| SettingsError::CaCert { path, cause };
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path).map_err(refuse)? {
        roots
            .add(certificate)
            .map_err(|error| refuse((path.to_owned(), error.to_string())))?;
    }
    Ok(roots)
}

fn systems_authorities() -> Result<RootCertStore, SettingsError> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    // Some systems ship certificates that nobody can parse any more: the others do.
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        let cause = found.errors.first();
        let cause = cause.map_or_else(|| "none found".to_owned(), ToString::to_string);
        return Err(SettingsError::NoAuthorities(cause));
    }
    Ok(roots)
}

fn client_chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, SettingsError> {
    certificates(path).map_err(|(path, cause)| SettingsError::ClientCert { path, cause })
}

fn client_key(path: &Path) -> Result<PrivateKeyDer<'static>, SettingsError> {
    let refuse = |cause: String| SettingsError::ClientKey {
        path: path.to_owned(),
        cause,
    };
    let pem = Zeroizing::new(std::fs::read(path).map_err(|error| refuse(error.to_string()))?);
    // The error's own text may repeat lines of the file.
    PrivateKeyDer::from_pem_slice(&pem)
        .map_err(|_| refuse("it holds no private key that can be read".to_owned()))
}

/// The certificates in the file at `path`, at least one; else the path and what is wrong.
fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, (PathBuf, String)> {
    let refuse = |cause: String| (path.to_owned(), cause);
    let pem = std::fs::read(path).map_err(|error| refuse(error.to_string()))?;
    let found: Vec<_> = CertificateDer::pem_slice_iter(&pem)
        .collect::<Result<_, _>>()
        // The error's own text may repeat lines of the file.
        .map_err(|_| refuse("it is not PEM".to_owned()))?;
    if found.is_empty() {
        return Err(refuse("it holds no certificate".to_owned()));
    }
    Ok(found)
}

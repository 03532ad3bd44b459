//! Whom TLS towards Vault trusts, and who it says we are: read from files, at start and whenever they
//! have changed since.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use tokio::time::timeout;
use zeroize::Zeroizing;

use crate::vault::settings::{Settings, SettingsError};

/// How long a new connection waits for a look at the files: they may be on a disk that hangs.
const PATIENCE: Duration = Duration::from_secs(1);

/// The files, and what they said when they were last right.
pub(super) struct Trust {
    files: Files,
    current: Mutex<Arc<ClientConfig>>,
    /// How the files looked when they were last read; held by who reads.
    seen: Mutex<[Look; 3]>,
}

struct Files {
    ca_cert: Option<PathBuf>,
    client_cert: Option<PathBuf>,
    client_key: Option<PathBuf>,
}

/// What tells a file from one that was there before: device, number, time of change, size. `None`
/// where there is none.
type Look = Option<(u64, u64, (i64, i64), u64)>;

impl Trust {
    /// Reads what `settings` name.
    pub(super) fn new(settings: &Settings) -> Result<Self, SettingsError> {
        let files = Files {
            ca_cert: settings.ca_cert.clone(),
            client_cert: settings.client_cert.clone(),
            client_key: settings.client_key.clone(),
        };
        // Before they are read: what changes meanwhile is read again.
        let seen = files.looks();
        let current = Arc::new(files.read()?);
        Ok(Self {
            files,
            current: Mutex::new(current),
            seen: Mutex::new(seen),
        })
    }

    /// What a new connection goes by.
    pub(super) async fn current(self: &Arc<Self>) -> Arc<ClientConfig> {
        let trust = Arc::clone(self);
        let looking = tokio::task::spawn_blocking(move || trust.look());
        // Should it take longer, it keeps that one thread, and what was read before is good.
        drop(timeout(PATIENCE, looking).await);
        Arc::clone(&self.lock())
    }

    /// Reads the files again if they have changed. What cannot be used changes nothing.
    fn look(&self) {
        // Whoever comes while another reads goes by what there is.
        let Ok(mut seen) = self.seen.try_lock() else {
            return;
        };
        let now = self.files.looks();
        if *seen == now {
            return;
        }
        match self.files.read() {
            Ok(read) => {
                *self.lock() = Arc::new(read);
                tracing::info!(event = "vault.certificates_read");
            }
            Err(error) => tracing::warn!(
                event = "vault.certificates_not_read",
                %error,
                hint = "those read before are used until the files are right"
            ),
        }
        *seen = now;
    }

    fn lock(&self) -> MutexGuard<'_, Arc<ClientConfig>> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Files {
    fn looks(&self) -> [Look; 3] {
        [&self.ca_cert, &self.client_cert, &self.client_key].map(|file| {
            let found = std::fs::metadata(file.as_ref()?).ok()?;
            // The kernel's own: nobody sets it back.
            let changed = (found.ctime(), found.ctime_nsec());
            Some((found.dev(), found.ino(), changed, found.size()))
        })
    }

    /// TLS 1.2 or 1.3 with what they hold.
    fn read(&self) -> Result<ClientConfig, SettingsError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
            .map_err(|error| SettingsError::Client(error.to_string()))?
            .with_root_certificates(match &self.ca_cert {
                Some(path) => authorities(path)?,
                None => systems_authorities()?,
            });
        let mut config = match (&self.client_cert, &self.client_key) {
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

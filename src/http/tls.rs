//! The certificate that is shown, read again when its files change, so that nobody restarts for it.

use std::fs::{File, Metadata};
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use time::OffsetDateTime;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use zeroize::Zeroizing;

use crate::http::limits::is_news;
use crate::http::validity::ends;

/// How often it is looked whether the files changed.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// Largest of the files, in bytes.
const MAX_FILE: u64 = 1 << 20;

/// PEM files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate, and those between it and its authority.
    pub certificate: PathBuf,
    /// Its key.
    pub key: PathBuf,
    /// The authorities of clients' certificates; where there are any, nobody is served without
    /// one.
    pub client_authority: Option<PathBuf>,
}

/// What tells one state of the files from another.
type Stamp = Vec<(i64, i64, u64, u64)>;

/// The files as they were read last.
pub(super) struct Tls {
    files: TlsFiles,
    current: RwLock<Arc<ServerConfig>>,
    read: Stamp,
}

impl Tls {
    /// Reads them.
    ///
    /// # Errors
    /// Says which file cannot be used, and what to do.
    pub(super) fn load(files: TlsFiles) -> Result<Self, String> {
        let read = files.stamp();
        let config = files.config()?;
        Ok(Self {
            files,
            current: RwLock::new(Arc::new(config)),
            read,
        })
    }

    /// What new connections go by.
    pub(super) fn current(&self) -> Arc<ServerConfig> {
        // It is replaced in one step, so a panic leaves it whole.
        let current = self.current.read();
        Arc::clone(&current.unwrap_or_else(PoisonError::into_inner))
    }

    /// Reads the files again whenever they change, until `stop`. Where they cannot be used the
    /// certificate of before stays.
    pub(super) async fn keep(&self, stop: &CancellationToken) {
        let (mut read, mut said) = (self.read.clone(), None);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = sleep(LOOK_EVERY) => {}
            }
            let files = self.files.clone();
            let before = read.clone();
            let looked = tokio::task::spawn_blocking(move || {
                let now = files.stamp();
                (now != before).then(|| (now, files.config()))
            });
            let Ok(Some((now, config))) = looked.await else {
                continue;
            };
            match config {
                Ok(config) => {
                    (read, said) = (now, None);
                    *self.current.write().unwrap_or_else(PoisonError::into_inner) =
                        Arc::new(config);
                    tracing::info!(event = "https.certificate_read");
                }
                // Half of them may be written, so it is tried again.
                Err(error) if is_news(&mut said, Instant::now()) => tracing::warn!(
                    event = "https.certificate_unusable",
                    error,
                    hint = "the one of before is shown; said once a minute"
                ),
                Err(_) => {}
            }
        }
    }
}

impl TlsFiles {
    /// Reads them as for serving. Returns when the first of the certificates shown ends.
    ///
    /// # Errors
    /// Says which file cannot be used, and what to do.
    pub fn examine(&self) -> Result<OffsetDateTime, String> {
        self.config()?;
        certificate_ends(&self.certificate)
    }

    fn all(&self) -> impl Iterator<Item = &Path> {
        let files = [Some(&self.certificate), Some(&self.key)];
        let files = files.into_iter().chain([self.client_authority.as_ref()]);
        files.flatten().map(PathBuf::as_path)
    }

    fn stamp(&self) -> Stamp {
        let stamp = |file: Metadata| (file.mtime(), file.mtime_nsec(), file.ino(), file.size());
        let stamps = self.all().map(|path| path.metadata().map(stamp));
        stamps.map(Result::unwrap_or_default).collect()
    }

    fn config(&self) -> Result<ServerConfig, String> {
        let certificate = read(&self.certificate, false)?;
        let chain: Vec<_> = certificates(&self.certificate, &certificate)?;
        let pem = read(&self.key, true)?;
        let key = PrivateKeyDer::from_pem_slice(&pem).map_err(|_| {
            let path = self.key.display();
            format!("{path}: no private key in PEM; name the file that begins with -----BEGIN PRIVATE KEY-----")
        })?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?;
        let builder = match &self.client_authority {
            None => builder.with_no_client_auth(),
            Some(path) => {
                let mut roots = RootCertStore::empty();
                let text = read(path, false)?;
                for root in certificates(path, &text)? {
                    let added = roots.add(root);
                    added.map_err(|error| format!("{}: {error}", path.display()))?;
                }
                let verifier =
                    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
                let verifier = verifier.build();
                let verifier = verifier.map_err(|error| format!("{}: {error}", path.display()))?;
                builder.with_client_cert_verifier(verifier)
            }
        };
        builder.with_single_cert(chain, key).map_err(|error| {
            let (certificate, key) = (self.certificate.display(), self.key.display());
            format!("{certificate} and {key} do not go together: {error}")
        })
    }
}

/// When the first of the certificates in the PEM file `path` ends.
///
/// # Errors
/// When it cannot be read, or holds none that ends.
pub fn certificate_ends(path: &Path) -> Result<OffsetDateTime, String> {
    let chain = certificates(path, &read(path, false)?)?;
    let ends = chain.iter().map(|certificate| ends(certificate));
    let first = ends.min().flatten();
    first.ok_or_else(|| format!("{}: a certificate without an end", path.display()))
}

fn certificates(path: &Path, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let found = found.map_err(|error| format!("{}: {error}", path.display()))?;
    if found.is_empty() {
        return Err(format!(
            "{}: no certificate in PEM; name the file that begins with -----BEGIN CERTIFICATE-----",
            path.display()
        ));
    }
    Ok(found)
}

fn read(path: &Path, private: bool) -> Result<Zeroizing<Vec<u8>>, String> {
    let failed = |error: std::io::Error| format!("{}: {error}", path.display());
    let file = File::open(path).map_err(failed)?;
    let facts = file.metadata().map_err(failed)?;
    if private && facts.mode() & 0o007 != 0 {
        let path = path.display();
        return Err(format!(
            "{path}: everybody can read this key; chmod o= {path}"
        ));
    }
    if facts.size() > MAX_FILE {
        return Err(format!("{}: larger than {MAX_FILE} bytes", path.display()));
    }
    let size = usize::try_from(facts.size()).unwrap_or_default();
    let mut content = Zeroizing::new(Vec::with_capacity(size + 1));
    let read = file.take(MAX_FILE).read_to_end(&mut content);
    read.map_err(failed)?;
    Ok(content)
}

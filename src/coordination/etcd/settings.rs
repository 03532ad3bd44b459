//! How to reach etcd, and what is wrong with that before anything is sent.

use std::path::PathBuf;

use etcd_client::{Certificate, ConnectOptions, Identity, TlsOptions};
use zeroize::Zeroizing;

use crate::coordination::etcd::times;
use crate::domain::SecretValue;

/// How to reach etcd.
pub struct Reach {
    /// `https://host:port` of each node, at least one.
    pub endpoints: Vec<String>,
    /// Whom to trust and who to be; `None` on `http://`.
    pub tls: Option<Tls>,
    /// Name and password, where certificates do not say who we are.
    pub user: Option<(String, SecretValue)>,
}

/// PEM files. They are read at each connection, so that renewed ones count.
#[derive(Debug, Clone)]
pub struct Tls {
    /// The authorities that may have signed the nodes' certificates.
    pub authority: PathBuf,
    /// The certificate to show, and its key.
    pub identity: Option<(PathBuf, PathBuf)>,
}

impl Reach {
    /// Reads the files that TLS needs, and connects to nothing.
    ///
    /// # Errors
    /// When they cannot be used; says what to do.
    pub async fn check(&self) -> Result<(), String> {
        if let (Some(_), Some(endpoint)) = (&self.tls, self.endpoints.first()) {
            let options = self.options().await?;
            let connected = etcd_client::Client::connect([endpoint], Some(options)).await;
            connected.map_err(|error| {
                let cause = super::failure::chain(&error);
                format!(
                    "the certificates for etcd cannot be used ({cause}); [state.etcd] ca_file, cert_file \
                     and key_file must be PEM files, and the key that of the certificate, without a \
                     passphrase"
                )
            })?;
        }
        Ok(())
    }

    /// What every connection has, but for user and password.
    pub(super) async fn options(&self) -> Result<ConnectOptions, String> {
        let options = ConnectOptions::new()
            .with_require_leader(true)
            .with_auto_token_refresh(true)
            .with_connect_timeout(times::CONNECT)
            .with_keep_alive(times::PING, times::CONNECT)
            .with_keep_alive_while_idle(false);
        let Some(tls) = &self.tls else {
            return Ok(options);
        };
        let authority = Certificate::from_pem(read(&tls.authority).await?.as_slice());
        let mut settings = TlsOptions::new().ca_certificate(authority);
        if let Some((certificate, key)) = &tls.identity {
            let (certificate, key) = (read(certificate).await?, read(key).await?);
            settings = settings.identity(Identity::from_pem(&*certificate, &*key));
        }
        Ok(options.with_tls(settings))
    }
}

/// A file of ours, of which a key may be.
async fn read(path: &PathBuf) -> Result<Zeroizing<Vec<u8>>, String> {
    let text = tokio::fs::read(path).await;
    let text = text.map_err(|error| format!("{}: cannot be read: {error}", path.display()))?;
    Ok(Zeroizing::new(text))
}

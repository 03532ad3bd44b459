//! The way to a vaultgram elsewhere: an address, and whose certificates are believed there.
//!
//! Redirects and proxies are not followed: what proves who asks goes to no other place.

use std::fmt;
use std::io;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use url::Url;

use crate::cli::client::patience::Unanswered;
use crate::cli::client::{Answer, Asked, exchange};
use crate::cli::exit::{Exit, Failure};

/// What to do where a certificate is not believed.
const BELIEVE: &str =
    "name its authority with --ca-file or VAULTGRAM_CACERT; it must be the one you expect";
/// What else may be at the other end.
const NO_HTTPS: &str = "is this the address of a vaultgram's [https]?";

/// Whose certificates are believed.
pub(super) type Trust = Arc<ClientConfig>;

/// `https://HOST[:PORT]`, or `http://` on this machine.
#[derive(Debug, Clone)]
pub(super) struct Address {
    encrypted: bool,
    host: String,
    port: u16,
    /// As the header `host` has it.
    authority: String,
}

impl Address {
    /// Whether `text` is to be one, and no file.
    pub(super) fn is_meant(text: &str) -> bool {
        text.starts_with("https://") || text.starts_with("http://")
    }

    /// Reads one with nothing behind it.
    pub(super) fn read(text: &str) -> Result<Self, Failure> {
        let refuse = |why| {
            let what = format!("not the address of a vaultgram: {why}");
            Failure::new(Exit::Usage, what).hint("write it like https://vaultgram.example:8443")
        };
        let url = Url::parse(text).map_err(|error| refuse(error.to_string()))?;
        if url.path() != "/" || url.query().is_some() || url.fragment().is_some() {
            return Err(refuse("something follows the host and its port".to_owned()));
        }
        Self::of(&url).map_err(|why| refuse(why.to_owned()))
    }

    /// Where `url` is.
    pub(super) fn of(url: &Url) -> Result<Self, &'static str> {
        let host = url.host_str().ok_or("there is no host")?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err("it holds a user name or password, which others can see");
        }
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let loopback = |address: IpAddr| address.is_loopback();
        let local = host == "localhost" || bare.parse().is_ok_and(loopback);
        let encrypted = url.scheme() == "https";
        if !encrypted && !local {
            return Err("http:// is for this machine only; use https://");
        }
        let authority = match url.port() {
            Some(port) => format!("{host}:{port}"),
            None => host.to_owned(),
        };
        Ok(Self {
            encrypted,
            host: bare.to_owned(),
            port: url.port_or_known_default().unwrap_or_default(),
            authority,
        })
    }

    /// Sends `asked` there.
    pub(super) async fn ask(&self, trust: &Trust, asked: &Asked<'_>) -> Result<Answer, Unanswered> {
        let unavailable = |what: String| Failure::new(Exit::Unavailable, format!("{self}: {what}"));
        let stream = TcpStream::connect((self.host.as_str(), self.port)).await;
        let stream = stream.map_err(|error| Unanswered {
            failure: unavailable(format!("cannot connect: {error}"))
                .hint("is it right, and may this machine connect there?"),
            again: true,
        })?;
        let exchanged = if self.encrypted {
            let name = ServerName::try_from(self.host.clone());
            let name = name.map_err(|error| unavailable(error.to_string()))?;
            let stream = TlsConnector::from(Arc::clone(trust)).connect(name, stream);
            let stream = stream.await.map_err(|error| {
                let failure = unavailable(format!("no TLS: {error}"));
                // What is at the other end and says something is no vaultgram a little later either.
                let again = error.kind() != io::ErrorKind::InvalidData;
                let failure = if is_of_trust(&error) {
                    let exit = Exit::Config;
                    Failure { exit, ..failure }.hint(BELIEVE)
                } else {
                    failure.hint(NO_HTTPS)
                };
                Unanswered { failure, again }
            })?;
            exchange(stream, &self.authority, asked).await
        } else {
            exchange(stream, &self.authority, asked).await
        };
        exchanged.map_err(|error| {
            let failure = unavailable(format!("no proper answer: {error}"));
            failure.hint(NO_HTTPS).into()
        })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.encrypted { "https" } else { "http" };
        write!(f, "{scheme}://{}", self.authority)
    }
}

/// Believes the authorities in `file`, or the system's, and shows the certificate in `own`, which is a
/// file of it and one of its key.
pub(super) fn trust(file: Option<&Path>, own: Option<(&Path, &Path)>) -> Result<Trust, Failure> {
    let mut roots = RootCertStore::empty();
    if let Some(file) = file {
        let refuse = |what: String| {
            let what = format!("{}: {what}", file.display());
            Failure::new(Exit::Config, what)
                .hint("it must hold certificates of authorities, in PEM")
        };
        let found = CertificateDer::pem_file_iter(file);
        for certificate in found.map_err(|error| refuse(error.to_string()))? {
            let certificate = certificate.map_err(|error| refuse(error.to_string()))?;
            let added = roots.add(certificate);
            added.map_err(|error| refuse(error.to_string()))?;
        }
        if roots.is_empty() {
            return Err(refuse("there is no certificate in it".to_owned()));
        }
    } else {
        // Where there is none, no certificate is believed, and the failure says what to do.
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
        .map_err(|error| Failure::new(Exit::Software, error))?;
    let config = config.with_root_certificates(roots);
    let Some((certificate, key)) = own else {
        return Ok(Arc::new(config.with_no_client_auth()));
    };
    let refuse = |file: &Path, error: &dyn fmt::Display| {
        let what = format!("{}: {error}", file.display());
        Failure::new(Exit::Config, what).hint("it must be in PEM")
    };
    let chain = CertificateDer::pem_file_iter(certificate).and_then(Iterator::collect);
    let chain = chain.map_err(|error| refuse(certificate, &error))?;
    let private = PrivateKeyDer::from_pem_file(key).map_err(|error| refuse(key, &error))?;
    let config = config.with_client_auth_cert(chain, private);
    let config = config.map_err(|error| refuse(certificate, &error))?;
    Ok(Arc::new(config))
}

/// Whether it is about a certificate that is not believed.
fn is_of_trust(error: &io::Error) -> bool {
    let cause = error.get_ref().and_then(|cause| cause.downcast_ref());
    matches!(cause, Some(rustls::Error::InvalidCertificate(_)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_https_or_on_this_machine() {
        for (text, authority, port) in [
            ("https://vault.example", "vault.example", 443),
            ("https://vault.example:8443/", "vault.example:8443", 8443),
            ("https://[2001:db8::1]:1", "[2001:db8::1]:1", 1),
            ("http://127.0.0.1:8080", "127.0.0.1:8080", 8080),
            ("http://localhost", "localhost", 80),
            ("http://[::1]:9", "[::1]:9", 9),
        ] {
            let address = Address::read(text).unwrap();
            assert_eq!(
                (address.authority.as_str(), address.port),
                (authority, port),
                "{text}"
            );
            assert!(Address::is_meant(text));
        }
        for (text, why) in [
            ("http://vault.example", "use https://"),
            ("http://127.0.0.1.example", "use https://"),
            ("http://10.0.0.1", "use https://"),
            ("https://a:b@vault.example", "user name"),
            ("https://vault.example/v1", "follows the host"),
            ("https://vault.example?a", "follows the host"),
            ("https://", "host"),
            ("https://vault.example:99999", "port"),
        ] {
            let failure = Address::read(text).unwrap_err();
            assert_eq!(failure.exit, Exit::Usage, "{text}");
            assert!(failure.what.contains(why), "{text}: {}", failure.what);
        }
        for file in ["/run/vaultgram.sock", "https:", "vaultgram.sock", ""] {
            assert!(!Address::is_meant(file), "{file}");
        }
    }
}

//! One document over HTTPS: no redirects, no proxies, no cookies, capped, in time. Each has a
//! connection of its own, as they are fetched a few times an hour.

use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt, Empty};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper::header::{ACCEPT, CACHE_CONTROL, HOST, HeaderMap, USER_AGENT};
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use url::Url;

use crate::identity::settings::{Issuer, SettingsError};

/// Largest document, in bytes.
pub(super) const MAX_BODY: usize = 256 * 1024;
/// Largest head, in bytes.
const MAX_HEAD: usize = 16 * 1024;

/// Fetches documents of one issuer.
#[derive(Clone)]
pub(super) struct Fetch {
    trust: Arc<ClientConfig>,
}

/// A document.
pub(super) struct Document {
    pub(super) text: Vec<u8>,
    /// How long it may be kept, where that was said.
    pub(super) max_age: Option<Duration>,
}

impl Fetch {
    /// Trusts whom `issuer` says.
    pub(super) fn new(issuer: &Issuer) -> Result<Self, SettingsError> {
        let refuse = |cause: String| SettingsError::Ca {
            name: issuer.name.clone(),
            cause,
        };
        let mut roots = RootCertStore::empty();
        if let Some(pem) = &issuer.ca {
            for certificate in CertificateDer::pem_slice_iter(pem) {
                let certificate = certificate.map_err(|error| refuse(error.to_string()))?;
                let added = roots.add(certificate);
                added.map_err(|error| refuse(error.to_string()))?;
            }
            if roots.is_empty() {
                return Err(refuse("there is no certificate".to_owned()));
            }
        } else {
            let found = rustls_native_certs::load_native_certs();
            roots.add_parsable_certificates(found.certs);
            if roots.is_empty() && issuer.issuer.starts_with("https:") {
                return Err(SettingsError::NoAuthorities(issuer.name.clone()));
            }
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
            .map_err(|error| refuse(error.to_string()))?;
        let config = config.with_root_certificates(roots).with_no_client_auth();
        Ok(Self {
            trust: Arc::new(config),
        })
    }

    /// The document at `url`. The caller limits the time.
    ///
    /// # Errors
    /// Says what went wrong, for the log.
    pub(super) async fn get(&self, url: &Url) -> Result<Document, String> {
        let host = url.host_str().unwrap_or_default();
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let port = url.port_or_known_default().unwrap_or_default();
        let stream = TcpStream::connect((bare, port)).await;
        let stream = stream.map_err(|error| format!("no connection: {error}"))?;
        if url.scheme() != "https" {
            return exchange(stream, url).await;
        }
        let name = ServerName::try_from(bare.to_owned()).map_err(|error| error.to_string())?;
        let connector = TlsConnector::from(Arc::clone(&self.trust));
        let stream = connector.connect(name, stream).await;
        exchange(stream.map_err(|error| format!("no TLS: {error}"))?, url).await
    }
}

async fn exchange<S>(stream: S, url: &Url) -> Result<Document, String>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) = http1::Builder::new()
        .max_buf_size(MAX_HEAD)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(|error| error.to_string())?;
    let request = request(url)?;
    let answer = async move {
        let answer = sender.send_request(request).await;
        read(answer.map_err(|error| format!("no answer: {error}"))?).await
    };
    tokio::pin!(connection, answer);
    tokio::select! {
        answer = &mut answer => answer,
        // What it brought is still to be read; and if it broke, so does that.
        _ = &mut connection => answer.await,
    }
}

fn request(url: &Url) -> Result<Request<Empty<Bytes>>, String> {
    let host = url.host_str().unwrap_or_default();
    let host = match url.port() {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    };
    let target = match url.query() {
        Some(query) => format!("{}?{query}", url.path()),
        None => url.path().to_owned(),
    };
    Request::get(target)
        .header(HOST, host)
        .header(ACCEPT, "application/json")
        .header(USER_AGENT, "vaultgram")
        .body(Empty::new())
        .map_err(|error| error.to_string())
}

async fn read(answer: Response<Incoming>) -> Result<Document, String> {
    let status = answer.status();
    if status.is_redirection() {
        return Err(format!(
            "it answers {status}, and redirects are not followed"
        ));
    }
    if status != StatusCode::OK {
        return Err(format!("it answers {status}"));
    }
    let max_age = max_age(answer.headers());
    let (mut body, mut text) = (answer.into_body(), vec![]);
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| format!("its answer is cut off: {error}"))?;
        if let Ok(data) = frame.into_data() {
            if data.len() > MAX_BODY - text.len() {
                return Err(format!("its answer is larger than {MAX_BODY} bytes"));
            }
            text.extend_from_slice(&data);
        }
    }
    Ok(Document { text, max_age })
}

fn max_age(headers: &HeaderMap) -> Option<Duration> {
    let values = headers.get_all(CACHE_CONTROL).into_iter();
    let mut rules = values
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim);
    rules.find_map(|rule| {
        let (name, seconds) = rule.split_once('=')?;
        let seconds = name.eq_ignore_ascii_case("max-age").then_some(seconds)?;
        seconds.parse().ok().map(Duration::from_secs)
    })
}

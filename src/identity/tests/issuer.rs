//! A loopback issuer that serves what it is told to, and signs.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs1KeyDer, PrivatePkcs8KeyDer};
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_util::task::TaskTracker;

pub(super) const CONFIGURATION: &str = "/.well-known/openid-configuration";
pub(super) const KEYS: &str = "/keys";

/// What stands at a path.
#[derive(Clone)]
pub(super) struct Page {
    pub(super) status: &'static str,
    pub(super) headers: String,
    pub(super) body: Vec<u8>,
    pub(super) delay: Duration,
}

impl Page {
    pub(super) fn text(body: impl Into<Vec<u8>>) -> Self {
        Self {
            status: "200 OK",
            headers: String::new(),
            body: body.into(),
            delay: Duration::ZERO,
        }
    }

    pub(super) fn keys(signers: &[&Signer]) -> Self {
        let keys: Vec<Value> = signers.iter().map(|signer| signer.jwk()).collect();
        Self::text(json!({ "keys": keys }).to_string())
    }

    pub(super) fn status(self, status: &'static str) -> Self {
        Self { status, ..self }
    }

    pub(super) fn header(self, line: &str) -> Self {
        let headers = format!("{}{line}\r\n", self.headers);
        Self { headers, ..self }
    }

    pub(super) fn after(self, delay: Duration) -> Self {
        Self { delay, ..self }
    }
}

/// A server.
#[derive(Clone)]
pub(super) struct Site {
    pub(super) address: String,
    pages: Arc<Mutex<BTreeMap<String, Page>>>,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Site {
    /// Serves a configuration, and `page` as the keys.
    pub(super) async fn start(page: Page) -> Self {
        Self::serve(page, None).await
    }

    /// The same over TLS, as `localhost`.
    pub(super) async fn start_tls(page: Page) -> Self {
        let chain = CertificateDer::from_pem_slice(include_bytes!("keys/server.pem")).unwrap();
        let key = PrivateKeyDer::from_pem_slice(include_bytes!("keys/server-key.pem")).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![chain], key)
            .unwrap();
        Self::serve(page, Some(TlsAcceptor::from(Arc::new(config)))).await
    }

    async fn serve(page: Page, tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let address = match &tls {
            Some(_) => format!("https://localhost:{port}"),
            None => format!("http://127.0.0.1:{port}"),
        };
        let site = Self {
            address,
            pages: Arc::default(),
            asked: Arc::default(),
        };
        let keys = format!("{}{KEYS}", site.address);
        site.configure(&json!(site.address), &json!(keys));
        site.put(KEYS, page);
        let serving = site.clone();
        TaskTracker::new().spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (site, tls) = (serving.clone(), tls.clone());
                TaskTracker::new().spawn(async move {
                    match tls {
                        Some(tls) => match tls.accept(stream).await {
                            Ok(stream) => site.answer(stream).await,
                            Err(_) => None,
                        },
                        None => site.answer(stream).await,
                    }
                });
            }
        });
        site
    }

    pub(super) fn put(&self, path: &str, page: Page) {
        self.pages.lock().unwrap().insert(path.to_owned(), page);
    }

    /// Has it say that it is called `issuer`, with its keys at `keys`.
    pub(super) fn configure(&self, issuer: &Value, keys: &Value) {
        let page = json!({"issuer": issuer, "jwks_uri": keys});
        self.put(CONFIGURATION, Page::text(page.to_string()));
    }

    /// How often `path` was asked for.
    pub(super) fn asked(&self, path: &str) -> usize {
        let asked = self.asked.lock().unwrap();
        asked.iter().filter(|one| *one == path).count()
    }

    async fn answer(&self, mut stream: impl AsyncRead + AsyncWrite + Unpin) -> Option<()> {
        let mut head = vec![];
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.ok()?);
        }
        let head = String::from_utf8(head).unwrap();
        let path = head.split(' ').nth(1).unwrap().to_owned();
        self.asked.lock().unwrap().push(path.clone());
        let page = self.pages.lock().unwrap().get(&path).cloned();
        let page = page.unwrap_or_else(|| Page::text("").status("404 Not Found"));
        tokio::time::sleep(page.delay).await;
        let (
            length,
            Page {
                status,
                headers,
                body,
                ..
            },
        ) = (page.body.len(), page);
        let head = format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\n{headers}\r\n");
        stream.write_all(head.as_bytes()).await.ok()?;
        stream.write_all(&body).await.ok()?;
        stream.shutdown().await.ok()
    }
}

/// Who has a private key.
pub(super) struct Signer {
    pub(super) id: &'static str,
    pub(super) algorithm: Algorithm,
    pub(super) key: EncodingKey,
}

impl Signer {
    pub(super) fn rsa(id: &'static str, algorithm: Algorithm) -> Self {
        Self::of_rsa(id, algorithm, include_bytes!("keys/rsa.pem"))
    }

    pub(super) fn other_rsa(id: &'static str) -> Self {
        Self::of_rsa(id, Algorithm::RS256, include_bytes!("keys/other-rsa.pem"))
    }

    pub(super) fn of_rsa(id: &'static str, algorithm: Algorithm, pem: &[u8]) -> Self {
        let key = PrivatePkcs1KeyDer::from_pem_slice(pem).unwrap();
        let key = EncodingKey::from_rsa_der(key.secret_pkcs1_der());
        Self { id, algorithm, key }
    }

    pub(super) fn p256(id: &'static str) -> Self {
        Self::curve(id, Algorithm::ES256, include_bytes!("keys/p256.pem"))
    }

    pub(super) fn p384(id: &'static str) -> Self {
        Self::curve(id, Algorithm::ES384, include_bytes!("keys/p384.pem"))
    }

    fn curve(id: &'static str, algorithm: Algorithm, pem: &[u8]) -> Self {
        let key = PrivatePkcs8KeyDer::from_pem_slice(pem).unwrap();
        let key = EncodingKey::from_ec_der(key.secret_pkcs8_der());
        Self { id, algorithm, key }
    }

    /// The public half.
    pub(super) fn jwk(&self) -> Value {
        let mut jwk = Jwk::from_encoding_key(&self.key, self.algorithm).unwrap();
        jwk.common.key_id = Some(self.id.to_owned());
        serde_json::to_value(jwk).unwrap()
    }

    pub(super) fn sign(&self, payload: &Value) -> String {
        let mut header = Header::new(self.algorithm);
        header.kid = Some(self.id.to_owned());
        self.sign_as(&header, payload)
    }

    pub(super) fn sign_as(&self, header: &Header, payload: &Value) -> String {
        jsonwebtoken::encode(header, payload, &self.key).unwrap()
    }
}

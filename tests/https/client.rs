//! A client that says what it is told to over TLS, right or wrong.
#![allow(
    dead_code,
    reason = "shared by test targets, of which none uses all of it"
)]

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::certificates::Certificate;

/// How long anything may take on a busy machine.
const PATIENCE: Duration = Duration::from_mins(1);

/// Whom clients trust, and what they show.
#[derive(Clone)]
pub(crate) struct Trust(Arc<ClientConfig>);

impl Trust {
    /// In this authority; with a certificate of its own, where there is one.
    pub(crate) fn new(authority: &Path, own: Option<&Certificate>) -> Self {
        let mut roots = RootCertStore::empty();
        roots
            .add(CertificateDer::from_pem_file(authority).unwrap())
            .unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
        let config = match own {
            None => config.with_no_client_auth(),
            Some(own) => {
                let chain = vec![CertificateDer::from_pem_file(&own.certificate).unwrap()];
                let key = PrivateKeyDer::from_pem_file(&own.key).unwrap();
                config.with_client_auth_cert(chain, key).unwrap()
            }
        };
        Self(Arc::new(config))
    }
}

/// A connection.
pub(crate) struct Client(TlsStream<TcpStream>);

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// In small letters.
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_default()
    }

    /// What it says is wrong.
    pub(crate) fn error(&self) -> String {
        let json = self.json();
        json["errors"][0].as_str().unwrap_or_default().to_owned()
    }
}

impl Client {
    pub(crate) async fn connect(port: u16, trust: &Trust) -> Self {
        Self::try_connect(port, trust).await.unwrap()
    }

    /// One whose kernel has little room for what it does not read.
    pub(crate) async fn narrow(port: u16, trust: &Trust) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(4096).unwrap();
        let stream = socket.connect(SocketAddr::from(([127, 0, 0, 1], port)));
        Self::over(stream.await.unwrap(), trust).await.unwrap()
    }

    pub(crate) async fn try_connect(port: u16, trust: &Trust) -> std::io::Result<Self> {
        Self::over(TcpStream::connect(("127.0.0.1", port)).await?, trust).await
    }

    async fn over(stream: TcpStream, trust: &Trust) -> std::io::Result<Self> {
        stream.set_nodelay(true)?;
        let name = ServerName::try_from("127.0.0.1").unwrap();
        let connector = TlsConnector::from(Arc::clone(&trust.0));
        Ok(Self(connector.connect(name, stream).await?))
    }

    /// The certificate that the server shows.
    pub(crate) fn shown(&self) -> Vec<u8> {
        let certificates = self.0.get_ref().1.peer_certificates().unwrap();
        certificates[0].to_vec()
    }

    /// Sends these bytes as they are.
    pub(crate) async fn send(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.0.write_all(bytes).await?;
        self.0.flush().await
    }

    /// Asks, and reads the answer. `headers`: lines.
    pub(crate) async fn ask(&mut self, what: &str, headers: &[&str], body: &str) -> Answer {
        let request = request(what, headers, body);
        self.send(request.as_bytes()).await.unwrap();
        self.answer().await.expect(what)
    }

    /// The next answer; `None` where the connection ends before one.
    pub(crate) async fn answer(&mut self) -> Option<Answer> {
        let answer = tokio::time::timeout(PATIENCE, self.read());
        answer.await.expect("an answer, or an end, in time")
    }

    async fn read(&mut self) -> Option<Answer> {
        let mut head = vec![];
        while !head.ends_with(b"\r\n\r\n") {
            head.push(self.0.read_u8().await.ok()?);
        }
        let head = String::from_utf8(head).unwrap().to_lowercase();
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "))
            .map_or(0, |length| length.parse().unwrap());
        let mut body = vec![0; length];
        self.0.read_exact(&mut body).await.ok()?;
        Some(Answer {
            status: head.split(' ').nth(1).unwrap().parse().unwrap(),
            head,
            body: String::from_utf8(body).unwrap(),
        })
    }

    /// Signs in; the answer.
    pub(crate) async fn sign_in(&mut self, role: &str, token: &str) -> Answer {
        let body = json!({"role": role, "jwt": token}).to_string();
        self.ask("POST /v1/auth/jwt/login", &[], &body).await
    }
}

/// A request as it is sent.
pub(crate) fn request(what: &str, headers: &[&str], body: &str) -> String {
    use std::fmt::Write;
    let mut request = format!("{what} HTTP/1.1\r\nhost: vaultgram.test\r\n");
    for line in headers {
        write!(request, "{line}\r\n").unwrap();
    }
    if !body.is_empty() {
        write!(request, "content-length: {}\r\n", body.len()).unwrap();
    }
    request + "\r\n" + body
}

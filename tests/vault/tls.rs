//! TLS: the configured authority is trusted, and nothing else is; who must show a certificate does.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, Stream};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::time::Instant;
use vaultgram::broker::ports::{SecretStore, StoreError, StoreHealth};
use vaultgram::vault::{Settings, Store};

use crate::openbao::{OpenBao, bao, free_port, spawn_bound_to_us, start_with_tls, wait_until};
use crate::world::{World, error, field, permit, settings, static_token};

/// Two authorities that know nothing of each other, made by OpenBao's PKI engine, and what they
/// signed: `NAME.pem`, `NAME-key.pem`, `NAME-ca.pem`.
pub(crate) struct Authorities(TempDir);

impl Authorities {
    pub(crate) fn new() -> Self {
        let bao = OpenBao::start();
        let authorities = Self(TempDir::new().unwrap());
        for (mount, certificates) in [
            ("ours", &["server", "client"][..]),
            ("other", &["stranger"]),
        ] {
            bao.must(
                "POST",
                &format!("sys/mounts/{mount}"),
                &json!({"type": "pki"}),
            );
            let root = json!({"common_name": format!("{mount} root"), "ttl": "24h"});
            let root = bao.must("POST", &format!("{mount}/root/generate/internal"), &root);
            let role = json!({"allow_any_name": true, "enforce_hostnames": false});
            bao.must("POST", &format!("{mount}/roles/any"), &role);
            for name in certificates {
                let wanted = json!({
                    "common_name": format!("{name}.example.org"),
                    "ip_sans": "127.0.0.1",
                    "ttl": "12h",
                });
                let issued = bao.must("POST", &format!("{mount}/issue/any"), &wanted);
                authorities.keep(name, &issued["data"]["certificate"]);
                authorities.keep(&format!("{name}-key"), &issued["data"]["private_key"]);
                authorities.keep(&format!("{name}-ca"), &root["data"]["certificate"]);
            }
        }
        authorities
    }

    fn keep(&self, name: &str, pem: &Value) {
        std::fs::write(self.file(name), pem.as_str().unwrap()).unwrap();
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.0.path().join(format!("{name}.pem"))
    }

    fn path(&self, name: &str) -> String {
        self.file(name).display().to_string()
    }

    /// An OpenBao with the `server` certificate and `more` in its listener. It ends with the
    /// returned child's standard input.
    fn serve(&self, more: &str) -> (std::process::Child, String) {
        self.serve_at(&format!("127.0.0.1:{}", free_port()), more)
    }

    fn serve_at(&self, address: &str, more: &str) -> (std::process::Child, String) {
        let directory = self.0.path();
        let configuration = directory.join(format!("{address}.hcl"));
        let text = format!(
            "storage \"inmem\" {{\n}}\nlistener \"tcp\" {{\n  address = \"{address}\"\n  \
             tls_cert_file = \"{}\"\n  tls_key_file = \"{}\"\n{more}}}\n\
             api_addr = \"https://{address}\"\n",
            self.path("server"),
            self.path("server-key"),
        );
        std::fs::write(&configuration, text).unwrap();
        let arguments = [
            "server".to_owned(),
            format!("-config={}", configuration.display()),
        ];
        let log = directory.join(format!("{address}.log"));
        let child = spawn_bound_to_us(&bao(), &arguments, &log);
        wait_until("OpenBao listens", || {
            std::net::TcpStream::connect(address).is_ok()
        });
        (child, format!("https://{address}"))
    }

    /// For the server at `address`, with the authority that signed its certificate.
    fn trusting(&self, address: &str) -> Settings {
        let mut settings = settings(address.to_owned(), static_token("s.any"));
        settings.ca_cert = Some(self.file("server-ca"));
        settings
    }

    /// As [`Self::trusting`], with the certificate and key of `name`.
    fn showing(&self, address: &str, name: &str) -> Settings {
        let mut settings = self.trusting(address);
        settings.client_cert = Some(self.file(name));
        settings.client_key = Some(self.file(&format!("{name}-key")));
        settings
    }
}

/// A server that nobody has initialised says so to whoever gets through to it.
async fn gets_through(settings: Settings) -> bool {
    match World::start(settings).store.health().await {
        StoreHealth::Uninitialized => true,
        StoreHealth::Unreachable { .. } => false,
        other @ (StoreHealth::Ready(_) | StoreHealth::LoggedOut { .. } | StoreHealth::Sealed) => {
            panic!("{other:?}")
        }
    }
}

/// Whether the store says that it is the certificates.
async fn mistrusts(settings: Settings) -> bool {
    match World::start(settings).store.health().await {
        StoreHealth::Unreachable { reason } => reason.contains("check [vault] ca_cert"),
        other @ (StoreHealth::Ready(_)
        | StoreHealth::LoggedOut { .. }
        | StoreHealth::Sealed
        | StoreHealth::Uninitialized) => {
            panic!("{other:?}")
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_configured_authority_and_name_are_trusted() {
    let authorities = Authorities::new();
    let (_child, address) = authorities.serve("");
    assert!(gets_through(authorities.trusting(&address)).await);
    let mut of_another = authorities.trusting(&address);
    of_another.ca_cert = Some(authorities.file("stranger-ca"));
    assert!(mistrusts(of_another).await, "another authority");
    let mut of_system = authorities.trusting(&address);
    of_system.ca_cert = None;
    assert!(!gets_through(of_system).await, "the system's authorities");

    // 127.0.0.1 is in the certificate, localhost is not.
    let by_name = address.replace("127.0.0.1", "localhost");
    assert!(!gets_through(authorities.trusting(&by_name)).await);
    let mut named = authorities.trusting(&by_name);
    named.server_name = Some("server.example.org".to_owned());
    assert!(gets_through(named).await);
    let mut misnamed = authorities.trusting(&address);
    misnamed.server_name = Some("client.example.org".to_owned());
    assert!(mistrusts(misnamed).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_wants_a_certificate_gets_the_configured_one() {
    let authorities = Authorities::new();
    for version in ["tls12", "tls13"] {
        let more = format!(
            "  tls_require_and_verify_client_cert = true\n  tls_client_ca_file = \"{}\"\n  \
             tls_min_version = \"{version}\"\n  tls_max_version = \"{version}\"\n",
            authorities.path("server-ca"),
        );
        let (_child, address) = authorities.serve(&more);
        assert!(gets_through(authorities.showing(&address, "client")).await);
        assert!(mistrusts(authorities.trusting(&address)).await, "none");
        assert!(mistrusts(authorities.showing(&address, "stranger")).await);
        let world = World::start(authorities.trusting(&address));
        assert_eq!(error(world.read("app").await), StoreError::Unavailable);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn files_that_change_are_read_again_and_broken_ones_change_nothing() {
    let authorities = Authorities::new();
    let more = format!(
        "  tls_require_and_verify_client_cert = true\n  tls_client_ca_file = \"{}\"\n",
        authorities.path("server-ca"),
    );
    let show = |name: &str| {
        for end in ["", "-key"] {
            let from = authorities.file(&format!("{name}{end}"));
            // As tools do it: whole, or not at all.
            let draft = authorities.file("draft");
            std::fs::copy(from, &draft).unwrap();
            std::fs::rename(draft, authorities.file(&format!("shown{end}"))).unwrap();
        }
    };
    show("stranger");
    let (mut child, address) = authorities.serve(&more);
    let world = World::start(authorities.showing(&address, "shown"));
    let gets_through = async |wanted: bool, what: &str| {
        let uninitialized = |health: &StoreHealth| matches!(health, StoreHealth::Uninitialized);
        world
            .wait_for(what, |health| uninitialized(health) == wanted)
            .await;
    };
    gets_through(false, "a stranger is refused").await;
    show("client");
    gets_through(true, "the new files are used").await;
    // On new connections, that is.
    let mut restart = || {
        // It ends with this.
        drop(child.stdin.take());
        child.wait().unwrap();
        (child, _) = authorities.serve_at(address.trim_start_matches("https://"), &more);
    };
    std::fs::write(authorities.file("shown"), "garbage").unwrap();
    restart();
    gets_through(true, "a broken file changes nothing").await;
    show("stranger");
    restart();
    gets_through(false, "right files of another are used").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn old_tls_is_refused() {
    let authorities = Authorities::new();
    let more = "  tls_min_version = \"tls10\"\n  tls_max_version = \"tls11\"\n";
    let (_child, address) = authorities.serve(more);
    assert!(!gets_through(authorities.trusting(&address)).await);
    let log = address.replace("https://", "") + ".log";
    let log = authorities.0.path().join(log);
    // It writes when it comes to it.
    wait_until("the server says why", || {
        let log = std::fs::read_to_string(&log).unwrap();
        log.contains("unsupported versions")
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_of_all_sizes_go_both_ways() {
    let directory = TempDir::new().unwrap();
    let (_child, address) = start_with_tls(directory.path(), &["k=v"]);
    let mut settings = settings(address, static_token("root"));
    settings.ca_cert = Some(directory.path().join("vault-ca.pem"));
    let world = World::start(settings);
    assert_eq!(world.field("app", "k").await.unwrap(), r#""v""#);
    // A record holds 16 KiB.
    for (version, size) in [1, 4000, 16_300, 16_384, 17_000, 300_000]
        .into_iter()
        .enumerate()
    {
        let value = format!("\"{}\"", "x".repeat(size));
        let target = permit("secret", "sized", None);
        let over = u64::try_from(version).unwrap();
        world
            .store
            .put(&target, &[field("k", &value)], over)
            .await
            .unwrap();
        for _ in 0..3 {
            assert_eq!(world.field("sized", "k").await.unwrap(), value, "{size}");
        }
    }
}

/// What a store says that cannot be set up.
fn refusal(settings: Settings) -> String {
    let Err(error) = Store::new(settings) else {
        panic!("it was taken");
    };
    error.to_string()
}

#[test]
fn an_authority_that_cannot_be_used_is_refused_with_its_file() {
    let directory = TempDir::new().unwrap();
    let file = |name: &str, text: &str| {
        let path = directory.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    for path in [
        file("empty.pem", ""),
        file(
            "text.pem",
            "-----BEGIN CERTIFICATE-----\n!hunter2!\n-----END CERTIFICATE-----\n",
        ),
        directory.path().join("missing.pem"),
    ] {
        let mut settings = settings("https://vault.example.org".to_owned(), static_token("t"));
        settings.ca_cert = Some(path.clone());
        let error = refusal(settings);
        assert!(error.contains(path.to_str().unwrap()), "{error}");
        assert!(error.contains("must be a PEM file"), "{error}");
        assert!(!error.contains("hunter2"), "{error}");
    }
}

#[test]
fn client_certificates_are_checked_at_start() {
    let authorities = Authorities::new();
    let with = |certificate: Option<&str>, key: Option<&str>| {
        let mut settings = authorities.trusting("https://vault.example.org");
        settings.client_cert = certificate.map(|name| authorities.file(name));
        settings.client_key = key.map(|name| authorities.file(name));
        settings
    };
    assert!(Store::new(with(Some("client"), Some("client-key"))).is_ok());
    let locked =
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
    authorities.keep("locked", &json!(locked));
    let garbled = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
    authorities.keep("garbled", &json!(garbled));
    authorities.keep(
        "garbled-cert",
        &json!(garbled.replace("PRIVATE KEY", "CERTIFICATE")),
    );
    for (certificate, key, culprit, advice) in [
        (Some("client"), None, "", "set client_cert and client_key"),
        (
            None,
            Some("client-key"),
            "",
            "set client_cert and client_key",
        ),
        (
            Some("missing"),
            Some("client-key"),
            "missing.pem",
            "No such file",
        ),
        (
            Some("client"),
            Some("missing"),
            "missing.pem",
            "No such file",
        ),
        (
            Some("client-key"),
            Some("client-key"),
            "client-key.pem",
            "no certificate",
        ),
        (
            Some("client"),
            Some("client"),
            "client.pem",
            "no private key",
        ),
        (
            Some("client"),
            Some("locked"),
            "locked.pem",
            "without a passphrase",
        ),
        (Some("client"), Some("garbled"), "garbled.pem", "client key"),
        (
            Some("garbled-cert"),
            Some("client-key"),
            "garbled-cert.pem",
            "client certificate",
        ),
        (
            Some("client"),
            Some("server-key"),
            "server-key.pem",
            "does not belong to",
        ),
    ] {
        let error = refusal(with(certificate, key));
        assert!(error.contains(culprit), "{error}");
        assert!(error.contains(advice), "{certificate:?} {key:?}: {error}");
    }
    let mut misnamed = with(None, None);
    misnamed.server_name = Some("a b".to_owned());
    assert!(refusal(misnamed).contains("neither a host name nor an IP"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_ends_within_an_answer_is_at_an_end() {
    let authorities = Authorities::new();
    let chain = CertificateDer::pem_file_iter(authorities.file("server")).unwrap();
    let key = PrivateKeyDer::from_pem_file(authorities.file("server-key")).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let server = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain.map(Result::unwrap).collect(), key)
        .unwrap();
    let server = Arc::new(server);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("https://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        let mut open = vec![];
        while let Ok((mut client, _)) = listener.accept() {
            let mut tls = ServerConnection::new(Arc::clone(&server)).unwrap();
            let request = Stream::new(&mut tls, &mut client).read(&mut [0; 1024]);
            if request.is_err() {
                continue;
            }
            let half = b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{";
            tls.writer().write_all(half).unwrap();
            tls.send_close_notify();
            let mut records = vec![];
            while tls.wants_write() {
                tls.write_tls(&mut records).unwrap();
            }
            client.write_all(&records).unwrap();
            // The connection stays.
            open.push(client);
        }
    });
    let mut settings = authorities.trusting(&address);
    settings.request_timeout = Duration::from_secs(20);
    let world = World::start(settings);
    let start = Instant::now();
    assert_eq!(error(world.read("app").await), StoreError::Unavailable);
    assert!(start.elapsed() < Duration::from_secs(10), "by time");
}

//! TLS: the configured authority is trusted, and nothing else is.

use std::path::Path;
use std::process::Command;

use tempfile::TempDir;
use vaultgram::broker::ports::{SecretStore, StoreError, StoreHealth};
use vaultgram::vault::{Settings, Store};

use crate::openbao::{bao, free_port, spawn_bound_to_us, wait_until};
use crate::world::{World, error, settings, static_token};

/// Starts OpenBao's TLS mode for development, which makes an authority in `directory`;
/// `secret/app` holds `k`. It runs until the returned child's standard input closes.
fn start(directory: &Path) -> (std::process::Child, String) {
    let address = format!("127.0.0.1:{}", free_port());
    let arguments = [
        "server".to_owned(),
        "-dev-tls".to_owned(),
        "-dev-no-store-token".to_owned(),
        "-dev-root-token-id=root".to_owned(),
        format!("-dev-tls-cert-dir={}", directory.display()),
        format!("-dev-listen-address={address}"),
    ];
    let child = spawn_bound_to_us(&bao(), &arguments, &directory.join("bao.log"));
    let address = format!("https://{address}");
    wait_until("OpenBao takes a secret over TLS", || {
        Command::new(bao())
            .args(["kv", "put", "secret/app", "k=v"])
            .env("BAO_ADDR", &address)
            .env("BAO_CACERT", directory.join("vault-ca.pem"))
            .env("BAO_TOKEN", "root")
            .output()
            .unwrap()
            .status
            .success()
    });
    (child, address)
}

fn trusting(address: &str, authority: &Path) -> Settings {
    let mut settings = settings(address.to_owned(), static_token("root"));
    settings.ca_cert = Some(authority.to_owned());
    settings
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_configured_authority_is_trusted() {
    let directory = TempDir::new().unwrap();
    let (_child, address) = start(directory.path());
    let ours = directory.path().join("vault-ca.pem");
    let world = World::start(trusting(&address, &ours));
    assert_eq!(world.field("app", "k").await.unwrap(), r#""v""#);

    // A certificate that did not sign the server's.
    let other = TempDir::new().unwrap();
    let (_other_child, other_address) = start(other.path());
    let world = World::start(trusting(&other_address, &ours));
    assert_eq!(error(world.read("app").await), StoreError::Unavailable);
    assert_eq!(world.store.health().await, StoreHealth::Unreachable);
}

#[test]
fn an_authority_that_cannot_be_used_is_refused_with_its_file() {
    let directory = TempDir::new().unwrap();
    let empty = directory.path().join("empty.pem");
    std::fs::write(&empty, "").unwrap();
    for path in [empty, directory.path().join("missing.pem")] {
        let Err(error) = Store::new(trusting("https://vault.example.org", &path)) else {
            panic!("{} was taken", path.display());
        };
        let error = error.to_string();
        assert!(error.contains(path.to_str().unwrap()), "{error}");
        assert!(error.contains("must be a PEM file"), "{error}");
    }
}

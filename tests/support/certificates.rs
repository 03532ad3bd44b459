//! Certificate authorities for tests, made by the `openssl` command.
#![allow(
    dead_code,
    clippy::unwrap_used,
    reason = "shared by test targets, of which none uses all of it; tests may panic"
)]

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Command;

/// An authority, and where it keeps what it issues.
pub(crate) struct Authority {
    folder: PathBuf,
}

/// What a certificate is to say.
pub(crate) struct Request<'a> {
    pub(crate) common_name: &'a str,
    pub(crate) addresses: &'a [Ipv4Addr],
    /// As OpenSSL lists them: `digitalSignature`.
    pub(crate) key_usage: &'a str,
    /// As OpenSSL lists them: `serverAuth,clientAuth`.
    pub(crate) extended_key_usage: &'a str,
}

/// The files of a certificate and its key.
#[derive(Debug, Clone)]
pub(crate) struct Certificate {
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
}

impl Authority {
    /// Makes one in `folder`, which need not exist.
    pub(crate) fn new(folder: PathBuf, name: &str) -> Self {
        std::fs::create_dir_all(&folder).unwrap();
        let authority = Self { folder };
        let made = authority.files("ca");
        openssl(&made, &["-subj", &format!("/CN={name}")]);
        authority
    }

    /// The one that was made in `folder`.
    pub(crate) fn at(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// The file of those who trust it.
    pub(crate) fn trust(&self) -> PathBuf {
        self.files("ca").certificate
    }

    /// Issues a certificate; `name` is that of its files.
    pub(crate) fn issue(&self, name: &str, request: &Request<'_>) -> Certificate {
        let own = self.files("ca");
        let made = self.files(name);
        let subject = format!("/CN={}", request.common_name);
        let key_usage = format!("keyUsage=critical,{}", request.key_usage);
        let extended = format!("extendedKeyUsage={}", request.extended_key_usage);
        let addresses: Vec<_> = request.addresses.iter().map(Ipv4Addr::to_string).collect();
        let addresses = format!("subjectAltName=IP:{}", addresses.join(",IP:"));
        let mut arguments = vec!["-subj", &subject, "-CA", text(&own.certificate)];
        arguments.extend(["-CAkey", text(&own.key)]);
        arguments.extend(["-addext", "basicConstraints=critical,CA:FALSE"]);
        arguments.extend(["-addext", &key_usage, "-addext", &extended]);
        if !request.addresses.is_empty() {
            arguments.extend(["-addext", &addresses]);
        }
        openssl(&made, &arguments);
        made
    }

    fn files(&self, name: &str) -> Certificate {
        Certificate {
            certificate: self.folder.join(format!("{name}.pem")),
            key: self.folder.join(format!("{name}-key.pem")),
        }
    }
}

fn openssl(made: &Certificate, arguments: &[&str]) {
    let ran = Command::new("openssl")
        .args(["req", "-x509", "-days", "2", "-nodes", "-newkey", "ec"])
        .args(["-pkeyopt", "ec_paramgen_curve:P-256"])
        .args(["-out", text(&made.certificate), "-keyout", text(&made.key)])
        .args(arguments)
        .output()
        .unwrap();
    assert!(ran.status.success(), "{ran:?}");
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

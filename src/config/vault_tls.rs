//! What of `[vault]` concerns TLS.

use std::path::{Path, PathBuf};

use crate::config::environment::Environment;
use crate::config::files;
use crate::config::{Problems, raw};

/// Largest private key read, in bytes.
const MAX_KEY: u64 = 64 << 10;

/// Whom to trust, and who to be. A path is relative to the current folder where it is not
/// absolute. The client reads and checks the files.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct VaultTls {
    /// A PEM file of the authorities that may have signed Vault's certificate.
    pub ca_cert: Option<PathBuf>,
    /// A PEM file of the certificate to show to Vault.
    pub client_cert: Option<PathBuf>,
    /// A PEM file of its key.
    pub client_key: Option<PathBuf>,
    /// The name in Vault's certificate, where it is not the address's.
    pub server_name: Option<String>,
}

pub(super) fn typed(
    raw: &raw::Vault,
    address: &str,
    directory: &Path,
    environment: &Environment,
    problems: &mut Problems,
) -> VaultTls {
    let mut text = |name: &str| match environment.text(name) {
        Ok(value) => value,
        Err(problem) => {
            problems.elsewhere(problem);
            None
        }
    };
    // As for Vault's own tools, the variable's path starts at the current folder.
    let mut path = |name: &str, raw: &Option<PathBuf>| {
        text(name)
            .map(PathBuf::from)
            .or(raw.as_ref().map(|path| directory.join(path)))
    };
    let tls = VaultTls {
        ca_cert: path("VAULT_CACERT", &raw.ca_cert),
        client_cert: path("VAULT_CLIENT_CERT", &raw.client_cert),
        client_key: path("VAULT_CLIENT_KEY", &raw.client_key),
        server_name: text("VAULT_TLS_SERVER_NAME")
            .or(raw.tls_server_name.clone())
            .filter(|name| !name.is_empty()),
    };
    if address.to_ascii_lowercase().starts_with("http://") {
        for (set, name) in [
            (tls.ca_cert.is_some(), "ca_cert (or VAULT_CACERT)"),
            (
                tls.client_cert.is_some(),
                "client_cert (or VAULT_CLIENT_CERT)",
            ),
            (tls.client_key.is_some(), "client_key (or VAULT_CLIENT_KEY)"),
            (
                tls.server_name.is_some(),
                "tls_server_name (or VAULT_TLS_SERVER_NAME)",
            ),
        ] {
            if set {
                problems.push(format!(
                    "[vault] {name}: has no effect on an http:// address; make the address \
                     https://, or leave it out"
                ));
            }
        }
    }
    // What it holds, or that it is not there, is for the client to say.
    if let Some(key) = &tls.client_key
        && let Err(problem) = files::read(key, MAX_KEY, environment.guard(key))
    {
        problems.elsewhere(problem);
    }
    tls
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn load(
        directory: &Path,
        address: &str,
        variables: &[(&str, &str)],
    ) -> (VaultTls, Vec<String>) {
        let variables: BTreeMap<_, _> = variables
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned().into()))
            .collect();
        let environment =
            Environment::new(variables, vec![], Path::new("/nonexistent/.env")).unwrap();
        let mut problems = Problems {
            file: "vaultgram.toml".into(),
            found: vec![],
            tokens: vec![],
        };
        let raw = raw::Vault {
            ca_cert: Some("ca.pem".into()),
            client_cert: Some("cert.pem".into()),
            client_key: Some("key.pem".into()),
            tls_server_name: Some("vault".to_owned()),
            ..raw::Vault::default()
        };
        let tls = typed(&raw, address, directory, &environment, &mut problems);
        (tls, problems.found)
    }

    #[test]
    fn a_file_is_found_from_where_its_path_was_written() {
        let directory = Path::new("/nonexistent/vaultgram");
        let address = "https://vault.example.org";
        let (tls, problems) = load(directory, address, &[]);
        let expected = VaultTls {
            ca_cert: Some(directory.join("ca.pem")),
            client_cert: Some(directory.join("cert.pem")),
            client_key: Some(directory.join("key.pem")),
            server_name: Some("vault".to_owned()),
        };
        assert_eq!((tls, problems), (expected, vec![]));
        let variables = [
            ("VAULT_CACERT", "1.pem"),
            ("VAULT_CLIENT_CERT", "2.pem"),
            ("VAULT_CLIENT_KEY", "/nonexistent/3.pem"),
            ("VAULT_TLS_SERVER_NAME", "four"),
        ];
        let (tls, problems) = load(directory, address, &variables);
        let expected = VaultTls {
            ca_cert: Some("1.pem".into()),
            client_cert: Some("2.pem".into()),
            client_key: Some("/nonexistent/3.pem".into()),
            server_name: Some("four".to_owned()),
        };
        assert_eq!((tls, problems), (expected, vec![]));
    }

    #[test]
    fn a_key_that_others_may_read_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let key = directory.path().join("key.pem");
        std::fs::write(&key, "-").unwrap();
        let found = |mode| {
            std::fs::set_permissions(&key, PermissionsExt::from_mode(mode)).unwrap();
            load(directory.path(), "https://vault", &[]).1
        };
        assert_eq!(found(0o640), Vec::<String>::new());
        let problems = found(0o644);
        assert!(problems[0].contains("run: chmod o-rwx "), "{problems:?}");
    }

    #[test]
    fn what_plain_http_does_not_use_is_named() {
        let (_, problems) = load(Path::new("/nonexistent"), "HTTP://vault", &[]);
        let names = ["ca_cert", "client_cert", "client_key", "tls_server_name"];
        assert_eq!(problems.len(), names.len(), "{problems:?}");
        for (problem, name) in problems.iter().zip(names) {
            assert!(
                problem.contains(&format!("[vault] {name} (or VAULT_")),
                "{problem}"
            );
        }
    }
}

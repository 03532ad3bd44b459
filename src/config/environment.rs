//! What the environment provides, safest source first.
//!
//! A setting `NAME` is looked up as `$CREDENTIALS_DIRECTORY/name` (systemd), `/run/secrets/name`
//! (Docker), the file that `NAME_FILE` names, the variable `NAME`, and `NAME` in `.env`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use crate::config::dotenv;
use crate::config::files::{self, Guard};
use crate::domain::SecretValue;

/// Largest credential read, in bytes.
pub(super) const MAX_CREDENTIAL: u64 = 64 << 10;

/// Where a pod finds the token of its service account, and what else Kubernetes has for it.
pub(super) const POD_SECRETS: &str = "/var/run/secrets/kubernetes.io";

/// Where settings come from besides the configuration file.
pub struct Environment {
    variables: BTreeMap<String, Zeroizing<String>>,
    dotenv: BTreeMap<String, Zeroizing<String>>,
    directories: Vec<PathBuf>,
    pod_secrets: PathBuf,
}

impl Environment {
    /// The process's own environment, and `.env` in `directory` where there is one.
    ///
    /// # Errors
    /// When `.env` exists and cannot be read, or others may read it.
    pub fn of_process(directory: &Path) -> Result<Self, String> {
        let variables: BTreeMap<_, _> = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .map(|(name, value)| (name, Zeroizing::new(value)))
            .collect();
        let credentials = variables
            .get("CREDENTIALS_DIRECTORY")
            .map(|path| path.as_str().into());
        let directories = credentials
            .into_iter()
            .chain([PathBuf::from("/run/secrets")])
            .collect();
        Self::new(variables, directories, &directory.join(".env"))
    }

    /// An environment of the given variables, directories of credential files (best first) and
    /// `.env` file.
    ///
    /// # Errors
    /// When the `.env` file exists and cannot be read, or others may read it.
    pub fn new(
        variables: BTreeMap<String, Zeroizing<String>>,
        directories: Vec<PathBuf>,
        dotenv: &Path,
    ) -> Result<Self, String> {
        Ok(Self {
            variables,
            dotenv: dotenv::read(dotenv)?,
            directories,
            pod_secrets: POD_SECRETS.into(),
        })
    }

    /// The setting `name`, from the first source that has it. A value that is empty counts as
    /// not set.
    ///
    /// # Errors
    /// When a source has it but cannot be read; the message names the source.
    pub fn get(&self, name: &str) -> Result<Option<SecretValue>, String> {
        Ok(self.find(name, credential)?.map(|(value, _)| value))
    }

    /// As [`Environment::get`], with the source's name for messages.
    ///
    /// # Errors
    /// As [`Environment::get`].
    pub(super) fn sourced(&self, name: &str) -> Result<Option<(SecretValue, String)>, String> {
        self.find(name, credential)
    }

    /// As [`Environment::get`], with what may be a newline at the end left in place: the value
    /// may be binary.
    ///
    /// # Errors
    /// As [`Environment::get`].
    pub fn bytes(&self, name: &str) -> Result<Option<SecretValue>, String> {
        let found = self.find(name, |bytes| {
            (!bytes.is_empty()).then(|| SecretValue::new(bytes.to_vec()))
        });
        Ok(found?.map(|(value, _)| value))
    }

    /// The process's own variable `name`, no setting: what whoever started it tells it.
    #[must_use]
    pub fn told(&self, name: &str) -> Option<&str> {
        self.variables.get(name).map(|value| value.as_str())
    }

    fn find(
        &self,
        name: &str,
        value: impl Fn(&[u8]) -> Option<SecretValue>,
    ) -> Result<Option<(SecretValue, String)>, String> {
        for directory in &self.directories {
            let path = directory.join(name.to_lowercase());
            let bytes = files::read(&path, MAX_CREDENTIAL, Guard::None)?;
            if let Some(value) = bytes.and_then(|bytes| value(&bytes)) {
                return Ok(Some((value, path.display().to_string())));
            }
        }
        if let Some(path) = self.variable(&format!("{name}_FILE")).map(Path::new) {
            let bytes = files::read(path, MAX_CREDENTIAL, self.guard(path))?
                .ok_or_else(|| format!("{}: cannot be read: no such file", path.display()))?;
            if let Some(value) = value(&bytes) {
                return Ok(Some((value, path.display().to_string())));
            }
        }
        Ok(self
            .variable(name)
            .map(|value| SecretValue::new(value.as_bytes().to_vec()))
            .map(|value| (value, name.to_owned())))
    }

    /// What the file with a secret at `path` must be kept safe from.
    pub(super) fn guard(&self, path: &Path) -> Guard {
        let mut keepers = self.directories.iter().chain([&self.pod_secrets]);
        if keepers.any(|keeper| is_in(path, keeper)) {
            Guard::None
        } else {
            Guard::Others
        }
    }

    /// The setting `name` as text that is not secret.
    ///
    /// # Errors
    /// As [`Environment::get`], or when it is not UTF-8.
    pub fn text(&self, name: &str) -> Result<Option<String>, String> {
        let Some(value) = self.get(name)? else {
            return Ok(None);
        };
        #[expect(clippy::disallowed_methods, reason = "a setting that is not secret")]
        let text = std::str::from_utf8(value.expose_secret());
        text.map(|text| Some(text.to_owned()))
            .map_err(|_| format!("{name} is not UTF-8 text"))
    }

    /// The setting `name` as text that is secret.
    ///
    /// # Errors
    /// As [`Environment::text`].
    pub fn secret_text(&self, name: &str) -> Result<Option<Zeroizing<String>>, String> {
        Ok(self.text(name)?.map(Zeroizing::new))
    }

    /// The variable `name`, of the process or in `.env`; `None` when empty.
    pub(super) fn variable(&self, name: &str) -> Option<&str> {
        let set = |values: &BTreeMap<String, Zeroizing<String>>| {
            values.get(name).is_some_and(|value| !value.is_empty())
        };
        let values = if set(&self.variables) {
            &self.variables
        } else {
            &self.dotenv
        };
        values
            .get(name)
            .map(|value| value.as_str())
            .filter(|value| !value.is_empty())
    }
}

/// Whether `path` is in `folder`, links followed: `/var/run/secrets` is `/run/secrets`.
fn is_in(path: &Path, folder: &Path) -> bool {
    let real = (path.canonicalize(), folder.canonicalize());
    matches!(real, (Ok(path), Ok(folder)) if path.starts_with(&folder))
}

/// The content of a credential file less one trailing newline; `None` when empty.
fn credential(bytes: &[u8]) -> Option<SecretValue> {
    let text = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    let text = text.strip_suffix(b"\r").unwrap_or(text);
    (!text.is_empty()).then(|| SecretValue::new(text.to_vec()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    /// Every source holds its own name as the value of `VAULT_TOKEN`.
    struct Sources {
        directory: tempfile::TempDir,
    }

    impl Sources {
        fn new() -> Self {
            let directory = tempfile::tempdir().unwrap();
            let at = |name: &str| directory.path().join(name);
            std::fs::create_dir(at("credentials")).unwrap();
            std::fs::create_dir(at("secrets")).unwrap();
            std::fs::write(at("credentials/vault_token"), "credentials\n").unwrap();
            std::fs::write(at("secrets/vault_token"), "secrets\r\n").unwrap();
            std::fs::write(at("file"), "file\n").unwrap();
            std::fs::write(at(".env"), "VAULT_TOKEN=dotenv\n").unwrap();
            for name in ["file", ".env"] {
                std::fs::set_permissions(at(name), PermissionsExt::from_mode(0o600)).unwrap();
            }
            Self { directory }
        }

        fn environment(&self) -> Environment {
            let at = |name: &str| self.directory.path().join(name);
            let variables = [
                (
                    "VAULT_TOKEN_FILE".to_owned(),
                    at("file").display().to_string(),
                ),
                ("VAULT_TOKEN".to_owned(), "variable".to_owned()),
            ];
            let variables = variables.map(|(name, value)| (name, Zeroizing::new(value)));
            let directories = vec![at("credentials"), at("secrets")];
            Environment::new(variables.into(), directories, &at(".env")).unwrap()
        }

        fn token(&self, environment: &Environment) -> String {
            assert!(self.directory.path().exists());
            environment.text("VAULT_TOKEN").unwrap().unwrap()
        }
    }

    #[test]
    fn the_safest_source_wins() {
        let sources = Sources::new();
        let mut environment = sources.environment();
        assert_eq!(sources.token(&environment), "credentials");
        environment.directories.remove(0);
        assert_eq!(sources.token(&environment), "secrets");
        environment.directories.clear();
        assert_eq!(sources.token(&environment), "file");
        environment.variables.remove("VAULT_TOKEN_FILE");
        assert_eq!(sources.token(&environment), "variable");
        environment
            .variables
            .insert("VAULT_TOKEN".into(), String::new().into());
        assert_eq!(sources.token(&environment), "dotenv");
        environment.dotenv.clear();
        assert!(environment.get("VAULT_TOKEN").unwrap().is_none());
    }

    #[test]
    fn a_named_file_must_be_readable() {
        let sources = Sources::new();
        let mut environment = sources.environment();
        environment.directories.clear();
        environment.variables.insert(
            "VAULT_TOKEN_FILE".into(),
            "/nonexistent/x".to_owned().into(),
        );
        let Err(error) = environment.get("VAULT_TOKEN") else {
            panic!("read a missing file")
        };
        assert!(
            error.starts_with("/nonexistent/x: cannot be read"),
            "{error}"
        );
    }

    #[test]
    fn a_large_file_is_refused() {
        let sources = Sources::new();
        let path = sources.directory.path().join("credentials/vault_token");
        std::fs::write(path, "x".repeat(70_000)).unwrap();
        assert!(sources.environment().get("VAULT_TOKEN").is_err());
    }

    #[test]
    fn a_named_file_is_closed_to_others_unless_docker_keeps_it() {
        let sources = Sources::new();
        let mut environment = sources.environment();
        let open = |name: &str| {
            let path = sources.directory.path().join(name);
            std::fs::set_permissions(&path, PermissionsExt::from_mode(0o644)).unwrap();
            path.display().to_string()
        };
        let (file, kept) = (open("file"), open("secrets/vault_token"));
        environment.directories.remove(0);
        environment
            .variables
            .insert("OTHER_FILE".into(), kept.into());
        assert_eq!(environment.text("OTHER").unwrap().unwrap(), "secrets");
        environment
            .variables
            .insert("OTHER_FILE".into(), file.into());
        let error = environment.text("OTHER").unwrap_err();
        assert!(error.contains("run: chmod o-rwx "), "{error}");
        assert!(
            error.contains("in Kubernetes: defaultMode: 0440"),
            "{error}"
        );

        // As Kubernetes has it, and open to everybody too.
        let pod = sources.directory.path().join("pod");
        std::fs::create_dir_all(pod.join("serviceaccount/..data")).unwrap();
        std::fs::rename(
            sources.directory.path().join("file"),
            pod.join("serviceaccount/..data/token"),
        )
        .unwrap();
        let token = pod.join("serviceaccount/token");
        std::os::unix::fs::symlink("..data/token", &token).unwrap();
        let token = token.display().to_string();
        environment
            .variables
            .insert("OTHER_FILE".into(), token.into());
        assert!(environment.text("OTHER").is_err());
        environment.pod_secrets = pod;
        assert_eq!(environment.text("OTHER").unwrap().unwrap(), "file");

        open(".env");
        let path = sources.directory.path().join(".env");
        assert!(Environment::new(BTreeMap::new(), vec![], &path).is_err());
    }
}

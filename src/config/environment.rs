//! What the environment provides, safest source first.
//!
//! A setting `NAME` is looked up as `$CREDENTIALS_DIRECTORY/name` (systemd), `/run/secrets/name`
//! (Docker), the file that `NAME_FILE` names, the variable `NAME`, and `NAME` in `.env`.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use crate::domain::SecretValue;

/// Largest credential read, in bytes.
const MAX_CREDENTIAL: u64 = 64 << 10;

/// Where settings come from besides the configuration file.
pub struct Environment {
    variables: BTreeMap<String, Zeroizing<String>>,
    dotenv: BTreeMap<String, Zeroizing<String>>,
    directories: Vec<PathBuf>,
}

impl Environment {
    /// The process's own environment, and `.env` in `directory` where there is one.
    ///
    /// # Errors
    /// When `.env` exists and cannot be read.
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
    /// When the `.env` file exists and cannot be read.
    pub fn new(
        variables: BTreeMap<String, Zeroizing<String>>,
        directories: Vec<PathBuf>,
        dotenv: &Path,
    ) -> Result<Self, String> {
        Ok(Self {
            variables,
            dotenv: read_dotenv(dotenv)?,
            directories,
        })
    }

    /// The setting `name`, from the first source that has it. A value that is empty counts as
    /// not set.
    ///
    /// # Errors
    /// When a source has it but cannot be read; the message names the source.
    pub fn get(&self, name: &str) -> Result<Option<SecretValue>, String> {
        for directory in &self.directories {
            let path = directory.join(name.to_lowercase());
            if let Some(value) = read_credential(&path, false)? {
                return Ok(Some(value));
            }
        }
        if let Some(path) = self.variable(&format!("{name}_FILE"))
            && let Some(value) = read_credential(Path::new(path), true)?
        {
            return Ok(Some(value));
        }
        Ok(self
            .variable(name)
            .map(|value| SecretValue::new(value.as_bytes().to_vec())))
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

fn read_dotenv(path: &Path) -> Result<BTreeMap<String, Zeroizing<String>>, String> {
    if !path.exists() {
        return Ok(BTreeMap::new());
    }
    let name = path.display();
    let entries = dotenvy::from_path_iter(path).map_err(|_| format!("{name}: cannot be read"))?;
    entries
        .map(|entry| match entry {
            Ok((key, value)) => Ok((key, Zeroizing::new(value))),
            // dotenvy's own message repeats the line, which may hold a secret.
            Err(_) => Err(format!("{name}: has a line that is not NAME=value")),
        })
        .collect()
}

/// The content of a credential file less one trailing newline; `None` when it is missing (and
/// need not be there) or empty.
fn read_credential(path: &Path, required: bool) -> Result<Option<SecretValue>, String> {
    let name = path.display();
    let file = match std::fs::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && !required => return Ok(None),
        Err(error) => return Err(format!("{name}: cannot be read: {error}")),
    };
    let mut bytes = Zeroizing::new(vec![]);
    file.take(MAX_CREDENTIAL + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| format!("{name}: cannot be read: {error}"))?;
    if bytes.len() as u64 > MAX_CREDENTIAL {
        return Err(format!(
            "{name}: is larger than 64 KiB, too large for a credential"
        ));
    }
    let text = bytes.strip_suffix(b"\n").unwrap_or(&bytes);
    let text = text.strip_suffix(b"\r").unwrap_or(text);
    Ok((!text.is_empty()).then(|| SecretValue::new(text.to_vec())))
}

#[cfg(test)]
mod tests {
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
    fn a_bad_dotenv_line_is_not_repeated() {
        let sources = Sources::new();
        let path = sources.directory.path().join(".env");
        std::fs::write(&path, "hunter2 hunter2\n").unwrap();
        let Err(error) = Environment::new(BTreeMap::new(), vec![], &path) else {
            panic!("accepted a bad line")
        };
        assert!(
            error.contains("not NAME=value") && !error.contains("hunter2"),
            "{error}"
        );
    }
}

//! How to sign in to Vault: the keys of `[vault]` and the secrets that go with each method.

use std::path::{Path, PathBuf};

use crate::config::environment::{Environment, MAX_CREDENTIAL, POD_SECRETS};
use crate::config::raw::Auth;
use crate::config::vault_tls::VaultTls;
use crate::config::{Problems, files, raw};
use crate::domain::SecretValue;

/// Where a pod finds the token of its service account, in [`POD_SECRETS`].
const POD_TOKEN: &str = "serviceaccount/token";

/// How to sign in to Vault.
pub enum VaultAuth {
    /// With a token from `VAULT_TOKEN`.
    Token(SecretValue),
    /// By an auth method.
    Method {
        /// Where it is mounted.
        mount: String,
        /// Which one.
        method: VaultMethod,
    },
}

/// An auth method and what it wants to see.
pub enum VaultMethod {
    /// `AppRole`.
    AppRole {
        /// The role's id.
        role_id: String,
        /// From `VAULT_SECRET_ID` or `VAULT_WRAPPED_SECRET_ID`.
        secret_id: VaultSecretId,
    },
    /// The service account of a pod.
    Kubernetes {
        /// The role.
        role: String,
        /// The file with its token.
        token_file: PathBuf,
    },
    /// A signed token.
    Jwt {
        /// The role.
        role: String,
        /// The token.
        token: VaultJwt,
    },
    /// The client certificate of the connection.
    Cert {
        /// The role; `None` for any that takes the certificate.
        role: Option<String>,
    },
    /// A name and a password.
    Userpass {
        /// The name.
        username: String,
        /// From `VAULT_PASSWORD`.
        password: SecretValue,
    },
}

/// The secret id of an `AppRole`.
pub enum VaultSecretId {
    /// As it is.
    Plain(SecretValue),
    /// Wrapped.
    Wrapped(SecretValue),
}

/// Where a signed token comes from.
pub enum VaultJwt {
    /// The file that `token_file` names.
    File(PathBuf),
    /// `VAULT_JWT`.
    Value(SecretValue),
}

impl VaultAuth {
    /// The way's name, as `[vault] auth` has it.
    #[must_use]
    pub fn name(&self) -> &'static str {
        let auth = match self {
            Self::Token(_) => Auth::Token,
            Self::Method { method, .. } => match method {
                VaultMethod::AppRole { .. } => Auth::AppRole,
                VaultMethod::Kubernetes { .. } => Auth::Kubernetes,
                VaultMethod::Jwt { .. } => Auth::Jwt,
                VaultMethod::Cert { .. } => Auth::Cert,
                VaultMethod::Userpass { .. } => Auth::Userpass,
            },
        };
        auth.name()
    }

    /// Whether signing in uses up what it takes, so that only the broker itself may.
    #[must_use]
    pub fn works_once(&self) -> bool {
        matches!(
            self,
            Self::Method {
                method: VaultMethod::AppRole {
                    secret_id: VaultSecretId::Wrapped(_),
                    ..
                },
                ..
            }
        )
    }
}

pub(super) fn typed(
    raw: &raw::Vault,
    tls: &VaultTls,
    directory: &Path,
    environment: &Environment,
    problems: &mut Problems,
) -> Option<VaultAuth> {
    let auth = raw.auth;
    let text = |value: &Option<String>| value.clone().filter(|text| !text.is_empty());
    let (mount, role, username) = (text(&raw.auth_mount), text(&raw.role), text(&raw.username));
    let role_id = text(&raw.role_id);
    let token_file = raw.token_file.clone();
    let token_file = token_file.filter(|path| !path.as_os_str().is_empty());
    for (key, set, used_by) in [
        ("role_id", role_id.is_some(), &[Auth::AppRole][..]),
        (
            "role",
            role.is_some(),
            &[Auth::Kubernetes, Auth::Jwt, Auth::Cert],
        ),
        (
            "token_file",
            token_file.is_some(),
            &[Auth::Kubernetes, Auth::Jwt],
        ),
        ("username", username.is_some(), &[Auth::Userpass]),
        ("auth_mount", mount.is_some(), &Auth::METHODS),
    ] {
        if set && !used_by.contains(&auth) {
            let used_by: Vec<_> = used_by.iter().map(|auth| auth.name()).collect();
            problems.push(format!(
                "[vault] {key}: has no effect with auth = \"{}\"; remove it, or set auth to what \
                 it is for ({})",
                auth.name(),
                used_by.join(", ")
            ));
        }
    }
    let mut needed = |key: &str, value: Option<String>, or: &str| {
        if value.is_none() {
            problems.push(format!(
                "[vault] {key}: missing; auth = \"{}\" needs it{or}",
                auth.name()
            ));
        }
        value
    };
    let method = match auth {
        Auth::Token => {
            return secret("VAULT_TOKEN", environment, problems).map(VaultAuth::Token);
        }
        Auth::AppRole => {
            let role_id = environment.text("VAULT_ROLE_ID").map(|id| id.or(role_id));
            let role_id = match role_id {
                Ok(role_id) => needed("role_id", role_id, " (or VAULT_ROLE_ID)"),
                Err(problem) => {
                    problems.elsewhere(problem);
                    None
                }
            };
            let secret_id = secret_id(environment, problems);
            let (role_id, secret_id) = role_id.zip(secret_id)?;
            VaultMethod::AppRole { role_id, secret_id }
        }
        Auth::Kubernetes => {
            let role = needed("role", role, ": the name of a role of that method");
            let token_file = directory
                .join(token_file.unwrap_or_else(|| Path::new(POD_SECRETS).join(POD_TOKEN)));
            let readable = readable(&token_file, environment, problems);
            let role = role.filter(|_| readable)?;
            VaultMethod::Kubernetes { role, token_file }
        }
        Auth::Jwt => {
            let role = needed("role", role, ": the name of a role of that method");
            let token_file = token_file.map(|path| directory.join(path));
            let token = jwt(token_file, environment, problems);
            let (role, token) = role.zip(token)?;
            VaultMethod::Jwt { role, token }
        }
        Auth::Cert => {
            let certificate = tls.client_cert.as_ref().map(|_| String::new());
            needed("client_cert", certificate, " (or VAULT_CLIENT_CERT)")?;
            VaultMethod::Cert { role }
        }
        Auth::Userpass => {
            let username = needed("username", username, "");
            let password = secret("VAULT_PASSWORD", environment, problems);
            let (username, password) = username.zip(password)?;
            VaultMethod::Userpass { username, password }
        }
    };
    Some(VaultAuth::Method {
        mount: mount.unwrap_or(auth.name().to_owned()),
        method,
    })
}

fn secret_id(environment: &Environment, problems: &mut Problems) -> Option<VaultSecretId> {
    let plain = sourced("VAULT_SECRET_ID", environment, problems)?;
    let wrapped = sourced("VAULT_WRAPPED_SECRET_ID", environment, problems)?;
    match (plain, wrapped) {
        (Some((_, one)), Some((_, other))) => {
            problems.tokens.push(format!(
                "VAULT_SECRET_ID (from {one}) and VAULT_WRAPPED_SECRET_ID (from {other}) are both \
                 set; remove one of them"
            ));
            None
        }
        (None, Some((wrapped, _))) => Some(VaultSecretId::Wrapped(wrapped)),
        (Some((plain, _)), None) => Some(VaultSecretId::Plain(plain)),
        (None, None) => {
            let or = ", or give VAULT_WRAPPED_SECRET_ID in one of these ways";
            problems.tokens.push(not_set("VAULT_SECRET_ID", or));
            None
        }
    }
}

fn jwt(
    token_file: Option<PathBuf>,
    environment: &Environment,
    problems: &mut Problems,
) -> Option<VaultJwt> {
    match (token_file, sourced("VAULT_JWT", environment, problems)?) {
        (Some(_), Some((_, source))) => {
            problems.tokens.push(format!(
                "[vault] token_file and VAULT_JWT (from {source}) are both set; remove one of them"
            ));
            None
        }
        (Some(file), None) => {
            readable(&file, environment, problems).then_some(VaultJwt::File(file))
        }
        (None, Some((token, _))) => Some(VaultJwt::Value(token)),
        (None, None) => {
            let or = "; or set [vault] token_file, which is read again at each login";
            problems.tokens.push(not_set("VAULT_JWT", or));
            None
        }
    }
}

/// Whether there is a token in the file, which is read again at each login.
fn readable(path: &Path, environment: &Environment, problems: &mut Problems) -> bool {
    let problem = match files::read(path, MAX_CREDENTIAL, environment.guard(path)) {
        Ok(Some(bytes)) if !bytes.trim_ascii().is_empty() => return true,
        Ok(Some(_)) => format!("{} is empty", path.display()),
        Ok(None) => format!(
            "{}: no such file; name the one with the token to log in with",
            path.display()
        ),
        Err(problem) => problem,
    };
    problems
        .tokens
        .push(format!("[vault] token_file: {problem}"));
    false
}

fn secret(name: &str, environment: &Environment, problems: &mut Problems) -> Option<SecretValue> {
    let found = sourced(name, environment, problems)?;
    if found.is_none() {
        problems.tokens.push(not_set(name, ""));
    }
    found.map(|(value, _)| value)
}

/// The secret `name` and where it was found; the outer `None` after a problem.
#[expect(clippy::option_option, reason = "a problem is not an absence")]
fn sourced(
    name: &str,
    environment: &Environment,
    problems: &mut Problems,
) -> Option<Option<(SecretValue, String)>> {
    match environment.sourced(name) {
        Ok(found) => Some(found),
        Err(problem) => {
            problems.tokens.push(problem);
            None
        }
    }
}

fn not_set(name: &str, or: &str) -> String {
    format!(
        "{name} is not set; give it as the systemd credential or Docker secret \"{}\", as a file \
         named by {name}_FILE, as the variable {name}, or in .env{or}",
        name.to_lowercase()
    )
}

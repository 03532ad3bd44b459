//! The ways to log in and what each needs, checked before anything is sent.

use std::path::PathBuf;

use crate::domain::SecretValue;
use crate::vault::settings::{SettingsError, check_text};

/// How to log in.
pub enum Auth {
    /// A token made by somebody else. It is renewed, but it cannot be replaced.
    Token(SecretValue),
    /// One of Vault's auth methods: every login gives a fresh token.
    Method {
        /// Where it is mounted below `auth/`: usually its own name.
        mount: String,
        /// Which one.
        method: Method,
    },
}

/// An auth method and what it wants to see.
pub enum Method {
    /// AppRole.
    AppRole {
        /// The role's id.
        role_id: String,
        /// The secret that goes with it.
        secret_id: SecretId,
    },
    /// The service account of a pod.
    Kubernetes {
        /// The role's name.
        role: String,
        /// Where the pod finds its token; read at each login, for it is replaced now and then.
        token_file: PathBuf,
    },
    /// A token that somebody signed whom Vault trusts (JWT, OIDC).
    Jwt {
        /// The role's name.
        role: String,
        /// The token.
        token: Jwt,
    },
    /// The client certificate of the connection itself ([`Settings::client_cert`]).
    ///
    /// [`Settings::client_cert`]: crate::vault::Settings::client_cert
    Cert {
        /// The role's name; `None` for any that takes the certificate.
        role: Option<String>,
    },
    /// A name and a password.
    Userpass {
        /// The name.
        username: String,
        /// The password.
        password: SecretValue,
    },
}

/// An AppRole's secret id.
pub enum SecretId {
    /// As it is.
    Plain(SecretValue),
    /// The wrapping token that Vault gives it out for, once.
    Wrapped(SecretValue),
}

/// Where a signed token comes from.
pub enum Jwt {
    /// A file, read at each login, for who signs tokens replaces them before they end.
    File(PathBuf),
    /// The token itself.
    Value(SecretValue),
}

/// A credential's bytes, on their way to a check or into a request to Vault.
#[expect(
    clippy::disallowed_methods,
    reason = "Vault itself must be shown what logs us in"
)]
pub(super) fn plain(secret: &SecretValue) -> &[u8] {
    secret.expose_secret()
}

pub(super) fn check(auth: &Auth) -> Result<(), SettingsError> {
    let (mount, method) = match auth {
        Auth::Token(token) => return check_text("token", plain(token)),
        Auth::Method { mount, method } => (mount, method),
    };
    let segment = |part: &str| !part.is_empty() && part != "." && part != "..";
    if !mount.split('/').all(segment) {
        return Err(SettingsError::Text("auth_mount"));
    }
    check_text("auth_mount", mount.as_bytes())?;
    match method {
        Method::AppRole { role_id, secret_id } => {
            check_text("role_id", role_id.as_bytes())?;
            match secret_id {
                SecretId::Plain(secret_id) => check_text("secret_id", plain(secret_id)),
                SecretId::Wrapped(token) => check_text("wrapped secret_id", plain(token)),
            }
        }
        Method::Kubernetes { role, .. } => check_text("role", role.as_bytes()),
        Method::Jwt { role, token } => {
            check_text("role", role.as_bytes())?;
            match token {
                Jwt::File(_) => Ok(()),
                Jwt::Value(token) => check_text("JWT", plain(token)),
            }
        }
        Method::Cert { role } => role
            .as_ref()
            .map_or(Ok(()), |role| check_text("role", role.as_bytes())),
        Method::Userpass { username, password } => {
            // It becomes part of a path.
            if username.contains('/') || !segment(username) {
                return Err(SettingsError::Text("username"));
            }
            check_text("username", username.as_bytes())?;
            // Of any signs, but it travels in JSON.
            match std::str::from_utf8(plain(password)) {
                Ok(password) if !password.is_empty() => Ok(()),
                Ok(_) | Err(_) => Err(SettingsError::Password),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn userpass(mount: &str, username: &str, password: &[u8]) -> Auth {
        Auth::Method {
            mount: mount.to_owned(),
            method: Method::Userpass {
                username: username.to_owned(),
                password: SecretValue::new(password.to_vec()),
            },
        }
    }

    #[test]
    fn what_becomes_part_of_a_path_must_be_a_name() {
        for mount in ["", "a//b", "..", "../sys", "a b"] {
            let error = check(&userpass(mount, "u", b"p"));
            assert!(
                matches!(error, Err(SettingsError::Text("auth_mount"))),
                "{mount}"
            );
        }
        for username in ["", "..", "a/b", "a b"] {
            let error = check(&userpass("userpass", username, b"p"));
            assert!(
                matches!(error, Err(SettingsError::Text("username"))),
                "{username}"
            );
        }
        assert!(
            check(&userpass(
                "team/people",
                "ann@example.org",
                "p ä\"".as_bytes()
            ))
            .is_ok()
        );
    }

    #[test]
    fn credentials_that_cannot_be_sent_are_refused_without_repeating_them() {
        let secret = |text: &str| SecretValue::new(text.as_bytes().to_vec());
        let method = |method| Auth::Method {
            mount: "m".to_owned(),
            method,
        };
        let role = "r".to_owned();
        for (auth, name) in [
            (Auth::Token(secret("s. hunter2")), "token"),
            (
                method(Method::AppRole {
                    role_id: role.clone(),
                    secret_id: SecretId::Plain(secret("hunter2\n")),
                }),
                "secret_id",
            ),
            (
                method(Method::AppRole {
                    role_id: role.clone(),
                    secret_id: SecretId::Wrapped(secret("hunter2\u{e9}")),
                }),
                "wrapped secret_id",
            ),
            (
                method(Method::Jwt {
                    role,
                    token: Jwt::Value(secret("hunter2 ")),
                }),
                "JWT",
            ),
            (userpass("m", "u", b"hunter2\xff"), "password"),
        ] {
            let error = check(&auth).unwrap_err().to_string();
            assert!(error.contains(&format!("Vault {name} is ")), "{error}");
            assert!(!error.contains("hunter2"), "{error}");
        }
    }
}

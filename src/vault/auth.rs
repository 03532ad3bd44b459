//! How each method logs in: its request, and what Vault grants.

use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use tokio::sync::Mutex;
use tokio::time::timeout;
use zeroize::Zeroizing;

use crate::domain::SecretValue;
use crate::vault::client::{Answer, Client, Failure};
use crate::vault::method::{Auth, Jwt, Method, SecretId, plain};
use crate::vault::request::{Request, object};
use crate::vault::schedule::{Lease, lasting};
use crate::vault::unwrap::Unwrapped;

/// Largest file with a token, in bytes.
const MAX_TOKEN: usize = 64 << 10;

/// The part of Vault's `auth` object we use.
#[derive(Deserialize)]
pub(super) struct Granted {
    client_token: Zeroizing<String>,
    /// Seconds; 0 for a token that never expires.
    lease_duration: u64,
    pub(super) renewable: bool,
    /// `null` for none.
    policies: Option<Vec<String>>,
}

impl Granted {
    /// The token; afterwards there is none here any more.
    pub(super) fn token(&mut self) -> SecretValue {
        SecretValue::new(std::mem::take(&mut *self.client_token).into_bytes())
    }

    pub(super) fn duration(&self) -> Duration {
        lasting(self.lease_duration)
    }

    /// The names of the policies the token has.
    pub(super) fn policies(self) -> Vec<String> {
        self.policies.unwrap_or_default()
    }

    pub(super) fn lease(&self) -> Lease {
        Lease {
            left: (self.lease_duration > 0).then(|| self.duration()),
            renewable: self.renewable,
            cut: false,
        }
    }
}

/// Reads what a login or a renewal was answered.
pub(super) fn granted(answer: Answer) -> Result<Granted, Failure> {
    #[derive(Deserialize)]
    struct Envelope {
        auth: Granted,
    }
    let answer = answer.accepted().map_err(Failure::of_login)?;
    let envelope: Envelope =
        serde_json::from_slice(&answer.body).map_err(|_| Failure::Invalid("it grants no token"))?;
    // It becomes a header.
    let token = envelope.auth.client_token.as_bytes();
    if token.is_empty() || !token.iter().all(u8::is_ascii_graphic) {
        return Err(Failure::Invalid("the token in it is not one"));
    }
    Ok(envelope.auth)
}

/// How we log in, and what of it is remembered from one login to the next.
pub(super) struct Entry {
    /// As configured.
    pub(super) auth: Auth,
    unwrapped: Unwrapped,
    /// Held by who reads the token's file: one at a time, as a disk that hangs keeps a thread.
    reading: Arc<Mutex<()>>,
}

/// Why there is no login.
pub(super) enum NoLogin {
    /// Vault, or the way to it.
    Failed(Failure),
    /// What it takes is not at hand. Says what to do.
    Unready(String),
}

impl From<Failure> for NoLogin {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl Entry {
    pub(super) fn new(auth: Auth) -> Self {
        Self {
            auth,
            unwrapped: Unwrapped::default(),
            reading: Arc::default(),
        }
    }

    /// Whether a login gives a new token.
    pub(super) fn replaceable(&self) -> bool {
        matches!(self.auth, Auth::Method { .. })
    }

    /// Whether Vault locks the role or user out after some wrong credentials, for everybody.
    pub(super) fn can_be_locked_out(&self) -> bool {
        match &self.auth {
            Auth::Token(_) => false,
            Auth::Method { method, .. } => match method {
                Method::AppRole { .. } | Method::Userpass { .. } => true,
                Method::Kubernetes { .. } | Method::Jwt { .. } | Method::Cert { .. } => false,
            },
        }
    }

    /// Logs in with `method` at `mount`.
    pub(super) async fn log_in(
        &self,
        client: &Client,
        mount: &str,
        method: &Method,
    ) -> Result<Granted, NoLogin> {
        let mut user = None;
        let json = match method {
            Method::AppRole { role_id, secret_id } => {
                let secret_id = match secret_id {
                    SecretId::Plain(secret_id) => secret_id,
                    SecretId::Wrapped(token) => {
                        let token = text(plain(token), "the wrapping token")?;
                        let known = self.unwrapped.secret_id(client, mount, token).await?;
                        known.map_err(NoLogin::Unready)?
                    }
                };
                let secret_id = text(plain(secret_id), "the secret id")?;
                object(&[("role_id", role_id), ("secret_id", secret_id)])
            }
            Method::Kubernetes { role, token_file }
            | Method::Jwt {
                role,
                token: Jwt::File(token_file),
            } => {
                let bytes = self.read(token_file, client.patience()).await?;
                let token = text(bytes.trim_ascii(), "the token in the file")?;
                object(&[("role", role), ("jwt", token)])
            }
            Method::Jwt {
                role,
                token: Jwt::Value(token),
            } => object(&[("role", role), ("jwt", text(plain(token), "the JWT")?)]),
            Method::Cert { role: None } => object(&[]),
            Method::Cert { role: Some(role) } => object(&[("name", role)]),
            Method::Userpass { username, password } => {
                user = Some(username);
                object(&[("password", text(plain(password), "the password")?)])
            }
        };
        let path = match user {
            None => format!("auth/{mount}/login"),
            Some(name) => format!("auth/{mount}/login/{name}"),
        };
        let access = client.anonymous();
        let answer = client.call_now(&access, Request::post(&path, json));
        Ok(granted(answer.await?)?)
    }

    /// Looks at a wrapped secret id without unwrapping it; `None` where there is none.
    pub(super) async fn examine(&self, client: &Client) -> Option<Result<(), String>> {
        let Auth::Method {
            mount,
            method:
                Method::AppRole {
                    secret_id: SecretId::Wrapped(token),
                    ..
                },
        } = &self.auth
        else {
            return None;
        };
        let token = std::str::from_utf8(plain(token)).unwrap_or_default();
        let answer = self.unwrapped.examine(client, mount, token).await;
        Some(answer.unwrap_or_else(|failure| Err(failure.to_string())))
    }

    /// The content of a token's file, within `patience`: it may be on another machine's disk.
    async fn read(&self, path: &Path, patience: Duration) -> Result<Zeroizing<Vec<u8>>, NoLogin> {
        let file = path.to_owned();
        let turn = self.reading.clone().try_lock_owned();
        let reading = tokio::task::spawn_blocking(move || {
            let _turn = turn.map_err(|_| io::Error::other("its disk does not answer"))?;
            // Opening a pipe would wait for who writes to it.
            if !std::fs::metadata(&file)?.is_file() {
                return Err(io::Error::other("it is not a file"));
            }
            let mut bytes = Zeroizing::new(Vec::with_capacity(MAX_TOKEN));
            let file = std::fs::File::open(&file)?;
            file.take(MAX_TOKEN as u64).read_to_end(&mut bytes)?;
            if bytes.len() == MAX_TOKEN {
                return Err(io::Error::other("it is too large for a token"));
            }
            Ok(bytes)
        });
        let cause = match timeout(patience, reading).await {
            Ok(Ok(Ok(bytes))) => return Ok(bytes),
            Ok(Ok(Err(error))) => error.to_string(),
            Ok(Err(error)) => error.to_string(),
            Err(_) => "it takes too long".to_owned(),
        };
        Err(NoLogin::Unready(format!(
            "the token to log in with cannot be read from {}: {cause}; check [vault] token_file",
            path.display()
        )))
    }

    /// What it means, and what to do, when Vault refuses us for `cause`.
    pub(super) fn refused(&self, cause: &str) -> String {
        let (method, check) = match &self.auth {
            Auth::Token(_) => {
                return format!(
                    "Vault does not take the token ({cause}): it was revoked, has expired, is \
                     mistyped or of another namespace; configure a new one and restart, or use \
                     an auth method that makes new ones, like AppRole"
                );
            }
            Auth::Method { method, .. } => match method {
                Method::AppRole {
                    secret_id: SecretId::Plain(_),
                    ..
                } => ("AppRole", "role_id, VAULT_SECRET_ID"),
                Method::AppRole {
                    secret_id: SecretId::Wrapped(_),
                    ..
                } => (
                    "AppRole",
                    "role_id, whether the secret id that was unwrapped is still good (if not: a \
                     new VAULT_WRAPPED_SECRET_ID and a restart)",
                ),
                Method::Kubernetes { .. } => (
                    "Kubernetes",
                    "role, that it names this pod's service account and namespace",
                ),
                Method::Jwt { .. } => (
                    "JWT",
                    "role, that the token is in time and has the audience and claims it asks for",
                ),
                Method::Cert { .. } => {
                    ("certificate", "client_cert, whether a role takes it, role")
                }
                Method::Userpass { .. } => ("userpass", "username, VAULT_PASSWORD"),
            },
        };
        let mut reason = format!(
            "the {method} login is refused ({cause}); check {check}, auth_mount and namespace"
        );
        if self.can_be_locked_out() {
            reason.push_str(", then restart vaultgram: it tries seldom, lest Vault lock it out");
        }
        reason
    }
}

/// A credential as text that JSON and headers take; `what` it is, for the error.
fn text<'a>(bytes: &'a [u8], what: &str) -> Result<&'a str, NoLogin> {
    match std::str::from_utf8(bytes) {
        Ok(text) if !text.is_empty() => Ok(text),
        Ok(_) => Err(NoLogin::Unready(format!("{what} is empty"))),
        Err(_) => Err(NoLogin::Unready(format!("{what} is not text"))),
    }
}

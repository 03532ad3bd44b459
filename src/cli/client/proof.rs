//! How whoever asks over HTTPS proves who they are: what the command line is told of it.

use std::convert::Infallible;
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use clap::Args;
use zeroize::Zeroizing;

pub use crate::cli::client::signature::SigningKey;
use crate::cli::exit::{Exit, Failure};

/// Where the options stand in a command's help.
const HEADING: &str = "Over HTTPS";
/// What an issuer is called in a configuration where nobody says.
const ROLE: &str = "github";
/// Largest file of a token or key, in bytes.
const MAX_SECRET: usize = 64 * 1024;

/// The variable with the token of a session that somebody else opened.
const TOKEN: &str = "VAULTGRAM_TOKEN";
/// The variable with an issuer's token.
const JWT: &str = "VAULTGRAM_JWT";
/// The variable with what a GitHub job proves itself with, to have a token made.
const JOB_TOKEN: &str = "ACTIONS_ID_TOKEN_REQUEST_TOKEN";

/// Headers that prove who asks.
pub(super) type Headers = Vec<(&'static str, Zeroizing<String>)>;

/// A token or key. Its `Debug` shows nothing of it.
#[derive(Clone)]
pub struct Secret(Zeroizing<String>);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

impl FromStr for Secret {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self(Zeroizing::new(text.trim().to_owned())))
    }
}

impl Secret {
    pub(super) fn new(text: Zeroizing<String>) -> Self {
        Self(text)
    }

    pub(super) fn text(&self) -> &str {
        &self.0
    }

    /// What stands in `file`, without what stands around it.
    pub(super) fn in_file(file: &Path) -> Result<Self, Failure> {
        let mut text = Zeroizing::new(String::with_capacity(MAX_SECRET + 1));
        let read = File::open(file).and_then(|file| {
            let read = file.take(MAX_SECRET as u64 + 1).read_to_string(&mut text)?;
            if read > MAX_SECRET {
                return Err(io::Error::other("it is too large to be a token or a key"));
            }
            Ok(())
        });
        let text = text.trim();
        let nothing = text.is_empty().then(|| io::Error::other("it is empty"));
        if let Some(error) = read.err().or(nothing) {
            let what = format!("{}: {error}", file.display());
            return Err(Failure::new(Exit::NotFound, what));
        }
        Ok(Self(Zeroizing::new(text.to_owned())))
    }
}

/// What proves who asks, where no kernel does.
#[derive(Debug, Args)]
pub struct ProofArgs {
    /// The authorities whose certificates are believed there, in PEM [default: the system's]
    #[arg(long, value_name = "FILE", global = true, help_heading = HEADING)]
    ca_file: Option<PathBuf>,
    /// Show the certificate in this file, in PEM, where the server wants one of its clients
    #[arg(long, value_name = "FILE", global = true, help_heading = HEADING)]
    client_cert: Option<PathBuf>,
    /// The file of that certificate's key
    #[arg(long, value_name = "FILE", global = true, help_heading = HEADING)]
    client_key: Option<PathBuf>,
    /// Take an issuer's token (OIDC, JWT) from this file [default: in a GitHub job, GitHub is asked]
    #[arg(long, value_name = "FILE", global = true, help_heading = HEADING)]
    jwt_file: Option<PathBuf>,
    /// What vaultgram calls the issuer of that token [default: github]
    #[arg(long, value_name = "NAME", global = true, help_heading = HEADING)]
    role: Option<String>,
    /// For whom GitHub is to make a token [default: the address]
    #[arg(long, value_name = "TEXT", global = true, help_heading = HEADING)]
    audience: Option<String>,
    /// Take the token of a session from this file
    #[arg(long, value_name = "FILE", global = true, help_heading = HEADING,
        conflicts_with_all = ["jwt_file", "signing_key_file"])]
    token_file: Option<PathBuf>,
    /// Sign each request with the key in this file
    #[arg(long, value_name = "OWNER/KEYID=FILE", global = true, help_heading = HEADING,
        conflicts_with = "jwt_file")]
    signing_key_file: Option<SigningKey>,
    // The same as variables: options of their own, as a usage error shows what was typed.
    #[arg(long, env = "VAULTGRAM_CACERT", hide = true, global = true)]
    vaultgram_cacert: Option<PathBuf>,
    #[arg(long, env = "VAULTGRAM_CLIENT_CERT", hide = true, global = true)]
    vaultgram_client_cert: Option<PathBuf>,
    #[arg(long, env = "VAULTGRAM_CLIENT_KEY", hide = true, global = true)]
    vaultgram_client_key: Option<PathBuf>,
    #[arg(long, env = "VAULTGRAM_JWT_FILE", hide = true, global = true)]
    vaultgram_jwt_file: Option<PathBuf>,
    #[arg(long, env = "VAULTGRAM_ROLE", hide = true, global = true)]
    vaultgram_role: Option<String>,
    #[arg(long, env = "VAULTGRAM_AUDIENCE", hide = true, global = true)]
    vaultgram_audience: Option<String>,
    #[arg(long, env = "VAULTGRAM_TOKEN_FILE", hide = true, global = true)]
    vaultgram_token_file: Option<PathBuf>,
    #[arg(long, env = "VAULTGRAM_SIGNING_KEY_FILE", hide = true, global = true)]
    vaultgram_signing_key_file: Option<String>,
    // What GitHub gives to a job with `permissions: id-token: write`.
    #[arg(long, env = "ACTIONS_ID_TOKEN_REQUEST_URL", hide = true, global = true)]
    actions_id_token_request_url: Option<String>,
}

/// What proves who asks.
#[derive(Debug)]
pub(super) enum Proof {
    /// A session that somebody else opened.
    Session(Source),
    /// A session for a token of an issuer that is called so in the configuration.
    Issuer { role: String, token: Evidence },
    /// A signature under each request.
    Signature(SigningKey),
}

/// A secret, or where it is.
#[derive(Debug)]
pub(super) enum Source {
    Given(Secret),
    File(PathBuf),
}

impl Source {
    /// As it is now: files are written anew.
    pub(super) fn read(&self) -> Result<Secret, Failure> {
        match self {
            Self::Given(secret) => Ok(secret.clone()),
            Self::File(file) => Secret::in_file(file),
        }
    }
}

/// Where the token of an issuer comes from.
#[derive(Debug)]
pub(super) enum Evidence {
    /// It is there.
    Token(Source),
    /// GitHub makes one.
    Github {
        url: String,
        /// What the job proves itself with there.
        token: Secret,
        audience: String,
    },
}

impl ProofArgs {
    pub(super) fn ca_file(&self) -> Option<&Path> {
        named(self.ca_file.as_ref(), self.vaultgram_cacert.as_ref())
    }

    /// The files of the certificate to show, and of its key.
    pub(super) fn own_certificate(&self) -> Result<Option<(&Path, &Path)>, Failure> {
        let certificate = named(
            self.client_cert.as_ref(),
            self.vaultgram_client_cert.as_ref(),
        );
        let key = named(self.client_key.as_ref(), self.vaultgram_client_key.as_ref());
        match (certificate, key) {
            (Some(certificate), Some(key)) => Ok(Some((certificate, key))),
            (None, None) => Ok(None),
            (Some(_), None) | (None, Some(_)) => {
                let what = "a certificate is shown with its key, and neither without the other";
                Err(Failure::new(Exit::Usage, what).hint("give --client-cert and --client-key"))
            }
        }
    }

    /// What was said most plainly: an option, then a variable, then what GitHub gives. `place`: where
    /// it is for.
    pub(super) fn choose(&self, place: &str) -> Result<Proof, Failure> {
        let file = |file: &PathBuf| Source::File(file.clone());
        let typed = (&self.token_file, &self.jwt_file, &self.signing_key_file);
        match typed {
            (Some(token), _, _) => return Ok(Proof::Session(file(token))),
            (_, Some(jwt), _) => return Ok(self.issuer(Evidence::Token(file(jwt)))),
            (_, _, Some(key)) => return Ok(Proof::Signature(key.clone())),
            (None, None, None) => {}
        }
        if let Some(token) = source(TOKEN, self.vaultgram_token_file.as_ref()) {
            return Ok(Proof::Session(token));
        }
        if let Some(jwt) = source(JWT, self.vaultgram_jwt_file.as_ref()) {
            return Ok(self.issuer(Evidence::Token(jwt)));
        }
        if let Some(key) = filled(self.vaultgram_signing_key_file.as_ref(), String::is_empty) {
            let wrong =
                |why| Failure::new(Exit::Usage, format!("VAULTGRAM_SIGNING_KEY_FILE: {why}"));
            return key.parse().map(Proof::Signature).map_err(wrong);
        }
        let (url, token) = (
            filled(self.actions_id_token_request_url.as_ref(), String::is_empty),
            variable(JOB_TOKEN),
        );
        if let (Some(url), Some(token)) = (url, token) {
            let audience = self.audience.as_ref();
            let named = filled(self.vaultgram_audience.as_ref(), String::is_empty);
            let audience = audience.or(named).map_or(place, String::as_str);
            return Ok(self.issuer(Evidence::Github {
                url: url.clone(),
                token,
                audience: audience.to_owned(),
            }));
        }
        let what = format!("nothing proves to {place} who you are");
        Err(Failure::new(Exit::Usage, what).hint(
            "in a GitHub job add `permissions: id-token: write`; elsewhere use --jwt-file or \
             VAULTGRAM_JWT, --signing-key-file, or --token-file",
        ))
    }

    fn issuer(&self, token: Evidence) -> Proof {
        let variable = filled(self.vaultgram_role.as_ref(), String::is_empty);
        let role = self.role.as_ref().or(variable);
        Proof::Issuer {
            role: role.map_or(ROLE, String::as_str).to_owned(),
            token,
        }
    }
}

/// The file that is named most plainly.
fn named<'a>(typed: Option<&'a PathBuf>, variable: Option<&'a PathBuf>) -> Option<&'a Path> {
    let variable = filled(variable, |file| file.as_os_str().is_empty());
    typed.or(variable).map(PathBuf::as_path)
}

/// A variable that is empty says nothing.
fn filled<T>(variable: Option<&T>, is_empty: impl FnOnce(&T) -> bool) -> Option<&T> {
    variable.filter(|value| !is_empty(value))
}

/// The secret in the variable `name`. No option stands for it, which would put it among the arguments
/// that everybody on the machine can see.
fn variable(name: &str) -> Option<Secret> {
    #[expect(
        clippy::disallowed_methods,
        reason = "clap knows variables of options only"
    )]
    let text = std::env::var_os(name)?.into_string().ok()?;
    let secret: Secret = text.parse().ok()?;
    Some(secret).filter(|secret| !secret.text().is_empty())
}

fn source(name: &str, file: Option<&PathBuf>) -> Option<Source> {
    let secret = variable(name).map(Source::Given);
    let file = filled(file, |file| file.as_os_str().is_empty());
    secret.or_else(|| file.cloned().map(Source::File))
}

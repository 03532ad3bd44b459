//! The `[github]` section: whose pipelines are served, and who we are there.

use serde::Deserialize;

use crate::config::{Environment, Problems};
use crate::domain::{Mounts, SecretValue, Target};

/// The token, or where it is.
const TOKEN: &str = "VAULTGRAM_GITHUB_TOKEN";
/// The key of a GitHub App.
const APP_KEY: &str = "VAULTGRAM_GITHUB_APP_KEY";

/// Whose pipelines are served.
pub struct GitHubConfig {
    /// What their paths begin with.
    pub mount: String,
    /// Where the API is; checked by the client.
    pub address: String,
    /// The repositories, `owner/name`; checked by the client.
    pub repositories: Vec<String>,
    /// The branch that is meant where none is named.
    pub default_ref: String,
    /// Who we are there.
    pub identity: GitHubIdentity,
}

/// Who we are at GitHub.
pub enum GitHubIdentity {
    /// By this token.
    Token(SecretValue),
    /// By the token in this field of a secret.
    TokenInVault(Target),
    /// The App of this id, by its key.
    App(String, SecretValue),
    /// By the key in this field of a secret.
    AppInVault(String, Target),
}

/// The section as it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct GitHub {
    pub(super) mount: String,
    pub(super) address: String,
    pub(super) repositories: Vec<String>,
    pub(super) default_ref: String,
    pub(super) app_id: Option<String>,
    pub(super) token_path: Option<String>,
    pub(super) app_key_path: Option<String>,
}

impl Default for GitHub {
    fn default() -> Self {
        Self {
            mount: "github".to_owned(),
            address: "https://api.github.com".to_owned(),
            repositories: vec![],
            default_ref: "main".to_owned(),
            app_id: None,
            token_path: None,
            app_key_path: None,
        }
    }
}

pub(super) fn typed(
    raw: GitHub,
    mounts: Option<&Mounts>,
    environment: &Environment,
    problems: &mut Problems,
) -> Option<GitHubConfig> {
    if raw.repositories.is_empty() {
        problems.push(
            "[github] repositories: name those whose pipelines are served, like [\"acme/shop\"]; the \
             first is meant where people name none",
        );
    }
    let (variable, setting, path) = match raw.app_id {
        Some(_) => (APP_KEY, "app_key_path", raw.app_key_path.as_ref()),
        None => (TOKEN, "token_path", raw.token_path.as_ref()),
    };
    let found = environment
        .get(variable)
        .map_err(|problem| problems.elsewhere(problem));
    let path = path.map(|path| in_vault(setting, path, mounts, problems));
    let identity = match (raw.app_id, found.ok()?, path) {
        (Some(id), Some(key), None) => GitHubIdentity::App(id, key),
        (Some(id), None, Some(path)) => GitHubIdentity::AppInVault(id, path?),
        (None, Some(token), None) => GitHubIdentity::Token(token),
        (None, None, Some(path)) => GitHubIdentity::TokenInVault(path?),
        (_, Some(_), Some(_)) => {
            problems.push(format!(
                "[github] {setting}: {variable} is set too; use one of them"
            ));
            return None;
        }
        (_, None, None) => {
            // As with Vault's token, not every command needs it.
            let problem = format!(
                "[github]: set {variable} or {variable}_FILE, or say where Vault has it, like {setting} = \
                 \"secret/vaultgram/github#token\""
            );
            problems.tokens.push(problem);
            return None;
        }
    };
    Some(GitHubConfig {
        mount: raw.mount,
        address: raw.address,
        repositories: raw.repositories,
        default_ref: raw.default_ref,
        identity,
    })
}

fn in_vault(
    setting: &str,
    path: &str,
    mounts: Option<&Mounts>,
    problems: &mut Problems,
) -> Option<Target> {
    match mounts?.parse(path) {
        Ok(target) if target.field.is_some() && target.version.is_none() => return Some(target),
        Ok(_) => problems.push(format!(
            "[github] {setting}: name a field, like \"secret/vaultgram/github#token\""
        )),
        Err(error) => problems.push(format!("[github] {setting}: {error}")),
    }
    None
}

//! The `[github]` section: whose pipelines are served, and who we are there.

use std::time::Duration;

use serde::Deserialize;

use crate::config::raw::some_duration;
use crate::config::{Environment, Problems};
use crate::domain::{Mounts, SecretValue, Target};

/// The token, or where it is.
const TOKEN: &str = "VAULTGRAM_GITHUB_TOKEN";
/// What webhooks are signed with.
const WEBHOOK: &str = "VAULTGRAM_GITHUB_WEBHOOK_SECRET";
/// How often what is watched is looked at; and where webhooks tell where to look.
const POLL: (Duration, Duration) = (Duration::from_secs(20), Duration::from_mins(5));
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
    /// How often what is watched is looked at.
    pub poll: Duration,
    /// What GitHub signs webhooks with, where it sends any.
    pub webhook: Option<WebhookConfig>,
}

/// What webhooks are signed with: one secret in a line.
pub enum WebhookConfig {
    /// These.
    Secrets(SecretValue),
    /// Those in this field of a secret.
    InVault(Target),
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
    #[serde(deserialize_with = "some_duration")]
    pub(super) poll: Option<Duration>,
    pub(super) webhook_secret_path: Option<String>,
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
            poll: None,
            webhook_secret_path: None,
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
    let webhook = webhook(
        raw.webhook_secret_path.as_deref(),
        mounts,
        environment,
        problems,
    );
    let usual = if webhook.is_some() { POLL.1 } else { POLL.0 };
    let poll = raw.poll.unwrap_or(usual);
    if !(Duration::from_secs(1)..=Duration::from_hours(1)).contains(&poll) {
        problems.push("[github] poll: must be from 1s to 3600s");
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
        poll,
        webhook,
    })
}

fn webhook(
    path: Option<&str>,
    mounts: Option<&Mounts>,
    environment: &Environment,
    problems: &mut Problems,
) -> Option<WebhookConfig> {
    let found = environment.get(WEBHOOK);
    let found = found.map_err(|problem| problems.elsewhere(problem)).ok()?;
    match (found, path) {
        (None, None) => None,
        (Some(secrets), None) => Some(WebhookConfig::Secrets(secrets)),
        (None, Some(path)) => {
            let target = in_vault("webhook_secret_path", path, mounts, problems);
            target.map(WebhookConfig::InVault)
        }
        (Some(_), Some(_)) => {
            problems.push(format!(
                "[github] webhook_secret_path: {WEBHOOK} is set too; use one of them"
            ));
            None
        }
    }
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

//! Pipelines, put together: which are served, and as whom; and what `doctor` finds out about them.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::Mutex;
use zeroize::Zeroizing;

use crate::actions::deliveries::{SecretSource, Webhooks};
use crate::actions::github::{self, Credentials, GitHub, Settings};
use crate::broker::ports::pipelines::{
    Commit, Declared, GitRef, Inputs, PendingDeployment, PipelineError, Repository, Review, Run,
    RunFilter, RunId, RunJob, WorkflowFile,
};
use crate::broker::ports::{Clock, Pipelines, SystemClock};
use crate::broker::{Ports, ServedPipelines};
use crate::config::{GitHubConfig, GitHubIdentity, VaultConfig, WebhookConfig};
use crate::daemon::application::{self, Unread};
use crate::daemon::own_keys::OwnKeys;
use crate::domain::{Mounts, Secret, SecretValue, Target};

/// The longest wait for one answer.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);
/// The longest wait for a call: people wait for it, and a permission lasts no longer than half a minute.
const PATIENCE: Duration = Duration::from_secs(12);

/// What `config` says is served.
///
/// # Errors
/// Says which setting cannot work.
pub(super) fn served(
    config: GitHubConfig,
    clock: &Arc<dyn Clock>,
    mounts: &Mounts,
    ports: impl Fn() -> Ports,
) -> Result<ServedPipelines, String> {
    let (repositories, at) = names(&config)?;
    let in_vault = |app, path: Target| {
        let keys = OwnKeys::new(path.path.clone(), mounts.clone(), ports());
        Ok::<_, String>(Arc::new(InVault {
            keys: keys.map_err(|error| format!("[github] {error}"))?,
            path,
            app,
            address: config.address.clone(),
            clock: Arc::clone(clock),
            client: Mutex::default(),
        }))
    };
    let known = |credentials| client(config.address.clone(), credentials, clock).map(Arc::new);
    let port: Arc<dyn Pipelines> = match config.identity {
        GitHubIdentity::Token(token) => known(Credentials::Token(token))?,
        GitHubIdentity::App(id, key) => known(Credentials::App { id, key })?,
        GitHubIdentity::TokenInVault(path) => in_vault(None, path)?,
        GitHubIdentity::AppInVault(id, path) => in_vault(Some(id), path)?,
    };
    Ok(ServedPipelines {
        port,
        mount: config.mount,
        repositories,
        at,
        poll: time::Duration::try_from(config.poll).map_err(|error| error.to_string())?,
    })
}

/// What takes webhooks, where any are to come.
///
/// # Errors
/// When there can be no policy to read their secrets by.
pub(super) fn webhooks(
    config: Option<WebhookConfig>,
    mounts: &Mounts,
    ports: impl Fn() -> Ports,
) -> Result<Option<Webhooks>, String> {
    let Some(config) = config else {
        return Ok(None);
    };
    let source: Arc<dyn SecretSource> = match config {
        WebhookConfig::Secrets(text) => Arc::new(KnownSecrets(text)),
        WebhookConfig::InVault(path) => {
            let keys = OwnKeys::new(path.path.clone(), mounts.clone(), ports());
            let keys = keys.map_err(|error| format!("[github] webhook_secret_path: {error}"))?;
            Arc::new(SecretsInVault { keys, path })
        }
    };
    let Ports {
        coordination,
        clock,
        ..
    } = ports();
    Ok(Some(Webhooks::new(source, coordination, clock)))
}

/// The secrets of webhooks, as they were given to us.
struct KnownSecrets(SecretValue);

#[async_trait]
impl SecretSource for KnownSecrets {
    async fn secrets(&self) -> Result<Vec<SecretValue>, String> {
        Ok(lines(&self.0))
    }
}

/// Those in Vault. Each look is on the audit's record.
struct SecretsInVault {
    keys: OwnKeys,
    path: Target,
}

#[async_trait]
impl SecretSource for SecretsInVault {
    async fn secrets(&self) -> Result<Vec<SecretValue>, String> {
        Ok(lines(&text_of(&self.keys.read().await?, &self.path)?))
    }
}

/// One in each line: two while one takes the other's place.
fn lines(text: &SecretValue) -> Vec<SecretValue> {
    #[expect(clippy::disallowed_methods, reason = "they are put to use")]
    let lines = text.expose_secret().split(|it| *it == b'\n');
    let lines = lines.map(<[u8]>::trim_ascii);
    let lines = lines.filter(|line| !line.is_empty());
    lines.map(|line| SecretValue::new(line.to_vec())).collect()
}

/// Whether everything about them can be put to use, as far as that can be told from here.
///
/// # Errors
/// Says which setting cannot work.
pub(super) fn check(config: GitHubConfig, clock: &Arc<dyn Clock>) -> Result<(), String> {
    names(&config)?;
    let credentials = match config.identity {
        GitHubIdentity::Token(token) => Credentials::Token(token),
        GitHubIdentity::App(id, key) => Credentials::App { id, key },
        // Which Vault has; the address is looked at all the same.
        GitHubIdentity::TokenInVault(_) | GitHubIdentity::AppInVault(..) => {
            Credentials::Token(SecretValue::new(b"later".to_vec()))
        }
    };
    client(config.address, credentials, clock).map(drop)
}

/// Whether GitHub can be reached, and each repository be seen.
///
/// # Errors
/// Says what is wrong, and what to do.
pub(super) async fn examine(
    config: GitHubConfig,
    vault: Option<VaultConfig>,
) -> Result<String, String> {
    let (repositories, _) = names(&config)?;
    let address = config.address.clone();
    let (app, path) = match config.identity {
        GitHubIdentity::Token(token) => {
            return look(&address, Credentials::Token(token), &repositories).await;
        }
        GitHubIdentity::App(id, key) => {
            return look(&address, Credentials::App { id, key }, &repositories).await;
        }
        GitHubIdentity::TokenInVault(path) => (None, path),
        GitHubIdentity::AppInVault(id, path) => (Some(id), path),
    };
    let vault = vault.ok_or("who we are there is in Vault, which is not configured")?;
    let secret = match application::read(vault, &path.path).await {
        Ok(secret) => secret,
        Err(Unread::WorksOnce) => {
            return Ok(format!(
                "{address} was not tried: who we are there is in Vault, and VAULT_WRAPPED_SECRET_ID, \
                 which can be used only once, is for `vaultgram serve`"
            ));
        }
        Err(Unread::Missing) => return Err(format!("there is no {} in Vault", path.path)),
        Err(Unread::Failed(why)) => return Err(format!("{} in Vault: {why}", path.path)),
    };
    let credentials = credentials(&secret, &path, app);
    let credentials = credentials.map_err(|why| format!("{path} in Vault: {why}"))?;
    look(&address, credentials, &repositories).await
}

/// Whether each of `repositories` can be seen.
async fn look(
    address: &str,
    credentials: Credentials,
    repositories: &[Repository],
) -> Result<String, String> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let client = client(address.to_owned(), credentials, &clock)?;
    let filter = RunFilter {
        limit: 1,
        ..RunFilter::default()
    };
    for repository in repositories {
        let seen = client.runs(repository, &filter).await;
        seen.map_err(|error| format!("{address}: {repository}: {error}"))?;
    }
    let names: Vec<String> = repositories.iter().map(Repository::to_string).collect();
    Ok(format!("{address} shows the runs of {}", names.join(", ")))
}

fn names(config: &GitHubConfig) -> Result<(Vec<Repository>, GitRef), String> {
    let repositories = config.repositories.iter();
    let repositories = repositories.map(|text| Repository::new(text));
    let repositories = repositories.collect::<Result<Vec<_>, _>>();
    let repositories = repositories.map_err(|error| format!("[github] repositories: {error}"))?;
    let at = GitRef::new(&config.default_ref);
    let at = at.map_err(|error| format!("[github] default_ref: {error}"))?;
    Ok((repositories, at))
}

fn client(
    address: String,
    credentials: Credentials,
    clock: &Arc<dyn Clock>,
) -> Result<GitHub, String> {
    let settings = Settings {
        address,
        credentials,
        request_timeout: REQUEST_TIMEOUT,
        patience: PATIENCE,
    };
    GitHub::new(settings, Arc::clone(clock)).map_err(|error| format!("[github] {error}"))
}

/// Who we are, by the field of `secret` that `path` names: the key of `app`, or a token.
fn credentials(secret: &Secret, path: &Target, app: Option<String>) -> Result<Credentials, String> {
    let value = text_of(secret, path)?;
    Ok(match app {
        Some(id) => Credentials::App { id, key: value },
        None => Credentials::Token(value),
    })
}

/// The text in the field of `secret` that `path` names.
fn text_of(secret: &Secret, path: &Target) -> Result<SecretValue, String> {
    let mut fields = secret.fields.iter();
    let field = fields.find(|it| Some(it.name.as_str()) == path.field.as_deref());
    let field = field.ok_or("the secret has no such field")?;
    #[expect(clippy::disallowed_methods, reason = "it is put to use")]
    let text: Option<String> = serde_json::from_slice(field.json.expose_secret()).ok();
    let text = Zeroizing::new(text.ok_or("the field is not text")?);
    Ok(SecretValue::new(text.trim().as_bytes().to_vec()))
}

/// GitHub, as whom Vault says: read when it is first needed, and again when GitHub does not let us in.
struct InVault {
    keys: OwnKeys,
    path: Target,
    app: Option<String>,
    address: String,
    clock: Arc<dyn Clock>,
    client: Mutex<Option<Arc<GitHub>>>,
}

impl InVault {
    async fn client(&self) -> Result<Arc<GitHub>, PipelineError> {
        let mut client = self.client.lock().await;
        if let Some(client) = &*client {
            return Ok(Arc::clone(client));
        }
        let made = match self.keys.read().await {
            Ok(secret) => self.made(&secret),
            Err(error) => Err(error),
        };
        let made = made.map_err(|reason| {
            tracing::warn!(event = "github.keys_unreadable", path = %self.path, reason);
            PipelineError::LoggedOut
        })?;
        Ok(Arc::clone(client.insert(Arc::new(made))))
    }

    fn made(&self, secret: &Secret) -> Result<GitHub, String> {
        let credentials = credentials(secret, &self.path, self.app.clone())?;
        client(self.address.clone(), credentials, &self.clock)
    }

    /// Has it read again next time, where it is good no more.
    async fn told<T>(&self, answer: Result<T, PipelineError>) -> Result<T, PipelineError> {
        if matches!(answer, Err(PipelineError::LoggedOut)) {
            *self.client.lock().await = None;
        }
        answer
    }
}

#[async_trait]
impl Pipelines for InVault {
    async fn workflow(
        &self,
        repository: &Repository,
        file: &WorkflowFile,
        at: &GitRef,
    ) -> Result<Declared, PipelineError> {
        let answer = self.client().await?.workflow(repository, file, at).await;
        self.told(answer).await
    }

    async fn dispatch(
        &self,
        repository: &Repository,
        file: &WorkflowFile,
        at: &GitRef,
        inputs: &Inputs,
    ) -> Result<RunId, PipelineError> {
        let client = self.client().await?;
        let answer = client.dispatch(repository, file, at, inputs).await;
        self.told(answer).await
    }

    async fn runs(
        &self,
        repository: &Repository,
        filter: &RunFilter,
    ) -> Result<Vec<Run>, PipelineError> {
        let answer = self.client().await?.runs(repository, filter).await;
        self.told(answer).await
    }

    async fn run(&self, repository: &Repository, id: RunId) -> Result<Run, PipelineError> {
        let answer = self.client().await?.run(repository, id).await;
        self.told(answer).await
    }

    async fn jobs(&self, repository: &Repository, id: RunId) -> Result<Vec<RunJob>, PipelineError> {
        let answer = self.client().await?.jobs(repository, id).await;
        self.told(answer).await
    }

    async fn rerun(
        &self,
        repository: &Repository,
        id: RunId,
        failed_only: bool,
    ) -> Result<(), PipelineError> {
        let answer = self
            .client()
            .await?
            .rerun(repository, id, failed_only)
            .await;
        self.told(answer).await
    }

    async fn cancel(&self, repository: &Repository, id: RunId) -> Result<(), PipelineError> {
        let answer = self.client().await?.cancel(repository, id).await;
        self.told(answer).await
    }

    async fn pending_deployments(
        &self,
        repository: &Repository,
        id: RunId,
    ) -> Result<Vec<PendingDeployment>, PipelineError> {
        let client = self.client().await?;
        let answer = client.pending_deployments(repository, id).await;
        self.told(answer).await
    }

    async fn review_deployment(
        &self,
        repository: &Repository,
        id: RunId,
        review: &Review,
    ) -> Result<(), PipelineError> {
        let client = self.client().await?;
        let answer = client.review_deployment(repository, id, review).await;
        self.told(answer).await
    }

    fn page(&self, repository: &Repository, id: RunId) -> String {
        github::page(&self.address, repository, id)
    }

    async fn commit(&self, repository: &Repository, at: &GitRef) -> Result<Commit, PipelineError> {
        let answer = self.client().await?.commit(repository, at).await;
        self.told(answer).await
    }
}

//! The token of a request: as configured, or one that an App gets for a repository.

use std::collections::HashMap;
use std::sync::Arc;

use serde::Deserialize;
use serde_json::json;
use time::format_description::well_known::Rfc3339;
use time::{Duration, OffsetDateTime};
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout_at};
use tracing::warn;
use zeroize::Zeroizing;

use crate::actions::github::app::App;
use crate::actions::github::call::{Call, Calls};
use crate::actions::github::fault;
use crate::actions::github::settings::Identity;
use crate::actions::github::wire::Ask;
use crate::broker::ports::pipelines::{PipelineError, Repository};
use crate::domain::SecretValue;

/// Before its end a token is replaced.
const MARGIN: Duration = Duration::minutes(1);
/// Most tokens that are kept.
const MAX: usize = 64;

/// Who asks, and of what.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Scope {
    /// The account or the App itself.
    Ourselves,
    /// With access to one repository.
    Of(Repository),
}

impl Scope {
    /// What an App's limits and answers are kept under: GitHub counts by installation, of which an owner
    /// has one.
    pub(super) fn name(&self) -> String {
        match self {
            Self::Ourselves => "ourselves".to_owned(),
            Self::Of(repository) => format!("installation of {}", repository.owner()),
        }
    }
}

/// Who we are.
pub(super) enum Access {
    /// One token for everything.
    Token(Arc<SecretValue>),
    /// A token for each repository.
    App(Box<App>, Installed),
}

impl Access {
    pub(super) fn new(identity: Identity) -> Self {
        match identity {
            Identity::Token(token) => Self::Token(Arc::new(token)),
            Identity::App(app) => Self::App(app, Installed::default()),
        }
    }
}

/// The tokens of an App's installations, each good for one repository.
#[derive(Default)]
pub(super) struct Installed {
    /// Held while one is got: who comes second has what the first got.
    tokens: Mutex<HashMap<Repository, Grant>>,
}

/// A token, and until when it is good.
struct Grant {
    token: Arc<SecretValue>,
    until: OffsetDateTime,
}

impl Installed {
    /// The token for `repository` in `tokens`, if it is good for a while.
    fn find(
        tokens: &HashMap<Repository, Grant>,
        repository: &Repository,
        now: OffsetDateTime,
    ) -> Option<Arc<SecretValue>> {
        let grant = tokens.get(repository)?;
        (grant.until - MARGIN > now).then(|| grant.token.clone())
    }

    /// Keeps a token; of many, those that end first are got again when they are needed.
    fn keep(tokens: &mut HashMap<Repository, Grant>, repository: Repository, grant: Grant) {
        if tokens.len() >= MAX {
            let first = tokens.iter().min_by_key(|(_, grant)| grant.until);
            let first = first.map(|(repository, _)| repository.clone());
            first.and_then(|first| tokens.remove(&first));
        }
        tokens.insert(repository, grant);
    }

    /// Forgets `token`, which GitHub does not take any more.
    pub(super) async fn forget(&self, token: &Arc<SecretValue>) {
        let mut tokens = self.tokens.lock().await;
        tokens.retain(|_, grant| !Arc::ptr_eq(&grant.token, token));
    }
}

impl Calls {
    /// The token that `scope` is asked with.
    pub(super) async fn token(
        &self,
        scope: &Scope,
        deadline: Instant,
    ) -> Result<Arc<SecretValue>, PipelineError> {
        match (&self.access, scope) {
            (Access::Token(token), _) => Ok(token.clone()),
            (Access::App(app, _), Scope::Ourselves) => self.statement(app).map(Arc::new),
            (Access::App(app, installed), Scope::Of(repository)) => {
                let tokens = timeout_at(deadline, installed.tokens.lock()).await;
                let mut tokens = tokens.map_err(|_| PipelineError::Unavailable)?;
                let now = self.clock.now();
                if let Some(token) = Installed::find(&tokens, repository, now) {
                    return Ok(token);
                }
                let grant = self.install(app, repository, deadline).await?;
                let token = grant.token.clone();
                Installed::keep(&mut tokens, repository.clone(), grant);
                Ok(token)
            }
        }
    }

    fn statement(&self, app: &App) -> Result<SecretValue, PipelineError> {
        app.statement(self.clock.now()).ok_or_else(|| {
            warn!(event = "github.key_unusable", "the App's key does not sign");
            PipelineError::LoggedOut
        })
    }

    /// A token of the App's for one repository.
    async fn install(
        &self,
        app: &App,
        repository: &Repository,
        deadline: Instant,
    ) -> Result<Grant, PipelineError> {
        #[derive(Deserialize)]
        struct Installation {
            id: u64,
        }
        #[derive(Deserialize)]
        struct Token {
            token: Zeroizing<String>,
            expires_at: String,
        }
        let statement = self.statement(app)?;
        let call = Call {
            what: "installation of vaultgram's GitHub App for this repository",
            whose: Scope::Ourselves.name(),
            token: &statement,
            deadline,
        };
        let find = Ask::get(format!("/repos/{repository}/installation"));
        let found: Installation = fault::read(&call.success(self.attempts(&call, find).await?)?)?;
        let path = format!("/app/installations/{}/access_tokens", found.id);
        let mut ask = Ask::post(path, json!({"repositories": [repository.name()]}));
        // One token more does no harm.
        ask.repeatable = true;
        let mut token: Token = fault::read(&call.success(self.attempts(&call, ask).await?)?)?;
        let until = OffsetDateTime::parse(&token.expires_at, &Rfc3339);
        let until = until.map_err(|_| fault::invalid("the end of the token"))?;
        let plain = !token.token.is_empty() && token.token.bytes().all(|it| it.is_ascii_graphic());
        if !plain {
            return Err(fault::invalid("the token"));
        }
        let token = std::mem::take(&mut *token.token).into_bytes();
        Ok(Grant {
            token: Arc::new(SecretValue::new(token)),
            until,
        })
    }
}

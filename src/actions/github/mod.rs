//! The client of GitHub's Actions API: GitHub's own, or a GitHub Enterprise Server's.
//!
//! | file | holds |
//! |---|---|
//! | `settings` | where GitHub is and who we are there, checked |
//! | `wire` | one request and its answer: time-out, size, what a lost answer means |
//! | `call` | one call: its turn, tries, redirects, and what is kept of it |
//! | `limits` | until when GitHub wants no requests |
//! | `etags` | answers that GitHub need not send again |
//! | `access` | the token of a request: as configured, or an installation's |
//! | `app` | who proves to be a GitHub App |
//! | `fault` | what an answer that is no success means |
//! | `declared` | the inputs that a workflow's file declares |
//! | `dispatch` | starting a workflow once, and finding its run |
//! | `runs` | runs, jobs, deployments and commits |
//! | `answers` | GitHub's answers as they are read |
//!
//! [`GitHub`] is the adapter of [`Pipelines`].

mod access;
pub(in crate::actions) mod answers;
mod app;
mod call;
mod declared;
mod dispatch;
mod etags;
mod fault;
mod limits;
mod runs;
mod settings;
mod wire;

use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::Mutex;
use url::Url;

use self::call::Calls;
pub use self::settings::{Credentials, Settings, SettingsError};
use crate::broker::ports::Clock;
use crate::broker::ports::pipelines::{
    Commit, Declared, GitRef, Inputs, PendingDeployment, PipelineError, Pipelines, Repository,
    Review, Run, RunFilter, RunId, RunJob, WorkflowFile,
};

/// GitHub, as the account or App that the settings say.
pub struct GitHub {
    calls: Calls,
    /// Held by who starts something: two at once could take each other's run for their own.
    starting: Mutex<()>,
}

impl GitHub {
    /// Checks the settings; connects to nothing yet. To be called within the runtime.
    ///
    /// # Errors
    /// When they cannot work.
    pub fn new(settings: Settings, clock: Arc<dyn Clock>) -> Result<Self, SettingsError> {
        Ok(Self {
            calls: Calls::new(settings, clock)?,
            starting: Mutex::default(),
        })
    }
}

/// The page about a run, for people: beside the API of a server of one's own, and on github.com.
#[must_use]
pub fn page(api: &str, repository: &Repository, id: RunId) -> String {
    let api = Url::parse(api).ok();
    let own = api.filter(|api| api.host_str() != Some("api.github.com"));
    let site = own.map_or_else(
        || "https://github.com".to_owned(),
        |api| api.origin().ascii_serialization(),
    );
    format!("{site}/{repository}/actions/runs/{id}")
}

#[async_trait]
impl Pipelines for GitHub {
    async fn workflow(
        &self,
        repository: &Repository,
        file: &WorkflowFile,
        at: &GitRef,
    ) -> Result<Declared, PipelineError> {
        declared::fetch(&self.calls, repository, file, at).await
    }

    async fn dispatch(
        &self,
        repository: &Repository,
        file: &WorkflowFile,
        at: &GitRef,
        inputs: &Inputs,
    ) -> Result<RunId, PipelineError> {
        let _alone = self.starting.lock().await;
        dispatch::start(&self.calls, repository, file, at, inputs).await
    }

    async fn runs(
        &self,
        repository: &Repository,
        filter: &RunFilter,
    ) -> Result<Vec<Run>, PipelineError> {
        runs::list(&self.calls, repository, filter).await
    }

    async fn run(&self, repository: &Repository, id: RunId) -> Result<Run, PipelineError> {
        runs::one(&self.calls, repository, id).await
    }

    async fn jobs(&self, repository: &Repository, id: RunId) -> Result<Vec<RunJob>, PipelineError> {
        runs::jobs(&self.calls, repository, id).await
    }

    async fn rerun(
        &self,
        repository: &Repository,
        id: RunId,
        failed_only: bool,
    ) -> Result<(), PipelineError> {
        runs::rerun(&self.calls, repository, id, failed_only).await
    }

    async fn cancel(&self, repository: &Repository, id: RunId) -> Result<(), PipelineError> {
        runs::cancel(&self.calls, repository, id).await
    }

    async fn pending_deployments(
        &self,
        repository: &Repository,
        id: RunId,
    ) -> Result<Vec<PendingDeployment>, PipelineError> {
        runs::pending(&self.calls, repository, id).await
    }

    async fn review_deployment(
        &self,
        repository: &Repository,
        id: RunId,
        review: &Review,
    ) -> Result<(), PipelineError> {
        runs::review(&self.calls, repository, id, review).await
    }

    fn page(&self, repository: &Repository, id: RunId) -> String {
        page(self.calls.base(), repository, id)
    }

    async fn commit(&self, repository: &Repository, at: &GitRef) -> Result<Commit, PipelineError> {
        runs::commit(&self.calls, repository, at).await
    }
}

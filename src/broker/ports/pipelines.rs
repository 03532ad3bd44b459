//! Pipelines that are started, watched and stopped: GitHub Actions.

mod error;
mod inputs;
mod names;

use std::fmt;
use std::num::NonZeroU64;

use async_trait::async_trait;
use time::OffsetDateTime;

pub use self::error::PipelineError;
pub use self::inputs::{Declared, Input, InputError, InputKind, Inputs, MAX_INPUTS, check};
pub use self::names::{GitRef, NameError, Repository, WorkflowFile};

/// Where pipelines run. Whoever calls it was permitted to; it decides nothing.
#[async_trait]
pub trait Pipelines: Send + Sync {
    /// The inputs that `file` declares at `at`, for who starts it by hand.
    async fn workflow(
        &self,
        repository: &Repository,
        file: &WorkflowFile,
        at: &GitRef,
    ) -> Result<Declared, PipelineError>;

    /// Starts `file` at `at`, once. Nothing is started where an error says so;
    /// [`PipelineError::Unclear`] and [`PipelineError::RunUnknown`] do not.
    async fn dispatch(
        &self,
        repository: &Repository,
        file: &WorkflowFile,
        at: &GitRef,
        inputs: &Inputs,
    ) -> Result<RunId, PipelineError>;

    /// The runs that `filter` lets through, the newest first.
    async fn runs(
        &self,
        repository: &Repository,
        filter: &RunFilter,
    ) -> Result<Vec<Run>, PipelineError>;

    /// One run.
    async fn run(&self, repository: &Repository, id: RunId) -> Result<Run, PipelineError>;

    /// The jobs of a run's latest attempt.
    async fn jobs(&self, repository: &Repository, id: RunId) -> Result<Vec<RunJob>, PipelineError>;

    /// Runs it again: all its jobs, or those that failed and what hangs on them.
    async fn rerun(
        &self,
        repository: &Repository,
        id: RunId,
        failed_only: bool,
    ) -> Result<(), PipelineError>;

    /// Asks that it stop; it takes a while to.
    async fn cancel(&self, repository: &Repository, id: RunId) -> Result<(), PipelineError>;

    /// What of the run waits for somebody's agreement.
    async fn pending_deployments(
        &self,
        repository: &Repository,
        id: RunId,
    ) -> Result<Vec<PendingDeployment>, PipelineError>;

    /// Agrees, or not, to what waits.
    async fn review_deployment(
        &self,
        repository: &Repository,
        id: RunId,
        review: &Review,
    ) -> Result<(), PipelineError>;

    /// The page about a run, for people.
    fn page(&self, repository: &Repository, id: RunId) -> String;

    /// The commit that `at` is now.
    async fn commit(&self, repository: &Repository, at: &GitRef) -> Result<Commit, PipelineError>;
}

/// The number of a run. GitHub never gives it to another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RunId(NonZeroU64);

impl RunId {
    /// The run of that number; there is none of number 0.
    #[must_use]
    pub fn new(number: u64) -> Option<Self> {
        NonZeroU64::new(number).map(Self)
    }

    /// Its number.
    #[must_use]
    pub fn get(self) -> u64 {
        self.0.get()
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Which runs; what is not said does not matter.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RunFilter {
    /// Of this workflow.
    pub workflow: Option<WorkflowFile>,
    /// Of this branch or tag.
    pub branch: Option<GitRef>,
    /// Started by this kind of event: `workflow_dispatch`.
    pub event: Option<String>,
    /// Started by this account.
    pub actor: Option<String>,
    /// In this state, or with this outcome, as GitHub writes it: `in_progress`, `failure`.
    pub status: Option<String>,
    /// Started at this time or later.
    pub since: Option<OffsetDateTime>,
    /// At most so many; 0 and more than 300 are 300.
    pub limit: usize,
}

/// A run of a workflow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// Its number at GitHub.
    pub id: RunId,
    /// Its number within the workflow.
    pub number: u64,
    /// How often it was run, from 1.
    pub attempt: u64,
    /// What the workflow calls itself.
    pub workflow: String,
    /// Where the workflow's file is: `.github/workflows/deploy.yml`.
    pub path: String,
    /// What GitHub writes over it.
    pub title: String,
    /// What started it: `workflow_dispatch`.
    pub event: String,
    /// The branch or tag.
    pub branch: Option<String>,
    /// The commit.
    pub sha: String,
    /// How far it is.
    pub state: State,
    /// The account that started it.
    pub actor: Option<String>,
    /// The page about it.
    pub url: String,
    /// When it was first started.
    pub created: OffsetDateTime,
    /// When this attempt was.
    pub started: Option<OffsetDateTime>,
    /// When something of it last changed.
    pub updated: OffsetDateTime,
}

/// How far a run, a job or a step is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Not begun: for want of a runner, or of its turn.
    Queued,
    /// It waits for somebody's agreement, or for a timer.
    Waiting,
    /// It runs.
    Running,
    /// It ended.
    Done(Outcome),
}

/// How something ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Well.
    Success,
    /// Not well, or it could not begin.
    Failure,
    /// Somebody, or something newer, stopped it.
    Cancelled,
    /// It took too long.
    TimedOut,
    /// It had no part in it.
    Skipped,
    /// Neither well nor not.
    Neutral,
    /// It wants somebody to do something.
    ActionRequired,
    /// GitHub gave it up.
    Stale,
    /// A word that we do not know; never taken for success.
    Unknown,
}

impl Outcome {
    /// Whether it is a reason to look at it.
    #[must_use]
    pub fn is_bad(self) -> bool {
        match self {
            Self::Failure | Self::Cancelled | Self::TimedOut | Self::Stale | Self::Unknown => true,
            Self::Success | Self::Skipped | Self::Neutral | Self::ActionRequired => false,
        }
    }
}

/// A job of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunJob {
    /// Its number at GitHub.
    pub id: u64,
    /// Its name.
    pub name: String,
    /// How far it is.
    pub state: State,
    /// The page about it.
    pub url: String,
    /// When it began.
    pub started: Option<OffsetDateTime>,
    /// When it ended.
    pub completed: Option<OffsetDateTime>,
    /// The names of its steps that ended, and not well.
    pub failed_steps: Vec<String>,
    /// The name of the step that runs.
    pub step: Option<String>,
}

/// Something of a run that waits for agreement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PendingDeployment {
    /// The number of the environment, for [`Review`].
    pub environment_id: u64,
    /// Its name.
    pub environment: String,
    /// Whether our token may agree to it.
    pub may_approve: bool,
    /// Who else may: accounts, and teams with an `@`.
    pub reviewers: Vec<String>,
    /// Minutes that it must wait anyhow.
    pub wait_minutes: u64,
}

/// What is answered to what waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Review {
    /// The numbers of the environments.
    pub environments: Vec<u64>,
    /// It may go on.
    pub approve: bool,
    /// Why, for GitHub's record.
    pub comment: String,
}

/// A commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Commit {
    /// Its hash.
    pub sha: String,
    /// The first line of its message.
    pub subject: String,
    /// Its author's name, as git has it: anybody can write any.
    pub author: String,
    /// The author's account, where GitHub knows one.
    pub login: Option<String>,
}

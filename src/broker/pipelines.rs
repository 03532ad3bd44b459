//! Pipelines: what somebody wants of one, made exact; whether that is still so; and doing it.
//!
//! What is asked about, agreed to and put on record is a [`Target`]: the workflow's path, and beside it the
//! ref, its commit and every input ([`Dispatch`]), or the number of a run and what it is of ([`RunOf`]). It
//! is made exact before policy decides, so that a default which nobody wrote is decided about too, and held
//! against GitHub again before anybody is asked and before anything is done.

mod error;
mod wish;

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{sleep, timeout};

pub use self::error::RunError;
pub use self::wish::{PipelineWish, PlaceName, Planned, RunName, WorkflowName};
use crate::broker::ports::Pipelines;
use crate::broker::ports::pipelines::{
    Commit, GitRef, Inputs, Outcome as Ended, PendingDeployment, PipelineError, Repository, Review,
    Run, RunFilter, RunId, State, WorkflowFile, check,
};
use crate::broker::{Beside, Broker, BrokerError, Outcome};
use crate::domain::{
    AuditEvent, Dispatch, Field, Permit, PipelineAction, RequestId, RunOf, SecretPath, Target,
};

/// Most runs of one answer.
const MAX_RUNS: usize = 15;
/// How often a run is looked for that was begun just now.
const LOOKS: u32 = 5;
/// The first wait between two looks.
const FIRST_LOOK: Duration = Duration::from_millis(200);
/// How long all of them may take.
const LOOKING: Duration = Duration::from_secs(15);

/// Where pipelines run, and which of them are served.
#[derive(Clone)]
pub struct ServedPipelines {
    /// Who runs them.
    pub port: Arc<dyn Pipelines>,
    /// What their paths begin with.
    pub mount: String,
    /// The repositories that are served; the first is meant where none is named.
    pub repositories: Vec<Repository>,
    /// The branch that is meant where none is named.
    pub at: GitRef,
    /// How often what is watched is looked at.
    pub poll: time::Duration,
}

/// A run that something was done with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunLink {
    /// Its number.
    pub id: RunId,
    /// The page about it.
    pub page: String,
}

/// What is there before something is done with a pipeline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Preview {
    /// The commit that would run.
    Start(Commit),
    /// The run as it is.
    Run(Run),
}

/// A start that is still what was asked for.
struct Start {
    repository: Repository,
    file: WorkflowFile,
    at: GitRef,
    inputs: Inputs,
    commit: Commit,
}

impl ServedPipelines {
    /// The path of a workflow, or of a whole repository.
    fn path(
        &self,
        repository: &Repository,
        file: Option<&WorkflowFile>,
    ) -> Result<SecretPath, RunError> {
        let path = match file {
            Some(file) => format!("{repository}/{file}"),
            None => repository.to_string(),
        };
        SecretPath::new(&self.mount, &path).map_err(|_| RunError::NoPipeline)
    }

    /// The repository that `path` is or lies in, which must be served, and its workflow.
    pub(super) fn place(
        &self,
        path: &SecretPath,
    ) -> Result<(Repository, Option<WorkflowFile>), RunError> {
        let text = path.path();
        let (repository, file) = match text.match_indices('/').nth(1) {
            Some((end, _)) => text.split_at(end),
            None => (text, ""),
        };
        let found = Repository::new(repository).map_err(|_| RunError::NoPipeline)?;
        // Another spelling would be another path to policies.
        if found.to_string() != repository {
            return Err(RunError::NoPipeline);
        }
        let file = file.strip_prefix('/').map(WorkflowFile::new).transpose();
        let file = file.map_err(|_| RunError::NoPipeline)?;
        self.serves(&found)?;
        Ok((found, file))
    }

    fn workflow(&self, path: &SecretPath) -> Result<(Repository, WorkflowFile), RunError> {
        let (repository, file) = self.place(path)?;
        Ok((repository, file.ok_or(RunError::NoPipeline)?))
    }

    fn serves(&self, repository: &Repository) -> Result<(), RunError> {
        if self.repositories.contains(repository) {
            return Ok(());
        }
        let served = self.repositories.iter().map(Repository::to_string);
        Err(RunError::Elsewhere(served.collect()))
    }

    /// What starting `file` at `at` with the inputs `given` comes to.
    async fn exact(
        &self,
        repository: &Repository,
        file: &WorkflowFile,
        at: &GitRef,
        given: &[(String, String)],
    ) -> Result<(Dispatch, Inputs, Commit), RunError> {
        self.serves(repository)?;
        let commit = self.port.commit(repository, at).await?;
        let declared = self.port.workflow(repository, file, at).await?;
        let inputs = check(&declared, given)?;
        let pairs = inputs.iter();
        let pairs = pairs.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let dispatch = Dispatch::new(at.short(), Some(&commit.sha), pairs.collect());
        Ok((dispatch.ok_or(RunError::TooLong)?, inputs, commit))
    }

    /// What `target` starts, if it is what that would start now.
    async fn start(&self, target: &Target) -> Result<Start, RunError> {
        let (repository, file) = self.workflow(&target.path)?;
        let field = target.field.as_deref().unwrap_or_default();
        let wanted: Dispatch = field.parse().map_err(|_| RunError::NoDispatch)?;
        let at = GitRef::new(wanted.at()).map_err(|_| RunError::NoDispatch)?;
        let exact = self.exact(&repository, &file, &at, wanted.inputs());
        let (exact, inputs, commit) = exact.await?;
        if exact != wanted {
            return Err(RunError::Changed);
        }
        Ok(Start {
            repository,
            file,
            at,
            inputs,
            commit,
        })
    }

    /// The run that `target` names, if it is one of its workflow.
    async fn run(&self, target: &Target) -> Result<(Repository, Run), RunError> {
        let (repository, file) = self.place(&target.path)?;
        let id = target.version.and_then(RunId::new);
        let id = id.ok_or(PipelineError::NotFound("run"))?;
        let run = self.port.run(&repository, id).await?;
        if file.is_none() || file_of(&run) != file {
            return Err(PipelineError::NotFound("run").into());
        }
        let asked = run_of(target).ok_or(RunError::OfElse)?;
        if of(&run, asked.environment()) != Some(asked) {
            return Err(RunError::OfElse);
        }
        Ok((repository, run))
    }

    /// What of a run waits for the environment that `target` names.
    async fn waiting(
        &self,
        target: &Target,
    ) -> Result<(Repository, Run, PendingDeployment), RunError> {
        let (repository, run) = self.run(target).await?;
        let pending = self.port.pending_deployments(&repository, run.id).await?;
        let wanted = run_of(target);
        let wanted = wanted.as_ref().and_then(RunOf::environment);
        let names: Vec<String> = pending.iter().map(|it| it.environment.clone()).collect();
        let mut pending = pending.into_iter();
        match pending.find(|it| Some(it.environment.as_str()) == wanted) {
            Some(found) => Ok((repository, run, found)),
            None => Err(RunError::NothingWaits(names)),
        }
    }
}

/// The workflow of `run`, where it is a file of the repository.
fn file_of(run: &Run) -> Option<WorkflowFile> {
    let path = run.path.split('@').next()?;
    WorkflowFile::new(path.strip_prefix(".github/workflows/")?).ok()
}

/// What `run` is of, for the environment that is meant.
fn of(run: &Run, environment: Option<&str>) -> Option<RunOf> {
    let at = run.branch.as_deref().unwrap_or(&run.sha);
    RunOf::new(at, Some(&run.sha), &run.event, environment)
}

/// What the run that `target` names was of when it was made exact.
fn run_of(target: &Target) -> Option<RunOf> {
    target.field.as_deref()?.parse().ok()
}

impl Broker {
    /// Whether any are served.
    #[must_use]
    pub fn has_pipelines(&self) -> bool {
        self.ports.pipelines.is_some()
    }

    /// What their paths begin with.
    #[must_use]
    pub fn pipelines_mount(&self) -> &str {
        let served = self.ports.pipelines.as_ref();
        served.map_or("", |served| served.mount.as_str())
    }

    pub(super) fn served(&self) -> Result<&ServedPipelines, RunError> {
        self.ports.pipelines.as_ref().ok_or(RunError::NoneServed)
    }

    /// Whether what `target` asks to have done can be, and what is there now. Changes nothing.
    pub(super) async fn preview(
        &self,
        action: PipelineAction,
        target: &Target,
    ) -> Result<Option<Preview>, BrokerError> {
        let served = self.served()?;
        Ok(match action {
            PipelineAction::Run => Some(Preview::Start(served.start(target).await?.commit)),
            PipelineAction::Rerun | PipelineAction::Cancel => {
                Some(Preview::Run(served.run(target).await?.1))
            }
            PipelineAction::Approve | PipelineAction::Deny => {
                Some(Preview::Run(served.waiting(target).await?.1))
            }
            PipelineAction::Runs | PipelineAction::Watch | PipelineAction::Unwatch => None,
        })
    }

    /// Does what `permit` is for.
    pub(super) async fn operate(
        &self,
        permit: &Permit,
        action: PipelineAction,
        beside: Beside<'_>,
    ) -> Result<(AuditEvent, Outcome), BrokerError> {
        let served = self.served()?;
        let (port, target) = (&served.port, permit.target());
        let (repository, id) = match action {
            PipelineAction::Runs => return Ok((AuditEvent::Done, self.runs(target).await?)),
            PipelineAction::Watch => return self.watch(permit).await,
            PipelineAction::Unwatch => return self.unwatch(permit).await,
            PipelineAction::Run => {
                // Where GitHub does not say which run it is, two that begin at once would look alike. Within
                // a process the port sees to that.
                let turn = self.turn(&format!("starts/{}", target.path)).await?;
                self.usable(permit)?;
                let start = served.start(target).await?;
                let Start {
                    repository,
                    file,
                    at,
                    inputs,
                    ..
                } = &start;
                let started = port.dispatch(repository, file, at, inputs).await;
                drop(turn);
                let id = started.map_err(RunError::from)?;
                self.held_to(served, &start, id).await?;
                self.tell_of(permit, repository, id).await;
                let page = port.page(repository, id);
                let event = AuditEvent::Started { run: id.get() };
                return Ok((event, Outcome::Operated(RunLink { id, page })));
            }
            PipelineAction::Rerun => {
                let (repository, run) = served.run(target).await?;
                // Of one that ended well there is nothing else to run.
                let failed = matches!(run.state, State::Done(ended) if Ended::is_bad(ended));
                let done = port.rerun(&repository, run.id, failed).await;
                done.map_err(RunError::from)?;
                (repository, run.id)
            }
            PipelineAction::Cancel => {
                let (repository, run) = served.run(target).await?;
                let done = port.cancel(&repository, run.id).await;
                done.map_err(RunError::from)?;
                (repository, run.id)
            }
            PipelineAction::Approve | PipelineAction::Deny => {
                let (repository, run, waits) = served.waiting(target).await?;
                let review = Review {
                    environments: vec![waits.environment_id],
                    approve: action == PipelineAction::Approve,
                    comment: comment(permit, beside.fields),
                };
                let done = port.review_deployment(&repository, run.id, &review).await;
                done.map_err(RunError::from)?;
                (repository, run.id)
            }
        };
        self.tell_of(permit, &repository, id).await;
        let page = port.page(&repository, id);
        Ok((AuditEvent::Done, Outcome::Operated(RunLink { id, page })))
    }

    /// GitHub starts what the ref is at that moment. Where that is another commit than was agreed to, or
    /// GitHub does not say which, it is stopped again.
    async fn held_to(
        &self,
        served: &ServedPipelines,
        start: &Start,
        id: RunId,
    ) -> Result<(), RunError> {
        let (port, repository) = (&served.port, &start.repository);
        let found = self.begun(served, repository, id).await;
        if found.as_ref().is_some_and(|it| it.sha == start.commit.sha) {
            return Ok(());
        }
        let stopped = port.cancel(repository, id).await.is_ok();
        tracing::warn!(
            event = "broker.pipeline_raced",
            %repository,
            run = id.get(),
            known = found.is_some(),
            stopped,
        );
        Err(match found {
            Some(_) => RunError::Moved { run: id, stopped },
            None => RunError::Unchecked { run: id, stopped },
        })
    }

    /// A run that was begun just now: it takes GitHub a moment to show it everywhere.
    async fn begun(
        &self,
        served: &ServedPipelines,
        repository: &Repository,
        id: RunId,
    ) -> Option<Run> {
        let looking = async {
            let mut wait = FIRST_LOOK;
            for _ in 1..LOOKS {
                if let Ok(run) = served.port.run(repository, id).await {
                    return Some(run);
                }
                sleep(wait.mul_f64(0.5 + self.luck())).await;
                wait *= 2;
            }
            served.port.run(repository, id).await.ok()
        };
        timeout(LOOKING, looking).await.ok().flatten()
    }

    /// Has the run told in the chat where somebody did something with it. That was done, whatever comes
    /// of this.
    async fn tell_of(&self, permit: &Permit, repository: &Repository, id: RunId) {
        let RequestId::Message { chat, .. } = permit.request().id else {
            return;
        };
        if let Err(error) = self.follow_run(chat, repository, id).await {
            tracing::warn!(event = "broker.run_not_followed", %repository, run = id.get(), %error);
        }
    }

    async fn runs(&self, target: &Target) -> Result<Outcome, RunError> {
        let served = self.served()?;
        let (repository, workflow) = served.place(&target.path)?;
        let filter = RunFilter {
            workflow,
            limit: MAX_RUNS,
            ..RunFilter::default()
        };
        let runs = served.port.runs(&repository, &filter).await?;
        Ok(Outcome::Runs(runs))
    }
}

/// For GitHub's record: who it was, who is not known there, and the reason among `fields`, if there is one.
fn comment(permit: &Permit, fields: &[Field]) -> String {
    let reason = fields.iter().find(|field| field.name == REASON);
    #[expect(clippy::disallowed_methods, reason = "it is said to GitHub")]
    let reason = reason.and_then(|it| serde_json::from_slice(it.json.expose_secret()).ok());
    let reason: String = reason.unwrap_or_default();
    let separator = if reason.is_empty() { "" } else { ": " };
    format!(
        "{} through vaultgram{separator}{reason}",
        permit.request().caller
    )
}

/// The parameter with which somebody says why.
pub const REASON: &str = "reason";

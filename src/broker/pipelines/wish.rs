//! What people want of pipelines, as they write it, made exact.

use std::borrow::Cow;

use crate::broker::pipelines::{RunError, ServedPipelines, file_of, of, run_of};
use crate::broker::ports::pipelines::{GitRef, Repository, RunId, WorkflowFile};
use crate::broker::{Broker, BrokerError};
use crate::domain::{Action, Dispatch, PipelineAction, Request, Target};

/// A workflow as people name it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkflowName {
    /// Where it is, if they say so.
    pub repository: Option<Repository>,
    /// Its file.
    pub file: WorkflowFile,
}

/// A run as people name it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunName {
    /// Where it is, if they say so.
    pub repository: Option<Repository>,
    /// Its number.
    pub id: RunId,
}

/// What somebody wants of a pipeline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PipelineWish {
    /// Start it, with these inputs.
    Run(WorkflowName, Option<GitRef>, Vec<(String, String)>),
    /// Tell the runs of one, or of all.
    Runs(Option<WorkflowName>),
    /// Run one again.
    Rerun(RunName),
    /// Stop one.
    Cancel(RunName),
    /// Let go on what waits, for this environment if it is named.
    Approve(RunName, Option<String>),
    /// End what waits: an environment and a reason, or a reason alone.
    Deny(RunName, String),
    /// Have the runs of a repository, or of one of its workflows, told as they go on; or not any more.
    Watch(bool, PlaceName, Option<GitRef>),
}

/// A repository, or one of its workflows, as people name it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PlaceName {
    /// A whole repository.
    Repository(Repository),
    /// A workflow.
    Workflow(WorkflowName),
}

/// What somebody wants, made exact as far as that could be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Planned {
    /// What is to be done.
    pub action: PipelineAction,
    /// With what exactly.
    pub target: Target,
    /// Why, where that is said.
    pub reason: String,
}

impl Broker {
    /// Makes `wish` exact. Where GitHub does not let us, it stays as it is: policy decides about that, and
    /// only who may hears why nothing comes of it.
    ///
    /// # Errors
    /// Where there are no pipelines, and when it is too long.
    pub async fn plan(&self, wish: PipelineWish) -> Result<Planned, BrokerError> {
        let served = self.served()?;
        let planned = |action, target| Planned {
            action,
            target,
            reason: String::new(),
        };
        Ok(match wish {
            PipelineWish::Run(name, at, inputs) => {
                let target = served.to_start(name, at, inputs).await?;
                planned(PipelineAction::Run, target)
            }
            PipelineWish::Runs(name) => {
                let (repository, file) = match name {
                    Some(name) => (name.repository, Some(name.file)),
                    None => (None, None),
                };
                let path = served.path(&served.meant(repository)?, file.as_ref())?;
                planned(PipelineAction::Runs, whole(path))
            }
            PipelineWish::Rerun(name) => {
                planned(PipelineAction::Rerun, served.to_change(name).await?)
            }
            PipelineWish::Cancel(name) => {
                planned(PipelineAction::Cancel, served.to_change(name).await?)
            }
            PipelineWish::Approve(name, environment) => {
                let mut target = served.to_change(name).await?;
                let environment = match environment {
                    Some(environment) => Some(environment),
                    None => served.only_one(&target).await,
                };
                target.field = waiting_for(&target, environment);
                planned(PipelineAction::Approve, target)
            }
            PipelineWish::Watch(on, name, branch) => {
                let (repository, file) = match name {
                    PlaceName::Repository(repository) => (Some(repository), None),
                    PlaceName::Workflow(name) => (name.repository, Some(name.file)),
                };
                let path = served.path(&served.meant(repository)?, file.as_ref())?;
                let action = if on {
                    PipelineAction::Watch
                } else {
                    PipelineAction::Unwatch
                };
                let field = branch.map(|branch| branch.short().to_owned());
                let target = Target {
                    field,
                    ..whole(path)
                };
                planned(action, target)
            }
            PipelineWish::Deny(name, words) => {
                let mut target = served.to_change(name).await?;
                let (environment, reason) = served.first_word(&target, &words).await;
                target.field = waiting_for(&target, environment);
                Planned {
                    reason,
                    ..planned(PipelineAction::Deny, target)
                }
            }
        })
    }
}

impl Broker {
    /// `request`; where it is about a pipeline and names no commit, made exact as by [`Broker::plan`].
    pub(in crate::broker) async fn exact<'r>(&self, request: &'r Request) -> Cow<'r, Request> {
        let (Action::Pipeline(action), Some(served)) = (request.action, &self.ports.pipelines)
        else {
            return Cow::Borrowed(request);
        };
        let target = match action {
            PipelineAction::Run => served.to_start_typed(&request.target).await,
            PipelineAction::Rerun
            | PipelineAction::Cancel
            | PipelineAction::Approve
            | PipelineAction::Deny => served.to_change_typed(action, &request.target).await,
            PipelineAction::Runs | PipelineAction::Watch | PipelineAction::Unwatch => None,
        };
        match target {
            Some(target) => Cow::Owned(Request {
                target,
                ..request.clone()
            }),
            None => Cow::Borrowed(request),
        }
    }
}

impl ServedPipelines {
    async fn to_start_typed(&self, target: &Target) -> Option<Target> {
        let (repository, file) = self.workflow(&target.path).ok()?;
        let (at, inputs) = match &target.field {
            None => (self.at.clone(), vec![]),
            Some(text) => {
                let typed = Dispatch::typed(text).ok()?;
                if typed.commit().is_some() {
                    return None;
                }
                (GitRef::new(typed.at()).ok()?, typed.inputs().to_vec())
            }
        };
        let name = WorkflowName {
            repository: Some(repository),
            file,
        };
        self.to_start(name, Some(at), inputs).await.ok()
    }

    async fn to_change_typed(&self, action: PipelineAction, target: &Target) -> Option<Target> {
        let names_environment = target.field.is_some();
        let waits = matches!(action, PipelineAction::Approve | PipelineAction::Deny);
        if run_of(target).is_some() || waits != names_environment {
            return None;
        }
        let (repository, _) = self.place(&target.path).ok()?;
        let name = RunName {
            repository: Some(repository),
            id: target.version.and_then(RunId::new)?,
        };
        let mut exact = self.to_change(name).await.ok()?;
        if waits {
            exact.field = waiting_for(&exact, target.field.clone());
        }
        Some(Target {
            field: exact.field,
            ..target.clone()
        })
    }

    fn meant(&self, repository: Option<Repository>) -> Result<Repository, RunError> {
        let first = || self.repositories.first().cloned();
        repository.or_else(first).ok_or(RunError::NoneServed)
    }

    async fn to_start(
        &self,
        name: WorkflowName,
        at: Option<GitRef>,
        inputs: Vec<(String, String)>,
    ) -> Result<Target, RunError> {
        let repository = self.meant(name.repository)?;
        let path = self.path(&repository, Some(&name.file))?;
        let at = at.unwrap_or_else(|| self.at.clone());
        let exact = self.exact(&repository, &name.file, &at, &inputs).await;
        let dispatch = match exact {
            Ok((dispatch, ..)) => dispatch,
            Err(_) => Dispatch::new(at.short(), None, inputs).ok_or(RunError::TooLong)?,
        };
        Ok(Target {
            field: Some(dispatch.to_string()),
            ..whole(path)
        })
    }

    /// The run and what it is of, below its workflow; below its repository, where that cannot be told.
    async fn to_change(&self, name: RunName) -> Result<Target, RunError> {
        let repository = self.meant(name.repository)?;
        let run = match self.serves(&repository) {
            Ok(()) => self.port.run(&repository, name.id).await.ok(),
            Err(_) => None,
        };
        let file = run.as_ref().and_then(file_of);
        let of = run.as_ref().and_then(|run| of(run, None));
        Ok(Target {
            version: Some(name.id.get()),
            field: of.map(|it| it.to_string()),
            ..whole(self.path(&repository, file.as_ref())?)
        })
    }

    /// The environments for which something of the run waits.
    async fn environments(&self, target: &Target) -> Vec<String> {
        let id = target.version.and_then(RunId::new);
        let Some((id, (repository, _))) = id.zip(self.place(&target.path).ok()) else {
            return vec![];
        };
        let pending = self.port.pending_deployments(&repository, id).await;
        let pending = pending.unwrap_or_default().into_iter();
        pending.map(|it| it.environment).collect()
    }

    async fn only_one(&self, target: &Target) -> Option<String> {
        match self.environments(target).await.as_slice() {
            [one] => Some(one.clone()),
            _ => None,
        }
    }

    /// The environment that `words` begin with, and the rest; the only one there is, and all of them.
    async fn first_word(&self, target: &Target, words: &str) -> (Option<String>, String) {
        let environments = self.environments(target).await;
        for name in &environments {
            if let Some(rest) = words.strip_prefix(name.as_str())
                && rest.starts_with(' ')
            {
                return (Some(name.clone()), rest.trim_start().to_owned());
            }
        }
        let only = match environments.as_slice() {
            [one] => Some(one.clone()),
            _ => None,
        };
        (only, words.to_owned())
    }
}

/// The field of a `target` that is about a run, for `environment`, which is to be named.
fn waiting_for(target: &Target, environment: Option<String>) -> Option<String> {
    let environment = environment?;
    let of = run_of(target).and_then(|it| it.waiting_for(&environment));
    Some(of.map_or(environment, |it| it.to_string()))
}

fn whole(path: crate::domain::SecretPath) -> Target {
    Target {
        path,
        field: None,
        version: None,
    }
}

//! Starting a workflow, once, and finding the run that came of it.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::{Instant, sleep};
use tracing::debug;

use crate::actions::github::access::Scope;
use crate::actions::github::answers::{Account, Dispatched};
use crate::actions::github::call::Calls;
use crate::actions::github::wire::{Answer, Ask};
use crate::actions::github::{fault, runs};
use crate::broker::ports::pipelines::{
    GitRef, Inputs, PipelineError, Repository, Run, RunFilter, RunId, WorkflowFile,
};

/// What starts such a run.
const EVENT: &str = "workflow_dispatch";
/// The first wait for a run to show itself: it takes GitHub a second or three.
const FIRST_LOOK: Duration = Duration::from_millis(300);
/// The longest wait between two looks.
const LAST_LOOK: Duration = Duration::from_secs(4);
/// As many runs as could have begun while we looked.
const RECENT: usize = 30;

/// Starts `file` at `at`.
pub(super) async fn start(
    calls: &Calls,
    repository: &Repository,
    file: &WorkflowFile,
    at: &GitRef,
    inputs: &Inputs,
) -> Result<RunId, PipelineError> {
    let scope = Scope::Of(repository.clone());
    let path = format!("/repos/{repository}/actions/workflows/{file}/dispatches");
    let given: serde_json::Map<String, Value> = inputs
        .iter()
        .map(|(name, value)| (name.to_owned(), value.into()))
        .collect();
    let mut body = json!({"ref": at.as_str(), "inputs": given});
    let mut search = Search {
        calls,
        repository,
        filter: RunFilter {
            workflow: Some(file.clone()),
            branch: Some(at.clone()),
            event: Some(EVENT.to_owned()),
            limit: RECENT,
            ..RunFilter::default()
        },
        newest: 0,
    };
    // Whatever is newer afterwards is ours or begun at the same time: by no clock but GitHub's own
    // count. Where the answer comes, this was for nothing; where it is lost, it is all there is.
    search.newest = search.look().await?.first().map_or(0, |run| run.id.get());
    let plain = Ask::post(path.clone(), body.clone());
    if let Some(body) = body.as_object_mut() {
        body.insert("return_run_details".to_owned(), true.into());
    }
    let mut answer = calls.raw(&scope, "workflow", Ask::post(path, body)).await;
    // A server that does not know the parameter, or really refuses: it says so once more.
    if matches!(
        &answer,
        Ok(Answer {
            status: 400 | 422,
            ..
        })
    ) {
        answer = calls.raw(&scope, "workflow", plain).await;
    }
    match answer {
        Ok(answer) if (200..300).contains(&answer.status) => {
            let said = serde_json::from_slice::<Dispatched>(&answer.body).ok();
            match said.and_then(|said| RunId::new(said.workflow_run_id)) {
                Some(id) => Ok(id),
                None => search.find().await?.ok_or(PipelineError::RunUnknown),
            }
        }
        Ok(answer) => Err(fault::told(
            "workflow",
            &answer,
            fault::of(&answer, "workflow"),
        )),
        Err(PipelineError::Unclear) => {
            // Never again: it may have been done.
            let found = search.find().await;
            found.ok().flatten().ok_or(PipelineError::Unclear)
        }
        Err(error) => Err(error),
    }
}

/// Where our run will show itself.
struct Search<'a> {
    calls: &'a Calls,
    repository: &'a Repository,
    filter: RunFilter,
    /// The newest run there was before.
    newest: u64,
}

impl Search<'_> {
    /// Looks until there is one run, or no time; an error where there are several.
    async fn find(&mut self) -> Result<Option<RunId>, PipelineError> {
        let deadline = Instant::now() + self.calls.patience();
        self.filter.actor = self.ourselves().await;
        let mut wait = FIRST_LOOK;
        loop {
            let runs = self.look().await?;
            let mut new = runs.iter().filter(|run| run.id.get() > self.newest);
            match (new.next(), new.next()) {
                (Some(run), None) => return Ok(Some(run.id)),
                (Some(_), Some(_)) => return Err(PipelineError::RunUnknown),
                (None, _) => {}
            }
            if Instant::now() + wait >= deadline {
                return Ok(None);
            }
            sleep(wait.mul_f64(0.75 + rand::random::<f64>() / 2.0)).await;
            wait = (wait * 2).min(LAST_LOOK);
        }
    }

    async fn look(&self) -> Result<Vec<Run>, PipelineError> {
        runs::list(self.calls, self.repository, &self.filter).await
    }

    /// What GitHub calls us; `None` where it does not say, as it need not to every token.
    async fn ourselves(&self) -> Option<String> {
        let app = self.calls.is_app();
        let path = if app { "/app" } else { "/user" };
        let answer = self
            .calls
            .raw(&Scope::Ourselves, "account", Ask::get(path.to_owned()))
            .await;
        let answer = answer.ok()?;
        if app {
            #[derive(serde::Deserialize)]
            struct Slug {
                slug: String,
            }
            let Slug { slug } = serde_json::from_slice(&answer.body).ok()?;
            return Some(format!("{slug}[bot]"));
        }
        let account = serde_json::from_slice::<Account>(&answer.body).ok();
        if account.is_none() {
            debug!(event = "github.account_unknown", status = answer.status);
        }
        account.map(|account| account.login)
    }
}

//! Runs, their jobs, what of them waits for agreement, and commits.

use hyper::header::LINK;
use serde_json::{Value, json};
use time::format_description::well_known::Rfc3339;

use crate::actions::github::access::Scope;
use crate::actions::github::answers::{CommitAnswer, Jobs, Pending, RunAnswer, Runs};
use crate::actions::github::call::Calls;
use crate::actions::github::fault;
use crate::actions::github::wire::{Answer, Ask, query};
use crate::broker::ports::pipelines::{
    Commit, GitRef, PendingDeployment, PipelineError, Repository, Review, Run, RunFilter, RunId,
    RunJob,
};

/// As many as GitHub puts on a page.
const PAGE: usize = 100;
/// Most runs of a list.
const MAX_RUNS: usize = 300;
/// Most pages of jobs: GitHub has at most 256 in a matrix, and a few of those.
const MAX_JOB_PAGES: usize = 10;
/// The longest comment, in characters.
const MAX_COMMENT: usize = 1000;

/// The runs that `filter` lets through, the newest first.
pub(super) async fn list(
    calls: &Calls,
    repository: &Repository,
    filter: &RunFilter,
) -> Result<Vec<Run>, PipelineError> {
    let limit = match filter.limit {
        0 => MAX_RUNS,
        limit => limit.min(MAX_RUNS),
    };
    let folder = match &filter.workflow {
        Some(file) => format!("/repos/{repository}/actions/workflows/{file}/runs"),
        None => format!("/repos/{repository}/actions/runs"),
    };
    let what = if filter.workflow.is_some() {
        "workflow"
    } else {
        "repository"
    };
    let since = filter.since.and_then(|since| since.format(&Rfc3339).ok());
    let since = since.map(|since| format!(">={since}"));
    let mut found = vec![];
    for page in 1..=limit.div_ceil(PAGE) {
        let (size, page) = (limit.min(PAGE).to_string(), page.to_string());
        let pairs = [
            ("branch", filter.branch.as_ref().map(GitRef::short)),
            ("event", filter.event.as_deref()),
            ("actor", filter.actor.as_deref()),
            ("status", filter.status.as_deref()),
            ("created", since.as_deref()),
            ("per_page", Some(&size)),
            ("page", Some(&page)),
        ];
        let pairs = pairs
            .iter()
            .filter_map(|(name, value)| Some((*name, (*value)?)));
        let ask = Ask::get(query(&folder, pairs));
        let answer = calls.ask(&Scope::Of(repository.clone()), what, ask).await?;
        let Runs { workflow_runs } = fault::read(&answer)?;
        for run in workflow_runs {
            found.push(Run::try_from(run)?);
        }
        if !has_more(&answer) {
            break;
        }
    }
    // A run that began meanwhile moves others to the next page.
    found.sort_by_key(|run| std::cmp::Reverse(run.id));
    found.dedup_by_key(|run| run.id);
    found.truncate(limit);
    Ok(found)
}

/// One run.
pub(super) async fn one(
    calls: &Calls,
    repository: &Repository,
    id: RunId,
) -> Result<Run, PipelineError> {
    let ask = Ask::get(format!("/repos/{repository}/actions/runs/{id}"));
    let answer = calls
        .ask(&Scope::Of(repository.clone()), "run", ask)
        .await?;
    Run::try_from(fault::read::<RunAnswer>(&answer)?)
}

/// The jobs of a run's latest attempt.
pub(super) async fn jobs(
    calls: &Calls,
    repository: &Repository,
    id: RunId,
) -> Result<Vec<RunJob>, PipelineError> {
    let mut found = vec![];
    for page in 1..=MAX_JOB_PAGES {
        let query = format!("filter=latest&per_page={PAGE}&page={page}");
        let ask = Ask::get(format!(
            "/repos/{repository}/actions/runs/{id}/jobs?{query}"
        ));
        let answer = calls
            .ask(&Scope::Of(repository.clone()), "run", ask)
            .await?;
        let Jobs { jobs } = fault::read(&answer)?;
        for job in jobs {
            found.push(RunJob::try_from(job)?);
        }
        if !has_more(&answer) {
            break;
        }
    }
    Ok(found)
}

/// Runs it again.
pub(super) async fn rerun(
    calls: &Calls,
    repository: &Repository,
    id: RunId,
    failed_only: bool,
) -> Result<(), PipelineError> {
    let verb = if failed_only {
        "rerun-failed-jobs"
    } else {
        "rerun"
    };
    change(calls, repository, id, verb, json!({})).await
}

/// Asks that it stop.
pub(super) async fn cancel(
    calls: &Calls,
    repository: &Repository,
    id: RunId,
) -> Result<(), PipelineError> {
    change(calls, repository, id, "cancel", json!({})).await
}

/// What of the run waits for somebody's agreement.
pub(super) async fn pending(
    calls: &Calls,
    repository: &Repository,
    id: RunId,
) -> Result<Vec<PendingDeployment>, PipelineError> {
    let path = format!("/repos/{repository}/actions/runs/{id}/pending_deployments");
    let answer = calls
        .ask(&Scope::Of(repository.clone()), "run", Ask::get(path))
        .await?;
    let pending: Vec<Pending> = fault::read(&answer)?;
    Ok(pending.into_iter().map(PendingDeployment::from).collect())
}

/// Agrees, or not, to what waits.
pub(super) async fn review(
    calls: &Calls,
    repository: &Repository,
    id: RunId,
    review: &Review,
) -> Result<(), PipelineError> {
    if review.environments.is_empty() {
        return Err(PipelineError::Refused(
            "name the environment to decide about".to_owned(),
        ));
    }
    let body = json!({
        "environment_ids": review.environments,
        "state": if review.approve { "approved" } else { "rejected" },
        "comment": review.comment.chars().take(MAX_COMMENT).collect::<String>(),
    });
    change(calls, repository, id, "pending_deployments", body).await
}

/// The commit that `at` is now.
pub(super) async fn commit(
    calls: &Calls,
    repository: &Repository,
    at: &GitRef,
) -> Result<Commit, PipelineError> {
    // A list of one: asked for itself, a commit comes with all that it changes.
    let pairs = [("sha", at.as_str()), ("per_page", "1")];
    let ask = Ask::get(query(&format!("/repos/{repository}/commits"), pairs));
    let what = "branch, tag or commit";
    let answer = calls.ask(&Scope::Of(repository.clone()), what, ask).await?;
    let commits: Vec<CommitAnswer> = fault::read(&answer)?;
    let first = commits.into_iter().next();
    Commit::try_from(first.ok_or(PipelineError::NotFound(what))?)
}

/// Does something to a run.
async fn change(
    calls: &Calls,
    repository: &Repository,
    id: RunId,
    verb: &str,
    body: Value,
) -> Result<(), PipelineError> {
    let ask = Ask::post(
        format!("/repos/{repository}/actions/runs/{id}/{verb}"),
        body,
    );
    let answer = calls
        .raw(&Scope::Of(repository.clone()), "run", ask)
        .await?;
    match answer.status {
        200..=299 => Ok(()),
        _ => Err(fault::told("run", &answer, fault::of_run(&answer))),
    }
}

/// Whether there is another page. Its address is not followed: we know it.
fn has_more(answer: &Answer) -> bool {
    let links = answer.headers.get_all(LINK).iter();
    let mut links = links.filter_map(|link| link.to_str().ok());
    links.any(|link| link.contains("rel=\"next\""))
}

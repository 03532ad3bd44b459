//! GitHub's answers as they are read: only what is used, and forgiving where GitHub may say nothing.

use serde::Deserialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::actions::github::fault::invalid;
use crate::broker::ports::pipelines::{
    Commit, Outcome, PendingDeployment, PipelineError, Run, RunId, RunJob, State,
};
use crate::domain::signs::one_line;

/// The longest text that is taken over, in characters.
const MAX_TEXT: usize = 250;

#[derive(Deserialize)]
pub(super) struct Account {
    pub(super) login: String,
}

#[derive(Deserialize)]
pub(super) struct Dispatched {
    pub(super) workflow_run_id: u64,
}

#[derive(Deserialize)]
pub(super) struct Runs {
    pub(super) workflow_runs: Vec<RunAnswer>,
}

/// A run, as the API and the webhook say it.
#[derive(Deserialize)]
pub(in crate::actions) struct RunAnswer {
    id: u64,
    run_number: u64,
    run_attempt: Option<u64>,
    name: Option<String>,
    path: Option<String>,
    display_title: Option<String>,
    event: String,
    head_branch: Option<String>,
    head_sha: String,
    status: Option<String>,
    conclusion: Option<String>,
    actor: Option<Account>,
    html_url: String,
    created_at: String,
    run_started_at: Option<String>,
    updated_at: String,
}

#[derive(Deserialize)]
pub(super) struct Jobs {
    pub(super) jobs: Vec<JobAnswer>,
}

/// A job, as the API and the webhook say it.
#[derive(Deserialize)]
pub(in crate::actions) struct JobAnswer {
    id: u64,
    name: String,
    status: Option<String>,
    conclusion: Option<String>,
    html_url: Option<String>,
    started_at: Option<String>,
    completed_at: Option<String>,
    #[serde(default)]
    steps: Vec<Step>,
}

#[derive(Deserialize)]
struct Step {
    name: String,
    status: Option<String>,
    conclusion: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct Pending {
    environment: Environment,
    #[serde(default)]
    wait_timer: u64,
    #[serde(default)]
    current_user_can_approve: bool,
    #[serde(default)]
    reviewers: Vec<Reviewer>,
}

#[derive(Deserialize)]
struct Environment {
    id: u64,
    name: String,
}

#[derive(Deserialize)]
struct Reviewer {
    reviewer: Option<Named>,
}

/// Somebody, or a team; GitHub may say `{}`.
#[derive(Deserialize)]
struct Named {
    login: Option<String>,
    slug: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct CommitAnswer {
    sha: String,
    commit: GitCommit,
    author: Option<Named>,
}

#[derive(Deserialize)]
struct GitCommit {
    message: String,
    author: Option<Author>,
}

#[derive(Deserialize)]
struct Author {
    name: Option<String>,
}

impl TryFrom<RunAnswer> for Run {
    type Error = PipelineError;

    fn try_from(run: RunAnswer) -> Result<Self, PipelineError> {
        Ok(Self {
            id: RunId::new(run.id).ok_or_else(|| invalid("the number of a run"))?,
            number: run.run_number,
            attempt: run.run_attempt.unwrap_or(1),
            workflow: text(&run.name.unwrap_or_default()),
            // `.github/workflows/deploy.yml@refs/heads/main` of one that is somewhere else.
            path: text(
                run.path
                    .unwrap_or_default()
                    .split('@')
                    .next()
                    .unwrap_or_default(),
            ),
            title: text(&run.display_title.unwrap_or_default()),
            event: text(&run.event),
            branch: run.head_branch.as_deref().map(text),
            sha: hash(run.head_sha)?,
            state: state(run.status.as_deref(), run.conclusion.as_deref()),
            actor: run.actor.map(|actor| text(&actor.login)),
            url: text(&run.html_url),
            created: moment(&run.created_at)?,
            started: run.run_started_at.as_deref().map(moment).transpose()?,
            updated: moment(&run.updated_at)?,
        })
    }
}

impl TryFrom<JobAnswer> for RunJob {
    type Error = PipelineError;

    fn try_from(job: JobAnswer) -> Result<Self, PipelineError> {
        let how = |step: &Step| state(step.status.as_deref(), step.conclusion.as_deref());
        let failed = |step: &&Step| matches!(how(step), State::Done(outcome) if outcome.is_bad());
        let running = |step: &&Step| how(step) == State::Running;
        Ok(Self {
            id: job.id,
            state: state(job.status.as_deref(), job.conclusion.as_deref()),
            url: text(&job.html_url.unwrap_or_default()),
            started: job.started_at.as_deref().map(moment).transpose()?,
            completed: job.completed_at.as_deref().map(moment).transpose()?,
            failed_steps: job
                .steps
                .iter()
                .filter(failed)
                .map(|it| text(&it.name))
                .collect(),
            step: job.steps.iter().find(running).map(|it| text(&it.name)),
            name: text(&job.name),
        })
    }
}

impl From<Pending> for PendingDeployment {
    fn from(pending: Pending) -> Self {
        let name = |Reviewer { reviewer }: Reviewer| {
            let reviewer = reviewer?;
            let team = reviewer.slug.map(|slug| format!("@{slug}"));
            reviewer.login.or(team).map(|name| text(&name))
        };
        Self {
            environment_id: pending.environment.id,
            environment: text(&pending.environment.name),
            may_approve: pending.current_user_can_approve,
            reviewers: pending.reviewers.into_iter().filter_map(name).collect(),
            wait_minutes: pending.wait_timer,
        }
    }
}

impl TryFrom<CommitAnswer> for Commit {
    type Error = PipelineError;

    fn try_from(answer: CommitAnswer) -> Result<Self, PipelineError> {
        let author = answer.commit.author.and_then(|author| author.name);
        let login = answer.author.and_then(|author| author.login);
        Ok(Self {
            sha: hash(answer.sha)?,
            subject: text(answer.commit.message.lines().next().unwrap_or_default()),
            author: text(&author.unwrap_or_default()),
            login: login.as_deref().map(text),
        })
    }
}

fn state(status: Option<&str>, conclusion: Option<&str>) -> State {
    match status {
        Some("completed") => State::Done(outcome(conclusion.unwrap_or_default())),
        Some("in_progress") => State::Running,
        Some("waiting" | "action_required") => State::Waiting,
        _ => State::Queued,
    }
}

fn outcome(conclusion: &str) -> Outcome {
    match conclusion {
        "success" => Outcome::Success,
        "failure" | "startup_failure" => Outcome::Failure,
        "cancelled" => Outcome::Cancelled,
        "timed_out" => Outcome::TimedOut,
        "skipped" => Outcome::Skipped,
        "neutral" => Outcome::Neutral,
        "action_required" => Outcome::ActionRequired,
        "stale" => Outcome::Stale,
        _ => Outcome::Unknown,
    }
}

/// On one line, and no longer than anybody reads.
fn text(text: &str) -> String {
    one_line(text).chars().take(MAX_TEXT).collect()
}

fn moment(text: &str) -> Result<OffsetDateTime, PipelineError> {
    OffsetDateTime::parse(text, &Rfc3339).map_err(|_| invalid("a time"))
}

/// The hash of a commit: SHA-1, or SHA-256 one day.
fn hash(sha: String) -> Result<String, PipelineError> {
    let sound = matches!(sha.len(), 40 | 64) && sha.bytes().all(|it| it.is_ascii_hexdigit());
    sound
        .then_some(sha)
        .ok_or_else(|| invalid("the hash of a commit"))
}

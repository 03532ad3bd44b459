//! What the runner says of the job: where its files are, and what it is about, for those who decide
//! and were given no reason.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use clap::Args;
use serde::Deserialize;

use crate::domain::signs::one_line;

/// Largest event that is read, in bytes.
const MAX_EVENT: u64 = 4 << 20;
/// Longest part of its text, in characters.
const MAX_TEXT: usize = 200;

/// The runner's variables.
#[derive(Debug, Args)]
pub(super) struct JobArgs {
    /// Whether this is a job.
    #[arg(long = "github-actions", env = "GITHUB_ACTIONS", hide = true)]
    pub(super) actions: Option<String>,
    /// Whether the runner is act.
    #[arg(long = "act", env = "ACT", hide = true)]
    pub(super) act: Option<String>,
    #[arg(long = "github-env", env = "GITHUB_ENV", hide = true)]
    pub(super) env: Option<PathBuf>,
    #[arg(long = "github-output", env = "GITHUB_OUTPUT", hide = true)]
    pub(super) output: Option<PathBuf>,
    #[arg(long = "runner-temp", env = "RUNNER_TEMP", hide = true)]
    pub(super) temporary: Option<PathBuf>,
    #[arg(long = "github-event-path", env = "GITHUB_EVENT_PATH", hide = true)]
    event_path: Option<PathBuf>,
    #[arg(long = "github-workflow", env = "GITHUB_WORKFLOW", hide = true)]
    workflow: Option<String>,
    #[arg(long = "github-run-id", env = "GITHUB_RUN_ID", hide = true)]
    run_id: Option<String>,
}

/// What set the job going, of which only this is read.
#[derive(Deserialize)]
struct Event {
    head_commit: Option<Commit>,
    pull_request: Option<PullRequest>,
}

#[derive(Deserialize)]
struct Commit {
    message: String,
}

#[derive(Deserialize)]
struct PullRequest {
    title: String,
}

impl JobArgs {
    /// `Fix the login (workflow deploy, run 30)`: one line, and not long.
    pub(super) fn reason(&self) -> String {
        let event = self.event_path.as_deref().and_then(read);
        let text = event.and_then(|event| {
            let message = event.head_commit.map(|commit| commit.message);
            message.or(event.pull_request.map(|request| request.title))
        });
        let first = text.as_deref().and_then(|text| text.trim().lines().next());
        let first = first.map(one_line).unwrap_or_default();
        let short: String = first.chars().take(MAX_TEXT).collect();
        let named = |what: &str, name: Option<&String>| {
            let name = name.filter(|name| !name.is_empty());
            name.map(|name| format!("{what} {}", one_line(name)))
        };
        let workflow = named("workflow", self.workflow.as_ref());
        let run = named("run", self.run_id.as_ref());
        let job: Vec<_> = workflow.into_iter().chain(run).collect();
        let job: String = job.join(", ").chars().take(MAX_TEXT).collect();
        match (short.is_empty(), job.is_empty()) {
            (false, false) => format!("{short} ({job})"),
            (false, true) => short,
            (true, false) => job,
            (true, true) => "a job of GitHub Actions".to_owned(),
        }
    }
}

/// An event that cannot be read says nothing: the reason is a courtesy.
fn read(file: &Path) -> Option<Event> {
    let mut text = vec![];
    File::open(file)
        .ok()?
        .take(MAX_EVENT)
        .read_to_end(&mut text)
        .ok()?;
    serde_json::from_slice(&text).ok()
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Parsed {
        #[command(flatten)]
        job: JobArgs,
    }

    fn reason(event: &str, workflow: Option<&str>, run: Option<&str>) -> String {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), event).unwrap();
        let mut job = Parsed::parse_from(["vaultgram"]).job;
        job.event_path = Some(file.path().to_owned());
        job.workflow = workflow.map(str::to_owned);
        job.run_id = run.map(str::to_owned);
        job.reason()
    }

    #[test]
    fn a_reason_is_one_line_about_the_job() {
        let push = r#"{"head_commit":{"message":"Fix\u0007the login\n\nIt was broken."}}"#;
        assert_eq!(
            reason(push, Some("deploy"), Some("30")),
            "Fix the login (workflow deploy, run 30)"
        );
        let pull = r#"{"pull_request":{"title":"Add a page"},"head_commit":null}"#;
        assert_eq!(reason(pull, None, Some("30")), "Add a page (run 30)");
        for nothing in ["", "{}", "[]", r#"{"head_commit":{"message":" \n"}}"#, "{"] {
            assert_eq!(reason(nothing, Some("deploy"), None), "workflow deploy");
            assert_eq!(reason(nothing, Some(""), None), "a job of GitHub Actions");
        }
        let long = format!(r#"{{"head_commit":{{"message":"{}"}}}}"#, "é".repeat(500));
        assert_eq!(reason(&long, None, None), "é".repeat(200));
    }
}

//! How a run stands, in one message that is edited as it goes on.

use std::time::Duration;

use super::pipeline::{SHORT, state};
use crate::broker::RunStanding;
use crate::broker::ports::pipelines::{RunJob, State};
use crate::domain::signs::one_line;
use crate::domain::span::spoken;

/// Begins every such message, and no other.
const RUN: &str = "🛠 ";
/// Most jobs that are named of each kind.
const MAX_NAMED: usize = 8;
/// Most jobs that failed, and most of their steps, that are told in full.
const MAX_FAILED: (usize, usize) = (5, 3);
/// The longest name, in characters.
const MAX_NAME: usize = 80;

/// What the message about `told` says.
pub(in crate::telegram) fn card(told: &RunStanding<'_>) -> String {
    let run = told.run;
    let short = run.sha.get(..SHORT).unwrap_or(&run.sha);
    let again = if run.attempt > 1 {
        format!(", attempt {}", run.attempt)
    } else {
        String::new()
    };
    let mut lines = vec![
        format!(
            "{RUN}{} run {}: {}{again}{}",
            told.repository,
            run.id,
            state(run.state),
            lasted(told).unwrap_or_default()
        ),
        format!(
            "{} #{}: {}",
            named(run.path.rsplit('/').next().unwrap_or(&run.workflow)),
            run.number,
            named(&run.title)
        ),
        format!(
            "{} at {short}, by {}",
            named(run.branch.as_deref().unwrap_or("no branch")),
            named(run.actor.as_deref().unwrap_or("nobody"))
        ),
    ];
    lines.extend(jobs(told.jobs, run.state));
    lines.push(run.url.clone());
    lines.join("\n")
}

/// What tells the message `text` from others, whatever else it says.
pub(in crate::telegram) fn mark(text: &str) -> String {
    let (place, _) = text.split_once(": ").unwrap_or((text, ""));
    format!("{place}: ")
}

/// For how long it ran, once it has ended.
fn lasted(told: &RunStanding<'_>) -> Option<String> {
    let State::Done(_) = told.run.state else {
        return None;
    };
    let run = told.run;
    let lasted = run.updated - run.started.unwrap_or(run.created);
    let lasted = Duration::try_from(lasted).ok()?;
    Some(format!(", after {}", spoken(lasted)))
}

fn jobs(jobs: &[RunJob], run: State) -> Vec<String> {
    let mut lines = vec![];
    let in_state = |wanted: fn(State) -> bool| jobs.iter().filter(move |job| wanted(job.state));
    let mut list = |head: &str, wanted: fn(State) -> bool| {
        let all: Vec<&RunJob> = in_state(wanted).collect();
        let names = all.iter().take(MAX_NAMED).map(|job| match &job.step {
            Some(step) => format!("{} ({})", named(&job.name), named(step)),
            None => named(&job.name),
        });
        let mut names: Vec<String> = names.collect();
        let more = all.len() - names.len();
        if more > 0 {
            names.push(format!("{more} more"));
        }
        if !names.is_empty() {
            lines.push(format!("{head}: {}", names.join(", ")));
        }
    };
    if !matches!(run, State::Done(_)) {
        list(
            "Done",
            |it| matches!(it, State::Done(outcome) if !outcome.is_bad()),
        );
        list("Running", |it| it == State::Running);
        list("Waiting", |it| matches!(it, State::Waiting | State::Queued));
    }
    let failed = |it: State| matches!(it, State::Done(outcome) if outcome.is_bad());
    let failed: Vec<&RunJob> = jobs.iter().filter(|job| failed(job.state)).collect();
    lines.extend(failed.iter().take(MAX_FAILED.0).map(|job| {
        let steps = job.failed_steps.iter().take(MAX_FAILED.1);
        let steps: Vec<String> = steps.map(|step| named(step)).collect();
        let at = if steps.is_empty() {
            String::new()
        } else {
            format!(", at: {}", steps.join(", "))
        };
        format!("{} {}{at}\n{}", state(job.state), named(&job.name), job.url)
    }));
    let more = failed.len().saturating_sub(MAX_FAILED.0);
    if more > 0 {
        lines.push(format!("… and {more} more that did not end well"));
    }
    lines
}

/// A name that somebody chose, on one line and not too long.
fn named(name: &str) -> String {
    let line = one_line(name);
    let short: String = line.chars().take(MAX_NAME).collect();
    if short.len() < line.len() {
        return short + "…";
    }
    short
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;
    use crate::broker::ports::pipelines::{Outcome, Repository, Run, RunId};

    fn run(state: State) -> Run {
        Run {
            id: RunId::new(1001).unwrap(),
            number: 101,
            attempt: 1,
            workflow: "Deploy".to_owned(),
            path: ".github/workflows/deploy.yml".to_owned(),
            title: "Fix the\ntill".to_owned(),
            event: "push".to_owned(),
            branch: Some("main".to_owned()),
            sha: "9b1c3a59b1c3a59b1c3a59b1c3a59b1c3a59b1c3".to_owned(),
            state,
            actor: Some("octocat".to_owned()),
            url: "https://github.com/acme/shop/actions/runs/1001".to_owned(),
            created: datetime!(2026-03-01 11:00 UTC),
            started: None,
            updated: datetime!(2026-03-01 11:02:05 UTC),
        }
    }

    fn job(name: &str, state: State, step: Option<&str>, failed: &[&str]) -> RunJob {
        RunJob {
            id: 1,
            name: name.to_owned(),
            state,
            url: format!("https://github.com/job/{name}"),
            started: None,
            completed: None,
            failed_steps: failed.iter().map(|&it| it.to_owned()).collect(),
            step: step.map(str::to_owned),
        }
    }

    fn said(run: &Run, jobs: &[RunJob]) -> String {
        let repository = Repository::new("acme/shop").unwrap();
        card(&RunStanding {
            repository: &repository,
            run,
            jobs,
        })
    }

    #[test]
    fn it_says_how_it_stands() {
        let going = [
            job("build", State::Done(Outcome::Success), None, &[]),
            job("test", State::Running, Some("Run tests"), &[]),
            job("deploy", State::Queued, None, &[]),
        ];
        assert_eq!(
            said(&run(State::Running), &going),
            "🛠 acme/shop run 1001: in progress\n\
             deploy.yml #101: Fix the till\n\
             main at 9b1c3a59b1c3, by octocat\n\
             Done: build\n\
             Running: test (Run tests)\n\
             Waiting: deploy\n\
             https://github.com/acme/shop/actions/runs/1001"
        );
        let failed = [
            job("build", State::Done(Outcome::Success), None, &[]),
            job("test", State::Done(Outcome::Failure), None, &["Run tests"]),
        ];
        let mut run = run(State::Done(Outcome::Failure));
        run.attempt = 2;
        let text = said(&run, &failed);
        assert!(
            text.starts_with("🛠 acme/shop run 1001: ❌ failed, attempt 2, after 2m"),
            "{text}"
        );
        assert!(
            text.contains("❌ failed test, at: Run tests\nhttps://github.com/job/test\nhttps://"),
            "{text}"
        );
        assert!(!text.contains("build"), "{text}");
    }

    #[test]
    fn it_fits_into_a_message_and_is_found_by_how_it_begins() {
        let long = "x".repeat(250);
        let many: Vec<RunJob> = (0..100)
            .map(|_| {
                job(
                    &long,
                    State::Done(Outcome::Failure),
                    None,
                    &[long.as_str(); 9],
                )
            })
            .chain((0..100).map(|_| job(&long, State::Running, Some(&long), &[])))
            .chain((0..100).map(|_| job(&long, State::Queued, None, &[])))
            .collect();
        let mut run = run(State::Running);
        run.title.clone_from(&long);
        run.url.clone_from(&long);
        let text = said(&run, &many);
        assert!(text.encode_utf16().count() < 4096, "{}", text.len());
        assert!(text.contains("… and 95 more that did not end well"));
        assert_eq!(mark(&text), "🛠 acme/shop run 1001: ");
    }
}

//! What is written about pipelines: before and after something is done, and on the card of a request.

use time::OffsetDateTime;

use super::changed::lines_of;
use super::{Reply, shown};
use crate::broker::ports::pipelines::{Commit, Outcome, Run, State};
use crate::broker::{Preview, RunLink, Watch};
use crate::domain::signs::one_line;
use crate::domain::span::spoken;
use crate::domain::{Action, Dispatch, PipelineAction, RunOf, Target};

/// Signs of a commit's hash that tell it from others.
pub(super) const SHORT: usize = 12;

/// Asks whether to go on.
pub(in crate::telegram) fn question(
    action: PipelineAction,
    target: &Target,
    preview: &Preview,
) -> Reply {
    let text = match preview {
        Preview::Start(commit) => {
            let facts = facts(action, target).join("\n");
            let place = place(target);
            format!("Start {place}?\n{facts}\n{}", described(commit))
        }
        Preview::Run(run) => {
            let what = if action == PipelineAction::Approve {
                format!("Let run {} go on to {}?", run.id, environment(target))
            } else {
                format!("Run {} again?", run.id)
            };
            let branch = run.branch.as_deref().unwrap_or("no branch");
            let short = run.sha.get(..SHORT).unwrap_or(&run.sha);
            format!(
                "{what}\nWorkflow: {}\nTitle: {}\nRef: {} at {short}, by {}, {}\n{}",
                place(target),
                one_line(&run.title),
                one_line(branch),
                one_line(&run.event),
                state(run.state),
                run.url
            )
        }
    };
    Reply::plain(text).guarded()
}

/// Something was done.
pub(super) fn done(link: &RunLink, action: Action, target: &Target) -> Reply {
    let Action::Pipeline(action) = action else {
        return Reply::plain(&link.page);
    };
    let (RunLink { id, page }, place) = (link, place(target));
    let text = match action {
        PipelineAction::Run => {
            let dispatch = dispatch(target);
            let at = dispatch.map(|it| format!(" on {}", one_line(it.at())));
            format!(
                "Started {place}{}: run {id}.\n{page}\n/cancel_run {} stops it.",
                at.unwrap_or_default(),
                named(target, id.get())
            )
        }
        PipelineAction::Rerun => format!("Run {id} of {place} runs again.\n{page}"),
        PipelineAction::Cancel => {
            format!("Run {id} of {place} is being stopped; that takes a moment.\n{page}")
        }
        PipelineAction::Approve => {
            format!(
                "Run {id} of {place} goes on to {}.\n{page}",
                environment(target)
            )
        }
        PipelineAction::Deny => {
            format!(
                "Run {id} of {place} does not go on to {}.\n{page}",
                environment(target)
            )
        }
        PipelineAction::Runs | PipelineAction::Watch | PipelineAction::Unwatch => {
            format!("{place}: done.\n{page}")
        }
    };
    Reply::plain(text)
}

/// `/runs`
pub(super) fn runs(runs: &[Run], target: &Target, now: OffsetDateTime) -> Reply {
    let place = place(target);
    if runs.is_empty() {
        return Reply::plain(format!("{place} has no runs."));
    }
    let lines = runs.iter().map(|run| {
        let age = std::time::Duration::try_from(now - run.created).unwrap_or_default();
        let branch = run.branch.as_deref().unwrap_or("-");
        let actor = run.actor.as_deref().unwrap_or("nobody");
        let line = format!(
            "{}  {}  {}  {branch}  by {actor}  {} ago",
            run.id,
            state(run.state),
            run.workflow,
            spoken(age)
        );
        one_line(&line)
    });
    lines_of(
        &format!("Runs of {place}, the newest first:"),
        lines,
        runs.len(),
    )
}

/// `/watch acme/shop`, `/unwatch acme/shop`
pub(super) fn watching(on: bool, target: &Target) -> Reply {
    let place = watched(target);
    Reply::plain(if on {
        format!("Each run of {place} is told in that chat from now on. /unwatch {place} ends it.")
    } else {
        format!("Runs of {place} are told there no more, but for those that have begun.")
    })
}

/// `/watch`
pub(in crate::telegram) fn watches(watches: &[Watch], mount: &str) -> Reply {
    if watches.is_empty() {
        return Reply::plain(
            "Nothing that you may see is watched in this chat. /watch acme/shop main would tell each \
             run on main of that repository here.",
        );
    }
    let lines = watches.iter().map(|watch| {
        let path = watch.path.strip_prefix(mount).unwrap_or(&watch.path);
        let branch = watch.branch.as_ref().map(|branch| format!(" {branch}"));
        let place = path.trim_start_matches('/');
        let branch = branch.unwrap_or_default();
        one_line(&format!("{place}{branch}  by telegram:{}", watch.by))
    });
    lines_of("Watched in this chat:", lines, watches.len())
}

/// `acme/shop/deploy.yml main`
fn watched(target: &Target) -> String {
    let branch = target.field.as_ref().map(|branch| format!(" {branch}"));
    one_line(&format!(
        "{}{}",
        target.path.path(),
        branch.unwrap_or_default()
    ))
}

/// What a request for approval is about, in short.
pub(super) fn what(action: PipelineAction, target: &Target) -> String {
    let verb = match action {
        PipelineAction::Run => "start",
        PipelineAction::Runs => "look at the runs of",
        PipelineAction::Rerun => "run again",
        PipelineAction::Cancel => "stop",
        PipelineAction::Approve => "let go on",
        PipelineAction::Deny => "not let go on",
        PipelineAction::Watch => "watch",
        PipelineAction::Unwatch => "no longer watch",
    };
    let run = target.version.map(|id| format!(", run {id}"));
    format!("{verb} {}{}", place(target), run.unwrap_or_default())
}

/// What else those must know who decide about it, a line each.
pub(super) fn facts(action: PipelineAction, target: &Target) -> Vec<String> {
    match action {
        PipelineAction::Run => dispatch(target)
            .map(|it| with_what(&it))
            .unwrap_or_default(),
        PipelineAction::Approve | PipelineAction::Deny => {
            let environment = format!("Environment: {}", environment(target));
            std::iter::once(environment)
                .chain(of_what(target))
                .collect()
        }
        PipelineAction::Rerun | PipelineAction::Cancel => of_what(target).into_iter().collect(),
        PipelineAction::Runs | PipelineAction::Watch | PipelineAction::Unwatch => vec![],
    }
}

/// What a run is of.
fn of_what(target: &Target) -> Option<String> {
    let of = run_of(target)?;
    Some(format!(
        "Ref: {}, commit {}, by {}",
        one_line(of.at()),
        of.commit().unwrap_or("unknown"),
        one_line(of.event())
    ))
}

fn with_what(dispatch: &Dispatch) -> Vec<String> {
    let commit = dispatch.commit().unwrap_or("no commit");
    let mut lines = vec![format!("Ref: {}, commit {commit}", one_line(dispatch.at()))];
    let inputs = dispatch.inputs().iter();
    let inputs = inputs.map(|(name, value)| one_line(&format!("{name}={value}")));
    let inputs: Vec<String> = inputs.collect();
    if !inputs.is_empty() {
        lines.push(format!("Inputs: {}", inputs.join(", ")));
    }
    lines
}

/// The command that does it.
pub(super) fn command(action: PipelineAction, target: &Target) -> String {
    let run = named(target, target.version.unwrap_or_default());
    match action {
        PipelineAction::Run => {
            let mut text = format!("/run {}", place(target).replacen(' ', ":", 1));
            if let Some(dispatch) = dispatch(target) {
                let inputs = dispatch.inputs().iter();
                let inputs = inputs.map(|(name, value)| format!("{name}={}", quoted(value)));
                let words: Vec<String> = inputs.collect();
                text = format!("{text} {} {}", dispatch.at(), words.join(" "));
            }
            text
        }
        PipelineAction::Runs => format!("/runs {}", place(target).replacen(' ', ":", 1)),
        PipelineAction::Watch => format!("/watch {}", watched(target)),
        PipelineAction::Unwatch => format!("/unwatch {}", watched(target)),
        PipelineAction::Rerun => format!("/rerun {run}"),
        PipelineAction::Cancel => format!("/cancel_run {run}"),
        PipelineAction::Approve => format!("/approve_run {run} {}", environment(target)),
        PipelineAction::Deny => format!("/deny_run {run} {} REASON", environment(target)),
    }
}

/// A value as it is typed.
fn quoted(value: &str) -> String {
    let plain = |it: char| it.is_ascii_alphanumeric() || "-_./".contains(it);
    if !value.is_empty() && value.chars().all(plain) {
        return value.to_owned();
    }
    serde_json::Value::from(value).to_string()
}

/// `acme/shop deploy.yml`
fn place(target: &Target) -> String {
    let path = target.path.path();
    match path.match_indices('/').nth(1) {
        Some((end, _)) => {
            let (repository, file) = path.split_at(end);
            format!("{repository} {}", file.trim_start_matches('/'))
        }
        None => path.to_owned(),
    }
}

/// `acme/shop:1234`
fn named(target: &Target, run: u64) -> String {
    let place = place(target);
    let repository = place.split(' ').next().unwrap_or_default();
    format!("{repository}:{run}")
}

fn environment(target: &Target) -> String {
    let of = run_of(target);
    let named = match &of {
        Some(of) => of.environment(),
        None => target.field.as_deref(),
    };
    shown::name(named.unwrap_or("any environment"))
}

fn run_of(target: &Target) -> Option<RunOf> {
    target.field.as_deref()?.parse().ok()
}

fn dispatch(target: &Target) -> Option<Dispatch> {
    target.field.as_deref()?.parse().ok()
}

fn described(commit: &Commit) -> String {
    let login = commit.login.as_deref();
    let author = match login {
        Some(login) => format!("{} (@{login})", commit.author),
        None => commit.author.clone(),
    };
    format!(
        "Last change: {}, by {}",
        one_line(&commit.subject),
        one_line(&author)
    )
}

pub(super) fn state(state: State) -> &'static str {
    match state {
        State::Queued => "queued",
        State::Waiting => "waiting",
        State::Running => "in progress",
        State::Done(outcome) => match outcome {
            Outcome::Success => "✅ succeeded",
            Outcome::Failure => "❌ failed",
            Outcome::Cancelled => "❌ cancelled",
            Outcome::TimedOut => "❌ timed out",
            Outcome::Skipped => "skipped",
            Outcome::Neutral => "ended",
            Outcome::ActionRequired => "waiting for somebody",
            Outcome::Stale => "❌ given up",
            Outcome::Unknown => "ended, nobody knows how",
        },
    }
}

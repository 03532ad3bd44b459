//! `vaultgram policy test`: cases with the answers they should have.

use std::fmt;
use std::io::Write;
use std::path::Path;

use serde::Deserialize;
use serde_json::json;
use toml::Spanned;

use crate::cli::exit::{Exit, Failure};
use crate::cli::policy::explain::wanting;
use crate::cli::policy::{Asked, Standing, TestArgs};
use crate::cli::show;
use crate::domain::{Decision, Policy};

/// Largest file of cases, in bytes.
const MAX_FILE: u64 = 4 << 20;

/// A file of cases.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Cases {
    #[serde(default)]
    case: Vec<Spanned<Asked>>,
}

/// A case that was not as expected.
struct Failed {
    place: String,
    name: String,
    expected: String,
    got: String,
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            place,
            name,
            expected,
            got,
        } = self;
        write!(f, "{place}: {name}: expected {expected}, got {got}")
    }
}

/// Runs all cases, and prints those that are not as expected.
///
/// # Errors
/// When any is not as expected, or cannot be understood.
pub fn run(
    arguments: &TestArgs,
    standing: Standing<'_>,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    let mut count = 0;
    let mut failed = vec![];
    for file in &arguments.files {
        let text = read(file)?;
        let wrong = |offset: usize, problem: &dyn fmt::Display| {
            let what = format!("{}: {problem}", place(file, &text, offset));
            Failure::new(Exit::Data, what)
        };
        let cases: Cases = toml::from_str(&text).map_err(|error| {
            let offset = error.span().map_or(0, |span| span.start);
            wrong(offset, &error.message())
        })?;
        for case in &cases.case {
            let offset = case.span().start;
            count += 1;
            let found = check(case.get_ref(), standing).map_err(|problem| {
                wrong(offset, &format!("{}: {problem}", title(case.get_ref())))
            })?;
            failed.extend(found.into_iter().map(|(expected, got)| Failed {
                place: place(file, &text, offset),
                name: title(case.get_ref()),
                expected,
                got,
            }));
        }
    }
    report(arguments.json, count, &failed, out)
}

fn report(json: bool, count: usize, failed: &[Failed], out: &mut dyn Write) -> Result<(), Failure> {
    if json {
        let failed = failed.iter().map(|it| {
            json!({"place": it.place, "name": it.name, "expected": it.expected, "got": it.got})
        });
        let failed: Vec<_> = failed.collect();
        show::json(&json!({ "cases": count, "failed": failed }), out)?;
    } else {
        let mut lines: Vec<String> = failed.iter().map(ToString::to_string).collect();
        if failed.is_empty() {
            lines.push(format!("{}, all as expected", counted(count, "case")));
        }
        let lines = lines.join("\n") + "\n";
        show::write(lines.as_bytes(), out)?;
    }
    if failed.is_empty() {
        return Ok(());
    }
    let (failed, cases) = (counted(failed.len(), "answer"), counted(count, "case"));
    let what = format!("{failed} not as expected, in {cases}");
    Err(Failure::new(Exit::Failed, what)
        .hint("`vaultgram policy explain` says why, for each with the same options"))
}

/// `1 case`, `2 cases`.
fn counted(count: usize, noun: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {noun}{plural}")
}

fn title(case: &Asked) -> String {
    if case.name.is_empty() {
        "a case without a name".to_owned()
    } else {
        case.name.clone()
    }
}

/// The answers there are.
const ANSWERS: [&str; 4] = ["allow", "deny", "approval", "reason"];

/// What was expected and what came, wherever they differ.
fn check(case: &Asked, standing: Standing<'_>) -> Result<Vec<(String, String)>, String> {
    let expect = case.expect.as_str();
    if !ANSWERS.contains(&expect) {
        return Err("expect: write allow, deny, approval or reason".to_owned());
    }
    let policy = standing.policy;
    let mut by = case.by.clone();
    for name in by.iter().flatten() {
        if policy.about(name).is_none() {
            return Err(format!("by: no policy is called {name:?}"));
        }
    }
    if let Some(by) = &mut by {
        by.sort();
    }
    let mut differing = vec![];
    for question in case.questions(standing)? {
        let reason = question.reason.as_deref();
        let (answer, mut policies) =
            match policy.decide_with(&question.request, reason, question.at) {
                Decision::Allow(permit) => ("allow", permit.policies().to_vec()),
                Decision::Deny(denial) => ("deny", denial.policies),
                Decision::NeedsApproval(need) => (wanting(&need), need.policies()),
            };
        policies.sort();
        if answer != expect || by.as_ref().is_some_and(|by| *by != policies) {
            let expected = said(policy, expect, by.as_deref());
            let who = &question.request.caller;
            let got = said(policy, answer, Some(&policies));
            differing.push((expected, format!("{got}, for {who}")));
        }
    }
    Ok(differing)
}

/// `deny by office-hours (policy.cedar:12)`.
fn said(policy: &Policy, answer: &str, by: Option<&[String]>) -> String {
    let Some(by) = by else {
        return answer.to_owned();
    };
    if by.is_empty() {
        return format!("{answer} by no policy");
    }
    let placed = by.iter().map(|name| match policy.about(name) {
        Some(about) => format!("{name} ({}:{})", about.file, about.line),
        None => name.clone(),
    });
    format!("{answer} by {}", placed.collect::<Vec<_>>().join(", "))
}

fn read(file: &Path) -> Result<String, Failure> {
    let fails = |problem: &dyn fmt::Display| {
        Failure::new(Exit::NotFound, format!("{}: {problem}", file.display()))
    };
    let size = file.metadata().map_err(|error| fails(&error))?.len();
    if size > MAX_FILE {
        return Err(fails(&format!("is larger than {} MiB", MAX_FILE >> 20)));
    }
    std::fs::read_to_string(file).map_err(|error| fails(&error))
}

/// `file:line`.
fn place(file: &Path, text: &str, offset: usize) -> String {
    let before = text.get(..offset).unwrap_or_default();
    let line = before.matches('\n').count() + 1;
    format!("{}:{line}", file.display())
}

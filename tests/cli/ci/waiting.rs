//! A job that waits for a human: granted, denied, nobody there, cancelled.

use std::process::{Child, Command};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{Elsewhere, ends, page};
use crate::Ran;
use crate::served::PATIENCE;

/// A step that waits for what is at `production/NAME`.
fn step(elsewhere: &Elsewhere, name: &str, more: &[&str]) -> Command {
    let value = format!("hunter2-of-{name}");
    let path = format!("production/{name}");
    elsewhere
        .served
        .put(&path, &json!({"password": value, "other": "x-other"}));
    for file in ["env", "output"] {
        elsewhere.served.file(&format!("{name}-{file}"), "");
    }
    let event = json!({"head_commit": {"message": "Fix the login\n\nLong story."}});
    let event = elsewhere
        .served
        .file(&format!("{name}-event"), &event.to_string());
    let wanted = format!("PASSWORD={path}#password");
    let arguments = [&["github", "--env", &wanted][..], more].concat();
    let mut command = elsewhere.job(&arguments);
    command
        .env("GITHUB_ACTIONS", "true")
        .env("GITHUB_ENV", elsewhere.served.path(&format!("{name}-env")))
        .env(
            "GITHUB_OUTPUT",
            elsewhere.served.path(&format!("{name}-output")),
        )
        .env("GITHUB_EVENT_PATH", event)
        .env("GITHUB_WORKFLOW", "deploy")
        .env("GITHUB_RUN_ID", "30");
    command
}

/// The request about `production/NAME` that waits, once there is one.
pub(super) fn waiting(elsewhere: &Elsewhere, name: &str) -> Value {
    let path = format!("secret/production/{name}");
    let start = Instant::now();
    loop {
        let ran = elsewhere.served.run(&["requests", "--pending", "--json"]);
        let listed: Value = serde_json::from_str(&ran.out).unwrap_or_default();
        let all = listed["requests"].as_array().cloned().unwrap_or_default();
        let about = |it: &&Value| it["path"].as_str().is_some_and(|it| it.starts_with(&path));
        if let Some(found) = all.iter().find(about) {
            return found.clone();
        }
        assert!(start.elapsed() < PATIENCE, "{name}: {ran:?}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// What `verb` does about the request of a job that runs meanwhile; how the job ends.
fn decided(elsewhere: &Elsewhere, name: &str, child: Child, verb: &[&str]) -> (Value, Ran) {
    let request = waiting(elsewhere, name);
    let id = request["id"].as_str().unwrap();
    let arguments = [&verb[..1], &[id], &verb[1..]].concat();
    let ran = elsewhere.served.run(&arguments);
    assert_eq!(ran.code, 0, "{ran:?}");
    (
        request.clone(),
        Ran::from(child.wait_with_output().unwrap()),
    )
}

fn state(elsewhere: &Elsewhere, request: &Value) -> String {
    let id = request["id"].as_str().unwrap();
    let ran = elsewhere.served.run(&["requests", id, "--json"]);
    let shown: Value = serde_json::from_str(&ran.out).unwrap();
    shown["state"].as_str().unwrap().to_owned()
}

fn handed_over(elsewhere: &Elsewhere, name: &str) -> String {
    std::fs::read_to_string(elsewhere.served.path(&format!("{name}-env"))).unwrap()
}

#[test]
fn a_job_goes_on_once_somebody_agrees() {
    let elsewhere = Elsewhere::shared();
    let child = step(elsewhere, "yes", &["--wait", "5m"]).spawn().unwrap();
    let (request, ran) = decided(elsewhere, "yes", child, &["approve"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    // Those who decide see which job of whom it is, and what it is about.
    assert_eq!(request["path"], "secret/production/yes#password");
    assert_eq!(request["reason"], "Fix the login (workflow deploy, run 30)");
    let who = request["description"].as_str().unwrap();
    assert_eq!(
        who,
        "acme/web refs/heads/main at 0123abc, run 30 attempt 1, by alice"
    );
    let id = request["id"].as_str().unwrap();
    // All that its log tells, but for the time that is left.
    let said = page::block("output: wait").replace("R7K2XQ", id);
    let said = said.trim_end_matches("24 h left");
    assert!(ran.err.starts_with(said), "{ran:?}");
    assert_eq!(ran.err.lines().count(), 1, "{ran:?}");
    assert!(
        !ran.err.contains("::") && !ran.err.contains("hunter2"),
        "{ran:?}"
    );
    assert_eq!(ran.out, "::add-mask::hunter2-of-yes\n");
    assert!(handed_over(elsewhere, "yes").contains("\nhunter2-of-yes\n"));
    // What was granted is for that run, and is not asked for again in it.
    let again = step(elsewhere, "yes", &["--wait", "5m"]).output().unwrap();
    assert_eq!(Ran::from(again).code, 0);
    elsewhere.served.file("yes-env", "");
}

#[test]
fn a_job_that_is_denied_says_so() {
    let elsewhere = Elsewhere::shared();
    let more = ["--wait", "5m", "--reason", "to try it out"];
    let child = step(elsewhere, "no", &more).spawn().unwrap();
    let (request, ran) = decided(elsewhere, "no", child, &["deny", "not during the freeze"]);
    assert_eq!(request["reason"], "to try it out");
    ends(&ran, 77, "denied request ");
    ends(&ran, 77, ": not during the freeze\n");
    assert_eq!(
        (ran.out.as_str(), handed_over(elsewhere, "no").as_str()),
        ("", "")
    );
}

#[test]
fn a_request_that_nobody_decides_is_taken_back() {
    let elsewhere = Elsewhere::shared();
    let child = step(elsewhere, "late", &["--wait", "4s"]).spawn().unwrap();
    let request = waiting(elsewhere, "late");
    let ran = Ran::from(child.wait_with_output().unwrap());
    ends(&ran, 75, "nobody decided request ");
    ends(&ran, 75, " within 4 s\nhint: tell those who decide");
    assert_eq!(state(elsewhere, &request), "cancelled");
    assert_eq!(handed_over(elsewhere, "late"), "");
}

#[test]
fn a_job_that_is_cancelled_takes_its_request_back() {
    let elsewhere = Elsewhere::shared();
    for (name, signal) in [("interrupted", Signal::INT), ("ended", Signal::TERM)] {
        let child = step(elsewhere, name, &["--wait", "5m"]).spawn().unwrap();
        let request = waiting(elsewhere, name);
        // It listens from before it asked.
        let pid = Pid::from_raw(child.id().cast_signed()).unwrap();
        kill_process(pid, signal).unwrap();
        let ran = Ran::from(child.wait_with_output().unwrap());
        ends(&ran, 130, "error: cancelled while it waited\n");
        assert_eq!(state(elsewhere, &request), "cancelled", "{name}");
    }
}

#[test]
fn a_job_that_needs_nobody_does_not_wait() {
    let elsewhere = Elsewhere::shared();
    let mut command = step(elsewhere, "none", &[]);
    let output = command.output().unwrap();
    ends(&Ran::from(output), 77, "needs approval, and a reason");
    let path = elsewhere.served.path("none-env");
    let mut command = elsewhere.job(&["github", "--env", "U=app/db#user", "--wait", "5m"]);
    command
        .env("GITHUB_ACTIONS", "true")
        .env("GITHUB_ENV", path);
    let ran = Ran::from(command.output().unwrap());
    assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{ran:?}");
    let unknown = step(
        elsewhere,
        "none",
        &["--env", "B=private/x#a", "--wait", "1m"],
    )
    .output();
    ends(&Ran::from(unknown.unwrap()), 77, "private/x#a: ");
    // Nothing that was opened beside it waits any more.
    let ran = elsewhere.served.run(&["requests", "--pending"]);
    assert!(!ran.out.contains("production/none"), "{ran:?}");
}

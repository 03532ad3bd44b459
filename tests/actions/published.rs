//! What the simulated GitHub answers and tells has the shapes that GitHub publishes, all of which
//! the client can read.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use time::macros::datetime;
use vaultgram::actions::webhook::{Event, read};
use vaultgram::broker::ports::Pipelines;
use vaultgram::broker::ports::pipelines::{Review, RunFilter};

use crate::app;
use crate::github::{Details, GitHub, commit, job, pending, told_of_job};
use crate::setting::{REPOSITORY, client, file, github, id, inputs, main, repository};

/// What was said, as the check takes it.
fn said(what: &str, status: u16, body: &[u8]) -> Value {
    let body = str::from_utf8(body).unwrap();
    json!({"said": what, "status": status, "body": body})
}

/// All that was answered so far.
fn answered(github: &GitHub) -> Vec<Value> {
    let calls = github.calls("");
    let calls = calls.iter();
    calls
        .map(|it| {
            let what = format!("{} {}", it.method, it.target);
            said(&what, it.status, &it.answer)
        })
        .collect()
}

/// Holds what was said against what is published: what is wrong, and which shapes were not seen.
fn checked(said: &[Value]) -> Value {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let tools = std::env::var_os("VAULTGRAM_TOOLS");
    let tools = tools.map_or_else(|| here.join("target/tools"), PathBuf::from);
    let mut check = Command::new(tools.join("venv/bin/python"))
        .arg(here.join("tests/support/github/published/check.py"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("run: make tools");
    let mut input = check.stdin.take().unwrap();
    input.write_all(json!(said).to_string().as_bytes()).unwrap();
    drop(input);
    let found = check.wait_with_output().unwrap().stdout;
    serde_json::from_slice(&found).unwrap()
}

/// Everything that can be asked with a token.
async fn as_an_account() -> Vec<Value> {
    let (github, repository) = (github().await, repository());
    let change = commit("main", "Fix the till", "Monalisa");
    github
        .world()
        .repo(REPOSITORY)
        .commits
        .insert("main".to_owned(), change);
    let client = client(&github);
    let declared = client
        .workflow(&repository, &file(), &main())
        .await
        .unwrap();
    client.commit(&repository, &main()).await.unwrap();
    for details in [Details::Told, Details::Unknown, Details::Ignored] {
        github.world().details = details;
        let given = inputs(&declared);
        let started = client.dispatch(&repository, &file(), &main(), &given).await;
        let run = started.unwrap();
        client.run(&repository, run).await.unwrap();
        client.cancel(&repository, run).await.unwrap();
        client.cancel(&repository, run).await.unwrap_err();
        client
            .rerun(&repository, run, details == Details::Told)
            .await
            .unwrap();
        github.world().run(REPOSITORY, run.get()).jobs = jobs();
        client.jobs(&repository, run).await.unwrap();
        github.world().run(REPOSITORY, run.get()).pending = vec![pending(5, "production", true)];
        client.pending_deployments(&repository, run).await.unwrap();
        let review = Review {
            environments: vec![5],
            approve: true,
            comment: "R7K2".to_owned(),
        };
        let reviewed = client.review_deployment(&repository, run, &review).await;
        reviewed.unwrap();
    }
    for _ in 0..2 {
        let runs = client.runs(&repository, &RunFilter::default()).await;
        assert_eq!(runs.unwrap().len(), 3);
    }
    assert_eq!(github.calls("GET").last().unwrap().status, 304);
    client.run(&repository, id(1)).await.unwrap_err();
    github.world().repo(REPOSITORY).lacks = Some("actions=write");
    client.run(&repository, id(1)).await.unwrap_err();
    answered(&github)
}

/// What an App asks beside that.
async fn as_an_app() -> Vec<Value> {
    let setting = app::setting().await;
    setting.github.world().details = Details::Ignored;
    let declared = setting
        .client
        .workflow(&repository(), &file(), &main())
        .await
        .unwrap();
    let given = inputs(&declared);
    let started = setting
        .client
        .dispatch(&repository(), &file(), &main(), &given)
        .await;
    started.unwrap();
    answered(&setting.github)
}

fn jobs() -> Vec<Value> {
    let steps = [
        ("Check out", "completed", Some("success")),
        ("Deploy", "in_progress", None),
    ];
    vec![
        job(1, "deploy", "waiting", None, &[]),
        job(2, "deploy", "in_progress", None, &steps),
        job(3, "deploy", "completed", Some("failure"), &steps[..1]),
    ]
}

/// What is told of a run, of which the client must know which it is.
async fn told() -> Vec<Value> {
    let github = github().await;
    let mut world = github.world();
    let run = world.begin(REPOSITORY, "deploy.yml", "main", "octocat", "push");
    let mut told = vec![];
    for (status, conclusion) in [
        ("queued", None),
        ("in_progress", None),
        ("completed", Some("failure")),
    ] {
        world.advance(REPOSITORY, run, status, conclusion);
        told.push(("workflow_run", world.told_of_run(REPOSITORY, run)));
    }
    for job in jobs() {
        told.push(("workflow_job", told_of_job(REPOSITORY, run, &job)));
    }
    drop(world);
    let told = told.iter().map(|(event, body)| {
        let body = body.to_string();
        // The simulated jobs are always of that time.
        let now = datetime!(2026-03-01 12:00 UTC);
        let (place, of) = match read(event, body.as_bytes(), now).unwrap() {
            Event::Run { repository, run } => (repository, run.id),
            Event::Job {
                repository, run, ..
            } => (repository, run),
            other @ (Event::Ping | Event::Other) => panic!("{other:?}"),
        };
        assert_eq!((place, of), (repository(), id(run)), "{event}");
        said(event, 0, body.as_bytes())
    });
    told.collect()
}

#[tokio::test]
async fn what_is_simulated_has_the_shapes_that_github_publishes() {
    let mut said = as_an_account().await;
    said.extend(as_an_app().await);
    said.extend(told().await);
    let found = checked(&said);
    assert_eq!(found, json!({"wrong": [], "unseen": []}), "{found:#}");
}

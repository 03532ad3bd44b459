//! Pipelines, on a simulated GitHub: what is decided, agreed to and put on record is what runs.

use std::sync::Arc;
use std::time::Duration;

use vaultgram::actions::github::{Credentials, GitHub as Client, Settings};
use vaultgram::broker::ports::SystemClock;
use vaultgram::broker::ports::pipelines::{GitRef, PipelineError, Repository, RunId, WorkflowFile};
use vaultgram::broker::{
    Asked, Beside, Broker, BrokerError, Opened, Outcome, PipelineWish, Preview, RunError, RunName,
    ServedPipelines, Waiting, WorkflowName,
};
use vaultgram::domain::approval::State;
use vaultgram::domain::{
    Action, AuditEvent, Delivery, Field, PipelineAction, Request, SecretValue, Target,
};

use crate::approvals::{approve, groups};
use crate::github::{GitHub, commit, pending};
use crate::world::{ALICE, BOB, World, error};

const TOKEN: &str = "github_pat_11AAAAAAA0hunter2hunter2hunter2";
pub(crate) const REPOSITORY: &str = "acme/shop";
const NEEDS_ONE: &str = "@approvals(\"1\") @approvers(\"leads\")
permit(principal, action in Action::\"operate\", resource in Path::\"github/acme/shop\");";

/// A world with a repository of two workflows, and a broker that may operate it.
pub(crate) async fn world() -> (GitHub, World) {
    let github = GitHub::start().await;
    let files = ["deploy.yml", "other.yml"];
    github.world().furnish(TOKEN, REPOSITORY, &files);
    let mut world = World::new();
    world.pipelines = Some(served(&github));
    (github, world)
}

/// Its pipelines, as one process knows them.
pub(crate) fn served(github: &GitHub) -> ServedPipelines {
    let settings = Settings {
        address: github.url(),
        credentials: Credentials::Token(SecretValue::new(TOKEN.as_bytes().to_vec())),
        request_timeout: Duration::from_secs(2),
        patience: Duration::from_secs(5),
    };
    ServedPipelines {
        port: Arc::new(Client::new(settings, Arc::new(SystemClock)).unwrap()),
        mount: "github".to_owned(),
        repositories: vec![Repository::new(REPOSITORY).unwrap()],
        at: GitRef::new("main").unwrap(),
        poll: time::Duration::seconds(20),
    }
}

pub(crate) fn named(file: &str) -> WorkflowName {
    WorkflowName {
        repository: None,
        file: WorkflowFile::new(file).unwrap(),
    }
}

pub(crate) fn start(inputs: &[(&str, &str)]) -> PipelineWish {
    let inputs = inputs.iter();
    let inputs = inputs.map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    PipelineWish::Run(named("deploy.yml"), None, inputs.collect())
}

pub(crate) fn run(number: u64) -> RunName {
    RunName {
        repository: None,
        id: RunId::new(number).unwrap(),
    }
}

/// What Alice wants, as a request.
pub(crate) async fn wanted(world: &World, broker: &Broker, wish: PipelineWish) -> Request {
    let planned = broker.plan(wish).await.unwrap();
    Request {
        target: planned.target,
        ..world.request(Action::Pipeline(planned.action), "a")
    }
}

pub(crate) fn dispatches(github: &GitHub) -> usize {
    github.calls("/dispatches").len()
}

pub(crate) fn begin(github: &GitHub, file: &str) -> u64 {
    github
        .world()
        .begin(REPOSITORY, file, "main", "octocat", "push")
}

/// Why nothing was done.
pub(crate) fn refused<T>(result: Result<T, BrokerError>) -> RunError {
    let error = error(result);
    if let BrokerError::Run(error) = error {
        return error;
    }
    panic!("{error}");
}

#[tokio::test]
async fn what_was_shown_is_started_once_and_is_on_record() {
    let (github, mut world) = world().await;
    let broker = world.broker();
    let mut request = wanted(&world, &broker, start(&[("version", "v1")])).await;
    let Ok(Asked::ConfirmPipeline(PipelineAction::Run, Preview::Start(commit))) =
        broker.ask(&request).await
    else {
        panic!("no question")
    };
    assert_eq!(
        (commit.subject.as_str(), commit.author.as_str()),
        ("Fix the till", "Octo Cat")
    );
    let field = format!("main:{}?colour=blue&version=v1", commit.sha);
    assert_eq!(request.target.field.as_ref(), Some(&field));
    assert_eq!(dispatches(&github), 0, "asking starts nothing");
    request.id = world.id();
    let Ok(Outcome::Operated(link)) = broker.handle(request.clone()).await else {
        panic!("not started")
    };
    let started = github.world().run(REPOSITORY, link.id.get()).clone();
    assert_eq!(
        started.inputs,
        serde_json::json!({"version": "v1", "colour": "blue"})
    );
    assert_eq!(
        (started.file.as_str(), started.branch.as_str()),
        ("deploy.yml", "main")
    );
    assert!(
        link.page
            .ends_with(&format!("/acme/shop/actions/runs/{}", link.id))
    );
    let last = world.audit.take().pop().unwrap();
    assert_eq!(last, AuditEvent::Started { run: link.id.get() });
    assert!(matches!(
        broker.handle(request.clone()).await,
        Ok(Outcome::Duplicate)
    ));
    world.restart().await;
    let after = world.broker().handle(request).await;
    assert!(matches!(after, Ok(Outcome::Interrupted)));
    assert_eq!(dispatches(&github), 1);
}

#[tokio::test]
async fn a_default_that_nobody_wrote_is_decided_about_and_cannot_be_left_out() {
    let (github, mut world) = world().await;
    world.policy += "forbid(principal, action == Action::\"run\", resource)
        when { context.inputs.contains(\"colour=blue\") };";
    let broker = world.broker();
    let blue = wanted(&world, &broker, start(&[("version", "v1")])).await;
    assert!(matches!(
        broker.handle(blue.clone()).await,
        Ok(Outcome::Denied(_))
    ));
    let green = start(&[("version", "v1"), ("colour", "green")]);
    let green = wanted(&world, &broker, green).await;
    let sha = green.target.field.clone().unwrap();
    let sha = sha.split(['?', ':']).nth(1).unwrap().to_owned();
    assert!(matches!(
        broker.handle(green).await,
        Ok(Outcome::Operated(_))
    ));
    for field in [
        format!("main:{sha}?version=v1"),
        "main?version=v1&colour=green".to_owned(),
    ] {
        let target = Target {
            field: Some(field.clone()),
            ..blue.target.clone()
        };
        let left_out = Request {
            id: world.id(),
            target,
            ..blue.clone()
        };
        match broker.handle(left_out).await {
            Ok(Outcome::Denied(_)) | Err(BrokerError::Run(RunError::Changed)) => {}
            _ => panic!("{field} was started"),
        }
    }
    assert_eq!(dispatches(&github), 1);
}

#[tokio::test]
async fn a_grant_is_for_this_ref_commit_and_inputs() {
    let (github, mut world) = world().await;
    NEEDS_ONE.clone_into(&mut world.policy);
    world.groups = groups(&[BOB.0], &[]);
    let broker = world.broker();
    let blue = wanted(&world, &broker, start(&[("version", "v1")])).await;
    let Ok(Outcome::NeedsApproval(Waiting::Opened(opened))) = broker.handle(blue.clone()).await
    else {
        panic!("no request")
    };
    assert_eq!(opened.target, blue.target);
    assert_eq!(dispatches(&github), 0);
    let approved = approve(&world, &broker, BOB.0, &opened).await.unwrap();
    assert_eq!(approved.state, State::Granted);
    for inputs in [
        &[("version", "v2")][..],
        &[("version", "v1"), ("colour", "green")],
    ] {
        let other = wanted(&world, &broker, start(inputs)).await;
        let outcome = broker.handle(other).await;
        assert!(
            matches!(outcome, Ok(Outcome::NeedsApproval(_))),
            "{inputs:?}"
        );
    }
    let again = || Request {
        id: world.id(),
        ..blue.clone()
    };
    assert!(matches!(
        broker.handle(again()).await,
        Ok(Outcome::Operated(_))
    ));
    let second = commit("elsewhere", "Break the till", "Octo Cat");
    let branch = "main".to_owned();
    github
        .world()
        .repo(REPOSITORY)
        .commits
        .insert(branch, second);
    assert_eq!(refused(broker.handle(again()).await), RunError::Changed);
    let moved = wanted(&world, &broker, start(&[("version", "v1")])).await;
    let outcome = broker.handle(moved).await;
    assert!(matches!(outcome, Ok(Outcome::NeedsApproval(_))));
    assert_eq!(dispatches(&github), 1);
}

#[tokio::test]
async fn nobody_is_bothered_with_what_cannot_be_started() {
    let (github, mut world) = world().await;
    NEEDS_ONE.clone_into(&mut world.policy);
    world.groups = groups(&[BOB.0], &[]);
    let broker = world.broker();
    let unknown = PipelineWish::Run(named("none.yml"), None, vec![]);
    let elsewhere = GitRef::new("elsewhere").unwrap();
    let elsewhere = PipelineWish::Run(named("deploy.yml"), Some(elsewhere), vec![]);
    for (wish, said) in [
        (start(&[]), "version is missing"),
        (
            start(&[("version", "v1"), ("colour", "red")]),
            "blue, green",
        ),
        (start(&[("verison", "v1")]), "no input verison"),
        (unknown, "no such workflow"),
        (elsewhere, "no such"),
    ] {
        let request = wanted(&world, &broker, wish).await;
        let told = refused(broker.handle(request.clone()).await).to_string();
        assert!(told.contains(said), "{told}");
        assert!(broker.open_approval(&request, "a reason").await.is_err());
    }
    let whole = world.request(
        Action::Pipeline(PipelineAction::Run),
        "github/acme/shop/deploy.yml",
    );
    assert!(broker.open_approval(&whole, "any of it").await.is_err());
    let all = world.request(
        Action::Pipeline(PipelineAction::Rerun),
        "github/acme/shop/deploy.yml",
    );
    let opened = broker.open_approval(&all, "any of it").await;
    assert_eq!(refused(opened), RunError::Vague);
    let open = broker
        .approvals(&all.caller, vaultgram::broker::Filter::Mine)
        .await;
    assert_eq!(open.unwrap(), []);
    assert_eq!(dispatches(&github), 0);
}

#[tokio::test]
async fn who_may_not_learns_nothing_of_what_is_there() {
    let (github, mut world) = world().await;
    world.policy = String::new();
    let broker = world.broker();
    let number = begin(&github, "deploy.yml");
    let foreign = WorkflowName {
        repository: Some(Repository::new("acme/other").unwrap()),
        ..named("deploy.yml")
    };
    for wish in [
        start(&[]),
        start(&[("version", "v1")]),
        PipelineWish::Run(foreign, None, vec![]),
        PipelineWish::Runs(None),
        PipelineWish::Runs(Some(named("none.yml"))),
        PipelineWish::Cancel(run(number)),
        PipelineWish::Cancel(run(1)),
        PipelineWish::Approve(run(1), None),
    ] {
        let shown = format!("{wish:?}");
        let request = wanted(&world, &broker, wish).await;
        let outcome = broker.handle(request).await;
        assert!(matches!(outcome, Ok(Outcome::Denied(_))), "{shown}");
    }
    assert!(github.calls("POST").is_empty());
    assert!(
        github.calls("acme/other").is_empty(),
        "another repository is not even asked about"
    );
}

#[tokio::test]
async fn a_run_is_what_its_workflow_lets_be_done_with_it() {
    let (github, world) = world().await;
    let broker = world.broker();
    let number = begin(&github, "deploy.yml");
    let cancel = wanted(&world, &broker, PipelineWish::Cancel(run(number))).await;
    let sha = github.world().run(REPOSITORY, number).sha.clone();
    assert_eq!(
        cancel.target.to_string(),
        format!("github/acme/shop/deploy.yml#main:{sha}?event=push@{number}")
    );
    let by_another = world.request(
        Action::Pipeline(PipelineAction::Cancel),
        &format!("github/acme/shop/other.yml@{number}"),
    );
    let none = RunError::Server(PipelineError::NotFound("run"));
    assert_eq!(refused(broker.handle(by_another).await), none);
    assert!(matches!(
        broker.handle(cancel).await,
        Ok(Outcome::Operated(_))
    ));
    assert_eq!(world.audit.take().pop(), Some(AuditEvent::Done));
    let rerun = wanted(&world, &broker, PipelineWish::Rerun(run(number))).await;
    assert!(matches!(
        broker.handle(rerun).await,
        Ok(Outcome::Operated(_))
    ));
    let again = github.calls("/rerun");
    assert!(
        again[0].target.ends_with("/rerun-failed-jobs"),
        "{}",
        again[0].target
    );
    let runs = wanted(&world, &broker, PipelineWish::Runs(None)).await;
    let Ok(Outcome::Runs(runs)) = broker.handle(runs).await else {
        panic!("no runs")
    };
    assert_eq!((runs.len(), runs[0].attempt), (1, 2));
}

#[tokio::test]
async fn what_waits_for_an_environment_goes_on_or_ends() {
    let (github, world) = world().await;
    let broker = world.broker();
    let number = begin(&github, "deploy.yml");
    let nothing = wanted(&world, &broker, PipelineWish::Approve(run(number), None)).await;
    assert_eq!(refused(broker.handle(nothing).await), RunError::Vague);
    let both = vec![pending(5, "production", true), pending(6, "staging", true)];
    github.world().run(REPOSITORY, number).pending = both;
    let other = Some("none".to_owned());
    let other = wanted(&world, &broker, PipelineWish::Approve(run(number), other)).await;
    let waits = RunError::NothingWaits(vec!["production".to_owned(), "staging".to_owned()]);
    assert_eq!(refused(broker.handle(other).await), waits);
    let production = Some("production".to_owned());
    let approve = PipelineWish::Approve(run(number), production);
    let approve = wanted(&world, &broker, approve).await;
    assert!(matches!(
        broker.handle(approve).await,
        Ok(Outcome::Operated(_))
    ));
    let words = "staging not before noon".to_owned();
    let planned = broker
        .plan(PipelineWish::Deny(run(number), words))
        .await
        .unwrap();
    assert_eq!(planned.reason, "not before noon");
    let deny = Request {
        target: planned.target,
        ..world.request(Action::Pipeline(planned.action), "a")
    };
    let reason = Field {
        name: "reason".to_owned(),
        json: SecretValue::new(br#""not before noon""#.to_vec()),
    };
    let done = broker.handle_with(deny, Beside::fields(&[reason])).await;
    assert!(matches!(done, Ok(Outcome::Operated(_))));
    let reviews = github.world().run(REPOSITORY, number).reviews.clone();
    let told: Vec<_> = reviews
        .iter()
        .map(|it| (it["state"].as_str(), it["comment"].as_str()))
        .collect();
    let by = format!("telegram:{} through vaultgram", ALICE.0);
    let because = format!("{by}: not before noon");
    assert_eq!(
        told,
        [
            (Some("approved"), Some(by.as_str())),
            (Some("rejected"), Some(because.as_str()))
        ]
    );
}

#[tokio::test]
async fn secrets_and_pipelines_are_not_taken_for_each_other() {
    let (_github, world) = world().await;
    let path = "github/acme/shop/deploy.yml";
    for action in [
        Action::Read(Delivery::Message),
        Action::Put { over: None },
        Action::Delete,
    ] {
        assert_eq!(refused(world.ask(action, path).await), RunError::NoSecret);
    }
    for mount in ["a", "old/a", "db/a"] {
        let runs = Action::Pipeline(PipelineAction::Runs);
        assert_eq!(
            refused(world.ask(runs, mount).await),
            RunError::NoPipeline,
            "{mount}"
        );
    }
    for path in [
        "github/Acme/shop",
        "github/acme",
        "github/acme/shop/a/b.yml",
    ] {
        let runs = Action::Pipeline(PipelineAction::Runs);
        assert_eq!(
            refused(world.ask(runs, path).await),
            RunError::NoPipeline,
            "{path}"
        );
    }
    let mut without = World::new();
    without.policy.clone_from(&world.policy);
    let runs = Action::Pipeline(PipelineAction::Runs);
    assert_eq!(
        refused(without.ask(runs, "github/acme/shop").await),
        RunError::NoneServed
    );
}

#[tokio::test]
async fn what_is_typed_into_a_request_is_made_exact() {
    let (_github, mut world) = world().await;
    world.policy = NEEDS_ONE.to_owned();
    world.groups = groups(&[BOB.0], &[]);
    let broker = world.broker();
    let typed = "github/acme/shop/deploy.yml#main?version=v1";
    let request = world.request(Action::Pipeline(PipelineAction::Run), typed);
    let opened = broker.open_approval(&request, "the till is broken").await;
    let Opened::Open(approval) = opened.unwrap() else {
        panic!("it is opened");
    };
    let exact = wanted(&world, &broker, start(&[("version", "v1")])).await;
    assert_eq!(approval.target, exact.target);
    assert!(
        exact
            .target
            .field
            .unwrap()
            .contains("?colour=blue&version=v1")
    );
}

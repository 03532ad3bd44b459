//! What is done with a run is decided by what the run is of: by its ref, its commit and its event.

use vaultgram::broker::{Opened, Outcome, PipelineWish, RunError};
use vaultgram::domain::{Action, PipelineAction, Request, Target};

use crate::approvals::groups;
use crate::github::{Fault, GitHub, pending};
use crate::pipelines::{REPOSITORY, refused, run, wanted, world};
use crate::world::{BOB, World};

const DOCUMENTED: &str = include_str!("../../docs/pipelines.md");

/// A world under the policy that the documentation has for production.
async fn documented() -> (GitHub, World) {
    let (github, mut world) = world().await;
    let (_, policy) = DOCUMENTED.split_once("@id(\"merged\")").unwrap();
    let (policy, _) = policy.split_once("```").unwrap();
    world.policy += policy;
    world.groups = groups(&[BOB.0], &[]);
    (github, world)
}

/// A run on `main` that waits for production; a fork can call its branch so, too.
fn waiting(github: &GitHub, event: &str) -> u64 {
    let mut github = github.world();
    let number = github.begin(REPOSITORY, "deploy.yml", "main", "mallory", event);
    github.run(REPOSITORY, number).pending = vec![pending(5, "production", true)];
    number
}

#[tokio::test]
async fn what_comes_of_a_pull_request_is_not_let_into_production() {
    let (github, world) = documented().await;
    let broker = world.broker();
    for event in ["pull_request", "pull_request_target", "workflow_run"] {
        let number = waiting(&github, event);
        for wish in [
            PipelineWish::Approve(run(number), None),
            PipelineWish::Rerun(run(number)),
        ] {
            let asked = wanted(&world, &broker, wish).await;
            let outcome = broker.handle(asked).await;
            assert!(matches!(outcome, Ok(Outcome::Denied(_))), "{event}");
        }
        let typed = format!("github/acme/shop/deploy.yml#production@{number}");
        let typed = world.request(Action::Pipeline(PipelineAction::Approve), &typed);
        let opened = broker.open_approval(&typed, "it is urgent").await;
        assert!(matches!(opened, Ok(Opened::Denied(_))), "{event}");
    }
    assert!(github.calls("POST").is_empty());
    let number = waiting(&github, "push");
    let pushed = PipelineWish::Approve(run(number), None);
    let pushed = wanted(&world, &broker, pushed).await;
    let outcome = broker.handle(pushed).await;
    assert!(matches!(outcome, Ok(Outcome::Operated(_))));
    assert_eq!(github.world().run(REPOSITORY, number).reviews.len(), 1);
}

#[tokio::test]
async fn what_a_run_is_of_is_not_for_who_asks_to_say() {
    let (github, world) = documented().await;
    let broker = world.broker();
    let number = waiting(&github, "pull_request");
    let honest = PipelineWish::Approve(run(number), None);
    let honest = wanted(&world, &broker, honest).await;
    let field = honest.target.field.clone().unwrap();
    let target = Target {
        field: Some(field.replace("=pull_request", "=push")),
        ..honest.target.clone()
    };
    let forged = Request { target, ..honest };
    assert_eq!(refused(broker.ask(&forged).await), RunError::OfElse);
    let forged = Request {
        id: world.id(),
        ..forged
    };
    assert_eq!(refused(broker.handle(forged).await), RunError::OfElse);
    assert!(github.calls("POST").is_empty());
}

#[tokio::test]
async fn while_github_does_not_say_what_it_is_of_nothing_is_done() {
    let (github, mut world) = documented().await;
    let number = waiting(&github, "push");
    let broker = world.broker();
    github.fault(&format!("/runs/{number}"), Fault::Status(404));
    let approve = PipelineWish::Approve(run(number), Some("production".to_owned()));
    let approve = wanted(&world, &broker, approve).await;
    let outcome = broker.handle(approve).await;
    assert!(matches!(outcome, Ok(Outcome::Denied(_))));
    // Nor is it where policy does not care.
    world.policy = "permit(principal, action, resource);".to_owned();
    let broker = world.broker();
    for (action, environment) in [
        (PipelineAction::Approve, "#production"),
        (PipelineAction::Rerun, ""),
    ] {
        let target = format!("github/acme/shop/deploy.yml{environment}@{number}");
        let unsaid = world.request(Action::Pipeline(action), &target);
        assert_eq!(refused(broker.handle(unsaid).await), RunError::OfElse);
    }
    assert!(github.calls("POST").is_empty());
}

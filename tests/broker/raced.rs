//! What GitHub started: held against what was agreed to, and stopped where it is something else.

use vaultgram::broker::ports::pipelines::RunId;
use vaultgram::broker::{Outcome, RunError};
use vaultgram::domain::AuditEvent;

use crate::github::{Fault, commit};
use crate::pipelines::{REPOSITORY, dispatches, refused, start, wanted, world};

fn moved(run: u64, stopped: bool) -> RunError {
    let run = RunId::new(run).unwrap();
    RunError::Moved { run, stopped }
}

#[tokio::test]
async fn what_was_started_of_another_commit_is_stopped() {
    let (github, world) = world().await;
    let broker = world.broker();
    let request = wanted(&world, &broker, start(&[("version", "v1")])).await;
    github.world().pushed = Some(commit("elsewhere", "Break the till", "Octo Cat"));
    let error = refused(broker.handle(request).await);
    assert_eq!(error, moved(1001, true));
    assert!(error.is_unclear(), "a grant is used up by it");
    let run = github.world().run(REPOSITORY, 1001).clone();
    assert_eq!(run.conclusion.as_deref(), Some("cancelled"));
    assert_eq!(dispatches(&github), 1);
}

#[tokio::test]
async fn what_could_not_be_stopped_is_not_said_to_be() {
    let (github, world) = world().await;
    let broker = world.broker();
    let request = wanted(&world, &broker, start(&[("version", "v1")])).await;
    github.world().pushed = Some(commit("elsewhere", "Break the till", "Octo Cat"));
    github.fault("/runs/1001/cancel", Fault::Status(502));
    let error = refused(broker.handle(request).await);
    assert_eq!(error, moved(1001, false));
    assert!(
        error.to_string().contains("could not be stopped"),
        "{error}"
    );
    let last = world.audit.take().pop().unwrap();
    let reason = "pipeline_raced";
    assert_eq!(last, AuditEvent::StartedAmiss { run: 1001, reason });
}

#[tokio::test]
async fn what_was_started_is_looked_at_until_its_commit_is_known() {
    let (github, world) = world().await;
    let broker = world.broker();
    let request = wanted(&world, &broker, start(&[("version", "v1")])).await;
    github.fault("GET /repos/acme/shop/actions/runs/1001", Fault::Status(404));
    let started = broker.handle(request).await;
    assert!(matches!(started, Ok(Outcome::Operated(_))), "it shows late");
    let request = wanted(&world, &broker, start(&[("version", "v1")])).await;
    github.world().pushed = Some(commit("elsewhere", "Break the till", "Octo Cat"));
    github.fault("GET /repos/acme/shop/actions/runs/1002", Fault::Status(404));
    let error = refused(broker.handle(request).await);
    assert_eq!(error, moved(1002, true));
}

#[tokio::test]
async fn what_was_started_and_cannot_be_looked_at_is_stopped() {
    let (github, world) = world().await;
    let broker = world.broker();
    let request = wanted(&world, &broker, start(&[("version", "v1")])).await;
    for _ in 0..20 {
        github.fault("GET /repos/acme/shop/actions/runs/1001", Fault::Status(404));
    }
    let error = refused(broker.handle(request).await);
    let run = RunId::new(1001).unwrap();
    assert_eq!(error, RunError::Unchecked { run, stopped: true });
    assert!(error.is_unclear(), "a grant is used up by it");
    let run = github.world().run(REPOSITORY, 1001).clone();
    assert_eq!(run.conclusion.as_deref(), Some("cancelled"));
    assert_eq!(dispatches(&github), 1);
}

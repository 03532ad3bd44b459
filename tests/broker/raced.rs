//! What GitHub started: held against what was agreed to, and stopped where it is something else.

use std::time::Duration;

use time::OffsetDateTime;
use vaultgram::broker::ports::Coordination;
use vaultgram::broker::ports::pipelines::RunId;
use vaultgram::broker::{ApprovalError, BrokerError, Outcome, RunError, Waiting};
use vaultgram::domain::{AuditEvent, Request};

use crate::approvals::{approve, groups};
use crate::company::Company;
use crate::github::{Details, Fault, commit};
use crate::pipelines::{REPOSITORY, dispatches, refused, served, start, wanted, world};
use crate::world::{BOB, error};

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

#[tokio::test]
async fn of_two_replicas_at_once_each_tells_its_own_run() {
    let (github, mut world) = world().await;
    github.world().details = Details::Ignored;
    github.world().lag = time::Duration::milliseconds(300);
    let company = Company::new();
    let first = world.broker_on(company.join());
    world.pipelines = Some(served(&github));
    let second = world.broker_on(company.join());
    let one = wanted(&world, &first, start(&[("version", "v1")])).await;
    let other = wanted(&world, &second, start(&[("version", "v2")])).await;
    let (one, other) = tokio::join!(first.handle(one), second.handle(other));
    for (started, version) in [(one, "v1"), (other, "v2")] {
        let Ok(Outcome::Operated(link)) = started else {
            panic!("{version} was not started: {:?}", started.err())
        };
        let run = github.world().run(REPOSITORY, link.id.get()).clone();
        assert_eq!(run.inputs["version"], version);
    }
    assert_eq!(dispatches(&github), 2);
}

#[tokio::test]
async fn what_another_replica_keeps_from_starting_uses_nothing_up() {
    let (github, mut world) = world().await;
    "@approvals(\"1\") @approvers(\"leads\") @once(\"true\")
    permit(principal, action in Action::\"operate\", resource in Path::\"github/acme/shop\");"
        .clone_into(&mut world.policy);
    world.groups = groups(&[BOB.0], &[]);
    let company = Company::new();
    let (member, another) = (company.join(), company.join());
    let broker = world.broker_on(member);
    let request = wanted(&world, &broker, start(&[("version", "v1")])).await;
    let Ok(Outcome::NeedsApproval(Waiting::Opened(opened))) = broker.handle(request.clone()).await
    else {
        panic!("no request")
    };
    approve(&world, &broker, BOB.0, &opened).await.unwrap();
    let turn = "turns/starts/github/acme/shop/deploy.yml";
    let long = OffsetDateTime::now_utc() + Duration::from_hours(1);
    another.claim(turn, long).await.unwrap();
    let again = || Request {
        id: world.id(),
        ..request.clone()
    };
    let mut handling = std::pin::pin!(broker.handle(again()));
    let waits = async {
        while company.waiting() == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::select! {
        done = &mut handling => panic!("it did not wait: {:?}", done.err()),
        () = waits => {}
    }
    tokio::time::pause();
    let refused = error(handling.await);
    tokio::time::resume();
    assert_eq!(refused, BrokerError::Approval(ApprovalError::Busy));
    assert!(refused.passes() && dispatches(&github) == 0);
    another.delete(turn).await.unwrap();
    let started = broker.handle(again()).await;
    assert!(
        matches!(started, Ok(Outcome::Operated(_))),
        "nothing was used up"
    );
}

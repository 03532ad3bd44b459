//! What needs somebody's agreement: asked for, voted on, had, and taken back.

mod crash;
mod glass;
mod granting;
mod jobs;
mod many;
mod opening;
mod racing;
mod reasons;
mod seen;
mod skipping;
mod step_up;
mod upheld;
mod voting;

use std::collections::BTreeMap;

use vaultgram::broker::{
    ApprovalError, ApprovalInfo, Beside, Broker, BrokerError, Opened, Outcome, Vote, Waiting,
};
use vaultgram::domain::approval::{ApprovalStep, Refusal};
use vaultgram::domain::group::Groups;
use vaultgram::domain::{Action, AuditEvent, Caller, Delivery, People, Request};

use crate::world::{ALICE, BOB, CAROL, World, peer, user};

/// In the group `security` only.
pub(crate) const DAN: i64 = 1004;
/// In no group.
pub(crate) const EVE: i64 = 1005;

/// What each path below `secret` costs.
const POLICY: &str = r#"
@id("free") permit(principal, action, resource == Path::"secret/free");
@id("one") @approvals("1") @approvers("leads") @grant("1h")
permit(principal, action, resource == Path::"secret/one");
@id("two") @approvals("2") @approvers("leads, security") @separate("true") @reason("10")
permit(principal, action, resource == Path::"secret/two");
@id("once") @approvals("1") @approvers("leads") @once("true")
permit(principal, action, resource == Path::"secret/once");
@id("code") @approvals("1") @approvers("leads") @step_up("totp")
permit(principal, action, resource == Path::"secret/code");
@id("glass") @approvals("2") @approvers("leads") @break_glass("15m")
permit(principal, action, resource == Path::"secret/glass");
@id("db") @approvals("1") @approvers("leads") @grant("30m")
permit(principal, action, resource in Path::"db/creds/app");
@id("db-once") @approvals("1") @approvers("leads") @grant("30m") @once("true")
permit(principal, action, resource == Path::"db/creds/once");
@id("many") @approvals("1") @approvers("leads")
permit(principal, action, resource in Path::"secret/many");
"#;

/// A world in which almost everything needs approval.
pub(crate) fn world() -> World {
    let mut world = World::new();
    POLICY.clone_into(&mut world.policy);
    world.groups = groups(&[BOB.0, CAROL], &[CAROL, DAN]);
    world
}

/// Groups of these Telegram accounts; Alice and Bob have Unix users too.
pub(crate) fn groups(leads: &[i64], security: &[i64]) -> Groups {
    let members = |ids: &[i64]| {
        let members = ids.iter().map(|id| format!("telegram:{id}").parse());
        members.collect::<Result<Vec<_>, _>>().unwrap()
    };
    let groups = BTreeMap::from([
        ("leads".to_owned(), members(leads)),
        ("security".to_owned(), members(security)),
    ]);
    let people = People::new(&BTreeMap::new(), &BTreeMap::from([ALICE, BOB])).unwrap();
    Groups::new(&groups, people).unwrap()
}

pub(crate) fn on_telegram(id: i64) -> Caller {
    Caller::Telegram(user((id, 0)))
}

pub(crate) fn on_host(who: (i64, u32)) -> Caller {
    Caller::Unix(peer(who))
}

/// A new request of `who` to read `path`.
pub(crate) fn read(world: &World, who: i64, path: &str) -> Request {
    Request {
        caller: on_telegram(who),
        ..world.request(Action::Read(Delivery::Message), path)
    }
}

/// Alice asks for `path`.
pub(crate) async fn ask(
    world: &World,
    broker: &Broker,
    path: &str,
) -> Result<Outcome, BrokerError> {
    let request = read(world, ALICE.0, path);
    broker.handle_with(request, Beside::default()).await
}

pub(crate) async fn released(world: &World, broker: &Broker, path: &str) -> bool {
    matches!(ask(world, broker, path).await, Ok(Outcome::Released(_)))
}

/// What waits for Alice, who asks for `path`.
pub(crate) async fn waiting(world: &World, broker: &Broker, path: &str) -> Waiting {
    match ask(world, broker, path).await {
        Ok(Outcome::NeedsApproval(waiting)) => waiting,
        Ok(_) => panic!("it needs no approval"),
        Err(error) => panic!("{error}"),
    }
}

/// Alice requests `path`.
pub(crate) async fn request(world: &World, broker: &Broker, path: &str) -> ApprovalInfo {
    let request = read(world, ALICE.0, path);
    open(broker.open_approval(&request, "to fix the login").await)
}

pub(crate) fn open(opened: Result<Opened, BrokerError>) -> ApprovalInfo {
    match opened {
        Ok(Opened::Open(approval)) => approval,
        other => panic!("{other:?}"),
    }
}

pub(crate) async fn vote(
    world: &World,
    broker: &Broker,
    who: &Caller,
    approval: &ApprovalInfo,
    vote: Vote,
) -> Result<ApprovalInfo, BrokerError> {
    let name = approval.id.to_string();
    broker.vote(&world.id(), who, &name, vote).await
}

pub(crate) async fn approve(
    world: &World,
    broker: &Broker,
    who: i64,
    approval: &ApprovalInfo,
) -> Result<ApprovalInfo, BrokerError> {
    let yes = Vote::Approve { code: None };
    vote(world, broker, &on_telegram(who), approval, yes).await
}

/// `path`, granted to Alice by those of `votes`.
pub(crate) async fn granted(
    world: &World,
    broker: &Broker,
    path: &str,
    votes: &[i64],
) -> ApprovalInfo {
    let mut approval = request(world, broker, path).await;
    for who in votes {
        approval = approve(world, broker, *who, &approval).await.unwrap();
    }
    assert_eq!(approval.state.name(), "granted");
    world.store.take_calls();
    world.audit.take();
    approval
}

/// What became of `approval` by now.
pub(crate) async fn now(broker: &Broker, approval: &ApprovalInfo) -> ApprovalInfo {
    let name = approval.id.to_string();
    broker.approval(&on_telegram(ALICE.0), &name).await.unwrap()
}

pub(crate) fn of_approval<T>(result: Result<T, BrokerError>) -> ApprovalError {
    match result {
        Err(BrokerError::Approval(error)) => error,
        Err(other) => panic!("{other:?}"),
        Ok(_) => panic!("it must fail"),
    }
}

pub(crate) fn refused<T>(result: Result<T, BrokerError>) -> Refusal {
    let error = of_approval(result);
    let ApprovalError::Refused(refusal) = error else {
        panic!("{error:?}")
    };
    refusal
}

/// The steps on record since this was last asked, by name.
pub(crate) fn steps(world: &World) -> Vec<&'static str> {
    let events = world.audit.take();
    events.iter().map(step).collect()
}

fn step(event: &AuditEvent) -> &'static str {
    if let AuditEvent::Decided { allowed, grant, .. } = event {
        return match (allowed, grant) {
            (false, _) => "refused",
            (true, None) => "allowed",
            (true, Some(_)) => "allowed by grant",
        };
    }
    if let AuditEvent::Released(_) = event {
        return "released";
    }
    if let AuditEvent::Failed { .. } = event {
        return "failed";
    }
    let AuditEvent::Approval(record) = event else {
        return "other";
    };
    match &record.step {
        ApprovalStep::Opened { .. } => "opened",
        ApprovalStep::BrokenGlass { .. } => "broken",
        ApprovalStep::Voted { .. } => "voted",
        ApprovalStep::StepUpFailed => "step_up_failed",
        ApprovalStep::Granted { .. } => "granted",
        ApprovalStep::Denied { .. } => "denied",
        ApprovalStep::Cancelled => "cancelled",
        ApprovalStep::Expired => "expired",
        ApprovalStep::Used => "used",
        ApprovalStep::GivenBack => "given_back",
        ApprovalStep::Extended { .. } => "extended",
        ApprovalStep::Revoked => "revoked",
        ApprovalStep::Ended => "ended",
        ApprovalStep::Reviewed { .. } => "reviewed",
    }
}

//! Jobs that wait for a human: what is granted to one attempt of one run is nobody else's, and who
//! set it going does not decide on it.

use vaultgram::broker::Filter;
use vaultgram::domain::job::Job;
use vaultgram::domain::{Caller, People, RequestId};

use super::*;

/// Bob's number at the issuer.
const ACTOR: &str = "583231";

/// A job that Bob set going.
fn job(run: &str, attempt: &str) -> Caller {
    let claims = [
        ("repository_id", "7"),
        ("run_id", run),
        ("run_attempt", attempt),
        ("actor_id", ACTOR),
    ];
    let claims = claims.map(|(name, text)| (name, text.to_owned()));
    Caller::Job(Job {
        issuer: "github".to_owned(),
        subject: "repo:acme/web:environment:production".to_owned(),
        claims: claims.into(),
    })
}

fn world_of_jobs() -> World {
    let mut world = world();
    let account = |text: &str| text.parse().unwrap();
    let bob = vec![
        account(&format!("telegram:{}", BOB.0)),
        account(&format!("github:{ACTOR}")),
    ];
    let people = BTreeMap::from([("bob".to_owned(), bob)]);
    let people = People::new(&people, &BTreeMap::new()).unwrap();
    let member = |text: &str| text.parse().unwrap();
    let carol = format!("telegram:{CAROL}");
    let leads = vec![member("person:bob"), member(&carol)];
    let security = vec![member(&carol)];
    let groups = BTreeMap::from([
        ("leads".to_owned(), leads),
        ("security".to_owned(), security),
    ]);
    world.groups = Groups::new(&groups, people).unwrap();
    world
}

fn wanted(world: &World, caller: &Caller) -> Request {
    Request {
        // Over HTTPS.
        id: RequestId::Connection(rand::random()),
        caller: caller.clone(),
        ..world.request(Action::Read(Delivery::Socket), "one")
    }
}

/// What `caller` requests.
async fn opened(world: &World, broker: &Broker, caller: &Caller) -> ApprovalInfo {
    let request = wanted(world, caller);
    open(broker.open_approval(&request, "deploy of abc1234").await)
}

async fn has(world: &World, broker: &Broker, caller: &Caller) -> bool {
    let asked = broker.handle_with(wanted(world, caller), Beside::default());
    matches!(asked.await, Ok(Outcome::Released(_)))
}

#[tokio::test]
async fn a_grant_is_for_one_attempt_of_one_run() {
    let world = world_of_jobs();
    let broker = world.broker();
    let asking = job("30", "1");
    let approval = opened(&world, &broker, &asking).await;
    assert_eq!(approval.requester, "bob");
    assert!(!has(&world, &broker, &asking).await);
    approve(&world, &broker, CAROL, &approval).await.unwrap();
    assert!(has(&world, &broker, &asking).await);
    for other in [job("30", "2"), job("31", "1"), on_telegram(BOB.0)] {
        assert!(!has(&world, &broker, &other).await, "{other:?}");
    }
    let mut elsewhere = asking.clone();
    if let Caller::Job(job) = &mut elsewhere {
        job.issuer = "gitlab".to_owned();
    }
    assert!(!has(&world, &broker, &elsewhere).await);
}

#[tokio::test]
async fn what_is_granted_to_a_person_is_not_their_jobs() {
    let world = world_of_jobs();
    let broker = world.broker();
    let reading = Request {
        caller: on_telegram(BOB.0),
        ..wanted(&world, &job("30", "1"))
    };
    let approval = open(broker.open_approval(&reading, "to look at it").await);
    approve(&world, &broker, CAROL, &approval).await.unwrap();
    assert!(!has(&world, &broker, &job("30", "1")).await);
}

#[tokio::test]
async fn neither_who_set_it_going_nor_the_job_decides_on_it() {
    let world = world_of_jobs();
    let broker = world.broker();
    let asking = job("30", "1");
    let approval = opened(&world, &broker, &asking).await;
    let own = approve(&world, &broker, BOB.0, &approval).await;
    assert_eq!(refused(own), Refusal::Own);
    let by_itself = Vote::Approve { code: None };
    let found = vote(&world, &broker, &asking, &approval, by_itself).await;
    assert_eq!(refused(found), Refusal::NotApprover);
    assert!(!broker.concerned(&approval).approvers.contains(&BOB.0));

    // Nor do jobs of Bob's decide on what others ask for, or see it.
    let of_alice = request(&world, &broker, "one").await;
    let yes = Vote::Approve { code: None };
    let found = vote(&world, &broker, &asking, &of_alice, yes).await;
    assert!(matches!(of_approval(found), ApprovalError::Unknown));
    let seen = broker.approvals(&asking, Filter::All).await.unwrap();
    let seen: Vec<_> = seen.iter().map(|info| &info.id).collect();
    assert_eq!(seen, [&approval.id]);
    let seen = broker
        .approvals(&job("30", "2"), Filter::Mine)
        .await
        .unwrap();
    assert!(seen.is_empty(), "another attempt has nothing");
    assert!(!broker.is_admin(&asking));
}

#[tokio::test]
async fn a_job_breaks_no_glass() {
    let world = world_of_jobs();
    let broker = world.broker();
    let by = |caller: Caller| Request {
        id: RequestId::Connection(rand::random()),
        caller,
        ..world.request(Action::Read(Delivery::Socket), "glass")
    };
    let reason = "the site is down";
    let refused = broker.break_glass(&by(job("30", "1")), reason).await;
    assert!(matches!(of_approval(refused), ApprovalError::NoGlass));
    open(broker.break_glass(&by(on_host(ALICE)), reason).await);
}

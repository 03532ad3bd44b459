//! A crowd of requests that wait, and how long it takes to do something among them.

use std::time::{Duration, Instant};

use vaultgram::broker::ports::Coordination;
use vaultgram::broker::{ApprovalRules, Beside, Filter, Opened, Outcome, Vote};
use vaultgram::domain::group::{Groups, Member};
use vaultgram::domain::person::Account;
use vaultgram::domain::{Action, Caller, Delivery, People};

use crate::world::{BOB, World, user};

const POLICY: &str = r#"
@approvals("1") @approvers("leads") permit(principal, action, resource in Path::"secret/many");
"#;
/// Where a request is kept.
const OPEN: &str = "approvals/open/";

/// What is done among `count` requests that wait, and how long each of it takes.
pub(crate) async fn among(count: usize) -> Vec<(&'static str, Duration)> {
    let mut world = World::new();
    POLICY.clone_into(&mut world.policy);
    let leads = vec![Member::Account(Account::Telegram(BOB.0))];
    world.groups = Groups::new(&[("leads".to_owned(), leads)].into(), People::default()).unwrap();
    world.approvals = ApprovalRules {
        per_person: count,
        per_day: u32::MAX,
        ..ApprovalRules::default()
    };
    let wanted = || world.request(Action::Read(Delivery::Message), "many/x");
    let Ok(Opened::Open(some)) = world.broker().open_approval(&wanted(), "").await else {
        panic!("it is not opened");
    };
    let stored = world.coordination.get(&format!("{OPEN}{}", some.id)).await;
    let stored = String::from_utf8(stored.unwrap().unwrap()).unwrap();
    // To open them one by one would only take longer.
    for number in 1..count {
        let id = format!("{number:06}");
        let other = stored.replace(some.id.as_str(), &id);
        let other = other.replace("many/x", &format!("many/{number}"));
        let key = format!("{OPEN}{id}");
        world
            .coordination
            .put(&key, other.as_bytes())
            .await
            .unwrap();
    }
    // As a process finds them that has never seen them.
    let broker = world.broker();
    let bob = Caller::Telegram(user(BOB));
    let mut taken = vec![];
    let mut measure = |what, begun: Instant| taken.push((what, begun.elapsed()));

    for what in ["listing, the first time", "listing"] {
        let begun = Instant::now();
        let listed = broker.approvals(&bob, Filter::Pending).await.unwrap();
        measure(what, begun);
        assert_eq!(listed.len(), count);
    }
    let (id, vote) = (world.id(), Vote::Approve { code: None });
    let begun = Instant::now();
    broker
        .vote(&id, &bob, some.id.as_str(), vote)
        .await
        .unwrap();
    measure("voting", begun);
    let request = wanted();
    let begun = Instant::now();
    let had = broker.handle_with(request, Beside::default()).await;
    measure("reading by a grant among them", begun);
    assert!(matches!(had, Ok(Outcome::Released(_))));
    let begun = Instant::now();
    broker.tend_approvals().await.unwrap();
    measure("a look at them", begun);

    world.clock.pass(Duration::from_hours(25));
    world.audit.take();
    let begun = Instant::now();
    broker.tend_approvals().await.unwrap();
    measure("expiry of all", begun);
    assert_eq!(world.audit.take().len(), count);
    taken
}

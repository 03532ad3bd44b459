//! What comes of requests for approval: counted, ended, extended, said.

mod orders;
mod reasons;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use time::macros::datetime;

use super::*;
use crate::domain::caller::{ChatKind, TelegramUser, UnixPeer};
use crate::domain::job::Job;
use crate::domain::policy_load::PolicySource;
use crate::domain::{
    Action, Caller, Decision, Delivery, Mounts, People, Policy, RequestId, Target,
};

const START: OffsetDateTime = datetime!(2026-01-01 12:00 UTC);

/// People, their accounts, and their groups.
const PEOPLE: [(&str, &[&str], &[&str]); 5] = [
    ("alice", &["telegram:1", "uid:1"], &["leads"]),
    ("bob", &["telegram:2"], &["leads"]),
    ("carol", &["telegram:3", "uid:3"], &["leads", "security"]),
    ("dan", &["telegram:4"], &["security"]),
    ("eve", &["telegram:5", "uid:5"], &[]),
];
const ACCOUNTS: [&str; 8] = [
    "telegram:1",
    "uid:1",
    "telegram:2",
    "telegram:3",
    "uid:3",
    "telegram:4",
    "telegram:5",
    "uid:5",
];

fn account(text: &str) -> Account {
    text.parse().unwrap()
}

fn person(account: &str) -> &'static str {
    let owner = PEOPLE
        .iter()
        .find(|(_, accounts, _)| accounts.contains(&account));
    owner.unwrap().0
}

/// Without those of the people `gone`, in any group.
fn groups(gone: &[&str]) -> Groups {
    let mut people = BTreeMap::new();
    let mut groups = BTreeMap::from([
        ("leads".to_owned(), vec![]),
        ("security".to_owned(), vec![]),
    ]);
    for (name, accounts, theirs) in PEOPLE {
        let accounts = accounts.iter().map(|text| account(text)).collect();
        people.insert(name.to_owned(), accounts);
        for group in theirs.iter().filter(|_| !gone.contains(&name)) {
            let member = format!("person:{name}").parse().unwrap();
            groups.get_mut(*group).unwrap().push(member);
        }
    }
    let people = People::new(&people, &BTreeMap::new()).unwrap();
    Groups::new(&groups, people).unwrap()
}

fn policy(text: &str, gone: &[&str]) -> Policy {
    let source = PolicySource {
        name: "test".to_owned(),
        text: text.to_owned(),
    };
    let mounts = Mounts::new(vec!["secret".to_owned()]).unwrap();
    Policy::load(&[source], groups(gone), &mounts).unwrap()
}

fn request(by: &str, path: &str) -> Request {
    let caller = match account(by) {
        Account::Telegram(id) => Caller::Telegram(TelegramUser {
            id,
            chat: ChatKind::Private,
        }),
        Account::Uid(uid) => Caller::Unix(UnixPeer::known(uid, 50, 7)),
        Account::Issuer { issuer, id } => Caller::Job(Job {
            issuer,
            subject: id,
            claims: BTreeMap::new(),
        }),
    };
    Request {
        id: RequestId::Connection(1),
        caller,
        action: Action::Read(Delivery::Socket),
        target: Target {
            path: crate::domain::SecretPath::new("secret", path).unwrap(),
            field: None,
            version: None,
        },
    }
}

fn need(policy: &Policy, request: &Request) -> Need {
    match policy.decide(request, START) {
        Decision::NeedsApproval(need) => need,
        other @ (Decision::Allow(_) | Decision::Deny(_)) => panic!("{other:?}"),
    }
}

fn opened(policy: &Policy, by: &str) -> Approval {
    let request = request(by, "app");
    let need = need(policy, &request);
    let id = ApprovalId::read("R7K2XQ").unwrap();
    Approval::open(id, request, String::new(), &need, policy.groups(), START)
}

fn allowed(policy: &Policy, request: &Request, approval: &Approval, now: OffsetDateTime) -> bool {
    matches!(
        policy.decide_granted(request, approval, now),
        Decision::Allow(_)
    )
}

/// `approval` after these have approved.
fn approved(policy: &Policy, mut approval: Approval, by: &[&str]) -> Approval {
    let need = need(policy, &approval.request);
    for by in by {
        let event = Event::Vote {
            by: account(by),
            ballot: Ballot::Approve { step_up: None },
            need: &need,
        };
        (approval, _) = approval.step(event, policy.groups(), START).unwrap();
    }
    approval
}

const TWO: &str = r#"@approvals("2") @approvers("leads") @grant("1h") @break_glass("15m")
    permit(principal, action, resource);"#;

#[test]
fn what_was_granted_ends_with_its_approvers_and_with_the_policy() {
    let before = policy(TWO, &[]);
    let granted = approved(
        &before,
        opened(&before, "telegram:5"),
        &["telegram:1", "telegram:2"],
    );
    assert_eq!(granted.state, State::Granted);
    let minutes = |count: u64| START + Duration::from_mins(count);
    let has = |text: &str, gone: &[&str], now| {
        allowed(&policy(text, gone), &granted.request, &granted, now)
    };
    assert!(has(TWO, &[], minutes(59)) && !has(TWO, &[], minutes(60)));
    assert!(has(TWO, &["carol"], START), "she never voted");
    assert!(!has(TWO, &["bob"], START), "his vote counts no more");
    let more = TWO.replace("\"2\"", "\"3\"");
    assert!(!has(&more, &[], START), "a third is wanted");
    let others = TWO.replace("leads", "security");
    assert!(!has(&others, &[], START), "others are wanted");
    let shorter = TWO.replace("1h", "10m");
    assert!(has(&shorter, &[], minutes(9)) && !has(&shorter, &[], minutes(10)));
    let longer = TWO.replace("1h", "2h");
    assert!(!has(&longer, &[], minutes(60)), "nobody agreed to that");
    let once = format!("@once(\"true\") {TWO}");
    assert!(!has(&once, &[], START), "who counts the uses so far?");
    let code = format!("@step_up(\"totp\") {TWO}");
    assert!(!has(&code, &[], START), "nobody gave a code");
    let reasoned = format!("@reason(\"10\") {TWO}");
    assert!(!has(&reasoned, &[], START), "nobody said why");
    let closed = format!("{TWO} forbid(principal, action, resource);");
    assert!(!has(&closed, &[], START), "nothing lifts that");
}

#[test]
fn an_alias_is_no_second_person_even_if_it_becomes_one_later() {
    let policy = policy(TWO, &[]);
    let need = need(&policy, &request("uid:1", "app"));
    let vote = |approval: Approval, by: &str| {
        let event = Event::Vote {
            by: account(by),
            ballot: Ballot::Approve { step_up: None },
            need: &need,
        };
        approval.step(event, policy.groups(), START)
    };
    let own = opened(&policy, "uid:1");
    assert_eq!(vote(own.clone(), "telegram:1").unwrap_err(), Refusal::Own);
    let (once, _) = vote(own, "telegram:3").unwrap();
    assert_eq!(
        vote(once.clone(), "uid:3").unwrap_err(),
        Refusal::VotedAlready
    );
    let (granted, _) = vote(once, "telegram:2").unwrap();
    assert_eq!(granted.state, State::Granted);
    // The configuration learns who bob is.
    for (alice, carol) in [
        (
            &["uid:1", "telegram:1", "telegram:2"][..],
            &["telegram:3"][..],
        ),
        (&["uid:1", "telegram:1"], &["telegram:2", "telegram:3"]),
    ] {
        let accounts = |texts: &[&str]| texts.iter().map(|text| account(text)).collect();
        let people = [("alice", alice), ("carol", carol)];
        let people = people.map(|(name, texts)| (name.to_owned(), accounts(texts)));
        let people = People::new(&people.into(), &BTreeMap::new()).unwrap();
        let leads = ["alice", "carol"].map(|name| format!("person:{name}").parse().unwrap());
        let leads = BTreeMap::from([("leads".to_owned(), leads.to_vec())]);
        let groups = Groups::new(&leads, people).unwrap();
        assert_eq!(granted.cast(&groups).len(), 1, "only carol's counts");
    }
}

#[test]
fn a_second_look_at_votes_that_became_enough_is_no_second_vote() {
    let two = policy(TWO, &[]);
    let waiting = approved(&two, opened(&two, "telegram:5"), &["telegram:1"]);
    let one = TWO.replace("\"2\"", "\"1\"");
    let one = policy(&one, &[]);
    let granted = approved(&one, waiting, &["uid:1"]);
    assert_eq!((granted.state, granted.votes.len()), (State::Granted, 1));
}

#[test]
fn broken_glass_holds_while_policy_lets_it_and_waits_for_somebody_else() {
    let policy = policy(TWO, &[]);
    let groups = policy.groups();
    let wanted = request("telegram:1", "app");
    let need = need(&policy, &wanted);
    let broken = opened(&policy, "telegram:1").broken(&need).unwrap();
    let minutes = |count: u64| START + Duration::from_mins(count);
    assert!(allowed(&policy, &wanted, &broken, minutes(14)));
    assert!(!allowed(&policy, &wanted, &broken, minutes(15)));
    let tame = TWO.replace("@break_glass(\"15m\")", "");
    assert!(!allowed(&self::policy(&tame, &[]), &wanted, &broken, START));
    let lifted = format!(
        r#"{TWO} @approvals("1") @approvers("leads") forbid(principal, action, resource);"#
    );
    let lifted = self::policy(&lifted, &[]);
    assert!(
        !allowed(&lifted, &wanted, &broken, START),
        "it opens nothing that is closed"
    );
    assert!(
        opened(&lifted, "telegram:1")
            .broken(&self::need(&lifted, &wanted))
            .is_none()
    );

    let (ended, effects) = broken.step(Event::Tick, groups, minutes(61)).unwrap();
    assert_eq!(
        effects,
        [Effect::Step(ApprovalStep::Ended), Effect::Reminded]
    );
    assert!(!ended.is_over(minutes(61)), "nobody has looked at it");
    let review = |by| Event::Review {
        by: account(by),
        note: "a fire drill",
    };
    let own = ended.clone().step(review("uid:1"), groups, minutes(62));
    assert_eq!(own.unwrap_err(), Refusal::Own);
    let (done, _) = ended
        .step(review("telegram:2"), groups, minutes(62))
        .unwrap();
    assert!(done.is_over(minutes(62)));
    let again = done.step(review("telegram:3"), groups, minutes(63));
    assert_eq!(
        again.unwrap_err(),
        Refusal::ReviewedAlready("bob".to_owned())
    );
}

#[test]
fn a_grant_lasts_longer_by_the_votes_for_that() {
    let policy = policy(TWO, &[]);
    let groups = policy.groups();
    let first = approved(
        &policy,
        opened(&policy, "telegram:5"),
        &["telegram:1", "telegram:2"],
    );
    let later = START + Duration::from_mins(59);
    let longer = |votes: &[&str]| {
        let mut more = Approval {
            id: ApprovalId::read("222222").unwrap(),
            reason: "it takes longer".to_owned(),
            ..opened(&policy, "telegram:5")
        }
        .extending(&first);
        more = approved(&policy, more, votes);
        if let Some(grant) = &mut more.grant {
            (grant.since, grant.until) = (later, later + Duration::from_hours(1));
        }
        more
    };
    let more = longer(&["telegram:1", "telegram:3"]);
    assert!(
        !allowed(&policy, &more.request, &more, later),
        "it lets nobody in itself"
    );
    let (extended, effects) = first
        .clone()
        .step(Event::Extend(&more), groups, later)
        .unwrap();
    let until = later + Duration::from_hours(1);
    assert_eq!(effects, [Effect::Step(ApprovalStep::Extended { until })]);
    assert!(allowed(
        &policy,
        &first.request,
        &extended,
        until - Duration::from_secs(1)
    ));
    assert_eq!(
        (&extended.votes, &extended.reason),
        (&more.votes, &more.reason)
    );
    let other = Approval {
        id: ApprovalId::read("333333").unwrap(),
        ..first.clone()
    };
    let (same, effects) = other
        .clone()
        .step(Event::Extend(&more), groups, later)
        .unwrap();
    assert_eq!(
        (same, effects),
        (other, vec![]),
        "it is about another grant"
    );
    let pending = longer(&["telegram:1"]);
    let refused = first.clone().step(Event::Extend(&pending), groups, later);
    assert_eq!(refused.unwrap_err(), Refusal::NotGranted);
    let by = account("telegram:3");
    let (revoked, _) = more
        .clone()
        .step(Event::Revoke { by }, groups, later)
        .unwrap();
    let refused = first.clone().step(Event::Extend(&revoked), groups, later);
    assert!(matches!(
        refused.unwrap_err(),
        Refusal::Over(State::Revoked { .. }, _)
    ));
    let over = first.step(
        Event::Extend(&more),
        groups,
        START + Duration::from_hours(1),
    );
    assert!(matches!(over.unwrap_err(), Refusal::Over(State::Ended, _)));
}

#[test]
fn what_somebody_may_have_is_no_more_than_was_approved() {
    let groups = groups(&[]);
    let policy = policy(TWO, &[]);
    let approval = |field: Option<&str>, version| {
        let mut approval = opened(&policy, "telegram:1");
        approval.request.target.field = field.map(str::to_owned);
        approval.request.target.version = version;
        approval
    };
    let covers = |approval: &Approval, field: Option<&str>, version| {
        let mut request = request("uid:1", "app");
        request.target.field = field.map(str::to_owned);
        request.target.version = version;
        approval.covers(&request, &groups)
    };
    let whole = approval(None, None);
    assert!(covers(&whole, Some("a"), None) && covers(&whole, None, Some(2)));
    let part = approval(Some("a"), Some(2));
    assert!(covers(&part, Some("a"), Some(2)));
    for (field, version) in [
        (None, Some(2)),
        (Some("b"), Some(2)),
        (Some("a"), None),
        (Some("a"), Some(1)),
    ] {
        assert!(!covers(&part, field, version), "{field:?} {version:?}");
    }
    let mut other = request("uid:1", "app");
    other.action = Action::Read(Delivery::Message);
    assert!(!whole.covers(&other, &groups), "another delivery");
    other.action = Action::Versions;
    assert!(!whole.covers(&other, &groups), "another action");
    let mut deletion = whole;
    deletion.request.action = Action::Delete;
    other.action = Action::Destroy;
    assert!(!deletion.covers(&other, &groups), "another change");
}

#[test]
fn of_several_demands_the_strictest_counts() {
    let policy = policy(
        r#"@approvals("1") @approvers("leads") @grant("30m") @step_up("totp")
        permit(principal, action, resource);
        @approvals("1") @approvers("security") @grant("1h") @once("true")
        forbid(principal, action, resource);"#,
        &[],
    );
    let need = need(&policy, &request("telegram:5", "app"));
    let half_an_hour = Duration::from_mins(30);
    assert_eq!(need.promise(0), Some((half_an_hour, true)));
    assert_eq!(need.step_up(&["leads"]), Some("totp"));
    assert_eq!(need.step_up(&["security"]), None, "theirs needs no code");
    let votes = [("telegram:2", Some("totp")), ("telegram:4", None)];
    let mut approval = opened(&policy, "telegram:5");
    for (by, step_up) in votes {
        let event = Event::Vote {
            by: account(by),
            ballot: Ballot::Approve { step_up },
            need: &need,
        };
        (approval, _) = approval.step(event, policy.groups(), START).unwrap();
    }
    let grant = approval.grant.unwrap();
    assert_eq!((grant.until, grant.once), (START + half_an_hour, true));
}

#[test]
fn what_happened_is_said() {
    let policy = policy(TWO, &[]);
    let need = need(&policy, &request("telegram:5", "app"));
    let (denied, _) = opened(&policy, "telegram:5")
        .step(
            Event::Vote {
                by: account("telegram:2"),
                ballot: Ballot::Deny { reason: "not now" },
                need: &need,
            },
            policy.groups(),
            START,
        )
        .unwrap();
    let late = Event::Vote {
        by: account("telegram:1"),
        ballot: Ballot::Approve { step_up: None },
        need: &need,
    };
    let refused = denied.step(
        late.clone(),
        policy.groups(),
        START + Duration::from_mins(3),
    );
    assert_eq!(
        refused.unwrap_err().to_string(),
        "this request is over: bob denied it (not now), 3 min ago"
    );
    let expired =
        opened(&policy, "telegram:5").step(late, policy.groups(), START + Duration::from_hours(25));
    assert_eq!(
        expired.unwrap_err().to_string(),
        "this request is over: nobody decided in time, 60 min ago"
    );
    let unique: BTreeSet<&str> = [
        State::Pending,
        State::Granted,
        State::Cancelled,
        State::Expired,
        State::Used,
        State::Ended,
        State::Applied,
    ]
    .iter()
    .map(State::name)
    .collect();
    assert_eq!(unique.len(), 7);
}

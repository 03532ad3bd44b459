//! What policies want approved, by whom, and which of them make no sense.

use std::time::Duration;

use vaultgram::domain::approval::Approval;
use vaultgram::domain::policy::DenialReason;
use vaultgram::domain::{ApprovalId, Decision, Need, Permit, Policy, Request, RequestId};

use super::*;

const ONE: &str = "@approvals(\"1\") @approvers(\"developers\")";

fn need(policy: &Policy, path: &str) -> Need {
    match decide(policy, unix(990), path) {
        Decision::NeedsApproval(need) => need,
        other @ (Decision::Allow(_) | Decision::Deny(_)) => panic!("{other:?}"),
    }
}

#[test]
fn a_way_in_that_costs_nothing_is_enough_and_brings_its_own_terms() {
    let policy = load(&format!(
        "{ONE} @vault_role(\"approved\") @cache(\"1s\") permit(principal, action, resource);
         @id(\"free\") @vault_role(\"free\") permit(principal, action, resource == Path::\"secret/a\");"
    ))
    .unwrap();
    let Decision::Allow(permit) = decide(&policy, unix(990), "a") else {
        panic!("not allowed");
    };
    assert_eq!(permit.policies(), ["free"]);
    assert_eq!(permit.terms().vault_role.as_deref(), Some("free"));
    assert_eq!(permit.terms().cache, None, "that is the other one's");
    assert_eq!(permit.grant(), None);
    assert_eq!(need(&policy, "b").policies(), ["policy.cedar:policy0"]);
}

#[test]
fn a_forbid_is_lifted_by_its_approvals_or_not_at_all() {
    let permit = "permit(principal, action, resource in Path::\"secret/a\");";
    let lifted = format!("@id(\"night\") {ONE} forbid(principal, action, resource);");
    let policy = load(&format!("{permit} {lifted}")).unwrap();
    assert_eq!(
        need(&policy, "a/x").policies(),
        ["policy.cedar:policy0", "night"]
    );
    // Nothing would let them in, were it lifted.
    let denied = denial(&policy, unix(990), "b");
    assert_eq!(denied, (DenialReason::Forbidden, vec!["night".to_owned()]));
    let last = "@id(\"never\") forbid(principal, action, resource == Path::\"secret/a/y\");";
    let policy = load(&format!("{permit} {lifted} {last}")).unwrap();
    assert_eq!(need(&policy, "a/x").policies().len(), 2);
    let (reason, policies) = denial(&policy, unix(990), "a/y");
    assert_eq!(reason, DenialReason::Forbidden);
    assert!(policies.contains(&"never".to_owned()));
}

#[test]
fn the_least_demanding_way_is_told_and_what_is_closed_besides() {
    let policy = load(&format!(
        "@id(\"long\") @reason(\"50\") @waits(\"2d\") {ONE} permit(principal, action, resource);
         @id(\"short\") @reason(\"10\") @waits(\"2h\") {ONE} permit(principal, action, resource);
         @id(\"night\") @reason(\"20\") @waits(\"1h\") {ONE} forbid(principal, action, resource == Path::\"secret/b\");"
    ))
    .unwrap();
    let plain = need(&policy, "a");
    assert_eq!(
        (plain.reason(), plain.waits(50)),
        (10, Duration::from_hours(2))
    );
    let closed = need(&policy, "b");
    assert_eq!(
        (closed.reason(), closed.waits(50)),
        (20, Duration::from_hours(1))
    );
}

#[test]
fn a_reason_alone_is_a_way_in_of_its_own() {
    let policy = load(&format!(
        "@id(\"why\") @reason(\"10\") permit(principal, action, resource);
         @id(\"others\") @waits(\"2h\") {ONE} permit(principal, action, resource == Path::\"secret/b\");
         @id(\"night\") {ONE} forbid(principal, action, resource == Path::\"secret/c\");"
    ))
    .unwrap();
    let alone = need(&policy, "a");
    assert_eq!((alone.reason(), alone.reason_alone()), (10, Some(10)));
    assert_eq!((alone.unmet(), alone.glass()), (vec![], None));
    let either = need(&policy, "b");
    assert_eq!((either.reason(), either.reason_alone()), (0, Some(10)));
    assert_eq!(
        either.waits(9),
        Duration::from_hours(2),
        "that is the others'"
    );
    let closed = need(&policy, "c");
    assert_eq!((closed.reason(), closed.reason_alone()), (10, None));
    assert_eq!(closed.unmet().len(), 1);
    assert_eq!(policy.demanding(), 2, "the first asks nobody");
}

#[test]
fn looking_is_all_that_can_be_done_before_anybody_agrees() {
    let policy = load(&format!(
        "{ONE} @vault_role(\"approved\") @cache(\"1m\") permit(principal, action, resource);"
    ))
    .unwrap();
    let request = Request {
        id: RequestId::Connection(1),
        caller: unix(990),
        action: Action::Delete,
        target: mounts().parse("a#b@2").unwrap(),
    };
    let permit: Permit = need(&policy, "a").permit_to_look(&request, NOW);
    assert_eq!(permit.action(), Action::Versions);
    assert_eq!(permit.target().to_string(), "secret/a");
    assert_eq!(permit.terms().vault_role.as_deref(), Some("approved"));
    assert_eq!(permit.terms().cache, None);
}

#[test]
fn what_is_open_is_not_granted() {
    let policy = load(&format!("{ONE} permit(principal, action, resource);")).unwrap();
    let request = Request {
        id: RequestId::Connection(1),
        caller: unix(990),
        action: Action::List,
        target: mounts().parse_folder("a").unwrap(),
    };
    let Decision::NeedsApproval(need) = policy.decide(&request, NOW) else {
        panic!("not needed");
    };
    let id = ApprovalId::read("R7K2XQ").unwrap();
    let open = Approval::open(
        id,
        request.clone(),
        String::new(),
        &need,
        policy.groups(),
        NOW,
    );
    let decision = policy.decide_granted(&request, &open, NOW);
    assert!(matches!(decision, Decision::NeedsApproval(_)));
    assert_eq!(policy.demanding(), 1);
    let approvers: Vec<_> = policy.approvers().iter().map(ToString::to_string).collect();
    assert_eq!(approvers, ["telegram:1001"]);
}

#[test]
fn mistakes_about_approvals_are_placed() {
    let permit = "permit(principal, action, resource);";
    let with = |annotations: &str| format!("{annotations}\n  {permit}");
    let mistakes = [
        (
            with("@approvals(\"1\")"),
            "policy.cedar:1:1: @approvals needs @approvers beside it",
        ),
        (
            with("@id(\"a\")\n @approvals(\"eleven\") @approvers(\"developers\")"),
            "policy.cedar:2:2: @approvals is a number from 1 to 10",
        ),
        (
            with("@approvals(\"1\") @approvers(\"developpers\")"),
            "policy.cedar:1:17: the group \"developpers\" is not in [groups]",
        ),
        (
            with("@approvals(\"1\") @approvers(\"developers, nobody\")"),
            "policy.cedar:1:17: the group \"nobody\" has no member who could approve",
        ),
        (
            // Whoever starts a unit would be an approver.
            with("@approvals(\"1\") @approvers(\"deployers\")"),
            "policy.cedar:1:17: the group \"deployers\" has no member who could approve",
        ),
        (
            with("@approvals(\"2\") @approvers(\"developers\")"),
            "policy.cedar:1:1: these groups have one person who could approve, and 2 must",
        ),
        (
            with(&format!("{ONE} @security_review(\"developers\")")),
            "policy.cedar:1:42: whoever reviews is none of the 1 who approve",
        ),
        (
            with(&format!("{ONE} @security_review(\"nowhere\")")),
            "policy.cedar:1:42: the group \"nowhere\" is not in [groups]",
        ),
        (
            with("@break_glass(\"15m\")"),
            "policy.cedar:1:1: @break_glass says how something is approved; it needs @approvals",
        ),
        (
            "@reason(\"10\") forbid(principal, action, resource);".to_owned(),
            "policy.cedar:1:1: a reason alone lifts no forbid; name who must agree (@approvals)",
        ),
        (
            format!("{ONE} @break_glass(\"15m\") forbid(principal, action, resource);"),
            "policy.cedar:1:42: what a forbid closes opens with its approvals only",
        ),
        (
            with("@aprovals(\"1\")"),
            "policy.cedar:1:1: unknown annotation @aprovals; known: @id, @description, \
             @vault_role, @cache, @stale, @approvals, @approvers, @separate",
        ),
    ];
    let mistakes: Vec<_> = mistakes
        .iter()
        .map(|(text, said)| (text.as_str(), *said))
        .collect();
    placed(&mistakes);
}

//! Reasons: where one is enough by itself, and where it is none.

use super::*;

const WHY: &str = r#"@reason("5") @grant("1h") permit(principal, action, resource);"#;

#[test]
fn a_reason_that_was_enough_is_so_as_long_as_policy_says() {
    let before = policy(WHY, &[]);
    let asked = Approval {
        reason: "it is down".to_owned(),
        ..opened(&before, "telegram:5")
    };
    let wanted = asked.request.clone();
    let (granted, effect) = asked.clone().unasked(&need(&before, &wanted));
    let until = START + Duration::from_hours(1);
    let policies = vec!["test:policy0".to_owned()];
    let expected = ApprovalStep::Granted {
        until,
        once: false,
        policies,
    };
    assert_eq!(effect, Some(Effect::Step(expected)));
    assert!(granted.asks.is_empty() && granted.votes.is_empty());
    let two = policy(TWO, &[]);
    let (waits, effect) = asked.unasked(&need(&two, &wanted));
    assert_eq!((waits.state, effect), (State::Pending, None));
    let minutes = |count: u64| START + Duration::from_mins(count);
    let has = |text: &str, now| {
        let policy = policy(text, &[]);
        let has = allowed(&policy, &wanted, &granted, now);
        assert_eq!(policy.upholds(&granted, now), has, "{text}");
        has
    };
    assert!(has(WHY, minutes(59)) && !has(WHY, minutes(60)));
    let shorter = WHY.replace("1h", "10m");
    assert!(has(&shorter, minutes(9)) && !has(&shorter, minutes(10)));
    let once = format!("@once(\"true\") {WHY}");
    let longer = WHY.replace("\"5\"", "\"11\"");
    let closed = format!("{WHY} forbid(principal, action, resource);");
    for stricter in [TWO, &once, &longer, &closed] {
        assert!(!has(stricter, START), "{stricter}");
    }
    let read = "permit(principal, action, resource)
        when { context has reason && context.reason like \"*down*\" };";
    assert!(has(read, START) && !has(read, minutes(60)));
    assert!(!has(&read.replace("down", "up"), START));
    assert!(has("permit(principal, action, resource);", minutes(59)));

    // What is granted for longer than a reason that policy only reads.
    let long = policy(&WHY.replace("1h", "2h"), &[]);
    let asked = Approval {
        reason: "it is down".to_owned(),
        ..opened(&long, "telegram:5")
    };
    let (granted, _) = asked.unasked(&need(&long, &wanted));
    let reading = policy(read, &[]);
    assert!(reading.upholds(&granted, minutes(59)) && !reading.upholds(&granted, minutes(60)));
    assert!(!allowed(&reading, &wanted, &granted, minutes(60)));
    let free = policy("permit(principal, action, resource);", &[]);
    assert!(
        free.upholds(&granted, minutes(119)),
        "it needs no grant any more"
    );
}

#[test]
fn the_reason_of_what_waits_is_none() {
    let free = "permit(principal, action, resource) when { context has reason };";
    let approvals = format!("@approvals(\"1\") @approvers(\"leads\") {free}");
    let wanted = request("telegram:5", "app");
    let asked = policy(&approvals, &[]);
    let Decision::NeedsApproval(need) = asked.decide_with(&wanted, Some("why"), START) else {
        panic!("it needs no approval");
    };
    let id = ApprovalId::read("R7K2XQ").unwrap();
    let reason = "why".to_owned();
    let waits = Approval::open(id, wanted.clone(), reason, &need, asked.groups(), START);
    assert!(!allowed(&policy(free, &[]), &wanted, &waits, START));
}

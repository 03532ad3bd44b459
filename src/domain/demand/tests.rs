//! What annotations mean, and which combinations mean nothing.

use std::str::FromStr;

use super::*;

fn read(annotations: &str, effect: &str) -> Result<Option<Demand>, Wrong> {
    let text = format!("{annotations} {effect}(principal, action, resource);");
    let set = cedar_policy::PolicySet::from_str(&text).unwrap();
    of(set.policies().next().unwrap())
}

#[test]
fn what_is_not_said_has_a_default() {
    let demand = read(r#"@approvals("1") @approvers("leads")"#, "permit").unwrap();
    let expected = Demand {
        approvals: 1,
        approvers: vec!["leads".to_owned()],
        separate: false,
        review: None,
        reason: 0,
        grant: Duration::from_hours(1),
        once: false,
        waits: Duration::from_hours(24),
        step_up: None,
        break_glass: None,
    };
    assert_eq!(demand, Some(expected));
    assert_eq!(read(r#"@id("x")"#, "permit"), Ok(None));
}

#[test]
fn a_reason_can_be_enough() {
    let alone = read(r#"@reason("10")"#, "permit").unwrap().unwrap();
    assert!(alone.is_alone() && alone.groups().next().is_none());
    assert_eq!((alone.reason, alone.once), (10, false));
    assert_eq!(alone.grant, Duration::from_hours(1));
    let all = r#"@reason("10") @grant("30m") @once("true")"#;
    let all = read(all, "permit").unwrap().unwrap();
    assert!(all.is_alone() && all.once);
    assert_eq!(all.grant, Duration::from_mins(30));
    for (beside, value) in [
        ("approvers", "a"),
        ("separate", "true"),
        ("security_review", "a"),
        ("waits", "1h"),
        ("step_up", "totp"),
        ("break_glass", "15m"),
    ] {
        let text = format!(r#"@reason("10") @{beside}("{value}")"#);
        let (place, problem) = read(&text, "permit").unwrap_err();
        assert_eq!(place, beside);
        assert!(
            problem.ends_with("it needs @approvals beside it"),
            "{problem}"
        );
    }
    let (place, problem) = read(r#"@reason("10")"#, "forbid").unwrap_err();
    assert_eq!(place, "reason");
    assert!(problem.starts_with("a reason alone lifts no forbid"));
    let (place, problem) = read(r#"@once("true")"#, "permit").unwrap_err();
    assert_eq!(place, "once");
    assert!(problem.ends_with("it needs @approvals or @reason beside it"));
}

#[test]
fn everything_can_be_said() {
    let all = r#"@approvals("2") @approvers("a, b") @separate("true") @security_review("s")
        @reason("10") @grant("30m") @once("true") @waits("7d") @step_up("auth/totp")
        @break_glass("15m")"#;
    let demand = read(all, "permit").unwrap().unwrap();
    assert_eq!(demand.groups().collect::<Vec<_>>(), ["a", "b", "s"]);
    assert!(demand.separate && demand.once && demand.reason == 10);
    assert_eq!(demand.grant, Duration::from_mins(30));
    assert_eq!(demand.waits, MAX_SPAN);
    assert_eq!(demand.step_up.as_deref(), Some("auth/totp"));
    assert_eq!(demand.break_glass, Some(Duration::from_mins(15)));
}

#[test]
fn nonsense_is_refused_where_it_stands() {
    let one = r#"@approvals("1") @approvers("a")"#;
    for (place, annotations) in [
        ("approvals", r#"@approvals("1")"#),
        ("approvals", r#"@approvals("1") @approvers("")"#),
        ("approvals", r#"@approvals("0") @approvers("a")"#),
        ("approvals", r#"@approvals("11") @approvers("a")"#),
        ("approvals", r#"@approvals("+1") @approvers("a")"#),
        ("approvals", r#"@approvals("two") @approvers("a")"#),
        ("approvers", r#"@approvals("1") @approvers("a,,b")"#),
        ("approvers", r#"@approvals("1") @approvers("a, a")"#),
        ("approvers", r#"@approvers("a")"#),
        ("grant", r#"@grant("1h")"#),
        ("break_glass", r#"@break_glass("1h")"#),
        (
            "separate",
            r#"@approvals("2") @approvers("a") @separate("true")"#,
        ),
    ] {
        let (found, problem) = read(annotations, "permit").unwrap_err();
        assert_eq!(found, place, "{annotations}: {problem}");
    }
    for (place, wrong) in [
        ("separate", r#"@separate("yes")"#),
        ("security_review", r#"@security_review("a, b")"#),
        ("security_review", r#"@security_review(" ")"#),
        ("reason", r#"@reason("0")"#),
        ("reason", r#"@reason("501")"#),
        ("grant", r#"@grant("59s")"#),
        ("grant", r#"@grant("8d")"#),
        ("once", r#"@once("false")"#),
        ("waits", r#"@waits("forever")"#),
        ("step_up", r#"@step_up("../totp")"#),
        ("break_glass", r#"@break_glass("25h")"#),
    ] {
        let (found, problem) = read(&format!("{one} {wrong}"), "permit").unwrap_err();
        assert_eq!(found, place, "{wrong}: {problem}");
        assert!(!problem.is_empty());
    }
    let glass = format!(r#"{one} @break_glass("15m")"#);
    assert_eq!(read(&glass, "forbid").unwrap_err().0, "break_glass");
    assert!(read(one, "forbid").unwrap().is_some());
}

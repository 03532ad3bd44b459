//! Policies that speak of the time of day, and of the reason somebody gives.

use jiff::tz::TimeZone;
use time::macros::datetime;
use time::{Duration, OffsetDateTime};
use vaultgram::domain::caller::ChatKind;
use vaultgram::domain::{Action, Decision, Delivery, Policy, Request, RequestId, Zone};

use super::{load, mounts, telegram};

fn allows(policy: &Policy, reason: Option<&str>, now: OffsetDateTime) -> bool {
    let request = Request {
        id: RequestId::Connection(1),
        caller: telegram(1001, ChatKind::Private),
        action: Action::Read(Delivery::Message),
        target: mounts().parse("secret/a").unwrap(),
    };
    let decision = policy.decide_with(&request, reason, now);
    matches!(decision, Decision::Allow(_))
}

#[test]
fn hours_and_days_are_those_of_the_zone_and_no_answer_outlives_its_minute() {
    let policy = load(
        r#"permit(principal, action == Action::"read", resource)
           when { context.time.hour >= 9 && context.time.hour < 17 }
           unless { [Weekday::"saturday", Weekday::"sunday"].contains(context.time.weekday) };"#,
    )
    .unwrap();
    let monday = datetime!(2026-11-30 8:59:59 UTC);
    assert!(!allows(&policy, None, monday));
    assert!(allows(&policy, None, monday + Duration::SECOND));
    assert!(allows(&policy, None, monday + Duration::hours(8)));
    assert!(!allows(
        &policy,
        None,
        monday + Duration::hours(8) + Duration::SECOND
    ));
    assert!(!allows(&policy, None, datetime!(2026-11-29 12:00 UTC)));
    let rule = TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap();
    let policy = policy.in_zone(Zone::from(rule));
    assert!(allows(&policy, None, datetime!(2026-11-30 8:00 UTC)));
    assert!(allows(&policy, None, datetime!(2026-07-01 7:00 UTC)));
    assert!(!allows(&policy, None, datetime!(2026-11-30 7:59 UTC)));
}

#[test]
fn access_ends_on_a_date() {
    let policy = load(
        r#"permit(principal, action == Action::"read", resource)
           when { context.time.now < datetime("2026-12-31") && context.time.minute < 60 };"#,
    )
    .unwrap();
    assert!(allows(&policy, None, datetime!(2026-12-30 23:59:59 UTC)));
    assert!(!allows(&policy, None, datetime!(2026-12-31 0:00 UTC)));
}

#[test]
fn a_day_that_does_not_exist_is_refused() {
    let problems = load(
        r#"forbid(principal, action == Action::"read", resource)
           when { context.time.weekday == Weekday::"sonntag" };"#,
    );
    let problems = problems.err().unwrap();
    assert!(problems[0].contains("sonntag"), "{problems:?}");
}

#[test]
fn a_reason_may_be_asked_for_but_not_dodged() {
    let policy = load(
        r#"permit(principal, action == Action::"read", resource);
           forbid(principal, action == Action::"read", resource)
           unless { context has reason && context.reason like "*INC-*" };"#,
    )
    .unwrap();
    let now = OffsetDateTime::UNIX_EPOCH;
    assert!(!allows(&policy, None, now));
    assert!(!allows(&policy, Some("because"), now));
    assert!(
        allows(&policy, Some("INC-7 is open"), now),
        "no answer to another reason"
    );
    let problems = load(
        r#"forbid(principal, action == Action::"read", resource)
           when { context has reason && context.reason like "*test*" };"#,
    );
    assert_eq!(
        problems.err().unwrap(),
        [
            "policy.cedar:2:19: whether context has reason is not always known, and this policy \
             does not apply where it is not; turn it round: forbid (…) unless { context has \
             reason && … }"
        ]
    );
    let open = "permit(principal, action, resource) unless { context has reason };";
    assert!(load(open).is_err());
}

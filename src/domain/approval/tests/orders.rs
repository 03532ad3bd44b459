//! Arbitrary people do arbitrary things in arbitrary order.

use std::sync::OnceLock;

use proptest::prelude::*;

use super::*;

/// Policies, and whether the votes of these people (by name, whether with a code) are enough.
type Enough = fn(&[(&str, bool)]) -> bool;
const POLICIES: [(&str, Enough); 11] = [
    (
        r#"@approvals("1") @approvers("leads") @grant("30m") permit(principal, action, resource);"#,
        |votes| votes.iter().any(|(name, _)| lead(name)),
    ),
    (
        r#"@approvals("2") @approvers("leads, security") @separate("true") @grant("30m")
           permit(principal, action, resource);"#,
        |votes| pairs(votes).any(|(one, other)| lead(one) && guard(other)),
    ),
    (
        r#"@approvals("1") @approvers("leads") @security_review("security") @grant("30m")
           permit(principal, action, resource);"#,
        |votes| pairs(votes).any(|(one, other)| lead(one) && guard(other)),
    ),
    (
        r#"@approvals("1") @approvers("leads") @once("true") @grant("30m")
           permit(principal, action, resource);"#,
        |votes| votes.iter().any(|(name, _)| lead(name)),
    ),
    (
        r#"@approvals("1") @approvers("leads") @step_up("totp") @grant("30m")
           permit(principal, action, resource);"#,
        |votes| votes.iter().any(|(name, code)| lead(name) && *code),
    ),
    (
        r#"permit(principal, action, resource);
           @approvals("1") @approvers("security") @grant("30m")
           forbid(principal, action, resource);"#,
        |votes| votes.iter().any(|(name, _)| guard(name)),
    ),
    (
        // Carol counts for both: they are demands of their own.
        r#"@approvals("2") @approvers("leads") @grant("30m") permit(principal, action, resource);
           @approvals("1") @approvers("security") @grant("1h")
           forbid(principal, action, resource);"#,
        |votes| {
            pairs(votes).any(|(one, other)| lead(one) && lead(other))
                && votes.iter().any(|(name, _)| guard(name))
        },
    ),
    (
        r#"@reason("5") @grant("30m") permit(principal, action, resource);"#,
        |_| false,
    ),
    (
        r#"@reason("5") @once("true") @grant("30m") permit(principal, action, resource);"#,
        |_| false,
    ),
    (
        r#"@reason("5") @grant("30m") permit(principal, action, resource);
           @approvals("1") @approvers("security") @grant("1h")
           forbid(principal, action, resource);"#,
        |votes| votes.iter().any(|(name, _)| guard(name)),
    ),
    (
        // Without a code, Carol counts for one of them only.
        r#"@approvals("1") @approvers("leads") @step_up("totp") @grant("30m")
           permit(principal, action, resource);
           @approvals("1") @approvers("security") @grant("1h")
           forbid(principal, action, resource);"#,
        |votes| {
            votes.iter().any(|(name, code)| lead(name) && *code)
                && votes.iter().any(|(name, _)| guard(name))
        },
    ),
];
/// Of these, those that want a reason; the first two want nothing else.
const REASONED: [usize; 3] = [7, 8, 9];
/// Those that grant one use.
const ONCE: [usize; 2] = [3, 8];

fn lead(name: &str) -> bool {
    ["alice", "bob", "carol"].contains(&name)
}

fn guard(name: &str) -> bool {
    ["carol", "dan"].contains(&name)
}

/// Two different people, in every order.
fn pairs<'a>(votes: &'a [(&'a str, bool)]) -> impl Iterator<Item = (&'a str, &'a str)> {
    let all = votes
        .iter()
        .flat_map(|one| votes.iter().map(move |other| (one.0, other.0)));
    all.filter(|(one, other)| one != other)
}

/// [`POLICIES`], read once.
fn loaded() -> &'static [Policy] {
    static LOADED: OnceLock<Vec<Policy>> = OnceLock::new();
    let load = || POLICIES.iter().map(|(text, _)| policy(text, &[])).collect();
    LOADED.get_or_init(load)
}

/// What somebody does, with which account.
#[derive(Debug, Clone, Copy)]
enum Deed {
    Approve(usize, bool),
    Deny(usize),
    Cancel(usize),
    Revoke(usize),
    Review(usize),
    Use,
    GiveBack,
    Tick,
    Wait(u64),
}

fn deeds() -> impl Strategy<Value = Vec<Deed>> {
    let who = 0..ACCOUNTS.len();
    let deed = prop_oneof![
        8 => (who.clone(), any::<bool>()).prop_map(|(who, code)| Deed::Approve(who, code)),
        1 => who.clone().prop_map(Deed::Deny),
        1 => who.clone().prop_map(Deed::Cancel),
        1 => who.clone().prop_map(Deed::Revoke),
        1 => who.prop_map(Deed::Review),
        3 => Just(Deed::Use),
        2 => Just(Deed::GiveBack),
        2 => Just(Deed::Tick),
        2 => (0..40u64).prop_map(Deed::Wait),
        1 => Just(Deed::Wait(60 * 24)),
    ];
    prop::collection::vec(deed, 0..40)
}

/// What has been seen to happen, kept apart from the machine.
#[derive(Default)]
struct Seen {
    votes: Vec<(&'static str, bool)>,
    granted: Option<OffsetDateTime>,
    over: bool,
    uses: usize,
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(debug_assertions) { 600 } else { 6000 }))]

    #[test]
    fn nothing_comes_of_anything_but_enough_votes_of_others_in_time(
        which in 0..POLICIES.len(),
        requester in 0..ACCOUNTS.len(),
        reasoned in any::<bool>(),
        deeds in deeds(),
    ) {
        let (_, enough) = POLICIES[which];
        let policy = &loaded()[which];
        let groups = policy.groups();
        let own = ACCOUNTS[requester];
        let mut approval = opened(policy, own);
        if reasoned {
            approval.reason = "it is down".to_owned();
        }
        let (wanted, need) = (approval.request.clone(), need(policy, &approval.request));
        let (mut now, mut seen) = (START, Seen::default());
        let (begun, granted) = approval.unasked(&need);
        approval = begun;
        let told = reasoned || !REASONED.contains(&which);
        prop_assert_eq!(granted.is_some(), reasoned && (which == 7 || which == 8));
        seen.granted = granted.map(|_| now + Duration::from_mins(30));
        for deed in deeds {
            let by = |who: usize| account(ACCOUNTS[who]);
            let vote = |who, ballot| Event::Vote { by: by(who), ballot, need: &need };
            let event = match deed {
                Deed::Wait(minutes) => {
                    now += Duration::from_mins(minutes);
                    Event::Tick
                }
                Deed::Approve(who, code) => {
                    vote(who, Ballot::Approve { step_up: code.then_some("totp") })
                }
                Deed::Deny(who) => vote(who, Ballot::Deny { reason: "no" }),
                Deed::Cancel(who) => Event::Cancel { by: by(who) },
                Deed::Revoke(who) => Event::Revoke { by: by(who) },
                Deed::Review(who) => Event::Review { by: by(who), note: "fine" },
                Deed::Use => Event::Use,
                Deed::GiveBack => Event::GiveBack,
                Deed::Tick => Event::Tick,
            };
            let before = approval.clone();
            let waits = !seen.over && seen.granted.is_none() && now < before.waits_until;
            let live = !seen.over && seen.granted.is_some_and(|until| now < until);
            match approval.step(event, groups, now) {
                Err(_) => approval = before,
                Ok((next, effects)) => {
                    prop_assert_eq!(next.revision, before.revision + u64::from(!effects.is_empty()));
                    prop_assert!(!effects.is_empty() || next == before);
                    for effect in effects {
                        let step = match effect {
                            Effect::Step(step) => step,
                            Effect::Warned => {
                                prop_assert!(live);
                                continue;
                            }
                            Effect::Applied | Effect::Reminded => panic!("{effect:?}"),
                        };
                        match step {
                            ApprovalStep::Voted { .. } => {
                                let Deed::Approve(who, code) = deed else { panic!("{deed:?}") };
                                let name = person(ACCOUNTS[who]);
                                prop_assert!(waits);
                                prop_assert_ne!(name, person(own), "their own");
                                prop_assert_ne!(name, "eve", "she is in no group");
                                let counted = seen.votes.contains(&(name, code));
                                prop_assert!(!counted, "{} counts twice", name);
                                seen.votes.retain(|(other, _)| *other != name);
                                seen.votes.push((name, code));
                            }
                            ApprovalStep::Granted { until, once, .. } => {
                                let enough = told && enough(&seen.votes);
                                prop_assert!(waits && enough, "{:?}", seen.votes);
                                prop_assert_eq!(until, now + Duration::from_mins(30));
                                prop_assert_eq!(once, ONCE.contains(&which));
                                seen.granted = Some(until);
                            }
                            ApprovalStep::Denied { .. } => {
                                let Deed::Deny(who) = deed else { panic!("{deed:?}") };
                                prop_assert!(waits && person(ACCOUNTS[who]) != person(own));
                                prop_assert_ne!(person(ACCOUNTS[who]), "eve");
                                seen.over = true;
                            }
                            ApprovalStep::Cancelled => {
                                let Deed::Cancel(who) = deed else { panic!("{deed:?}") };
                                prop_assert!(waits && person(ACCOUNTS[who]) == person(own));
                                seen.over = true;
                            }
                            ApprovalStep::Expired => {
                                prop_assert!(!seen.over && seen.granted.is_none() && !waits);
                                seen.over = true;
                            }
                            ApprovalStep::Used => {
                                prop_assert!(live && ONCE.contains(&which));
                                seen.uses += 1;
                                prop_assert_eq!(seen.uses, 1, "a second use");
                            }
                            ApprovalStep::GivenBack => {
                                prop_assert!(seen.uses == 1);
                                seen.uses -= 1;
                            }
                            ApprovalStep::Revoked => {
                                prop_assert!(live);
                                seen.over = true;
                            }
                            ApprovalStep::Ended => {
                                prop_assert!(!seen.over && seen.granted.is_some() && !live);
                                seen.over = true;
                            }
                            ApprovalStep::Opened { .. }
                            | ApprovalStep::BrokenGlass { .. }
                            | ApprovalStep::StepUpFailed
                            | ApprovalStep::Extended { .. }
                            | ApprovalStep::Reviewed { .. } => panic!("{step:?}"),
                        }
                    }
                    approval = next;
                }
            }
            let waits = !seen.over && seen.granted.is_none();
            let enough = told && enough(&seen.votes);
            prop_assert!(!waits || !enough, "enough: {:?}", seen.votes);
            let live = !seen.over && seen.granted.is_some_and(|until| now < until);
            let has = allowed(policy, &wanted, &approval, now);
            prop_assert_eq!(has, live && seen.uses == 0, "{:?}", approval.state);
            prop_assert!(!allowed(policy, &request(own, "other"), &approval, now));
            for other in ACCOUNTS.iter().filter(|other| person(other) != person(own)) {
                prop_assert!(!allowed(policy, &request(other, "app"), &approval, now));
            }
        }
    }
}

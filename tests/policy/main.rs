//! What policies decide, and what is said of policies that are wrong.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod annotations;
mod approvals;
mod examples;
mod jobs;
mod local;
mod people;
mod pipelines;
mod when;

use std::collections::BTreeMap;
use std::time::Duration;

use time::OffsetDateTime;
use vaultgram::domain::caller::{ChatKind, TelegramUser, UnixPeer};
use vaultgram::domain::group::Groups;
use vaultgram::domain::policy::DenialReason;
use vaultgram::domain::policy_load::PolicySource;
use vaultgram::domain::terms::CacheTerms;
use vaultgram::domain::{
    Action, Caller, Decision, Delivery, MountKind, Mounts, People, Policy, Recipe, Request,
    RequestId, Terms,
};

const NOW: OffsetDateTime = OffsetDateTime::UNIX_EPOCH;

fn mounts() -> Mounts {
    let secrets = ["secret", "other", "team/kv"].map(|name| (name, MountKind::Kv2));
    let all = secrets
        .into_iter()
        .chain([("github", MountKind::Pipelines)]);
    Mounts::of(all.map(|(name, kind)| (name.to_owned(), kind)).collect()).unwrap()
}

fn load(text: &str) -> Result<Policy, Vec<String>> {
    let members = [
        (
            "developers".to_owned(),
            vec!["telegram:1001".parse().unwrap()],
        ),
        (
            "everyone".to_owned(),
            vec![
                "group:developers".parse().unwrap(),
                "uid:990".parse().unwrap(),
            ],
        ),
        (
            "deployers".to_owned(),
            vec!["unit:deploy.service".parse().unwrap()],
        ),
        ("nobody".to_owned(), vec![]),
    ];
    let source = PolicySource {
        name: "policy.cedar".into(),
        text: text.into(),
    };
    let accounts = ["telegram:1003", "uid:1000"].map(|account| account.parse().unwrap());
    let people = BTreeMap::from([("alice".to_owned(), accounts.to_vec())]);
    let people = People::new(&people, &BTreeMap::new()).unwrap();
    let groups = Groups::new(&BTreeMap::from(members), people).unwrap();
    Policy::load(&[source], groups, &mounts()).map_err(|error| error.0)
}

fn telegram(id: i64, chat: ChatKind) -> Caller {
    Caller::Telegram(TelegramUser { id, chat })
}

fn unix(uid: u32) -> Caller {
    Caller::Unix(UnixPeer::known(uid, uid, 7))
}

fn decide(policy: &Policy, caller: Caller, path: &str) -> Decision {
    let delivery = match caller {
        Caller::Telegram(_) => Delivery::Message,
        Caller::Unix(_) | Caller::Job(_) => Delivery::Socket,
    };
    decide_action(policy, caller, Action::Read(delivery), path)
}

fn decide_action(policy: &Policy, caller: Caller, action: Action, path: &str) -> Decision {
    let request = Request {
        id: RequestId::Connection(1),
        caller,
        action,
        target: mounts().parse_folder(path).unwrap(),
    };
    policy.decide(&request, NOW)
}

fn allows(policy: &Policy, caller: Caller, path: &str) -> bool {
    match decide(policy, caller, path) {
        Decision::Allow(permit) => {
            assert_eq!(permit.target().path.path(), path);
            true
        }
        Decision::Deny(_) | Decision::NeedsApproval(_) => false,
    }
}

fn denial(policy: &Policy, caller: Caller, path: &str) -> (DenialReason, Vec<String>) {
    match decide(policy, caller, path) {
        Decision::Allow(_) | Decision::NeedsApproval(_) => panic!("not denied"),
        Decision::Deny(denial) => (denial.reason, denial.policies),
    }
}

#[test]
fn nothing_is_allowed_without_a_policy() {
    let policy = load("").unwrap();
    assert!(policy.is_empty());
    let denied = denial(&policy, telegram(1001, ChatKind::Private), "a");
    assert_eq!(denied, (DenialReason::NotPermitted, vec![]));
}

#[test]
fn every_action_is_permitted_by_its_own_name_and_writes_also_together() {
    let actions = [
        Action::Read(Delivery::Wrapped),
        Action::List,
        Action::Versions,
        Action::Put { over: Some(0) },
        Action::Patch { over: None },
        Action::Delete,
        Action::Undelete,
        Action::Destroy,
        Action::Unwrap,
        Action::Invoke(Delivery::Message),
        Action::Rotate {
            recipe: Recipe::Hex,
            over: Some(0),
        },
    ];
    let allowed = |rule: &str| -> Vec<&str> {
        let policy = load(&format!("permit(principal, {rule}, resource);")).unwrap();
        let developer = || telegram(1001, ChatKind::Private);
        actions
            .into_iter()
            .filter(|action| {
                let decision = decide_action(&policy, developer(), *action, "django");
                matches!(decision, Decision::Allow(_))
            })
            .map(Action::name)
            .collect()
    };
    for action in actions {
        let name = action.name();
        assert_eq!(allowed(&format!("action == Action::\"{name}\"")), [name]);
    }
    assert_eq!(
        allowed("action in Action::\"write\""),
        ["put", "patch", "delete", "undelete", "destroy", "rotate"]
    );
}

#[test]
fn a_mount_is_a_folder_that_can_be_listed() {
    let policy =
        load(r#"permit(principal, action == Action::"list", resource in Path::"secret");"#)
            .unwrap();
    let list = |path| {
        let caller = telegram(1001, ChatKind::Private);
        let decision = decide_action(&policy, caller, Action::List, path);
        matches!(decision, Decision::Allow(_))
    };
    assert!(list("secret") && list("secret/django/"));
    assert!(!list("other"));
}

#[test]
fn deliveries_are_told_apart() {
    let policy = load(
        r#"permit(principal, action == Action::"read", resource)
           when { context.delivery == "sealed" };"#,
    )
    .unwrap();
    let invoke = load(
        r#"permit(principal, action == Action::"invoke", resource)
           when { context.delivery == "sealed" };"#,
    )
    .unwrap();
    for delivery in Delivery::ALL {
        let caller = telegram(1001, ChatKind::Private);
        let invoked = decide_action(&invoke, caller.clone(), Action::Invoke(delivery), "a");
        let sealed = matches!(invoked, Decision::Allow(_));
        assert_eq!(sealed, delivery == Delivery::Sealed);
        let decision = decide_action(&policy, caller, Action::Read(delivery), "a");
        assert_eq!(
            matches!(decision, Decision::Allow(_)),
            delivery == Delivery::Sealed
        );
        assert_eq!(Delivery::named(delivery.name()), Some(delivery));
    }
}

#[test]
fn folders_and_groups_are_hierarchies() {
    let policy = load(
        r#"permit(principal in Group::"developers", action == Action::"read",
                  resource in Path::"secret/django");"#,
    )
    .unwrap();
    let developer = || telegram(1001, ChatKind::Private);
    assert!(allows(&policy, developer(), "django/database"));
    assert!(allows(&policy, developer(), "django/deep/er"));
    assert!(allows(&policy, developer(), "django"));
    assert!(
        !allows(&policy, developer(), "djangox/database"),
        "a prefix is not a folder"
    );
    assert!(!allows(&policy, developer(), "flask/database"));
    assert!(!allows(
        &policy,
        telegram(1002, ChatKind::Private),
        "django/database"
    ));
    assert!(!allows(&policy, unix(990), "django/database"));

    let policy = load(r#"permit(principal in Group::"everyone", action, resource);"#).unwrap();
    assert!(allows(&policy, developer(), "a"), "nested groups count");
    assert!(allows(&policy, unix(990), "a"));
    assert!(
        !allows(&policy, telegram(990, ChatKind::Private), "a"),
        "a uid is no Telegram id"
    );
}

#[test]
fn a_person_is_known_by_whichever_account() {
    let policy =
        load(r#"permit(principal in Person::"alice", action == Action::"read", resource);"#)
            .unwrap();
    assert!(allows(&policy, telegram(1003, ChatKind::Private), "a"));
    assert!(allows(&policy, unix(1000), "a"));
    assert!(!allows(&policy, unix(1003), "a"));
    let problems = load("permit(principal in Person::\"bob\",\n action, resource);").err();
    assert_eq!(
        problems.unwrap(),
        [r#"policy.cedar:1:21: the person "bob" is not in [people]; it has "alice""#]
    );
}

#[test]
fn a_mount_is_a_folder_too() {
    let policy = load(r#"permit(principal, action, resource in Path::"secret");"#).unwrap();
    assert!(allows(&policy, unix(1), "a/b"));
    let policy = load(r#"permit(principal, action, resource in Path::"other");"#).unwrap();
    assert!(!allows(&policy, unix(1), "a/b"));
}

#[test]
fn forbid_wins_and_names_itself() {
    let policy = load(
        r#"permit(principal, action, resource);
           @id("no-groups") forbid(principal, action, resource)
           when { context has chat && context.chat == "group" };"#,
    )
    .unwrap();
    assert!(allows(&policy, telegram(1, ChatKind::Private), "a"));
    let denied = denial(&policy, telegram(1, ChatKind::Group), "a");
    assert_eq!(
        denied,
        (DenialReason::Forbidden, vec!["no-groups".to_owned()])
    );
}

#[test]
fn a_policy_that_fails_to_evaluate_denies() {
    // 9223372036854775807 + uid overflows: Cedar would skip this forbid, and we must not.
    let policy = load(
        r"permit(principal, action, resource);
          forbid(principal is UnixPeer, action, resource)
          when { 9223372036854775807 + principal.uid > 0 };",
    )
    .unwrap();
    assert!(allows(&policy, telegram(1, ChatKind::Private), "a"));
    assert_eq!(
        denial(&policy, unix(5), "a").0,
        DenialReason::EvaluationFailed
    );
}

#[test]
fn names_that_exist_are_accepted() {
    load(
        r#"permit(principal in Group::"everyone", action == Action::"read", resource in Path::"team/kv");
           permit(principal == TelegramUser::"1", action, resource == Path::"team/kv/a/b");
           permit(principal == UnixPeer::"0", action, resource);
           permit(principal == UnixPeer::"4294967295", action, resource);"#,
    )
    .unwrap();
}

#[test]
fn mistakes_are_placed() {
    placed(&[
        (
            "permit(principal, action, resource)\n  when { context.delivery = 1 };",
            "policy.cedar:2:",
        ),
        (
            "\n\npermit(principal, action, resource) when { context.nope == 1 };",
            "policy.cedar:3:",
        ),
        (
            "permit(principal == User::\"1\", action, resource);",
            "policy.cedar:1:",
        ),
        (
            "permit(principal, action == Action::\"write\", resource);",
            "policy.cedar:1:",
        ),
        (
            "permit(principal, action, resource);\n permit(principal == ?principal, action, resource);",
            "policy.cedar:2:2: templates",
        ),
        ("not cedar", "policy.cedar:1:"),
        (
            "forbid(principal in Group:: \"x\", action, resource);\n\
             forbid(principal in Group::\"x\", action, resource);",
            "policy.cedar:1:1: the group \"x\" is not in [groups]",
        ),
        (
            "permit(principal, action, resource);\n\
             forbid(principal in Group::\"contractorz\", action, resource);",
            "policy.cedar:2:21: the group \"contractorz\" is not in [groups]; \
             it has \"deployers\", \"developers\", \"everyone\"",
        ),
        (
            "forbid(principal, action, resource) unless { principal in Group::\"x\" };",
            "policy.cedar:1:59: the group \"x\" is not in [groups]",
        ),
        (
            "forbid(principal, action, resource in Path::\"secret/production/\");",
            "policy.cedar:1:39: the path \"secret/production/\" can never be asked for: \
             the path has an empty",
        ),
        (
            "forbid(principal, action, resource in Path::\"sercet/production\");",
            "it begins with no mount; the mounts are \"secret\", \"other\", \"team/kv\"",
        ),
        (
            "forbid(principal, action, resource in Path::\"team\");",
            "the path \"team\" can never be asked for",
        ),
        (
            "forbid(principal == TelegramUser::\"@alice\", action, resource);",
            "policy.cedar:1:21: TelegramUser::\"@alice\" is not an account",
        ),
        (
            "forbid(principal == TelegramUser::\"-5\", action, resource);",
            "is not an account",
        ),
        (
            "forbid(principal == TelegramUser::\"01001\", action, resource);",
            "is not an account",
        ),
        (
            "forbid(principal == UnixPeer::\"root\", action, resource);",
            "policy.cedar:1:21: UnixPeer::\"root\" is not a user",
        ),
        (
            "forbid(principal == UnixPeer::\"4294967296\", action, resource);",
            "is not a user",
        ),
        (
            "permit(principal, action, resource) when { false };",
            "policy.cedar:",
        ),
    ]);
}

fn placed(mistakes: &[(&str, &str)]) {
    for (text, expected) in mistakes {
        let Err(errors) = load(text) else {
            panic!("accepted {text}")
        };
        assert!(
            errors.iter().any(|error| error.contains(expected)),
            "{text}: {errors:?}"
        );
    }
}

#[test]
fn a_rotation_is_judged_by_its_recipe() {
    let policy = load(
        "permit(principal, action == Action::\"rotate\", resource)
         when { context.recipe == \"password\" };",
    )
    .unwrap();
    let caller = || telegram(1001, ChatKind::Private);
    let rotate = |recipe| {
        let action = Action::Rotate {
            recipe,
            over: Some(0),
        };
        decide_action(&policy, caller(), action, "secret/a")
    };
    assert!(matches!(rotate(Recipe::Password), Decision::Allow(_)));
    assert!(matches!(rotate(Recipe::Pin), Decision::Deny(_)));
}

#[test]
fn a_write_over_whatever_is_there_can_be_forbidden() {
    let policy = load(
        "permit(principal, action in Action::\"write\", resource);
         forbid(principal, action == Action::\"put\", resource) unless { context.cas };",
    )
    .unwrap();
    for (over, allowed) in [(Some(3), true), (None, false)] {
        let decision = decide_action(&policy, unix(990), Action::Put { over }, "secret/a");
        assert_eq!(matches!(decision, Decision::Allow(_)), allowed, "{over:?}");
    }
}

#[test]
fn a_policy_that_permits_every_action_is_named() {
    let policy = load(
        "@id(\"all\") permit(principal, action, resource);
         @id(\"one\") permit(principal, action == Action::\"read\", resource);
         @id(\"some\") permit(principal, action in Action::\"write\", resource);
         @id(\"none\") forbid(principal, action, resource in Path::\"secret/a\");",
    )
    .unwrap();
    assert_eq!(policy.for_any_action(), ["all"]);
}

#[test]
fn a_permit_carries_the_terms_of_the_policies_that_allowed_it() {
    let policy = load(
        "@id(\"b\") @vault_role(\"b\") @cache(\"1m\") @stale(\"1h\")
         permit(principal in Group::\"developers\", action == Action::\"read\", resource in Path::\"secret\");
         @id(\"a\") @vault_role(\"a\") @cache(\"5m\")
         permit(principal in Group::\"developers\", action == Action::\"read\", resource in Path::\"secret/app\");
         permit(principal, action == Action::\"read\", resource in Path::\"other\");",
    )
    .unwrap();
    let terms = |path| {
        let caller = telegram(1001, ChatKind::Private);
        let Decision::Allow(permit) = decide(&policy, caller, path) else {
            panic!("{path} is refused");
        };
        permit.terms().clone()
    };
    let cache = |ttl, stale| {
        Some(CacheTerms {
            ttl: Duration::from_secs(ttl),
            stale: Duration::from_secs(stale),
        })
    };
    assert_eq!(terms("other/x"), Terms::default());
    let one = terms("secret/x");
    assert_eq!(
        (one.vault_role.as_deref(), one.cache),
        (Some("b"), cache(60, 3600))
    );
    // The first by name for the role, the shortest times.
    let both = terms("secret/app/x");
    assert_eq!(
        (both.vault_role.as_deref(), both.cache),
        (Some("a"), cache(60, 0))
    );
}

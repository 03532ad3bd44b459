//! People, whichever of their accounts they ask by.

use vaultgram::domain::caller::ChatKind;

use super::{allows, load, telegram, unix};

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

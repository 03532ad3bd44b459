//! What configuration says of approvals: who can give them, and how many there may be.

use crate::config::{VARIABLES, check};

#[test]
fn who_is_to_approve_and_who_cannot_is_said() {
    let policy = "@approvals(\"1\") @approvers(\"leads\") permit(principal, action == \
                  Action::\"read\", resource);";
    let groups = "[groups]\nleads = [\"telegram:1002\", \"person:carol\"]\n\
                  [people]\ncarol = [\"telegram:1003\", \"uid:1000\"]\n";
    let told = |config: &str| {
        let ran = check(&format!("{config}{groups}"), policy, VARIABLES);
        assert_eq!(ran.code, 0, "{}", ran.err);
        ran.out
    };
    let all = told("[telegram]\nallowed_users = [1002, 1003]\n");
    assert!(
        all.contains("approvals wanted by 1 of them, from 2 people\n"),
        "{all}"
    );
    assert!(!all.contains("warning"), "{all}");
    let one = told("[telegram]\nallowed_users = [1003]\n");
    assert!(
        one.contains("warning: telegram:1002 is to approve, and can do so nowhere"),
        "{one}"
    );
    assert!(!one.contains("carol"), "{one}");
    let silent = told("[socket]\n");
    assert!(
        silent.contains("warning: approvers are told of nothing without [telegram]"),
        "{silent}"
    );
}

#[test]
fn limits_of_approvals_are_read_strictly() {
    let ran = |keys: &str| check(&format!("[socket]\n[approvals]\n{keys}\n"), "", VARIABLES);
    assert_eq!(
        ran("per_person = 5\nper_day = 1000\nkeep = \"90d\"").code,
        0
    );
    for (keys, said) in [
        ("per_person = 0", "vaultgram.toml:3:14: "),
        ("keep = \"forever\"", "vaultgram.toml:3:8: not a duration"),
        ("per_week = 1", "unknown field `per_week`"),
    ] {
        let ran = ran(keys);
        assert_eq!(ran.code, 78, "{keys}");
        assert!(ran.err.contains(said), "{ran:?}");
    }
}

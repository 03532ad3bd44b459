//! What a program may do is told as it would be decided, and by what is mounted.

use vaultgram::domain::{Action, SecretPath};

use crate::world::{ALICE, World, peer};

#[tokio::test]
async fn what_a_program_may_is_told_and_not_recorded() {
    let world = World::new();
    let names = |mount: &str, path: &str| {
        let path = SecretPath::new(mount, path).unwrap();
        let found = world.broker().capabilities(&peer(ALICE), &path);
        let mut names: Vec<_> = found.into_iter().map(Action::name).collect();
        names.dedup();
        names
    };
    assert_eq!(
        names("secret", "a"),
        [
            "read", "list", "versions", "put", "patch", "delete", "undelete", "destroy", "unwrap"
        ]
    );
    assert_eq!(
        names("old", "a"),
        ["read", "list", "put", "delete", "unwrap"]
    );
    assert_eq!(names("db", "a"), ["read", "list", "unwrap", "invoke"]);
    for (mount, path) in [("secret", "forbidden"), ("elsewhere", "a")] {
        assert!(names(mount, path).is_empty(), "{mount}/{path}");
    }
    assert!(world.audit.take().is_empty());
    assert!(world.store.take_calls().is_empty());
}

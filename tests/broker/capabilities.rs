//! What a program may do is told as it would be decided, and by what is mounted.

use vaultgram::domain::{Action, Delivery, Recipe, SecretPath};

use crate::world::{ALICE, World, local};

const ACTIONS: [Action; 10] = [
    Action::Read(Delivery::Socket),
    Action::List,
    Action::Versions,
    Action::Put { over: None },
    Action::Patch { over: None },
    Action::Delete,
    Action::Undelete,
    Action::Destroy,
    Action::Rotate {
        recipe: Recipe::Password,
        over: None,
    },
    Action::Invoke(Delivery::Socket),
];

#[tokio::test]
async fn what_a_program_may_is_told_and_not_recorded() {
    let world = World::new();
    let broker = world.broker();
    let names = |mount: &str, path: &str| {
        let path = SecretPath::new(mount, path).unwrap();
        let may = |action: &Action| broker.would_allow(&local(ALICE), *action, &path);
        let names = ACTIONS.into_iter().filter(may).map(Action::name);
        names.collect::<Vec<_>>()
    };
    assert_eq!(
        names("secret", "a"),
        [
            "read", "list", "versions", "put", "patch", "delete", "undelete", "destroy", "rotate"
        ]
    );
    assert_eq!(names("old", "a"), ["read", "list", "put", "delete"]);
    assert_eq!(names("db", "a"), ["read", "list", "invoke"]);
    for (mount, path) in [("secret", "forbidden"), ("elsewhere", "a")] {
        assert!(names(mount, path).is_empty(), "{mount}/{path}");
    }
    assert!(world.audit.take().is_empty());
    assert!(world.store.take_calls().is_empty());
}

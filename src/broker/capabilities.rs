//! What a program may do, told before it tries.

use crate::broker::Broker;
use crate::broker::fitting::fitting;
use crate::domain::caller::UnixPeer;
use crate::domain::{
    Action, Caller, Decision, Delivery, Recipe, Request, RequestId, SecretPath, Target,
};

/// All that a program can ask for a path.
const ACTIONS: [Action; 15] = [
    Action::Read(Delivery::Socket),
    Action::Read(Delivery::Wrapped),
    Action::List,
    Action::Versions,
    Action::Put { over: None },
    Action::Put { over: Some(0) },
    Action::Patch { over: None },
    Action::Patch { over: Some(0) },
    Action::Delete,
    Action::Undelete,
    Action::Destroy,
    Action::Rotate {
        recipe: Recipe::Password,
        over: None,
    },
    Action::Unwrap,
    Action::Invoke(Delivery::Socket),
    Action::Invoke(Delivery::Wrapped),
];

impl Broker {
    /// What policy lets `peer` do with `path`, of what means anything there. It is decided and not
    /// recorded: nothing is done, and a peer is told of itself only.
    #[must_use]
    pub fn capabilities(&self, peer: &UnixPeer, path: &SecretPath) -> Vec<Action> {
        let policy = self.rules.policy.get();
        let may = |action: &Action| {
            let request = Request {
                id: RequestId::Connection(0),
                caller: Caller::Unix(peer.clone()),
                action: *action,
                target: Target {
                    path: path.clone(),
                    field: None,
                    version: None,
                },
            };
            fitting(&request, &self.rules.mounts).is_ok()
                && matches!(policy.decide(&request, self.now()), Decision::Allow(_))
        };
        ACTIONS.into_iter().filter(may).collect()
    }
}

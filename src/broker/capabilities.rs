//! What a program may do, told before it tries.

use crate::broker::Broker;
use crate::broker::fitting::fitting;
use crate::domain::{Action, Caller, Request, RequestId, SecretPath, Target};

impl Broker {
    /// Whether policy lets `caller` do `action` with `path`, and it means anything there. It is decided
    /// and not recorded: nothing is done, and a caller is told of itself only.
    #[must_use]
    pub fn would_allow(&self, caller: &Caller, action: Action, path: &SecretPath) -> bool {
        let request = Request {
            id: RequestId::Connection(0),
            caller: caller.clone(),
            action,
            target: Target {
                path: path.clone(),
                field: None,
                version: None,
            },
        };
        fitting(&request, &self.rules.mounts).is_ok()
            && self.rules.policy.get().would_allow(&request, self.now())
    }
}

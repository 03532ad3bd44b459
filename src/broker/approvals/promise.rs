//! What a request for approval is worth once it is granted, for those who are to decide on it.

use std::time::Duration;

use super::ApprovalInfo;
use crate::broker::Broker;
use crate::domain::{Decision, Request, RequestId};

/// What a grant will be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Promise {
    /// It holds for so long.
    pub span: Duration,
    /// It is for one use.
    pub once: bool,
}

impl Broker {
    /// What comes of `approval` once it is granted, as policy is today; `None` where policy no longer
    /// wants it approved.
    #[must_use]
    pub fn promise(&self, approval: &ApprovalInfo) -> Option<Promise> {
        let request = Request {
            id: RequestId::Connection(0),
            caller: approval.caller.clone(),
            action: approval.action,
            target: approval.target.clone(),
        };
        let (policy, reason) = (self.rules.policy.get(), Some(approval.reason.as_str()));
        let decision = policy.decide_with(&request, reason, self.now());
        let Decision::NeedsApproval(need) = decision else {
            return None;
        };
        let (span, once) = need.promise(approval.reason.chars().count())?;
        Some(Promise { span, once })
    }
}

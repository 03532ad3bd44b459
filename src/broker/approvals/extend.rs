//! Having a grant last longer: by another request, through the same tier.

use super::Opened;
use super::change::By;
use super::words::words;
use crate::broker::{ApprovalError, Broker, BrokerError};
use crate::domain::approval::{Refusal, State};
use crate::domain::{Caller, Request, RequestId};

impl Broker {
    /// Asks that the grant `name` last longer, for `reason`. Granted, the votes for that are the ones
    /// that count.
    ///
    /// # Errors
    /// When it is somebody else's, is not granted, or cannot last longer, and as
    /// [`Broker::open_approval`].
    pub async fn extend(
        &self,
        id: &RequestId,
        caller: &Caller,
        name: &str,
        reason: &str,
    ) -> Result<Opened, BrokerError> {
        let first = self.seen(By { id, caller }, name).await?;
        first.must_be(&State::Granted, self.now())?;
        if !first.is_of(&caller.into(), self.rules.policy.get().groups()) {
            return Err(Refusal::NotOwn.into());
        }
        if first.extends.is_some() || first.review.is_some() {
            return Err(ApprovalError::NotExtended.into());
        }
        if first.grant.as_ref().is_some_and(|grant| grant.once) {
            return Err(Refusal::Once.into());
        }
        // As it was asked for, which is what was granted.
        let request = Request {
            id: id.clone(),
            ..first.request.clone()
        };
        let need = match self.wanted(&request, reason).await? {
            Ok(need) => need,
            Err(denial) => return Ok(Opened::Denied(denial)),
        };
        let reason = words(reason, need.reason())?;
        let _one_at_a_time = self.turn_to_open().await?;
        let open = self.open_ones().await?;
        let mut others = open.iter().map(|read| &read.approval);
        let asked = others.find(|other| {
            let waits = other.state_at(self.now()) == State::Pending;
            waits && other.extends.as_ref() == Some(&first.id)
        });
        if let Some(asked) = asked {
            return Err(ApprovalError::Asked(asked.id.clone()).into());
        }
        self.within_person(&request, &open)?;
        self.count_today(&request).await?;
        let extending = |id| {
            let approval = self.new_approval(id, &request, reason.clone(), &need);
            approval.extending(&first).unasked(&need)
        };
        let by = By { id, caller };
        let info = self.keep_new(by, &need, extending).await?;
        // Where a reason is enough, it is done already.
        let now = self.approval_for_notice(&info.id).await?;
        Ok(Opened::Open(now.unwrap_or(info)))
    }
}

//! Deciding on requests for approval: votes, and taking back. Whoever asks about one that they may
//! not know of is told that there is none.

use crate::broker::approvals::change::{By, Stepped};
use crate::broker::approvals::words::words;
use crate::broker::{ApprovalError, ApprovalInfo, Broker, BrokerError};
use crate::domain::approval::{Ballot, Event, Refusal, State};
use crate::domain::{Approval, ApprovalId, Caller, Decision, Need, RequestId, SecretValue};

/// A vote on a request for approval.
pub enum Vote {
    /// For it.
    Approve {
        /// Of the voter's authenticator, where policy wants one.
        code: Option<SecretValue>,
    },
    /// Against it.
    Deny {
        /// Why.
        reason: String,
    },
}

impl Broker {
    /// Votes on the request `name`. What the vote means, and whether there is anything to vote on,
    /// policy says today. As all that is done about requests for approval, it is not claimed here.
    ///
    /// # Errors
    /// See [`BrokerError`]; on any error the vote does not count.
    pub async fn vote(
        &self,
        id: &RequestId,
        caller: &Caller,
        name: &str,
        vote: Vote,
    ) -> Result<ApprovalInfo, BrokerError> {
        let by = By { id, caller };
        let approval = self.called(by, name).await?;
        // To those who may not know of it, there is none.
        let told = |error: BrokerError| {
            tracing::warn!(event = "broker.vote_refused", request = %id, %caller, error = error.name());
            if self.sees(caller, &approval) {
                error
            } else {
                ApprovalError::Unknown.into()
            }
        };
        let (code, reason) = match vote {
            Vote::Approve { code } => (code, None),
            Vote::Deny { reason } => (None, Some(reason)),
        };
        approval
            .must_be(&State::Pending, self.now())
            .map_err(|it| told(it.into()))?;
        let need = self.need_today(&approval).map_err(told)?;
        let code = code.and_then(|code| Some((self.step_up_of(&need, caller)?, code)));
        let mount = code.as_ref().map(|(mount, _)| mount.as_str());
        // What cannot count anyway costs nobody a code.
        self.cast(approval.clone(), caller, ballot(reason.as_deref(), mount))
            .map_err(told)?;
        let reason = reason.map(|reason| words(&reason, 1)).transpose()?;
        self.may_still_extend(&approval).await?;
        if let Some((mount, code)) = &code {
            self.check_code(by, &approval, mount, code).await?;
        }
        let ballot = ballot(reason.as_deref(), mount);
        let cast = |approval| self.cast(approval, caller, ballot);
        let (approval, _) = self.change(by, &approval.id, cast).await?;
        Ok(self.info(&approval))
    }

    /// What becomes of `approval` by a vote, as policy is today.
    fn cast(&self, approval: Approval, caller: &Caller, ballot: Ballot<'_>) -> Stepped {
        approval.must_be(&State::Pending, self.now())?;
        // A job is not who set it going.
        if let Caller::Job(_) = caller {
            return Err(Refusal::NotApprover.into());
        }
        let need = self.need_today(&approval)?;
        let vote = Event::Vote {
            by: caller.into(),
            ballot,
            need: &need,
        };
        Ok(approval.step(vote, self.rules.policy.get().groups(), self.now())?)
    }

    /// What policy wants today before what `approval` is for.
    fn need_today(&self, approval: &Approval) -> Result<Need, BrokerError> {
        let (policy, reason) = (self.rules.policy.get(), Some(approval.reason.as_str()));
        match policy.decide_with(&approval.request, reason, self.now()) {
            Decision::NeedsApproval(need) => Ok(need),
            Decision::Allow(_) => Err(ApprovalError::NotNeeded.into()),
            Decision::Deny(_) => Err(ApprovalError::RefusedByNow.into()),
        }
    }

    /// Cancels the request `name`, which its requester wants no more.
    ///
    /// # Errors
    /// When it is somebody else's, or does not wait.
    pub async fn cancel(
        &self,
        id: &RequestId,
        caller: &Caller,
        name: &str,
    ) -> Result<ApprovalInfo, BrokerError> {
        let by = By { id, caller };
        let approval = self.seen(by, name).await?;
        let event = Event::Cancel { by: caller.into() };
        let (approval, _) = self.change_by(by, &approval.id, event).await?;
        Ok(self.info(&approval))
    }

    /// Takes back what was granted in the request `name`, with the leases that were made under it:
    /// for those who may vote on it, whose it is, and administrators.
    ///
    /// # Errors
    /// When `caller` is none of these, or nothing is granted.
    pub async fn revoke_approval(
        &self,
        id: &RequestId,
        caller: &Caller,
        name: &str,
    ) -> Result<ApprovalInfo, BrokerError> {
        let by = By { id, caller };
        let approval = self.seen(by, name).await?;
        let event = Event::Revoke { by: caller.into() };
        let (approval, _) = self.change_by(by, &approval.id, event).await?;
        Ok(self.info(&approval))
    }

    /// The request `name`, if `by` may know of it and may do something about it now.
    pub(super) async fn seen(&self, by: By<'_>, name: &str) -> Result<Approval, BrokerError> {
        let approval = self.called(by, name).await?;
        if !self.sees(by.caller, &approval) {
            tracing::warn!(event = "broker.approval_foreign", request = %by.id, caller = %by.caller);
            return Err(ApprovalError::Unknown.into());
        }
        Ok(approval)
    }

    async fn called(&self, by: By<'_>, name: &str) -> Result<Approval, BrokerError> {
        if let Caller::Telegram(_) = by.caller {
            self.not_locked().await?;
        }
        let name = ApprovalId::read(name).ok_or(ApprovalError::Unknown)?;
        let found = self.find(&name).await?.ok_or(ApprovalError::Unknown)?;
        Ok(Approval::clone(found.read.approval()))
    }

    /// Refuses where `approval` is about a grant that is over.
    async fn may_still_extend(&self, approval: &Approval) -> Result<(), BrokerError> {
        let Some(first) = &approval.extends else {
            return Ok(());
        };
        let found = self.find(first).await?;
        let first = found.ok_or(Refusal::NotGranted)?;
        Ok(first.read.approval().must_be(&State::Granted, self.now())?)
    }
}

/// A vote against it for `reason`, else one for it with a code checked at `step_up`.
fn ballot<'a>(reason: Option<&'a str>, step_up: Option<&'a str>) -> Ballot<'a> {
    match reason {
        Some(reason) => Ballot::Deny { reason },
        None => Ballot::Approve { step_up },
    }
}

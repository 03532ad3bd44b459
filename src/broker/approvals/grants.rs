//! Using what was granted: found, used once where it is for one use, and what was made under it ended
//! with it.

use std::pin::Pin;

use super::Read;
use super::change::By;
use crate::broker::lock::itself;
use crate::broker::ports::CoordinationError;
use crate::broker::{ApprovalError, Broker, BrokerError};
use crate::domain::approval::{Effect, Event, State};
use crate::domain::policy::DenialReason;
use crate::domain::{
    Action, Approval, ApprovalId, Caller, Decision, Delivery, Permit, Request, RequestId,
};

/// A change that is being made.
type Changing<'a> =
    Pin<Box<dyn Future<Output = Result<(Approval, Vec<Effect>), BrokerError>> + Send + 'a>>;

impl Broker {
    /// Decides `request` by what was granted before, where that can be what it lacks.
    pub(in crate::broker) async fn decide_by_grants(
        &self,
        request: &Request,
        decision: Decision,
    ) -> Result<Decision, CoordinationError> {
        let (now, policy) = (self.now(), self.rules.policy.get());
        let lacks = match &decision {
            Decision::Allow(_) => false,
            Decision::NeedsApproval(_) => true,
            // A reason, which was given for what was granted.
            Decision::Deny(denial) => {
                denial.reason != DenialReason::ChatLocked && policy.speaks_of_reasons()
            }
        };
        if !lacks {
            return Ok(decision);
        }
        for read in &*self.open_ones().await? {
            // Most of them are not: that is seen sooner than policy is asked.
            let approval = &read.approval;
            let may_be = approval.is_live(now) || approval.state_at(now) == State::Pending;
            if !may_be || !approval.covers(request, policy.groups()) {
                continue;
            }
            // What it was a moment ago lets nobody in: it may have been taken back since, or granted.
            let Some(read) = self.anew(read).await? else {
                continue;
            };
            let granted = policy.decide_granted(request, &read.approval, now);
            if let Decision::Allow(_) = granted {
                return Ok(granted);
            }
        }
        Ok(decision)
    }

    /// Uses up what `permit` hangs on, if that is for one use, before anything is done with it. What
    /// waits to be collected is used by who collects it. Whether this was a use.
    pub(in crate::broker) async fn spend(&self, permit: &Permit) -> Result<bool, BrokerError> {
        let request = permit.request();
        let waits = matches!(
            (permit.action(), &request.caller),
            (Action::Read(Delivery::Socket), Caller::Telegram(_))
        );
        if waits {
            return Ok(false);
        }
        self.spend_now(permit).await.map(|()| true)
    }

    /// As [`Broker::spend`], whatever it is.
    pub(in crate::broker) async fn spend_now(&self, permit: &Permit) -> Result<(), BrokerError> {
        let Some(grant) = permit.grant() else {
            return Ok(());
        };
        let by = By::of(permit.request());
        match self.change_by(by, grant, Event::Use).await {
            Ok(_) => Ok(()),
            // Policy found it live: it was used or taken back since.
            Err(BrokerError::Approval(ApprovalError::Refused(_))) => {
                Err(ApprovalError::Over.into())
            }
            Err(error) => Err(error),
        }
    }

    /// Gives the one use back, where `error` says that nothing was done with it.
    pub(in crate::broker) async fn unspend(
        &self,
        request: &Request,
        grant: Option<&ApprovalId>,
        error: &BrokerError,
    ) {
        let Some(grant) = grant.filter(|_| error.undone()) else {
            return;
        };
        let by = By::of(request);
        if let Err(error) = self.change_by(by, grant, Event::GiveBack).await {
            tracing::warn!(event = "broker.grant_not_given_back", %grant, %error);
        }
    }

    /// Takes back what was granted, by vaultgram itself: what was handed over under it has leaked in
    /// the request `id`.
    pub(in crate::broker) async fn end_grant(&self, id: &RequestId, grant: &ApprovalId) {
        let caller = &Caller::Unix(itself());
        let revoke = Event::Revoke { by: caller.into() };
        match self.change_by(By { id, caller }, grant, revoke).await {
            Ok(_) => tracing::warn!(event = "broker.grant_leaked", request = %id, %grant),
            // It is over already.
            Err(BrokerError::Approval(ApprovalError::Refused(_) | ApprovalError::Unknown)) => {}
            Err(error) => {
                tracing::error!(event = "broker.grant_not_ended", request = %id, %grant, %error);
            }
        }
    }

    /// Whether what is made under `grant` may last: it is granted, and would still be.
    pub(in crate::broker) async fn grant_holds(
        &self,
        grant: &ApprovalId,
    ) -> Result<bool, CoordinationError> {
        let found = self.find(grant).await?;
        Ok(found.is_some_and(|found| self.is_upheld(found.read.approval())))
    }

    /// Whether what is made under `approval` may last: its votes are counted anew.
    fn is_upheld(&self, approval: &Approval) -> bool {
        let now = self.now();
        approval.holds(now) && self.rules.policy.get().upholds(approval, now)
    }

    /// What follows from the state of `approval`, whoever brought it there. It is done again by
    /// [`Broker::keep_approvals`] where this is cut off.
    pub(super) async fn follow(&self, by: By<'_>, approval: &Approval) {
        if let (State::Granted, Some(first)) = (&approval.state, &approval.extends)
            && let Err(error) = self.apply_extension(by, approval, first).await
        {
            tracing::warn!(event = "broker.grant_not_extended", grant = %first, %error);
        }
        if !approval.holds(self.now()) {
            self.end_leases(by.id, &approval.id).await;
        }
    }

    /// Has the grant `first` last as long as `approval`, and `approval` be done with.
    async fn apply_extension(
        &self,
        by: By<'_>,
        approval: &Approval,
        first: &ApprovalId,
    ) -> Result<(), BrokerError> {
        match self.change_within(by, first, Event::Extend(approval)).await {
            // Ended or taken back meanwhile: there is nothing to extend.
            Ok(_)
            | Err(BrokerError::Approval(ApprovalError::Refused(_) | ApprovalError::Unknown)) => {}
            Err(error) => return Err(error),
        }
        let applied = self.change_within(by, &approval.id, Event::Apply);
        match applied.await {
            Ok(_) | Err(BrokerError::Approval(ApprovalError::Refused(_))) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// A change within a change, after which nothing follows. The compiler cannot know that, and
    /// wants it boxed.
    fn change_within<'a>(
        &'a self,
        by: By<'a>,
        name: &'a ApprovalId,
        event: Event<'a>,
    ) -> Changing<'a> {
        Box::pin(self.change_by(by, name, event))
    }

    /// Ends the leases made under `grant`.
    async fn end_leases(&self, id: &RequestId, grant: &ApprovalId) {
        for lease in self.leases.under(grant.as_str()) {
            self.revoke(id, &lease).await;
        }
    }

    /// Ends the leases of grants that are over or would not be granted any more, of whatever
    /// process's doing.
    pub(super) async fn end_orphans(&self, open: &[Read]) -> Result<(), CoordinationError> {
        let id = RequestId::Connection(self.number());
        for grant in self.leases.grants() {
            let Some(grant) = ApprovalId::read(&grant) else {
                continue;
            };
            let known = open.iter().find(|read| read.approval.id == grant);
            let holds = match known {
                Some(read) => self.is_upheld(&read.approval),
                None => self.grant_holds(&grant).await?,
            };
            if !holds {
                self.end_leases(&id, &grant).await;
            }
        }
        Ok(())
    }
}

//! Breaking the glass: taken at once with a reason, and looked at by others afterwards.

use super::ApprovalInfo;
use super::change::By;
use super::open::Opened;
use super::words::words;
use crate::broker::{ApprovalError, Broker, BrokerError};
use crate::domain::approval::Event;
use crate::domain::{Approval, Caller, Need, Request, RequestId};

/// The fewest characters of a reason, and of what somebody found who looked at it.
const LEAST: usize = 10;

impl Broker {
    /// Grants `request` to whoever asks, at once, where policy lets the glass be broken; the
    /// request itself is then to be made. Everybody it concerns is to hear of it. Not claimed here.
    ///
    /// # Errors
    /// When policy does not let it, or it is a job that asks; when the reason is none, or too much broken
    /// glass lies about.
    pub async fn break_glass(
        &self,
        request: &Request,
        reason: &str,
    ) -> Result<Opened, BrokerError> {
        let request = &*self.exact(request).await;
        let need = match self.wanted(request, reason).await? {
            Ok(need) => need,
            Err(denial) => return Ok(Opened::Denied(denial)),
        };
        // It is for people: whoever can push sets a job going.
        let person = !matches!(request.caller, Caller::Job(_));
        let least = need.glass().filter(|_| person);
        let least = least.ok_or(ApprovalError::NoGlass)?;
        let reason = words(reason, least.max(LEAST))?;
        self.within_glass(request, &self.open_ones().await?)?;
        self.glance(request, &need).await?;
        let _one_at_a_time = self.turn_to_open().await?;
        self.within_glass(request, &self.open_ones().await?)?;
        let broken = |id| {
            let approval = self.new_approval(id, request, reason.clone(), &need);
            let broken = Approval::broken(approval.clone(), &need);
            (broken.unwrap_or(approval), None)
        };
        let info = self.keep_new(By::of(request), &need, broken).await?;
        tracing::warn!(
            event = "broker.glass_broken",
            approval = %info.id,
            requester = info.requester,
            path = %info.target.path,
        );
        Ok(Opened::Open(info))
    }

    /// Looks whether there is what `request` is for. Whoever may not look any more today can still
    /// break the glass: that others see, and it is not for want of looking that a site stays down.
    async fn glance(&self, request: &Request, need: &Need) -> Result<(), BrokerError> {
        match self.count_today(request).await {
            Ok(()) => self.look(request, need).await,
            Err(BrokerError::Approval(
                ApprovalError::TooManyToday(_) | ApprovalError::TooManyOfYoursToday(_),
            )) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Says that somebody has looked at broken glass, and what they found: an approver of it, or an
    /// administrator, and not who broke it.
    ///
    /// # Errors
    /// When `caller` is none of these, there is nothing to look at, or nothing is said.
    pub async fn review(
        &self,
        id: &RequestId,
        caller: &Caller,
        name: &str,
        note: &str,
    ) -> Result<ApprovalInfo, BrokerError> {
        let by = By { id, caller };
        let approval = self.seen(by, name).await?;
        let note = words(note, LEAST)?;
        let event = Event::Review {
            by: caller.into(),
            note: &note,
        };
        let (approval, _) = self.change_by(by, &approval.id, event).await?;
        Ok(self.info(&approval))
    }
}

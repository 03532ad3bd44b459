//! Breaking the glass: taken at once with a reason, and looked at by others afterwards.

use super::ApprovalInfo;
use super::change::By;
use super::open::{OPENING, Opened};
use super::words::words;
use crate::broker::{ApprovalError, Broker, BrokerError};
use crate::domain::approval::{ApprovalStep, Event};
use crate::domain::{Approval, Caller, Request, RequestId};

/// The fewest characters of a reason, and of what somebody found who looked at it.
const LEAST: usize = 10;

impl Broker {
    /// Grants `request` to whoever asks, at once, where policy lets the glass be broken; the
    /// request itself is then to be made. Everybody it concerns is to hear of it. Not claimed here.
    ///
    /// # Errors
    /// When policy does not let it, the reason is none, or too much broken glass lies about.
    pub async fn break_glass(
        &self,
        request: &Request,
        reason: &str,
    ) -> Result<Opened, BrokerError> {
        let need = match self.wanted(request, reason).await? {
            Ok(need) => need,
            Err(denial) => return Ok(Opened::Denied(denial)),
        };
        let least = need.glass().ok_or(ApprovalError::NoGlass)?;
        let reason = words(reason, least.max(LEAST))?;
        self.look(request, &need).await?;
        let _one_at_a_time = self.approvals.opening.lock().await;
        let _nor_elsewhere = self.turn(OPENING).await?;
        self.within_glass(request, &self.open_ones().await?)?;
        let broken = |id| {
            let approval = self.new_approval(id, request, reason.clone(), &need);
            let until = approval.opened;
            let approval = Approval::broken(approval.clone(), &need).unwrap_or(approval);
            let grant = approval.grant.as_ref();
            let step = ApprovalStep::BrokenGlass {
                reason: reason.clone(),
                until: grant.map_or(until, |grant| grant.until),
            };
            (approval, step)
        };
        let info = self.keep_new(By::of(request), broken).await?;
        tracing::warn!(
            event = "broker.glass_broken",
            approval = %info.id,
            requester = info.requester,
            path = %info.target.path,
        );
        Ok(Opened::Open(info))
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

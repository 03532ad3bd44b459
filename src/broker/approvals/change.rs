//! One change to a request for approval: read, step, record, swap; again where somebody was faster.

use crate::broker::{ApprovalError, Broker, BrokerError};
use crate::domain::approval::{ApprovalRecord, Effect, Event};
use crate::domain::{Approval, ApprovalId, AuditEntry, AuditEvent, Caller, Request, RequestId};

/// How often a change is tried. Each time somebody else made one, so this is far too often.
const TRIES: usize = 100;

/// Who wants something of a request for approval: in which request of theirs.
#[derive(Clone, Copy)]
pub(in crate::broker) struct By<'a> {
    pub(in crate::broker) id: &'a RequestId,
    pub(in crate::broker) caller: &'a Caller,
}

impl<'a> By<'a> {
    /// Whoever asks for `request`, in it.
    pub(in crate::broker) fn of(request: &'a Request) -> Self {
        Self {
            id: &request.id,
            caller: &request.caller,
        }
    }
}

/// What a step makes of a request for approval.
pub(in crate::broker) type Stepped = Result<(Approval, Vec<Effect>), BrokerError>;

impl Broker {
    /// Changes the request `name` by `step`, which is asked again for each try. What it brought
    /// about is on record before it is so.
    pub(in crate::broker) async fn change(
        &self,
        by: By<'_>,
        name: &ApprovalId,
        step: impl Fn(Approval) -> Stepped + Send,
    ) -> Result<(Approval, Vec<Effect>), BrokerError> {
        let mut recorded = vec![];
        for _ in 0..TRIES {
            let found = self.find(name).await?.ok_or(ApprovalError::Unknown)?;
            let before = found.read.approval();
            let stepped = step(Approval::clone(before));
            let (next, effects) = match stepped {
                Ok(stepped) => stepped,
                Err(error) if recorded.is_empty() => return Err(error),
                // It is on record as if it had happened.
                Err(error) => {
                    self.record_failure(by, before, &error).await?;
                    return Err(error);
                }
            };
            if effects.is_empty() || !found.open {
                return Ok((next, vec![]));
            }
            let records = effects
                .iter()
                .filter_map(|it| ApprovalRecord::of(&next, it));
            let new = records.filter(|record| !recorded.contains(record));
            let new: Vec<ApprovalRecord> = new.collect();
            self.record_steps(by, &next, new.clone()).await?;
            recorded.extend(new);
            if self.swap(Some(&found.read), &next).await? {
                self.follow(by, &next).await;
                return Ok((next, effects));
            }
        }
        Err(ApprovalError::Busy.into())
    }

    /// As [`Broker::change`], by one event that says everything.
    pub(in crate::broker) async fn change_by(
        &self,
        by: By<'_>,
        name: &ApprovalId,
        event: Event<'_>,
    ) -> Result<(Approval, Vec<Effect>), BrokerError> {
        let policy = self.rules.policy.get();
        let step =
            |approval: Approval| Ok(approval.step(event.clone(), policy.groups(), self.now())?);
        self.change(by, name, step).await
    }

    /// Writes `records` of what `by` did to `approval`.
    pub(super) async fn record_steps(
        &self,
        by: By<'_>,
        approval: &Approval,
        records: Vec<ApprovalRecord>,
    ) -> Result<(), BrokerError> {
        if records.is_empty() {
            return Ok(());
        }
        let entries = records.into_iter().map(|record| {
            let request = &approval.request;
            AuditEntry::approval((by.id, by.caller), request, record, self.now())
        });
        Ok(self.ports.audit.record_all(entries.collect()).await?)
    }

    async fn record_failure(
        &self,
        by: By<'_>,
        approval: &Approval,
        error: &BrokerError,
    ) -> Result<(), BrokerError> {
        let reason = error.name();
        let entry = AuditEntry {
            id: by.id.clone(),
            caller: by.caller.clone(),
            ..AuditEntry::of(&approval.request, AuditEvent::Failed { reason }, self.now())
        };
        Ok(self.ports.audit.record(entry).await?)
    }
}

//! Several versions of a secret in one request: all are allowed before the first is touched.

use crate::broker::tally::Tally;
use crate::broker::{Beside, Broker, BrokerError, Waiting};
use crate::domain::{
    Action, ApprovalId, AuditEntry, AuditEvent, Caller, Decision, Denial, Permit, Request,
    RequestId, SecretPath, Target,
};

/// What came of a change to several versions.
#[derive(Debug, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "it is looked at once")]
pub enum ChangedVersions {
    /// These were changed. With the others there was nothing to do.
    Done(Vec<u64>),
    /// Policy refused.
    Denied(Denial),
    /// Not without somebody's agreement.
    NeedsApproval(Waiting),
}

impl Broker {
    /// Does `action` (delete, undelete, destroy) to each of `versions` of the secret at `path`, in
    /// that order. A version that is so already, or is not there, is passed over; any other failure
    /// ends it, and the rest goes on record as not tried.
    ///
    /// # Errors
    /// See [`BrokerError`]; what was done before is done, and on record.
    pub async fn change_versions(
        &self,
        id: &RequestId,
        caller: &Caller,
        action: Action,
        path: &SecretPath,
        versions: &[u64],
    ) -> Result<ChangedVersions, BrokerError> {
        let mut tally = Tally::begin(id, caller);
        let what = (action, path, versions);
        let done = self.change_counted(id, caller, what, &mut tally).await;
        tally.end(done)
    }

    async fn change_counted(
        &self,
        id: &RequestId,
        caller: &Caller,
        (action, path, versions): (Action, &SecretPath, &[u64]),
        tally: &mut Tally,
    ) -> Result<ChangedVersions, BrokerError> {
        let (mut permits, mut decided) = (vec![], vec![]);
        for version in versions {
            let request = Request {
                id: id.clone(),
                caller: caller.clone(),
                action,
                target: Target {
                    path: path.clone(),
                    field: None,
                    version: Some(*version),
                },
            };
            let (decision, entry) = self.judge(&request).await?;
            tally.decided(&decision);
            match decision {
                Decision::Allow(permit) => {
                    permits.push((*version, permit));
                    decided.push(entry);
                }
                Decision::Deny(denial) => {
                    self.ports.audit.record(entry).await?;
                    return Ok(ChangedVersions::Denied(denial));
                }
                Decision::NeedsApproval(need) => {
                    self.ports.audit.record(entry).await?;
                    let waiting = self.wait_for(&request, &need).await?;
                    return Ok(ChangedVersions::NeedsApproval(waiting));
                }
            }
        }
        self.ports.audit.record_all(decided).await?;
        // One request is one use, however many versions it is about.
        let mut spent: Vec<ApprovalId> = vec![];
        for (_, permit) in &permits {
            if let Some(grant) = permit.grant()
                && !spent.contains(grant)
            {
                self.spend(permit).await?;
                spent.push(grant.clone());
            }
        }
        let mut changed = vec![];
        let mut permits = permits.into_iter();
        while let Some((version, permit)) = permits.next() {
            match self.execute(permit, Beside::default()).await {
                Ok(_) => changed.push(version),
                Err(BrokerError::Store(error)) if error.nothing_to_do() => {}
                Err(error) => {
                    self.not_tried(permits.map(|(_, permit)| permit)).await;
                    return Err(error);
                }
            }
        }
        Ok(ChangedVersions::Done(changed))
    }

    /// Gives what was allowed and is not going to be tried its outcome.
    async fn not_tried(&self, permits: impl Iterator<Item = Permit>) {
        let now = self.now();
        let reason = "not_tried";
        let entries = permits
            .map(|permit| AuditEntry::outcome(&permit, AuditEvent::Failed { reason }, now))
            .collect();
        if let Err(error) = self.ports.audit.record_all(entries).await {
            // What ended it is told; that these are open, their records show.
            tracing::error!(event = "broker.not_tried_unrecorded", %error);
        }
    }
}

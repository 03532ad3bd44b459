//! Before something that cannot simply be repeated: may the caller, and what is there now?

use crate::broker::fitting::fitting;
use crate::broker::ports::StoreError;
use crate::broker::{Broker, BrokerError, Hold, Preview, RunError, Waiting};
use crate::domain::{
    Action, AuditEntry, AuditEvent, Decision, Denial, MountKind, Permit, PipelineAction, Request,
};

/// What the caller is to be told before they confirm.
#[expect(clippy::large_enum_variant, reason = "it is looked at once")]
pub enum Asked {
    /// They may: ask them, naming the newest version (0: there is none; 1 also stands for what a
    /// mount without versions holds). The confirmation is a
    /// request of its own, decided anew when it arrives.
    Confirm {
        /// The newest version.
        current: u64,
    },
    /// As [`Asked::Confirm`], of a pipeline: what is there.
    ConfirmPipeline(PipelineAction, Preview),
    /// Policy refused.
    Denied(Denial),
    /// Not without somebody's agreement.
    NeedsApproval(Waiting),
    /// Handled before.
    Duplicate,
    /// Begun by a process that then ended, and not done again.
    Interrupted,
}

impl Broker {
    /// Claims and decides `request`, and changes nothing.
    ///
    /// # Errors
    /// See [`BrokerError`].
    pub async fn ask(&self, request: &Request) -> Result<Asked, BrokerError> {
        match self.hold(&request.id).await?.ours() {
            Some(hold) => self.ask_held(hold, request).await,
            None => Ok(Asked::Duplicate),
        }
    }

    /// As [`Broker::ask`], of a request that was claimed already.
    ///
    /// # Errors
    /// See [`BrokerError`].
    pub async fn ask_held(&self, hold: Hold, request: &Request) -> Result<Asked, BrokerError> {
        let (decision, decided) = self.judge(request).await?;
        if hold.again && self.may_be_used_up(&decision).await? {
            return Ok(Asked::Interrupted);
        }
        self.ports.audit.record(decided).await?;
        let permit = match decision {
            Decision::Deny(denial) => return Ok(Asked::Denied(denial)),
            Decision::NeedsApproval(need) => {
                let waiting = self.wait_for(request, &need).await?;
                return Ok(Asked::NeedsApproval(waiting));
            }
            Decision::Allow(permit) => permit,
        };
        let asked = self.question(&permit).await;
        let event = match &asked {
            Ok(_) => AuditEvent::ConfirmationAsked,
            Err(error) => AuditEvent::Failed {
                reason: error.name(),
            },
        };
        let entry = AuditEntry::outcome(&permit, event, self.now());
        self.ports.audit.record(entry).await?;
        asked
    }

    async fn question(&self, permit: &Permit) -> Result<Asked, BrokerError> {
        let Action::Pipeline(action) = permit.action() else {
            let current = self.current(permit).await?;
            return Ok(Asked::Confirm { current });
        };
        fitting(permit.request(), &self.rules.mounts)?;
        let preview = self.preview(action, permit.target()).await?;
        // Nobody is asked before a look.
        let preview = preview.ok_or(RunError::Vague)?;
        Ok(Asked::ConfirmPipeline(action, preview))
    }

    /// The newest version of what is to be changed; 0 where a new secret may be put.
    async fn current(&self, permit: &Permit) -> Result<u64, BrokerError> {
        fitting(permit.request(), &self.rules.mounts)?;
        if matches!(permit.action(), Action::Rotate { .. }) {
            // A misspelt field would be made anew, and the one that was meant stay as it is.
            return self.version_with_field(permit).await;
        }
        let mount = permit.target().path.mount();
        if self.rules.mounts.kind(mount) == Some(MountKind::Kv1) {
            let put = matches!(permit.action(), Action::Put { .. });
            return match self.ports.store.exists(permit).await? {
                true => Ok(1),
                false if put => Ok(0),
                false => Err(StoreError::NotFound.into()),
            };
        }
        match self.ports.store.history(permit).await {
            Ok(history) => Ok(history.current),
            Err(StoreError::NotFound) if matches!(permit.action(), Action::Put { .. }) => Ok(0),
            Err(error) => Err(error.into()),
        }
    }
}

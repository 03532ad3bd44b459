//! Unwrapping: who brings the token may have what it holds, where policy lets them for the path that
//! it was made at.

use crate::broker::ports::WrappedFacts;
use crate::broker::{Broker, BrokerError, Outcome};
use crate::domain::{
    Action, AuditEntry, AuditEvent, Caller, Decision, MountKind, Permit, Reading, Request,
    RequestId, SecretPath, SecretValue, Subject, Target,
};

impl Broker {
    /// What is known of a wrapping token, but for what it unwraps. As in Vault, who has the token
    /// may know; nothing is used up.
    ///
    /// # Errors
    /// See [`BrokerError`].
    pub async fn wrapped(&self, token: &SecretValue) -> Result<WrappedFacts, BrokerError> {
        Ok(self.ports.store.wrapped(token).await?)
    }

    /// Hands what `token` unwraps to `caller`: decide, record, unwrap, record.
    ///
    /// # Errors
    /// See [`BrokerError`]; when the store did not answer, nobody knows whether the token is used
    /// up.
    pub async fn unwrap(
        &self,
        id: RequestId,
        caller: &Caller,
        token: &SecretValue,
    ) -> Result<Outcome, BrokerError> {
        let facts = match self.wrapped(token).await {
            Ok(facts) => facts,
            Err(error) => return self.refused(id, caller, None, error).await,
        };
        let Some(path) = self.asked_for(&facts.path) else {
            tracing::warn!(
                event = "broker.unwrap_elsewhere",
                request = %id,
                %caller,
                path = facts.path,
            );
            let elsewhere = BrokerError::WrappedElsewhere;
            return self.refused(id, caller, Some(facts.path), elsewhere).await;
        };
        let request = Request {
            id,
            caller: caller.clone(),
            action: Action::Unwrap,
            target: Target {
                path,
                field: None,
                version: None,
            },
        };
        match self.decide(&request).await? {
            Decision::Deny(denial) => Ok(Outcome::Denied(denial)),
            Decision::NeedsApproval(need) => {
                let waiting = self.wait_for(&request, &need).await?;
                Ok(Outcome::NeedsApproval(waiting))
            }
            Decision::Allow(permit) => {
                if let Err(error) = self.spend(&permit).await {
                    return self.conclude(&permit, Err(error)).await;
                }
                let result = self.taken_out(&permit, token).await;
                self.conclude(&permit, result).await
            }
        }
    }

    /// Puts on record what policy cannot be asked about, without the token.
    async fn refused(
        &self,
        id: RequestId,
        caller: &Caller,
        made_at: Option<String>,
        error: BrokerError,
    ) -> Result<Outcome, BrokerError> {
        let entry = AuditEntry {
            at: self.now(),
            id,
            caller: caller.clone(),
            subject: Subject::Wrapped { made_at },
            event: AuditEvent::Failed {
                reason: error.name(),
            },
        };
        self.ports.audit.record(entry).await?;
        Err(error)
    }

    async fn taken_out(
        &self,
        permit: &Permit,
        token: &SecretValue,
    ) -> Result<(AuditEvent, Outcome), BrokerError> {
        self.usable(permit)?;
        let secret = self.ports.store.unwrap(permit, token).await?;
        let secret = self.booked(permit, secret).await?;
        let reading = Reading::from(&secret);
        Ok((AuditEvent::Released(reading), Outcome::Released(secret)))
    }

    /// What was read or invoked by a request to `path` in Vault; `None` where it was neither, or
    /// lies on no mount of ours.
    fn asked_for(&self, path: &str) -> Option<SecretPath> {
        let mounts = &self.rules.mounts;
        let (mount, rest) = mounts.split(path)?;
        let path = match mounts.kind(mount)? {
            MountKind::Kv2 => rest.strip_prefix("data/")?,
            MountKind::Kv1 | MountKind::Engine | MountKind::Pipelines => rest,
        };
        SecretPath::new(mount, path).ok()
    }
}

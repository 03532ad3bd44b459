//! The broker: every way in ends at [`Broker::handle`], and there is no other way to a secret.

mod execute;
mod lock;
pub mod ports;

use std::sync::Arc;

use thiserror::Error;
use time::{Duration, OffsetDateTime};

use crate::broker::ports::{
    AuditError, AuditSink, Clock, Coordination, CoordinationError, SecretStore, StoreError,
    StoreHealth,
};
use crate::domain::{AuditEntry, Decision, Denial, Mounts, Policy, Request, RequestId, Secret};

/// How long a message stays claimed: far longer than an old command is accepted.
const CLAIM_LIFETIME: Duration = Duration::days(1);

/// Answers requests.
pub struct Broker {
    policy: Policy,
    mounts: Mounts,
    store: Arc<dyn SecretStore>,
    audit: Arc<dyn AuditSink>,
    coordination: Arc<dyn Coordination>,
    clock: Arc<dyn Clock>,
}

/// What came of a request.
pub enum Outcome {
    /// The secret, only the field asked for where one was named.
    Released(Secret),
    /// Policy refused.
    Denied(Denial),
    /// This very request was handled before, here or by another replica: stay silent.
    Duplicate,
}

/// Why a request has no outcome. `Display` is fit for the caller; `hint` says what to do.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum BrokerError {
    /// The secret store said no.
    #[error("{0}")]
    Store(#[from] StoreError),
    /// The secret has no such field; the names of those it has.
    #[error("the secret has no such field; it has: {}", .0.join(", "))]
    NoSuchField(Vec<String>),
    /// No audit, no secret. The cause is for the log.
    #[error("vaultgram cannot write its audit, so it serves nothing; tell an operator")]
    Audit(#[from] AuditError),
    /// No claim, no effect. The cause is for the log.
    #[error("vaultgram cannot reach its state store, so it serves nothing; tell an operator")]
    Coordination(#[from] CoordinationError),
    /// The permit ran out before it was used.
    #[error("the permission ran out before the secret could be read; ask again")]
    PermitExpired,
}

impl BrokerError {
    /// The name in audit and logs.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Store(error) => error.name(),
            Self::NoSuchField(_) => "no_such_field",
            Self::Audit(_) => "audit_unavailable",
            Self::Coordination(_) => "state_unavailable",
            Self::PermitExpired => "permit_expired",
        }
    }
}

impl Broker {
    /// Puts a broker together from its rules and ports.
    #[must_use]
    pub fn new(
        policy: Policy,
        mounts: Mounts,
        store: Arc<dyn SecretStore>,
        audit: Arc<dyn AuditSink>,
        coordination: Arc<dyn Coordination>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            policy,
            mounts,
            store,
            audit,
            coordination,
            clock,
        }
    }

    /// Answers `request`: claim, decide, record, act.
    ///
    /// # Errors
    /// See [`BrokerError`]; on any error nothing is handed over.
    pub async fn handle(&self, request: Request) -> Result<Outcome, BrokerError> {
        if !self.claim(&request.id).await? {
            return Ok(Outcome::Duplicate);
        }
        let now = self.clock.now();
        let decision = self.policy.decide(&request, now);
        self.audit
            .record(AuditEntry::decided(&request, &decision, now))
            .await?;
        match decision {
            Decision::Deny(denial) => Ok(Outcome::Denied(denial)),
            Decision::Allow(permit) => self.execute(permit).await.map(Outcome::Released),
        }
    }

    /// The mounts that may be asked for.
    #[must_use]
    pub fn mounts(&self) -> &Mounts {
        &self.mounts
    }

    /// The time of day, as everything here is decided by.
    #[must_use]
    pub fn now(&self) -> OffsetDateTime {
        self.clock.now()
    }

    /// The state of the secret store.
    pub async fn store_health(&self) -> StoreHealth {
        self.store.health().await
    }

    /// Takes the request for this process; `false` when it was taken before. For what is
    /// answered without [`Broker::handle`], which claims by itself.
    ///
    /// # Errors
    /// When the coordination store cannot tell.
    pub async fn claim(&self, id: &RequestId) -> Result<bool, CoordinationError> {
        match id {
            RequestId::Message { .. } => {
                let until = self.clock.now() + CLAIM_LIFETIME;
                self.coordination
                    .claim(&format!("claims/{id}"), until)
                    .await
            }
            RequestId::Connection(_) => Ok(true),
        }
    }
}

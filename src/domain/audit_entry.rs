//! What the audit keeps of a request: never a value.

use time::OffsetDateTime;

use crate::domain::{Decision, Permit, Request};

/// One fact for the audit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditEntry {
    /// When.
    pub at: OffsetDateTime,
    /// The request it is about; both of its records carry it.
    pub request: Request,
    /// What happened.
    pub event: AuditEvent,
}

/// What happened to a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AuditEvent {
    /// Policy decided. Written before anything is read.
    Decided {
        /// Whether it may go on.
        allowed: bool,
        /// Why not ([`crate::domain::policy::DenialReason::name`]).
        reason: Option<&'static str>,
        /// The policies that decided.
        policies: Vec<String>,
    },
    /// The secret was read, and is handed over once this is written.
    Released {
        /// The version read.
        version: u64,
    },
    /// Nothing was handed over.
    Failed {
        /// The failure's name, such as `not_found`.
        reason: &'static str,
    },
}

impl AuditEntry {
    /// The record of a decision.
    #[must_use]
    pub fn decided(request: &Request, decision: &Decision, at: OffsetDateTime) -> Self {
        let event = match decision {
            Decision::Allow(permit) => AuditEvent::Decided {
                allowed: true,
                reason: None,
                policies: permit.policies().to_vec(),
            },
            Decision::Deny(denial) => AuditEvent::Decided {
                allowed: false,
                reason: Some(denial.reason.name()),
                policies: denial.policies.clone(),
            },
        };
        Self {
            at,
            request: request.clone(),
            event,
        }
    }

    /// The record of what came of a permit.
    #[must_use]
    pub fn outcome(permit: &Permit, event: AuditEvent, at: OffsetDateTime) -> Self {
        Self {
            at,
            request: permit.request().clone(),
            event,
        }
    }
}

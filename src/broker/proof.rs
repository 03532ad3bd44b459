//! Proofs that prove nothing: whoever brings one is nobody, and on record all the same.

use crate::broker::Broker;
use crate::broker::lock::itself;
use crate::broker::ports::AuditError;
use crate::domain::{AuditEntry, AuditEvent, Caller, RequestId, Subject};

impl Broker {
    /// Puts on record that a proof of the kind `kind` was brought from `from` in the request `id`, and
    /// was refused for `reason`. As it is nobody's, the caller on record is vaultgram itself.
    ///
    /// # Errors
    /// When the audit cannot record it.
    pub async fn record_refused_proof(
        &self,
        id: &RequestId,
        kind: &'static str,
        from: String,
        reason: &'static str,
    ) -> Result<(), AuditError> {
        let entry = AuditEntry {
            at: self.now(),
            id: id.clone(),
            caller: Caller::Unix(itself()),
            subject: Subject::Proof { kind, from },
            event: AuditEvent::ProofRefused { reason },
        };
        self.ports.audit.record(entry).await
    }
}

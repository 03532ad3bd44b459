//! Proofs that prove nothing: whoever brings one is nobody, and on record all the same.

use std::sync::{Mutex, PoisonError};

use crate::broker::Broker;
use crate::broker::lock::itself;
use crate::broker::ports::AuditError;
use crate::domain::{AuditEntry, AuditEvent, Caller, RequestId, Subject};

/// How many refused proofs a second go on record: anybody can bring some, and fill the disk.
const PER_SECOND: u32 = 10;

/// How many went on record in which second, in unix time.
#[derive(Default)]
pub(super) struct Recorded(Mutex<(i64, u32)>);

impl Recorded {
    /// Whether there is room for one more in `second`.
    fn one_more(&self, second: i64) -> bool {
        let mut recorded = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if recorded.0 != second {
            *recorded = (second, 0);
        }
        let room = recorded.1 < PER_SECOND;
        recorded.1 += u32::from(room);
        room
    }
}

impl Broker {
    /// Puts on record that a proof of the kind `kind` was brought from `from` in the request `id`, and
    /// was refused for `reason`; as far as there is room for such. As it is nobody's, the caller on
    /// record is vaultgram itself.
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
        if !self.refused_proofs.one_more(self.now().unix_timestamp()) {
            return Ok(());
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_a_second_are_recorded() {
        let recorded = Recorded::default();
        let in_second = |second| (0..30).filter(|_| recorded.one_more(second)).count();
        assert_eq!([in_second(7), in_second(7), in_second(8)], [10, 0, 10]);
    }
}

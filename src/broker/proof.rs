//! Proofs that prove nothing: whoever brings one is nobody, and on record all the same.

use std::sync::{Mutex, PoisonError};

use time::OffsetDateTime;

use crate::broker::Broker;
use crate::broker::lock::itself;
use crate::broker::ports::AuditError;
use crate::domain::{AuditEntry, AuditEvent, Caller, RequestId, Subject};

/// How long each refused proof takes to be paid off, in milliseconds: ten a second go on record, as
/// anybody can bring some, and fill the disk.
const COST: i64 = 100;
/// How much may be owed: so many may come at once.
const BURST: i64 = 2000;

/// When those on record are paid off, in milliseconds since 1970.
#[derive(Default)]
pub(super) struct Recorded(Mutex<i64>);

impl Recorded {
    /// Whether there is room for one more at `now`.
    fn one_more(&self, now: OffsetDateTime) -> bool {
        let now = now.unix_timestamp() * 1000 + i64::from(now.millisecond());
        let mut paid = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Further ahead is by a clock that was set back.
        *paid = (*paid).min(now + BURST).max(now);
        let room = *paid + COST <= now + BURST;
        if room {
            *paid += COST;
        }
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
        if !self.refused_proofs.one_more(self.now()) {
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
        let at = |second| {
            let now = OffsetDateTime::from_unix_timestamp(second).unwrap();
            (0..30).filter(|_| recorded.one_more(now)).count()
        };
        assert_eq!(
            [at(100), at(100), at(101), at(110), at(109)],
            [20, 0, 10, 20, 0]
        );
        // A clock that is set back by an hour keeps nothing off the record for one.
        assert_eq!([at(-3600), at(-3599)], [0, 10]);
    }
}

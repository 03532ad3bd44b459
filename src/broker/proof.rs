//! Proofs that prove nothing: whoever brings one is nobody, and on record all the same.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use time::OffsetDateTime;

use crate::broker::Broker;
use crate::broker::lock::itself;
use crate::broker::ports::AuditError;
use crate::domain::{AuditEntry, AuditEvent, Caller, RequestId, Subject};

/// How long each refused proof takes to be paid off, in milliseconds: ten a second of each kind go on
/// record, as anybody can bring some, and fill the disk.
const COST: i64 = 100;
/// How much may be owed: so many may come at once.
const BURST: i64 = 2000;

/// What went on record of each kind of proof, so that a flood of one keeps no other off it.
#[derive(Default)]
pub(super) struct Recorded(Mutex<BTreeMap<&'static str, Kind>>);

/// What went on record of one.
#[derive(Default)]
struct Kind {
    /// When those on record are paid off, in milliseconds since 1970.
    paid: i64,
    /// How many were left out since.
    omitted: u64,
}

impl Recorded {
    /// Whether there is room for one more of `kind` at `now`: then, how many were left out before it.
    fn one_more(&self, kind: &'static str, now: OffsetDateTime) -> Option<u64> {
        let now = now.unix_timestamp() * 1000 + i64::from(now.millisecond());
        let mut kinds = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let kind = kinds.entry(kind).or_default();
        // Further ahead is by a clock that was set back.
        kind.paid = kind.paid.min(now + BURST).max(now);
        if kind.paid + COST > now + BURST {
            kind.omitted += 1;
            return None;
        }
        kind.paid += COST;
        Some(std::mem::take(&mut kind.omitted))
    }
}

impl Broker {
    /// What puts on record that a proof of the kind `kind` was brought from `from` in the request `id`,
    /// and was refused for `reason`, once it is awaited; an error when the audit cannot record it. `None`
    /// where there is no room for more of these: those left out are counted in the next. As it is
    /// nobody's, the caller on record is vaultgram itself.
    pub fn record_refused_proof(
        &self,
        id: &RequestId,
        kind: &'static str,
        from: String,
        reason: &'static str,
    ) -> Option<impl Future<Output = Result<(), AuditError>> + Send + use<>> {
        let omitted = self.refused_proofs.one_more(kind, self.now())?;
        let entry = AuditEntry {
            at: self.now(),
            id: id.clone(),
            caller: Caller::Unix(itself()),
            subject: Subject::Proof { kind, from },
            event: AuditEvent::ProofRefused { reason, omitted },
        };
        let audit = Arc::clone(&self.ports.audit);
        Some(async move { audit.record(entry).await })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn second(second: i64) -> OffsetDateTime {
        OffsetDateTime::from_unix_timestamp(second).unwrap()
    }

    #[test]
    fn so_many_a_second_are_recorded() {
        let recorded = Recorded::default();
        let at = |at| {
            let recorded = (0..30).filter_map(|_| recorded.one_more("token", second(at)));
            recorded.count()
        };
        assert_eq!(
            [at(100), at(100), at(101), at(110), at(109)],
            [20, 0, 10, 20, 0]
        );
        // A clock that is set back by an hour keeps nothing off the record for one.
        assert_eq!([at(-3600), at(-3599)], [0, 10]);
    }

    #[test]
    fn a_flood_of_one_kind_keeps_no_other_off_the_record_and_is_told() {
        let recorded = Recorded::default();
        let at = |kind, at| recorded.one_more(kind, second(at));
        for _ in 0..20 {
            assert_eq!(at("session", 100), Some(0));
        }
        for _ in 0..7 {
            assert_eq!(at("session", 100), None);
        }
        assert_eq!(at("token", 100), Some(0));
        assert_eq!(at("session", 101), Some(7));
        assert_eq!(at("session", 101), Some(0), "they are told once");
    }
}

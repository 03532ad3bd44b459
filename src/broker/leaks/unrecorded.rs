//! Leaks that the audit did not take: they wait, beyond the process too, and are recorded as soon as
//! it does.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::join_all;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use tokio::sync::Notify;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::broker::Broker;
use crate::broker::ports::{AuditError, CoordinationError};
use crate::broker::wire::{StoredAction, StoredCaller, StoredId, StoredTarget};
use crate::domain::{AuditEntry, AuditEvent, Subject};

/// Where they are kept, by when they were found.
const PREFIX: &str = "leaks/unrecorded/";
/// The most that wait; of more, the log alone tells.
const MOST: usize = 4096;
/// How many are recorded at once.
const AT_ONCE: usize = 64;
/// How long before the first further try.
const FIRST: Duration = Duration::from_secs(1);
/// The longest between two.
const LONGEST: Duration = Duration::from_mins(5);

/// What waits for the audit.
#[derive(Default)]
pub(in crate::broker) struct Unrecorded {
    entries: Mutex<BTreeMap<String, AuditEntry>>,
    /// There is some more.
    more: Notify,
}

/// A leak as it is kept.
#[derive(Serialize, Deserialize)]
struct Stored {
    /// When it was found, in milliseconds since 1970.
    at: i64,
    id: StoredId,
    caller: StoredCaller,
    action: StoredAction,
    #[serde(flatten)]
    target: StoredTarget,
    message: StoredId,
    writer: Option<i64>,
}

impl Broker {
    /// Keeps `entries`, which the audit did not take because of `error`.
    ///
    /// # Errors
    /// `error`, when one of them is lost should the process end.
    pub(super) async fn keep_unrecorded(
        &self,
        entries: Vec<AuditEntry>,
        error: AuditError,
    ) -> Result<(), AuditError> {
        let kept = join_all(entries.into_iter().map(|entry| self.keep_one(entry))).await;
        self.unrecorded.more.notify_one();
        let count = kept.len();
        let kept = kept.into_iter().all(|kept| kept);
        error!(event = "broker.leaks_unrecorded", count, kept, %error);
        if kept { Ok(()) } else { Err(error) }
    }

    /// Keeps `entry`; whether a later process will find it.
    async fn keep_one(&self, entry: AuditEntry) -> bool {
        let key = format!(
            "{PREFIX}{:014}/{:032x}",
            milliseconds(entry.at),
            self.number()
        );
        let stored = stored(&entry).and_then(|stored| serde_json::to_vec(&stored).ok());
        if !self.unrecorded.add(&key, entry) {
            return false;
        }
        let put = match stored {
            Some(stored) => self.ports.coordination.put(&key, &stored).await,
            None => Err(CoordinationError("it is no leak".to_owned())),
        };
        if let Err(error) = &put {
            warn!(event = "broker.unrecorded_leak_not_kept", %error);
        }
        put.is_ok()
    }

    /// Records what the audit did not take, also what an earlier process left behind, until `stop`,
    /// and once more then.
    pub async fn record_leaks(&self, stop: CancellationToken) {
        let (mut found, mut failures) = (false, 0_u32);
        loop {
            found = found || self.find_unrecorded().await;
            let done = self.record_unrecorded().await && found;
            failures = if done { 0 } else { failures.saturating_add(1) };
            let due = async {
                if done {
                    self.unrecorded.more.notified().await;
                }
                sleep(delay(failures, self.luck())).await;
            };
            tokio::select! {
                () = stop.cancelled() => break,
                () = due => {}
            }
        }
        self.record_unrecorded().await;
    }

    /// Looks for what an earlier process left behind; whether the state store could tell.
    async fn find_unrecorded(&self) -> bool {
        let found = match self.ports.coordination.list(PREFIX).await {
            Ok(found) => found,
            Err(error) => {
                warn!(event = "broker.unrecorded_leaks_unreadable", %error);
                return false;
            }
        };
        for (key, value) in found {
            let stored = serde_json::from_slice::<Stored>(&value).ok();
            if let Some(entry) = stored.and_then(Stored::entry) {
                self.unrecorded.add(&key, entry);
            } else {
                error!(event = "broker.unrecorded_leak_damaged", key);
            }
        }
        true
    }

    /// Records all that wait; whether none are left.
    async fn record_unrecorded(&self) -> bool {
        loop {
            let due = self.unrecorded.first();
            if due.is_empty() {
                return true;
            }
            let (keys, entries): (Vec<_>, Vec<_>) = due.into_iter().unzip();
            let count = entries.len();
            if let Err(error) = self.ports.audit.record_all(entries).await {
                warn!(event = "broker.leaks_still_unrecorded", %error);
                return false;
            }
            info!(event = "broker.leaks_recorded", count);
            for key in keys {
                self.unrecorded.entries().remove(&key);
                if let Err(error) = self.ports.coordination.delete(&key).await {
                    // The next start records it again, which does no harm.
                    warn!(event = "broker.recorded_leak_kept", %error);
                }
            }
        }
    }
}

impl Unrecorded {
    fn entries(&self) -> MutexGuard<'_, BTreeMap<String, AuditEntry>> {
        // Each change is one call, so a panic leaves it whole.
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds `entry`, unless there are too many; whether it is there.
    fn add(&self, key: &str, entry: AuditEntry) -> bool {
        let mut entries = self.entries();
        if entries.len() >= MOST {
            error!(
                event = "broker.leak_lost",
                request = %entry.id,
                caller = %entry.caller,
                subject = ?entry.subject,
                error = "too many wait for the audit"
            );
            return false;
        }
        entries.entry(key.to_owned()).or_insert(entry);
        true
    }

    /// The oldest.
    fn first(&self) -> Vec<(String, AuditEntry)> {
        let entries = self.entries();
        let first = entries.iter().take(AT_ONCE);
        first
            .map(|(key, entry)| (key.clone(), entry.clone()))
            .collect()
    }
}

impl Stored {
    fn entry(self) -> Option<AuditEntry> {
        let nanoseconds = i128::from(self.at) * 1_000_000;
        Some(AuditEntry {
            at: OffsetDateTime::from_unix_timestamp_nanos(nanoseconds).ok()?,
            id: self.id.id()?,
            caller: self.caller.caller(),
            subject: Subject::Secret {
                action: self.action.action()?,
                target: self.target.target()?,
            },
            event: AuditEvent::Leaked {
                message: self.message.id()?,
                writer: self.writer,
            },
        })
    }
}

/// `entry` as it is kept; `None` where it is about something else.
fn stored(entry: &AuditEntry) -> Option<Stored> {
    let (Subject::Secret { action, target }, AuditEvent::Leaked { message, writer }) =
        (&entry.subject, &entry.event)
    else {
        return None;
    };
    Some(Stored {
        at: milliseconds(entry.at),
        id: entry.id.clone().into(),
        caller: entry.caller.clone().into(),
        action: (*action).into(),
        target: target.clone().into(),
        message: message.clone().into(),
        writer: *writer,
    })
}

fn milliseconds(at: OffsetDateTime) -> i64 {
    at.unix_timestamp() * 1000 + i64::from(at.millisecond())
}

/// How long to wait after so many failures in a row; `luck` is between 0 and 1.
fn delay(failures: u32, luck: f64) -> Duration {
    let doubled = FIRST.saturating_mul(2_u32.saturating_pow(failures.saturating_sub(1)));
    doubled.min(LONGEST).mul_f64(f64::midpoint(1.0, luck))
}

//! The leases of this process: in memory, and what other processes must know of them in the
//! coordination store.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::broker::ports::CoordinationError;

/// Where leases are kept, by their codes.
pub(super) const PREFIX: &str = "leases/";
/// The longest that anything is counted to last.
const MAX_SPAN: Duration = Duration::from_hours(24 * 366);
/// Most leases of one holder: who makes more has forgotten them.
pub(super) const MAX_EACH: usize = 1000;
/// Longest wait before something that failed is tried again.
const MAX_DELAY: Duration = Duration::from_mins(1);

/// All of them, by code.
pub(in crate::broker) struct Registry {
    /// What this process is called in those it looks after; random.
    pub(super) keeper: String,
    entries: Mutex<BTreeMap<String, Entry>>,
    /// Something is due sooner than it was.
    pub(super) changed: Notify,
}

/// A lease.
#[derive(Clone)]
pub(super) struct Entry {
    /// Its name in Vault.
    pub(super) lease: String,
    /// Where it was read or made.
    pub(super) path: String,
    /// Who has it, as [`crate::domain::Caller`] is written.
    pub(super) holder: String,
    /// What was approved so that it was made, where that had to be.
    pub(super) grant: Option<String>,
    pub(super) made: OffsetDateTime,
    pub(super) renewed: Option<OffsetDateTime>,
    pub(super) renewable: bool,
    /// What Vault first granted, and what each renewal asks for.
    pub(super) step: Duration,
    pub(super) ends: Instant,
    /// Until when its holder wants it.
    pub(super) keep: Option<Instant>,
    /// Nobody has it any more: it is to be revoked.
    pub(super) unwanted: bool,
    /// Though it is to be revoked, its holder may still keep it.
    pub(super) spared: bool,
    /// Who looks after it in the store, where that is not this process.
    pub(super) elsewhere: Option<String>,
    /// When to renew or revoke it, where it is to be.
    pub(super) next: Instant,
    /// How often in a row that failed.
    pub(super) failures: u32,
}

/// What there is to be done with a lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Due {
    Renew,
    Revoke,
    Forget,
}

/// A lease as it is kept.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Stored {
    lease: String,
    path: String,
    holder: String,
    made: i64,
    ends: i64,
    /// The process that looks after it.
    #[serde(default)]
    pub(super) keeper: String,
    #[serde(default)]
    renewable: bool,
    #[serde(default)]
    step: u64,
    #[serde(default)]
    renewed: Option<i64>,
    /// Until when its holder wants it.
    #[serde(default)]
    keep: Option<i64>,
    #[serde(default)]
    grant: Option<String>,
    /// It is being revoked: nobody can have it any more.
    #[serde(default)]
    pub(super) ending: bool,
}

impl Entry {
    pub(super) fn new(
        (lease, renewable): (&str, bool),
        granted: Duration,
        (path, holder): (String, String),
        made: OffsetDateTime,
    ) -> Self {
        let now = Instant::now();
        Self {
            lease: lease.to_owned(),
            path,
            holder,
            grant: None,
            made,
            renewed: None,
            renewable,
            step: granted.min(MAX_SPAN),
            ends: after(now, granted),
            keep: None,
            unwanted: false,
            spared: false,
            elsewhere: None,
            next: now,
            failures: 0,
        }
    }

    /// Whether somebody may have it.
    pub(super) fn is_had(&self) -> bool {
        !self.unwanted || self.spared
    }

    /// What is to be done with it next, and when.
    pub(super) fn due(&self) -> (Instant, Due) {
        if self.unwanted {
            (self.next, Due::Revoke)
        } else if self.keep.is_some_and(|until| self.ends < until) && self.next < self.ends {
            (self.next, Due::Renew)
        } else {
            (self.ends, Due::Forget)
        }
    }

    /// Vault granted so much; the next renewal comes at two thirds of it, or somewhat sooner by
    /// `luck` between 0 and 1.
    pub(super) fn granted(&mut self, granted: Duration, now: OffsetDateTime, luck: f64) {
        let since = Instant::now();
        self.ends = after(since, granted);
        self.next = after(
            since,
            granted.min(MAX_SPAN).mul_f64(2.0 / 3.0 - luck / 10.0),
        );
        self.renewed = Some(now);
        self.failures = 0;
    }

    /// It did not work; it is tried again after a while that grows.
    pub(super) fn failed(&mut self, luck: f64) {
        self.failures = self.failures.saturating_add(1);
        let delay = Duration::from_millis(500 << self.failures.min(10)).min(MAX_DELAY);
        self.next = after(Instant::now(), delay.mul_f64(f64::midpoint(1.0, luck)));
    }

    /// How long it lasts, unless it is renewed.
    pub(super) fn left(&self) -> Duration {
        self.ends.saturating_duration_since(Instant::now())
    }

    /// What other processes must know, should Vault grant it `granted` now.
    pub(super) fn stored(&self, keeper: &str, now: OffsetDateTime, granted: Duration) -> Stored {
        let ends = now + granted.min(MAX_SPAN);
        let keep = self.keep.map(|until| {
            let left = until.saturating_duration_since(Instant::now());
            (now + left).unix_timestamp()
        });
        Stored {
            lease: self.lease.clone(),
            path: self.path.clone(),
            holder: self.holder.clone(),
            made: self.made.unix_timestamp(),
            ends: ends.unix_timestamp(),
            keeper: keeper.to_owned(),
            renewable: self.renewable,
            step: self.step.as_secs(),
            renewed: self.renewed.map(OffsetDateTime::unix_timestamp),
            keep,
            grant: self.grant.clone(),
            ending: false,
        }
    }
}

impl Stored {
    pub(super) fn read(key: &str, bytes: &[u8]) -> Result<Self, CoordinationError> {
        serde_json::from_slice(bytes).map_err(|_| CoordinationError(format!("{key} is damaged")))
    }

    pub(super) fn write(&self) -> Result<Vec<u8>, CoordinationError> {
        serde_json::to_vec(self).map_err(|error| CoordinationError(error.to_string()))
    }

    /// The lease, as another process looks after it.
    pub(super) fn entry(self, now: OffsetDateTime) -> Entry {
        let from_now = |at: i64| {
            let left = at.saturating_sub(now.unix_timestamp());
            Duration::from_secs(u64::try_from(left).unwrap_or_default())
        };
        let time = |at| OffsetDateTime::from_unix_timestamp(at).ok();
        let made = time(self.made).unwrap_or(now);
        let about = (self.path, self.holder);
        let since = Instant::now();
        let entry = Entry::new(
            (&self.lease, self.renewable),
            from_now(self.ends),
            about,
            made,
        );
        Entry {
            grant: self.grant,
            renewed: self.renewed.and_then(time),
            step: Duration::from_secs(self.step).min(MAX_SPAN),
            keep: self.keep.map(|until| after(since, from_now(until))),
            elsewhere: Some(self.keeper),
            ..entry
        }
    }

    /// What was left behind by a process that ended: nobody looks after it, so it is to end, after
    /// `grace`, in which its holder can still have it kept.
    pub(super) fn left_behind(self, now: OffsetDateTime, grace: Duration) -> Entry {
        let entry = self.entry(now);
        Entry {
            unwanted: true,
            spared: !grace.is_zero(),
            next: after(Instant::now(), grace),
            ..entry
        }
    }
}

impl Registry {
    pub(in crate::broker) fn new(number: u128) -> Self {
        Self {
            keeper: format!("{number:032x}"),
            entries: Mutex::default(),
            changed: Notify::new(),
        }
    }

    pub(super) fn all(&self) -> MutexGuard<'_, BTreeMap<String, Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps `entry` under the first of `codes` that is free; `None` where its holder has too many.
    pub(super) fn add(&self, entry: Entry, mut codes: impl FnMut() -> String) -> Option<String> {
        let mut all = self.all();
        let theirs = |other: &&Entry| other.holder == entry.holder;
        if all.values().filter(theirs).count() >= MAX_EACH {
            return None;
        }
        let code = loop {
            let code = codes();
            if !all.contains_key(&code) {
                break code;
            }
        };
        all.insert(code.clone(), entry);
        drop(all);
        self.changed.notify_one();
        Some(code)
    }

    /// Keeps `entry` under `code`, whatever was there.
    pub(super) fn keep(&self, code: &str, entry: Entry) {
        self.all().insert(code.to_owned(), entry);
        self.changed.notify_one();
    }

    /// The lease of that code.
    pub(super) fn get(&self, code: &str) -> Option<Entry> {
        self.all().get(code).cloned()
    }

    /// The code of the lease that Vault calls `lease`.
    pub(super) fn code_of(&self, lease: &str) -> Option<String> {
        let all = self.all();
        let mut found = all.iter().filter(|(_, entry)| entry.lease == lease);
        found.next().map(|(code, _)| code.clone())
    }

    /// The names in Vault of the leases that were made under `grant`.
    pub(in crate::broker) fn under(&self, grant: &str) -> Vec<String> {
        let all = self.all();
        let under = all.values().filter(|it| it.grant.as_deref() == Some(grant));
        under.map(|entry| entry.lease.clone()).collect()
    }

    /// Everything that leases were made under, of those that are not revoked already.
    pub(in crate::broker) fn grants(&self) -> BTreeSet<String> {
        let all = self.all();
        let wanted = all.values().filter(|entry| !entry.unwanted);
        wanted.filter_map(|entry| entry.grant.clone()).collect()
    }

    /// Changes the lease of that code, if it is still there.
    pub(super) fn update(&self, code: &str, change: impl FnOnce(&mut Entry)) {
        if let Some(entry) = self.all().get_mut(code) {
            change(entry);
        }
        self.changed.notify_one();
    }
}

/// `span` after `from`.
pub(super) fn after(from: Instant, span: Duration) -> Instant {
    from + span.min(MAX_SPAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(granted: u64) -> Entry {
        let about = ("db/creds/app".to_owned(), "uid:990".to_owned());
        let granted = Duration::from_secs(granted);
        Entry::new(("x", true), granted, about, OffsetDateTime::UNIX_EPOCH)
    }

    /// In how many seconds there is something to do, and what.
    fn due(lease: &Entry, since: Instant) -> (u64, Due) {
        let (at, what) = lease.due();
        let seconds = (at - since).as_secs_f64().round();
        (format!("{seconds}").parse().unwrap(), what)
    }

    #[test]
    fn what_is_kept_is_renewed_at_two_thirds_and_what_is_not_ends() {
        let now = Instant::now();
        let in_seconds = |seconds| Some(after(now, Duration::from_secs(seconds)));
        let mut lease = entry(600);
        assert_eq!(due(&lease, now), (600, Due::Forget));
        lease.keep = in_seconds(1000);
        let mut granted = |luck| {
            let granted = Duration::from_mins(10);
            lease.granted(granted, OffsetDateTime::UNIX_EPOCH, luck);
            due(&lease, now)
        };
        assert_eq!(granted(0.0), (400, Due::Renew));
        assert_eq!(granted(1.0), (340, Due::Renew));
        lease.keep = in_seconds(500);
        assert_eq!(due(&lease, now), (600, Due::Forget));
        lease.unwanted = true;
        assert_eq!(due(&lease, now).1, Due::Revoke);
    }

    #[test]
    fn what_fails_is_tried_again_after_a_while_that_grows_and_until_it_ends() {
        let now = Instant::now();
        let mut lease = entry(600);
        lease.keep = Some(after(now, Duration::from_hours(1)));
        let mut waits = vec![];
        for _ in 0..9 {
            lease.failed(1.0);
            waits.push(due(&lease, now).0);
        }
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
        lease.failed(0.0);
        assert_eq!(due(&lease, now), (30, Due::Renew));
        lease.next = lease.ends;
        assert_eq!(due(&lease, now), (600, Due::Forget));
    }

    #[test]
    fn each_holder_has_only_so_many_and_each_lease_a_code_of_its_own() {
        let registry = Registry::new(0);
        let mut number = 0;
        let mut code = || {
            number += 1;
            // Each comes twice.
            (number / 2).to_string()
        };
        for _ in 0..MAX_EACH {
            assert!(registry.add(entry(60), &mut code).is_some());
        }
        assert_eq!(registry.add(entry(60), &mut code), None);
        let other = Entry {
            holder: "uid:991".to_owned(),
            ..entry(60)
        };
        assert!(registry.add(other, &mut code).is_some());
        assert_eq!(registry.all().len(), MAX_EACH + 1);
    }

    #[test]
    fn what_is_left_behind_is_revoked_after_its_grace() {
        let (now, epoch) = (Instant::now(), OffsetDateTime::UNIX_EPOCH);
        let stored = entry(600).stored("former", epoch, Duration::from_mins(10));
        let spared = stored.clone().left_behind(epoch, Duration::from_mins(1));
        assert_eq!(due(&spared, now), (60, Due::Revoke));
        assert!(spared.is_had() && spared.renewable);
        assert_eq!(spared.elsewhere.as_deref(), Some("former"));
        let at_once = stored.left_behind(epoch, Duration::ZERO);
        assert_eq!(due(&at_once, now), (0, Due::Revoke));
        assert!(!at_once.is_had());
    }

    #[test]
    fn no_span_is_too_long() {
        let mut lease = entry(u64::MAX);
        lease.granted(Duration::MAX, OffsetDateTime::UNIX_EPOCH, 0.5);
        let stored = lease.stored("", OffsetDateTime::UNIX_EPOCH, Duration::MAX);
        assert!(stored.write().is_ok() && lease.left() <= MAX_SPAN);
    }
}

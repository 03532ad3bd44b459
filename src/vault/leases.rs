//! The sessions that dynamic secrets hang on: Vault ends a lease along with the token it was made
//! with, so that one is held for as long as the lease may last.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, interval};
use tokio_util::sync::CancellationToken;

use crate::domain::{Origin, Secret};
use crate::vault::session::Session;

/// How long after its answer could be had a session is held that made something nobody here saw:
/// its lease may be longer, and is not ours to know.
const UNSEEN: Duration = Duration::from_hours(24);
/// How often sessions are let go whose leases have ended.
const SWEEP: Duration = Duration::from_secs(1);

/// The leases that were made, by name.
#[derive(Default)]
pub(super) struct Leases(Mutex<BTreeMap<String, Made>>);

struct Made {
    /// Never asked with: held, so that [`crate::vault::held`] keeps it alive.
    session: Arc<Session>,
    /// When Vault ends it, or when it counts as ended.
    until: Instant,
    /// Whether we saw it, so that it has a name.
    seen: bool,
}

impl Leases {
    /// `secret` was made with `session`.
    pub(super) fn made(&self, secret: &Secret, session: &Arc<Session>) {
        if let Origin::Leased(lease) = &secret.origin {
            let made = Made {
                session: Arc::clone(session),
                until: Instant::now() + lease.duration,
                seen: true,
            };
            self.all().insert(lease.id.clone(), made);
        }
    }

    /// Something was made with `session` that nobody here saw, and that may have a lease: Vault
    /// keeps it for `ttl` for somebody else.
    pub(super) fn made_unseen(&self, session: &Arc<Session>, ttl: Duration) {
        let made = Made {
            session: Arc::clone(session),
            until: Instant::now() + ttl + UNSEEN,
            seen: false,
        };
        // One for each session: no lease has such a name.
        let name = format!("session {:p}", Arc::as_ptr(session));
        let mut all = self.all();
        if all.get(&name).is_none_or(|last| last.until < made.until) {
            all.insert(name, made);
        }
    }

    /// The lease of that name lasts for `granted` from now on.
    pub(super) fn renewed(&self, lease: &str, granted: Duration) {
        if let Some(made) = self.all().get_mut(lease) {
            made.until = Instant::now() + granted;
        }
    }

    /// The lease of that name is no more.
    pub(super) fn ended(&self, lease: &str) {
        self.all().remove(lease);
    }

    /// How many there are, of those whose names we know.
    pub(super) fn count(&self) -> usize {
        let all = self.all();
        all.values().filter(|made| made.seen).count()
    }

    /// Lets go of sessions whose leases have ended, or that have ended themselves, until `stop`; then of all.
    pub(super) async fn keep(&self, stop: &CancellationToken) {
        let mut ticks = interval(SWEEP);
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                _ = ticks.tick() => self.sweep(Instant::now()),
            }
        }
        self.all().clear();
    }

    pub(super) fn sweep(&self, now: Instant) {
        self.all().retain(|_, made| {
            // With the token its leases are gone.
            made.until > now && made.session.ends().is_none_or(|ends| ends > now)
        });
    }

    fn all(&self) -> MutexGuard<'_, BTreeMap<String, Made>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

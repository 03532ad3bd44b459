//! The sessions beside the current one (replaced ones, those of token roles): alive while somebody holds
//! them, ended when nobody does.
//!
//! Vault ends leases and child tokens along with the token they were made with. A session in whose place
//! another one came is therefore renewed as long as anybody else holds its `Arc` (a lease, a session made
//! from it, a request under way) and its maximum age allows, and revoked after that.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use crate::vault::client::{Client, Failure};
use crate::vault::schedule::{Action, Lease, MAX_DELAY_AWAY, back_off, next};
use crate::vault::session::Session;

/// How often we look whether a session was let go.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// How many sessions are renewed or revoked at once.
const AT_ONCE: usize = 8;

/// All sessions but the current one.
#[derive(Default)]
pub(super) struct Held {
    /// Those that [`Held::keep`] has not taken up yet, or has left behind.
    waiting: Mutex<Vec<Ward>>,
    came: Notify,
}

/// A session and what to do about it next.
struct Ward {
    session: Arc<Session>,
    /// `None` when no renewal would lengthen its life.
    renew_at: Option<Instant>,
    failures: u32,
    /// Nothing before this moment.
    not_before: Instant,
    ended: bool,
}

impl Held {
    /// Looks after `session` from now on.
    pub(super) fn add(&self, session: Arc<Session>) {
        let (lease, since) = session.term();
        self.waiting().push(Ward {
            session,
            renew_at: renewal(lease, since),
            failures: 0,
            not_before: Instant::now(),
            ended: false,
        });
        self.came.notify_one();
    }

    /// Renews the sessions that are held and ends the others, until `stop`.
    pub(super) async fn keep(&self, client: &Client, stop: &CancellationToken) {
        let mut wards = vec![];
        loop {
            wards.append(&mut self.waiting());
            let look = async {
                if wards.is_empty() {
                    self.came.notified().await;
                } else {
                    stream::iter(&mut wards)
                        .for_each_concurrent(AT_ONCE, |ward| ward.tend(client))
                        .await;
                    sleep(LOOK_EVERY).await;
                }
            };
            tokio::select! {
                biased;
                // What is cut short here, `end` does again.
                () = stop.cancelled() => break,
                () = look => {}
            }
            wards.retain(|ward| !ward.ended);
        }
        self.waiting().append(&mut wards);
    }

    /// Revokes every session, held or not: we are stopping.
    pub(super) async fn end(&self, client: &Client) {
        let (children, parents): (Vec<Ward>, Vec<Ward>) = std::mem::take(&mut *self.waiting())
            .into_iter()
            .partition(|ward| ward.session.parent().is_some());
        // Most children would end with their parents; orphans, and those of a token that was
        // given to us, would not.
        for wards in [children, parents] {
            stream::iter(wards)
                .for_each_concurrent(AT_ONCE, async |ward| {
                    if let Err(cause) = ward.session.revoke(client).await {
                        let (session, role) = (ward.session.number(), ward.session.role());
                        warn!(event = "vault.revocation_failed", session, role, %cause);
                    }
                })
                .await;
        }
    }

    fn waiting(&self) -> std::sync::MutexGuard<'_, Vec<Ward>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ward {
    async fn tend(&mut self, client: &Client) {
        let now = Instant::now();
        if !self.session.over() || self.not_before > now {
            return;
        }
        let held = Arc::strong_count(&self.session) > 1;
        if self.session.ends().is_some_and(|ends| ends <= now) {
            if held {
                let (session, role) = (self.session.number(), self.session.role());
                warn!(event = "vault.held_session_ended", session, role);
            }
            self.ended = true;
        } else if !held {
            self.revoke(client).await;
        } else if self.renew_at.is_some_and(|at| at <= now) {
            self.renew(client).await;
        }
    }

    async fn revoke(&mut self, client: &Client) {
        let (session, role) = (self.session.number(), self.session.role());
        match self.session.revoke(client).await {
            Ok(()) => {
                info!(event = "vault.session_revoked", session, role);
                self.ended = true;
            }
            // It is dead already, or it may not or cannot be revoked (a batch token).
            Err(Failure::Refused(cause)) => {
                debug!(event = "vault.revocation_refused", session, role, %cause);
                self.ended = true;
            }
            Err(failure) => self.put_off(&failure),
        }
    }

    async fn renew(&mut self, client: &Client) {
        let (session, role) = (self.session.number(), self.session.role());
        match self.session.renew(client).await {
            Ok(lease) => {
                let lease_seconds = lease.left.map(|left| left.as_secs());
                debug!(event = "vault.renewed", session, role, lease_seconds);
                self.failures = 0;
                self.renew_at = renewal(lease, Instant::now());
            }
            Err(Failure::Refused(cause)) => {
                warn!(event = "vault.renewal_refused", session, role, %cause);
                self.renew_at = None;
            }
            Err(failure) => self.put_off(&failure),
        }
    }

    fn put_off(&mut self, failure: &Failure) {
        self.failures = self.failures.saturating_add(1);
        let (session, role) = (self.session.number(), self.session.role());
        let failures = self.failures;
        debug!(event = "vault.session_put_off", session, role, cause = %failure, failures);
        let wait = back_off(failures, MAX_DELAY_AWAY, rand::random::<f64>());
        self.not_before = Instant::now() + wait;
    }
}

/// When to renew a lease granted at `since`, if that helps.
fn renewal(lease: Lease, since: Instant) -> Option<Instant> {
    match next(lease, false, rand::random::<f64>())? {
        (Action::Renew, after) => Some(since + after),
        (Action::LogIn, _) => None,
    }
}

#[cfg(test)]
mod tests;

//! Tokens of token roles (`@vault_role("developers")`): each caller's requests with no more power
//! than Vault gives that role, so that Vault refuses what our policy wrongly allowed.
//!
//! One session per role, a child of the current one, made when it is first needed, anew from half of
//! its life on while it is in use, and when its parent was replaced. Where it cannot be made nothing is asked:
//! vaultgram's own token never stands in for it.

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::time::Instant;
use tracing::{info, warn};

use crate::broker::ports::StoreError;
use crate::vault::client::{Failure, Refusal};
use crate::vault::login::{Problem, Verdict};
use crate::vault::schedule::back_off;
use crate::vault::session::Session;
use crate::vault::sessions::Sessions;

/// Longest wait before a role that was refused is asked for again: who mends it waits for us.
const MAX_DELAY_REFUSED: Duration = Duration::from_secs(5);

/// What we have of each role.
#[derive(Default)]
pub(super) struct Roles {
    slots: Mutex<HashMap<String, Arc<Slot>>>,
    made: AtomicU64,
}

/// What we have of one role.
#[derive(Default)]
struct Slot {
    /// [`crate::vault::held`] keeps it alive.
    session: Mutex<Weak<Session>>,
    /// Whoever locks it may make the session: one at a time.
    making: tokio::sync::Mutex<Making>,
}

/// What came of making a session.
#[derive(Default)]
struct Making {
    /// When it last failed, how often in a row, and what came out.
    failed: Option<(Instant, u32, StoreError)>,
    /// Not made again before this moment.
    not_before: Option<Instant>,
}

impl Sessions {
    /// The session of a role. One that ages is replaced behind the back of who asks.
    pub(super) async fn of_role(self: &Arc<Self>, role: &str) -> Result<Arc<Session>, StoreError> {
        let asked = Instant::now();
        let slot = self.roles.slot(role);
        let parent = self.login.session(self.client.patience()).await?;
        let made = {
            let (this, slot, role) = (self.clone(), slot.clone(), role.to_owned());
            async move {
                let mut making = slot.making.lock().await;
                this.make(&role, &slot, &mut making, asked).await
            }
        };
        match slot.current(&parent) {
            Some(session) if session.is_ageing() && slot.making.try_lock().is_ok() => {
                // What comes of it, the next one sees.
                self.tasks.spawn(made);
                Ok(session)
            }
            Some(session) => Ok(session),
            None => self.uncut(made).await,
        }
    }

    /// Vault refused `suspect`, a session of a role, something: the one to ask again with, or
    /// `None` when `suspect` is healthy and the refusal was about the path.
    pub(super) async fn confirm_role(
        &self,
        role: &str,
        suspect: &Arc<Session>,
    ) -> Result<Option<Arc<Session>>, StoreError> {
        let asked = Instant::now();
        let slot = self.roles.slot(role);
        let mut making = slot.making.lock().await;
        let parent = self.login.session(self.client.patience()).await?;
        if let Some(session) = slot.current(&parent)
            && !Arc::ptr_eq(&session, suspect)
        {
            return Ok(Some(session));
        }
        match suspect.confirm(&self.client, asked).await {
            Ok(()) => Ok(None),
            Err(Failure::Refused(cause)) => {
                warn!(event = "vault.role_token_lost", role, %cause);
                suspect.retire();
                let made = self.make(role, &slot, &mut making, asked);
                made.await.map(Some)
            }
            Err(failure) => Err(Problem::Failed(failure).into()),
        }
    }

    async fn make(
        &self,
        role: &str,
        slot: &Slot,
        making: &mut Making,
        asked: Instant,
    ) -> Result<Arc<Session>, StoreError> {
        let parent = self.login.session(self.client.patience()).await?;
        if let Some(session) = slot.current(&parent)
            && !session.is_ageing()
        {
            return Ok(session);
        }
        if let Some((at, _, error)) = &making.failed {
            let wait = making.not_before.is_some_and(|at| at > Instant::now());
            if *at >= asked || wait {
                return Err(error.clone());
            }
        }
        match self.begin(role, parent).await {
            Ok(session) => {
                *making = Making::default();
                let before = std::mem::replace(&mut *slot.session(), Arc::downgrade(&session));
                if let Some(before) = before.upgrade() {
                    before.retire();
                }
                Ok(session)
            }
            Err(error) => {
                making.fail(&error);
                Err(error)
            }
        }
    }

    async fn begin(&self, role: &str, parent: Arc<Session>) -> Result<Arc<Session>, StoreError> {
        let session = match self.child(role, &parent).await {
            // Vault says the same to a dead token and to a role outside our policy.
            Err(Failure::Refused(cause)) => match self.login.confirm(&self.client, &parent).await {
                Verdict::Healthy => Err(Failure::Refused(cause)),
                Verdict::Replaced(parent) => self.child(role, &parent).await,
                Verdict::Lost(problem) => return Err(problem.into()),
            },
            result => result,
        };
        let session = match session {
            Ok(session) => Arc::new(session),
            Err(Failure::Refused(cause)) => return Err(refused(role, &cause)),
            Err(failure) => {
                warn!(event = "vault.role_failed", role, cause = %failure);
                return Err(Problem::Failed(failure).into());
            }
        };
        self.login.held().add(session.clone());
        if let Some(too_much) = as_powerful(&session) {
            session.retire();
            warn!(
                event = "vault.role_too_powerful",
                role,
                cause = too_much,
                advice = format!(
                    "limit it: bao write auth/token/roles/{role} allowed_policies=POLICY, with a POLICY of its own"
                )
            );
            return Err(StoreError::RoleRefused);
        }
        let lease_seconds = session.term().0.left.map(|left| left.as_secs());
        info!(
            event = "vault.role_token_made",
            role,
            session = session.number(),
            lease_seconds
        );
        Ok(session)
    }

    async fn child(&self, role: &str, parent: &Arc<Session>) -> Result<Session, Failure> {
        let number = self.roles.made.fetch_add(1, Ordering::Relaxed) + 1;
        Session::child(&self.client, parent, role, number).await
    }
}

impl Roles {
    /// Waits until no session is being made any more. None is begun after a stop.
    pub(super) async fn settle(&self) {
        let slots: Vec<_> = self.slots().values().cloned().collect();
        for slot in slots {
            drop(slot.making.lock().await);
        }
    }

    fn slot(&self, role: &str) -> Arc<Slot> {
        let mut slots = self.slots();
        if let Some(slot) = slots.get(role) {
            return slot.clone();
        }
        // No more than there are names in policies.
        slots.entry(role.to_owned()).or_default().clone()
    }

    fn slots(&self) -> MutexGuard<'_, HashMap<String, Arc<Slot>>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Slot {
    /// The session, if it is good for a request that begins now.
    fn current(&self, parent: &Arc<Session>) -> Option<Arc<Session>> {
        let session = self.session().upgrade()?;
        let of_parent = session.parent().is_some_and(|of| Arc::ptr_eq(of, parent));
        (of_parent && !session.over()).then_some(session)
    }

    fn session(&self) -> MutexGuard<'_, Weak<Session>> {
        self.session.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Making {
    fn fail(&mut self, error: &StoreError) {
        let now = Instant::now();
        let before = self.failed.as_ref().map_or(0, |(_, failures, _)| *failures);
        let failures = before.saturating_add(1);
        // Of a Vault that is away the next request shows whether it is back.
        self.not_before = (*error == StoreError::RoleRefused)
            .then(|| now + back_off(failures, MAX_DELAY_REFUSED, rand::random::<f64>()));
        self.failed = Some((now, failures, error.clone()));
    }
}

fn refused(role: &str, cause: &Refusal) -> StoreError {
    let advice = if cause.status == 403 {
        format!(
            "let vaultgram's Vault policy update auth/token/create/{role} (policies/vault/broker.hcl)"
        )
    } else {
        format!(
            "make it: bao write auth/token/roles/{role} allowed_policies={role} token_no_default_policy=true token_period=30m"
        )
    };
    warn!(event = "vault.role_refused", role, %cause, advice);
    StoreError::RoleRefused
}

/// A token role without `allowed_policies` hands on all that its parent may: why `session` is no
/// less than its parent, if so.
fn as_powerful(session: &Session) -> Option<&'static str> {
    let own: BTreeSet<&String> = session.policies().iter().collect();
    let parents: BTreeSet<&String> = session.parent()?.policies().iter().collect();
    // Everybody may have that one.
    let needed = parents.iter().filter(|name| **name != "default");
    let all = needed.clone().all(|name| own.contains(*name));
    (all && needed.count() > 0).then_some("its tokens may all that vaultgram's own token may")
}

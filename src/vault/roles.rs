//! Tokens of token roles (`@vault_role("developers")`): each caller's requests with no more power
//! than Vault gives that role, so that Vault refuses what our policy wrongly allowed.
//!
//! One session per role, a child of the current one, made when it is first needed and anew at two
//! thirds of its life, or when its parent was replaced. Where it cannot be made nothing is asked:
//! vaultgram's own token never stands in for it.

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use tokio::time::Instant;
use tracing::{info, warn};

use crate::broker::ports::StoreError;
use crate::vault::client::{Client, Failure, Refusal};
use crate::vault::login::{Login, Problem, Verdict};
use crate::vault::schedule::back_off;
use crate::vault::session::Session;

/// Longest wait before a role that was refused is asked for again: who mends it waits for us.
const MAX_DELAY_REFUSED: Duration = Duration::from_secs(5);

/// The current session of each role.
#[derive(Default)]
pub(super) struct Roles {
    slots: Mutex<HashMap<String, Arc<tokio::sync::Mutex<Slot>>>>,
    made: AtomicU64,
}

/// What we have of one role. Whoever locks it may make its session: one at a time.
#[derive(Default)]
struct Slot {
    /// [`crate::vault::held`] keeps it alive.
    session: Weak<Session>,
    /// When making it last failed, how often in a row, and what came out.
    failed: Option<(Instant, u32, StoreError)>,
    /// Not made again before this moment.
    not_before: Option<Instant>,
}

/// What asking for a role's session needs.
#[derive(Clone, Copy)]
pub(super) struct Asking<'a> {
    pub(super) role: &'a str,
    pub(super) login: &'a Login,
    pub(super) client: &'a Client,
}

impl Roles {
    /// The session of a role.
    pub(super) async fn session(&self, asking: Asking<'_>) -> Result<Arc<Session>, StoreError> {
        let asked = Instant::now();
        let slot = self.slot(asking.role);
        let mut slot = slot.lock().await;
        let parent = asking.login.session(asking.client.patience()).await?;
        match slot.current(&parent) {
            Some(session) => Ok(session),
            None => self.make(asking, &mut slot, parent, asked).await,
        }
    }

    /// Vault refused `suspect`, a session of a role, something: the one to ask again with, or
    /// `None` when `suspect` is healthy and the refusal was about the path.
    pub(super) async fn confirm(
        &self,
        asking: Asking<'_>,
        suspect: &Arc<Session>,
    ) -> Result<Option<Arc<Session>>, StoreError> {
        let asked = Instant::now();
        let slot = self.slot(asking.role);
        let mut slot = slot.lock().await;
        let parent = asking.login.session(asking.client.patience()).await?;
        if let Some(session) = slot.current(&parent)
            && !Arc::ptr_eq(&session, suspect)
        {
            return Ok(Some(session));
        }
        if !suspect.can_be_confirmed() {
            return Ok(None);
        }
        match suspect.confirm(asking.client, asked).await {
            Ok(()) => Ok(None),
            Err(Failure::Refused(cause)) => {
                warn!(event = "vault.role_token_lost", role = asking.role, %cause);
                suspect.retire();
                self.make(asking, &mut slot, parent, asked).await.map(Some)
            }
            Err(failure) => Err(Problem::Failed(failure).into()),
        }
    }

    /// Waits until no session is being made any more. None is begun after a stop.
    pub(super) async fn settle(&self) {
        let slots: Vec<_> = self.slots().values().cloned().collect();
        for slot in slots {
            drop(slot.lock().await);
        }
    }

    async fn make(
        &self,
        asking: Asking<'_>,
        slot: &mut Slot,
        parent: Arc<Session>,
        asked: Instant,
    ) -> Result<Arc<Session>, StoreError> {
        let now = Instant::now();
        if let Some((at, _, error)) = &slot.failed
            && (*at >= asked || slot.not_before.is_some_and(|moment| moment > now))
        {
            return Err(error.clone());
        }
        if let Some(session) = slot.session.upgrade() {
            session.retire();
        }
        match self.begin(asking, parent).await {
            Ok(session) => {
                *slot = Slot::default();
                slot.session = Arc::downgrade(&session);
                Ok(session)
            }
            Err(error) => {
                slot.fail(&error);
                Err(error)
            }
        }
    }

    async fn begin(
        &self,
        asking: Asking<'_>,
        parent: Arc<Session>,
    ) -> Result<Arc<Session>, StoreError> {
        let Asking {
            role,
            login,
            client,
        } = asking;
        let session = match self.child(asking, &parent).await {
            // Vault says the same to a dead token and to a role outside our policy.
            Err(Failure::Refused(cause)) => match login.confirm(client, &parent).await {
                Verdict::Healthy => Err(Failure::Refused(cause)),
                Verdict::Replaced(parent) => self.child(asking, &parent).await,
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
        login.held().add(session.clone());
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
        if !session.can_be_confirmed() {
            warn!(
                event = "vault.token_cannot_be_confirmed",
                role,
                advice = "let the role's Vault policy read auth/token/lookup-self, so that a revoked token is replaced at once"
            );
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

    async fn child(&self, asking: Asking<'_>, parent: &Arc<Session>) -> Result<Session, Failure> {
        let number = self.made.fetch_add(1, Ordering::Relaxed) + 1;
        Session::child(asking.client, parent, asking.role, number).await
    }

    fn slot(&self, role: &str) -> Arc<tokio::sync::Mutex<Slot>> {
        let mut slots = self.slots();
        if let Some(slot) = slots.get(role) {
            return slot.clone();
        }
        // No more than there are names in policies.
        slots.entry(role.to_owned()).or_default().clone()
    }

    fn slots(&self) -> std::sync::MutexGuard<'_, HashMap<String, Arc<tokio::sync::Mutex<Slot>>>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Slot {
    /// The session, if it is good for a request that begins now.
    fn current(&self, parent: &Arc<Session>) -> Option<Arc<Session>> {
        let session = self.session.upgrade()?;
        let of_parent = session.parent().is_some_and(|of| Arc::ptr_eq(of, parent));
        (of_parent && !session.over()).then_some(session)
    }

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

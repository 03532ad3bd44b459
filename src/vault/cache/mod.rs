//! Secrets that were read, kept for a while where policy says so (`@cache`, `@stale`).
//!
//! [`Cached`] stands before the store and speaks its language. Kept is what a KV mount answers to
//! a read, never what an engine made (it ends with a lease or a moment) nor a wrapped answer (it
//! works once). A hit is handed out while its time to live lasts; past half of it Vault is first
//! asked whether the version is still the one. While Vault does not answer, what was kept is
//! handed out up to its stale limit, and says how old it is.

mod entry;
mod shelf;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use metrics::counter;
use tokio::time::{Instant, interval, timeout};
use tokio_util::sync::CancellationToken;

use crate::broker::ports::{SecretStore, StoreError, StoreHealth, Wrapped, WrappedFacts};
use crate::domain::terms::CacheTerms;
use crate::domain::{
    Action, Age, Field, History, MountKind, Mounts, Permit, Secret, SecretPath, SecretValue,
    VersionFacts, VersionState,
};
use crate::telemetry::metrics::CACHE_READS;
use crate::vault::cache::entry::Entry;
use crate::vault::cache::shelf::{Key, Shelf};

/// How often what is too old is thrown away, whoever asks or not.
const SWEEP: Duration = Duration::from_secs(1);
/// How long Vault may think while something stale could be handed out instead.
const IMPATIENCE: Duration = Duration::from_secs(1);
/// How often it is found out whether Vault is back, at the expense of one who waits for it.
const PROBE: Duration = Duration::from_secs(1);

/// A store whose reads are kept where their permit says so.
///
/// A store speaks in one namespace, so that a key need not hold it.
pub struct Cached {
    store: Arc<dyn SecretStore>,
    mounts: Mounts,
    shelf: Shelf,
    /// When Vault was last found, or is being found, not to answer.
    away: Mutex<Option<Instant>>,
    now: Time,
}

/// Tells the time, which never goes back; an argument, so that tests need not wait.
type Time = Box<dyn Fn() -> Instant + Send + Sync>;

impl Cached {
    /// Keeps what `store` answers for `mounts`.
    #[must_use]
    pub fn new(store: Arc<dyn SecretStore>, mounts: Mounts) -> Self {
        Self::with_time(store, mounts, Box::new(Instant::now))
    }

    /// As [`Cached::new`], by another clock.
    #[must_use]
    pub fn with_time(store: Arc<dyn SecretStore>, mounts: Mounts, now: Time) -> Self {
        Self {
            store,
            mounts,
            shelf: Shelf::default(),
            away: Mutex::default(),
            now,
        }
    }

    /// Throws away what is too old, until `stop`; then everything.
    pub async fn run(&self, stop: CancellationToken) {
        let mut ticks = interval(SWEEP);
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                _ = ticks.tick() => self.shelf.sweep((self.now)()),
            }
        }
        self.shelf.clear();
    }

    /// On what terms the answer to `permit` is kept.
    fn terms(&self, permit: &Permit) -> Option<CacheTerms> {
        let kept = matches!(permit.action(), Action::Read(_))
            && match self.mounts.kind(permit.target().path.mount()) {
                Some(MountKind::Kv2 | MountKind::Kv1) => true,
                Some(MountKind::Engine | MountKind::Pipelines) | None => false,
            };
        permit.terms().cache.filter(|_| kept)
    }

    /// What is kept for `key`, if it may be handed out without asking anybody.
    fn fresh(&self, key: &Key, terms: CacheTerms) -> Option<Secret> {
        let entry = self.shelf.get(key)?;
        let now = (self.now)();
        if !entry.is_live(now, terms) || !entry.is_certain(now, terms) {
            return None;
        }
        entry.secret(Age {
            since: entry.unconfirmed(now),
            stale: false,
        })
    }

    /// What Vault says now, as little as possible of it being asked.
    async fn ask(
        &self,
        key: &Key,
        terms: CacheTerms,
        permit: &Permit,
    ) -> Result<Secret, StoreError> {
        if let Some(entry) = self.shelf.get(key)
            && entry.is_live((self.now)(), terms)
            && let Some(secret) = self.confirm(&entry, permit).await?
        {
            return Ok(secret);
        }
        let writes = self.shelf.writes();
        let read = (self.now)();
        let secret = self.store.read(permit).await?;
        // What may be older than a write that ended meanwhile is not kept.
        if let Some(entry) = Entry::new(&secret, read, terms) {
            self.shelf.put(key, entry, writes);
        }
        Ok(secret)
    }

    /// The secret in `entry`, if Vault says that it would read the same.
    async fn confirm(&self, entry: &Entry, permit: &Permit) -> Result<Option<Secret>, StoreError> {
        let Some(version) = entry.version() else {
            return Ok(None); // KV version 1 tells nothing but the values
        };
        let asked = (self.now)();
        let history = match self.store.history(permit).await {
            Ok(history) => history,
            Err(error) if is_away(&error) => return Err(error),
            // Whatever it is, reading tells it better.
            Err(_) => return Ok(None),
        };
        let wanted = permit.target().version.unwrap_or(history.current);
        // A secret that was removed with all its versions counts from 1 again.
        let same = |found: &crate::domain::Version| {
            found.state == VersionState::Live
                && (found.number, &found.created, &found.deletion)
                    == (version.number, &version.created, &version.deletion)
        };
        if wanted != version.number
            || history.notes != version.notes
            || !history.versions.iter().any(same)
        {
            return Ok(None);
        }
        entry.confirmed(asked);
        Ok(entry.secret(Age {
            since: Duration::ZERO,
            stale: false,
        }))
    }

    /// What is kept for `key`, if it may be handed out while Vault does not answer.
    fn stale(&self, key: &Key, terms: CacheTerms) -> Option<Secret> {
        let entry = self.shelf.get(key)?;
        let since = entry.unconfirmed((self.now)());
        let age = Age { since, stale: true };
        (since <= terms.stale).then(|| entry.secret(age)).flatten()
    }

    /// Reads with `permit`, of many who want the same one for all.
    async fn read_on(&self, permit: &Permit, terms: CacheTerms) -> Result<Secret, StoreError> {
        let key = Key::of(permit);
        if let Some(secret) = self.fresh(&key, terms) {
            counter!(CACHE_READS, "result" => "hit").increment(1);
            return Ok(secret);
        }
        let asked = (self.now)();
        // While Vault is away one at a time finds out whether it is back.
        if !self.may_ask(asked)
            && let Some(secret) = self.stale(&key, terms)
        {
            counter!(CACHE_READS, "result" => "stale").increment(1);
            return Ok(secret);
        }
        let flight = self.shelf.flight(&key);
        let mut failed = flight.lock().await;
        // Whoever came first may have brought it, or found that it is not to be had.
        if let Some(secret) = self.fresh(&key, terms) {
            counter!(CACHE_READS, "result" => "hit").increment(1);
            return Ok(secret);
        }
        let kept = self.stale(&key, terms);
        let answer = match &*failed {
            Some((at, error)) if *at >= asked => Err(error.clone()),
            _ if kept.is_some() => timeout(IMPATIENCE, self.ask(&key, terms, permit))
                .await
                .unwrap_or(Err(StoreError::Unavailable)),
            _ => self.ask(&key, terms, permit).await,
        };
        let error = match answer {
            Ok(secret) => {
                *failed = None;
                self.heard(None);
                counter!(CACHE_READS, "result" => "miss").increment(1);
                return Ok(secret);
            }
            Err(error) => error,
        };
        if failed.as_ref().is_none_or(|(at, _)| *at < asked) {
            *failed = Some(((self.now)(), error.clone()));
        }
        if !is_away(&error) {
            self.heard(None);
            self.shelf.remove(&key);
            return Err(error);
        }
        self.heard(Some((self.now)()));
        // A change through us may have ended meanwhile: nothing kept outlasts that.
        let Some(secret) = kept.filter(|_| self.shelf.get(&key).is_some()) else {
            return Err(error);
        };
        counter!(CACHE_READS, "result" => "stale").increment(1);
        Ok(secret)
    }

    /// Whether Vault may be asked by one who could do with something stale.
    fn may_ask(&self, now: Instant) -> bool {
        let mut away = self.away.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut *away {
            Some(since) if now.saturating_duration_since(*since) < PROBE => false,
            Some(since) => {
                *since = now;
                true
            }
            None => true,
        }
    }

    /// Vault has answered, or was found away at a moment.
    fn heard(&self, away: Option<Instant>) {
        *self.away.lock().unwrap_or_else(PoisonError::into_inner) = away;
    }

    /// Changes what `path` holds: nothing kept of it outlasts that, whatever comes of the change.
    async fn changing<T>(
        &self,
        path: &SecretPath,
        change: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        self.shelf.forget(path);
        let changed = change.await;
        if matches!(changed, Err(StoreError::Unclear)) {
            self.shelf.forget_for_a_while(path, (self.now)());
        } else {
            self.shelf.forget(path);
        }
        changed
    }
}

/// Whether Vault gave no answer, rather than one we do not like.
fn is_away(error: &StoreError) -> bool {
    matches!(error, StoreError::Unavailable | StoreError::Sealed)
}

#[async_trait]
impl SecretStore for Cached {
    fn namespace(&self) -> Option<&str> {
        self.store.namespace()
    }

    fn at_hand(&self, permit: &Permit) -> Option<Secret> {
        let secret = self.fresh(&Key::of(permit), self.terms(permit)?)?;
        counter!(CACHE_READS, "result" => "hit").increment(1);
        Some(secret)
    }

    async fn read(&self, permit: &Permit) -> Result<Secret, StoreError> {
        match self.terms(permit) {
            Some(terms) => self.read_on(permit, terms).await,
            None => self.store.read(permit).await,
        }
    }

    async fn wrap(&self, permit: &Permit, ttl: Duration) -> Result<Wrapped, StoreError> {
        self.store.wrap(permit, ttl).await
    }

    async fn wrapped(&self, token: &SecretValue) -> Result<WrappedFacts, StoreError> {
        self.store.wrapped(token).await
    }

    async fn unwrap(&self, permit: &Permit, token: &SecretValue) -> Result<Secret, StoreError> {
        self.store.unwrap(permit, token).await
    }

    async fn invoke(&self, permit: &Permit, fields: &[Field]) -> Result<Secret, StoreError> {
        self.store.invoke(permit, fields).await
    }

    async fn invoke_wrapped(
        &self,
        permit: &Permit,
        fields: &[Field],
        ttl: Duration,
    ) -> Result<Wrapped, StoreError> {
        self.store.invoke_wrapped(permit, fields, ttl).await
    }

    async fn revoke(&self, lease: &str) -> Result<(), StoreError> {
        self.store.revoke(lease).await
    }

    async fn check_code(
        &self,
        mount: &str,
        key: &str,
        code: &SecretValue,
    ) -> Result<bool, StoreError> {
        self.store.check_code(mount, key, code).await
    }

    async fn renew(&self, lease: &str, increment: Duration) -> Result<Duration, StoreError> {
        self.store.renew(lease, increment).await
    }

    async fn exists(&self, permit: &Permit) -> Result<bool, StoreError> {
        self.store.exists(permit).await
    }

    async fn list(&self, permit: &Permit) -> Result<Vec<String>, StoreError> {
        self.store.list(permit).await
    }

    async fn history(&self, permit: &Permit) -> Result<History, StoreError> {
        self.store.history(permit).await
    }

    async fn put(
        &self,
        permit: &Permit,
        fields: &[Field],
        over: Option<u64>,
    ) -> Result<Option<VersionFacts>, StoreError> {
        let change = self.store.put(permit, fields, over);
        self.changing(&permit.target().path, change).await
    }

    async fn patch(
        &self,
        permit: &Permit,
        fields: &[Field],
        over: Option<u64>,
    ) -> Result<VersionFacts, StoreError> {
        let change = self.store.patch(permit, fields, over);
        self.changing(&permit.target().path, change).await
    }

    async fn delete(&self, permit: &Permit) -> Result<Option<u64>, StoreError> {
        let change = self.store.delete(permit);
        self.changing(&permit.target().path, change).await
    }

    async fn undelete(&self, permit: &Permit, version: u64) -> Result<(), StoreError> {
        let change = self.store.undelete(permit, version);
        self.changing(&permit.target().path, change).await
    }

    async fn destroy(&self, permit: &Permit, version: u64) -> Result<(), StoreError> {
        let change = self.store.destroy(permit, version);
        self.changing(&permit.target().path, change).await
    }

    async fn health(&self) -> StoreHealth {
        self.store.health().await
    }
}

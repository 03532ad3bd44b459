//! How vaultgram is: a look at each thing it depends on, for probes, dashboards and people.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use time::OffsetDateTime;
use tokio::time::{Instant, timeout};

use crate::broker::Broker;
use crate::broker::ports::{AuditError, AuditSink, Condition, Look, Part, StoreHealth};
use crate::domain::AuditEntry;
use crate::domain::approval::State;
use crate::telemetry::stage::{Stage, timed};

/// Longest that a dependency may take to say how it is.
const PATIENCE: Duration = Duration::from_secs(2);
/// For so long a record that was not written counts against the audit: what writes no record, as a
/// look does, cannot tell a full disk.
const REMEMBER_FAILURE: Duration = Duration::from_secs(30);

const UNWRITABLE: &str = "cannot be written";
const LATE: &str = "does not answer in time";

/// How everything is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Health {
    /// In short: down where no secret can be served, degraded where something else is not well.
    pub condition: Condition,
    /// Each dependency.
    pub checks: Vec<Check>,
    /// What is counted, by name; nothing of anybody is in it.
    pub figures: BTreeMap<&'static str, u64>,
    /// What the secret store says of itself.
    pub store: StoreHealth,
}

/// How a dependency is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// Its name.
    pub name: &'static str,
    /// How it is.
    pub condition: Condition,
    /// The same in words.
    pub text: String,
    /// Since when, as far as anybody looked.
    pub since: OffsetDateTime,
    /// Whether secrets can be served without it.
    pub needed: bool,
}

impl Health {
    /// Whether secrets can be served.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.condition != Condition::Down
    }
}

/// What is remembered between looks.
#[derive(Default)]
pub(super) struct Memory {
    /// The condition each dependency was last found in, and when it was first.
    since: Mutex<BTreeMap<&'static str, (Condition, OffsetDateTime)>>,
    parts: Mutex<Vec<Arc<dyn Part>>>,
    audit: Arc<LastWord>,
}

impl Memory {
    /// `sink`, whose failures are remembered from now on.
    pub(super) fn listening_to(&self, sink: Arc<dyn AuditSink>) -> Arc<dyn AuditSink> {
        let last_word = Arc::clone(&self.audit);
        Arc::new(Listening { sink, last_word })
    }

    fn since(&self, name: &'static str, look: &Look, now: OffsetDateTime) -> OffsetDateTime {
        // Each change is one call, so a panic leaves it whole.
        let mut since = self.since.lock().unwrap_or_else(PoisonError::into_inner);
        let found = look.since.unwrap_or(now);
        let (before, at) = since.entry(name).or_insert((look.condition, found));
        if *before != look.condition || look.since.is_some() {
            (*before, *at) = (look.condition, found);
        }
        *at
    }
}

/// When the audit last failed, and why, unless it has worked since.
#[derive(Default)]
struct LastWord(Mutex<Option<(Instant, AuditError)>>);

/// An audit that is listened to.
struct Listening {
    sink: Arc<dyn AuditSink>,
    last_word: Arc<LastWord>,
}

#[async_trait]
impl AuditSink for Listening {
    async fn record_all(&self, entries: Vec<AuditEntry>) -> Result<(), AuditError> {
        // A look proves nothing.
        if entries.is_empty() {
            return self.sink.record_all(entries).await;
        }
        let recorded = timed(Stage::Audit, self.sink.record_all(entries)).await;
        let failure = recorded.as_ref().err();
        let failure = failure.map(|error| (Instant::now(), error.clone()));
        let last_word = self.last_word.0.lock();
        *last_word.unwrap_or_else(PoisonError::into_inner) = failure;
        recorded
    }
}

impl Broker {
    /// Has [`Broker::health`] speak of `part` too.
    pub fn include(&self, part: Arc<dyn Part>) {
        let parts = self.health.parts.lock();
        parts.unwrap_or_else(PoisonError::into_inner).push(part);
    }

    /// Looks at everything. Answers within seconds, also where something hangs.
    pub async fn health(&self) -> Health {
        let (store, state, audit) = tokio::join!(
            timeout(PATIENCE, self.store_health()),
            in_time(self.look_at_state()),
            in_time(self.look_at_audit()),
        );
        let store = store.unwrap_or_else(|_| StoreHealth::Unreachable {
            reason: LATE.to_owned(),
        });
        let vault = look_at_store(&store);
        let mut looks = vec![
            ("vault", vault, true),
            ("state", state, true),
            ("audit", audit, true),
            ("policy", self.look_at_policy(), true),
        ];
        let parts = self.health.parts.lock();
        let parts = parts.unwrap_or_else(PoisonError::into_inner).clone();
        looks.extend(parts.iter().map(|part| (part.name(), part.look(), false)));
        let now = self.now();
        let check = |(name, look, needed): (&'static str, Look, bool)| Check {
            since: self.health.since(name, &look, now),
            name,
            condition: look.condition,
            text: look.text,
            needed,
        };
        let checks: Vec<_> = looks.into_iter().map(check).collect();
        Health {
            condition: overall(&checks),
            figures: self.figures().await,
            checks,
            store,
        }
    }

    /// Everything that is counted for [`Broker::health`].
    async fn figures(&self) -> BTreeMap<&'static str, u64> {
        let count = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
        let mut figures = BTreeMap::from([("leases", count(self.lease_count()))]);
        let watched = self.leaks.count();
        figures.extend(watched.map(|values| ("watched_values", count(values))));
        // A state store that does not answer is told of above.
        if let Ok(Ok(requests)) = timeout(PATIENCE, self.approvals_for_notices()).await {
            let pending = requests.iter().filter(|it| it.state == State::Pending);
            figures.insert("pending_requests", count(pending.count()));
        }
        figures
    }

    async fn look_at_state(&self) -> Look {
        // A folder that is empty.
        match self.ports.coordination.list("health/").await {
            Ok(_) => Look::well("answers"),
            Err(error) => down("does not answer", &error),
        }
    }

    async fn look_at_audit(&self) -> Look {
        // Writing nothing finds out whether anything could be written.
        if let Err(error) = self.ports.audit.record_all(vec![]).await {
            return down(UNWRITABLE, &error);
        }
        let failure = self.health.audit.0.lock();
        let failure = failure.unwrap_or_else(PoisonError::into_inner).clone();
        match failure {
            Some((at, error)) if at.elapsed() < REMEMBER_FAILURE => down(UNWRITABLE, &error),
            Some(_) | None => Look::well("writable"),
        }
    }

    fn look_at_policy(&self) -> Look {
        let policy = self.rules.policy.get();
        if self.policy_news().borrow().problem.is_some() {
            return Look::degraded("older than its files, in which something is wrong");
        }
        match policy.len() {
            0 => Look::well("no policy, so everything is refused"),
            1 => Look::well("1 policy"),
            count => Look::well(format!("{count} policies")),
        }
    }
}

fn look_at_store(health: &StoreHealth) -> Look {
    match health {
        StoreHealth::Ready(serving) => {
            let text = format!("{}, version {}", health.name(), serving.version);
            match serving.drift_warning() {
                Some(warning) => Look::degraded(format!("{text}; {warning}")),
                None => Look::well(text),
            }
        }
        StoreHealth::Sealed | StoreHealth::Uninitialized => Look::down(health.name()),
        StoreHealth::LoggedOut { reason } | StoreHealth::Unreachable { reason } => {
            Look::down(format!("{}: {reason}", health.name()))
        }
    }
}

/// The cause is for the log alone: it names files.
fn down(text: &str, error: &dyn fmt::Display) -> Look {
    tracing::warn!(event = "broker.health.down", what = text, %error);
    Look::down(format!("{text}; the log says why"))
}

async fn in_time(look: impl Future<Output = Look>) -> Look {
    let late = |_| Look::down(LATE);
    timeout(PATIENCE, look).await.unwrap_or_else(late)
}

fn overall(checks: &[Check]) -> Condition {
    let down = |check: &Check| check.needed && check.condition == Condition::Down;
    if checks.iter().any(down) {
        Condition::Down
    } else if checks.iter().all(|check| check.condition == Condition::Ok) {
        Condition::Ok
    } else {
        Condition::Degraded
    }
}

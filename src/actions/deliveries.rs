//! Deliveries of webhooks: taken once, by whichever replica, from who knows our secret.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};
use tracing::warn;

use crate::actions::webhook::{self, Event, WebhookError};
use crate::broker::ports::{Clock, Coordination};
use crate::domain::SecretValue;

/// How long secrets are taken without being read again.
const FRESH: Duration = Duration::from_mins(1);
/// The shortest time from one reading to the next, whoever sends what is not signed with them.
const PAUSE: Duration = Duration::from_secs(10);
/// How long they are taken while they cannot be read.
const KEEP: Duration = Duration::from_mins(10);
/// How long reading them may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// Where the secrets are that webhooks are signed with.
#[async_trait]
pub trait SecretSource: Send + Sync {
    /// All that count now: two while one takes the other's place.
    ///
    /// # Errors
    /// Says why they cannot be had, for the log.
    async fn secrets(&self) -> Result<Vec<SecretValue>, String>;
}

/// What came, as it claims to be.
pub struct Delivery<'a> {
    /// `X-GitHub-Event`.
    pub event: Option<&'a str>,
    /// `X-GitHub-Delivery`.
    pub id: Option<&'a str>,
    /// `X-Hub-Signature-256`.
    pub signature: Option<&'a str>,
    /// The whole body, as it came.
    pub body: &'a [u8],
}

/// Finds out which deliveries are GitHub's, and news.
pub struct Webhooks {
    source: Arc<dyn SecretSource>,
    coordination: Arc<dyn Coordination>,
    clock: Arc<dyn Clock>,
    /// Held while they are read: who comes second has what the first got.
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    secrets: Arc<Vec<SecretValue>>,
    read: Option<Instant>,
    tried: Option<Instant>,
}

impl Webhooks {
    /// Those signed with one of the secrets in `source`; `coordination` knows which were taken.
    #[must_use]
    pub fn new(
        source: Arc<dyn SecretSource>,
        coordination: Arc<dyn Coordination>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            source,
            coordination,
            clock,
            kept: Mutex::default(),
        }
    }

    /// Takes a delivery, which counts from now on: what it tells.
    ///
    /// # Errors
    /// When it is not GitHub's, not news, or that cannot be told.
    pub async fn take(&self, delivery: &Delivery<'_>) -> Result<Event, WebhookError> {
        self.verify(delivery).await?;
        let now = self.clock.now();
        let event = delivery.event.ok_or(WebhookError::Malformed)?;
        let event = webhook::read(event, delivery.body, now)?;
        let first = webhook::first(&*self.coordination, delivery.id, now).await;
        let first = first.map_err(|error| {
            warn!(event = "webhook.state_unavailable", %error);
            WebhookError::Unavailable
        })?;
        first?.then_some(event).ok_or(WebhookError::Replayed)
    }

    async fn verify(&self, delivery: &Delivery<'_>) -> Result<(), WebhookError> {
        let signed =
            |secrets: &[SecretValue]| webhook::verify(secrets, delivery.body, delivery.signature);
        let secrets = self.secrets(FRESH).await?;
        match signed(&secrets) {
            // The secret may be a new one.
            Err(WebhookError::Signature) => signed(&self.secrets(PAUSE).await?[..]),
            other => other,
        }
    }

    /// The secrets, read again where that was longer ago than `age`, and was not tried just now.
    async fn secrets(&self, age: Duration) -> Result<Arc<Vec<SecretValue>>, WebhookError> {
        let mut kept = self.kept.lock().await;
        let within = |at: Option<Instant>, span: Duration| at.is_some_and(|at| at.elapsed() < span);
        if !within(kept.read, age) && !within(kept.tried, PAUSE) {
            kept.tried = Some(Instant::now());
            let late = |_| Err("they did not come in time".to_owned());
            let read = timeout(PATIENCE, self.source.secrets()).await;
            match read.unwrap_or_else(late) {
                Ok(secrets) => {
                    kept.secrets = Arc::new(secrets);
                    kept.read = Some(Instant::now());
                }
                Err(reason) => warn!(
                    event = "webhook.secrets_not_read",
                    reason,
                    hint = "those read before are taken for ten minutes"
                ),
            }
        }
        within(kept.read, KEEP)
            .then(|| Arc::clone(&kept.secrets))
            .ok_or(WebhookError::Unavailable)
    }
}

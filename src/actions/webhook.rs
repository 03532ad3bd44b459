//! What GitHub tells of its own accord: whether it is GitHub who tells it, whether it is news, and
//! what of it concerns runs.

use ring::hmac;
use serde::Deserialize;
use thiserror::Error;
use time::{Duration, OffsetDateTime};

use crate::actions::github::answers::{JobAnswer, RunAnswer};
use crate::broker::ports::pipelines::{Repository, Run, RunId, RunJob};
use crate::broker::ports::{Claim, Coordination, CoordinationError};
use crate::domain::SecretValue;

/// Largest body that is looked at, in bytes.
pub const MAX_BODY: usize = 1 << 20;
/// For how long a delivery counts once. GitHub sends one again for three days, if it is asked to.
const REMEMBERED: Duration = Duration::days(7);
/// What is older is not taken: it may have been forgotten that it was.
const OLDEST: Duration = Duration::days(6);

/// Why a delivery is not taken. `Display` is fit for who sent it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum WebhookError {
    /// It is over [`MAX_BODY`].
    #[error("the body is larger than 1 MiB")]
    TooLarge,
    /// No signature, or not of this body with one of our secrets.
    #[error("X-Hub-Signature-256 is missing or wrong; the webhook's secret must be vaultgram's")]
    Signature,
    /// No id.
    #[error("X-GitHub-Delivery is missing or no id")]
    Delivery,
    /// Not what GitHub sends.
    #[error("the body is not what GitHub sends for this event")]
    Malformed,
    /// Older than a delivery is remembered.
    #[error("the event is older than six days")]
    Stale,
    /// It was taken before.
    #[error("this delivery was taken before; a delivery counts once")]
    Replayed,
    /// Of a repository that is not ours.
    #[error("vaultgram serves no pipelines of this repository")]
    Elsewhere,
    /// The secret, or the state, cannot be had now.
    #[error("vaultgram cannot take deliveries now; deliver it again in a while")]
    Unavailable,
}

impl WebhookError {
    /// The name in audit, logs and metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::TooLarge => "too_large",
            Self::Signature => "signature",
            Self::Delivery => "no_delivery_id",
            Self::Malformed => "malformed",
            Self::Stale => "stale",
            Self::Replayed => "replayed",
            Self::Elsewhere => "elsewhere",
            Self::Unavailable => "unavailable",
        }
    }
}

/// What is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The webhook was set up.
    Ping,
    /// Something of a run changed.
    Run {
        /// Where.
        repository: Repository,
        /// How the run is now.
        run: Box<Run>,
    },
    /// Something of a job changed.
    Job {
        /// Where.
        repository: Repository,
        /// The run it is of.
        run: RunId,
        /// How the job is now.
        job: Box<RunJob>,
    },
    /// Something that does not concern runs.
    Other,
}

/// Whether `signature` (`X-Hub-Signature-256`) is that of `body` with one of `secrets`: there are
/// two while one takes the other's place.
///
/// # Errors
/// When it is not, or the body is too large.
pub fn verify(
    secrets: &[SecretValue],
    body: &[u8],
    signature: Option<&str>,
) -> Result<(), WebhookError> {
    if body.len() > MAX_BODY {
        return Err(WebhookError::TooLarge);
    }
    let hex = signature.and_then(|text| text.strip_prefix("sha256="));
    let tag = hex.and_then(|hex| hex::decode(hex).ok());
    let tag = tag.ok_or(WebhookError::Signature)?;
    let signed = |secret: &SecretValue| {
        #[expect(clippy::disallowed_methods, reason = "signatures are made with it")]
        let secret = secret.expose_secret();
        // An empty secret is nobody's.
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
        !secret.is_empty() && hmac::verify(&key, body, &tag).is_ok()
    };
    secrets
        .iter()
        .any(signed)
        .then_some(())
        .ok_or(WebhookError::Signature)
}

/// Reads what is told: `event` is `X-GitHub-Event`, `body` was verified.
///
/// # Errors
/// When it is not what GitHub sends, or too old.
pub fn read(event: &str, body: &[u8], now: OffsetDateTime) -> Result<Event, WebhookError> {
    #[derive(Deserialize)]
    struct Place {
        full_name: String,
    }
    #[derive(Deserialize)]
    struct OfRun {
        workflow_run: RunAnswer,
        repository: Place,
    }
    #[derive(Deserialize)]
    struct OfJob {
        workflow_job: serde_json::Value,
        repository: Place,
    }
    #[derive(Deserialize)]
    struct Which {
        run_id: u64,
        created_at: Option<String>,
    }
    let malformed = |_| WebhookError::Malformed;
    let place =
        |place: &Place| Repository::new(&place.full_name).map_err(|_| WebhookError::Malformed);
    match event {
        "ping" => Ok(Event::Ping),
        "workflow_run" => {
            let told: OfRun = serde_json::from_slice(body).map_err(malformed)?;
            let run = Run::try_from(told.workflow_run).map_err(|_| WebhookError::Malformed)?;
            fresh(run.updated, now)?;
            Ok(Event::Run {
                repository: place(&told.repository)?,
                run: Box::new(run),
            })
        }
        "workflow_job" => {
            let told: OfJob = serde_json::from_slice(body).map_err(malformed)?;
            let which = Which::deserialize(&told.workflow_job).map_err(malformed)?;
            let job = JobAnswer::deserialize(&told.workflow_job).map_err(malformed)?;
            let job = RunJob::try_from(job).map_err(|_| WebhookError::Malformed)?;
            let rfc3339 = &time::format_description::well_known::Rfc3339;
            let created = which.created_at.as_deref();
            let created = created.and_then(|text| OffsetDateTime::parse(text, rfc3339).ok());
            let last = job.completed.or(job.started).max(created);
            fresh(last.ok_or(WebhookError::Malformed)?, now)?;
            Ok(Event::Job {
                repository: place(&told.repository)?,
                run: RunId::new(which.run_id).ok_or(WebhookError::Malformed)?,
                job: Box::new(job),
            })
        }
        _ => Ok(Event::Other),
    }
}

fn fresh(at: OffsetDateTime, now: OffsetDateTime) -> Result<(), WebhookError> {
    (now - at <= OLDEST)
        .then_some(())
        .ok_or(WebhookError::Stale)
}

/// Whether `delivery` (`X-GitHub-Delivery`) was not taken before, by any replica. It is from now
/// on: to be asked once the signature holds.
///
/// # Errors
/// When the coordination store cannot tell; when there is no such id, `Ok(Err(_))`.
pub async fn first(
    coordination: &dyn Coordination,
    delivery: Option<&str>,
    now: OffsetDateTime,
) -> Result<Result<bool, WebhookError>, CoordinationError> {
    let plain = |it: u8| it.is_ascii_hexdigit() || it == b'-';
    let sound = |id: &&str| (1..=64).contains(&id.len()) && id.bytes().all(plain);
    let Some(id) = delivery.filter(sound) else {
        return Ok(Err(WebhookError::Delivery));
    };
    let key = format!("webhooks/{}", id.to_ascii_lowercase());
    let first = match coordination.claim(&key, now + REMEMBERED).await? {
        Claim::Ours | Claim::Abandoned => true,
        Claim::Taken | Claim::Done => false,
    };
    if first {
        coordination.finish(&key).await?;
    }
    Ok(Ok(first))
}

#[cfg(test)]
#[path = "webhook_tests.rs"]
mod tests;

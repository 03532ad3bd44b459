//! GitHub's webhooks: what they tell is passed on, once, if it is GitHub who tells it.

use hyper::http::request::Parts;
use hyper::{Method, StatusCode};
use metrics::counter;

use crate::actions::deliveries::{Delivery, Webhooks};
use crate::actions::webhook::{Event, WebhookError};
use crate::broker::Broker;
use crate::http::error::Refusal;
use crate::telemetry::metrics::WEBHOOKS;

/// Where GitHub tells.
const AT: &str = "/v1/webhooks/github";

/// Whether `head` is of a webhook.
pub(super) fn is_one(head: &Parts) -> bool {
    head.method == Method::POST && head.uri.path() == AT
}

/// Takes what is told, and has it be looked at.
///
/// # Errors
/// When it is not GitHub's, not news, not ours, or cannot be passed on now.
pub(super) async fn take(
    broker: &Broker,
    webhooks: &Webhooks,
    head: &Parts,
    body: &[u8],
) -> Result<(), WebhookError> {
    let header = |name| {
        let mut all = head.headers.get_all(name).iter();
        let only = all.next().filter(|_| all.next().is_none());
        only.and_then(|value| value.to_str().ok())
    };
    let delivery = Delivery {
        event: header("x-github-event"),
        id: header("x-github-delivery"),
        signature: header("x-hub-signature-256"),
        body,
    };
    let told = match webhooks.take(&delivery).await {
        Ok(event) => pass_on(broker, event).await,
        Err(error) => Err(error),
    };
    let result = match &told {
        Ok(name) => name,
        Err(error) => error.name(),
    };
    counter!(WEBHOOKS, "result" => result).increment(1);
    told.map(drop)
}

/// What became of it, in a word.
async fn pass_on(broker: &Broker, event: Event) -> Result<&'static str, WebhookError> {
    let (repository, run) = match event {
        Event::Run { repository, run } => (repository, run.id),
        Event::Job {
            repository, run, ..
        } => (repository, run),
        Event::Ping | Event::Other => return Ok("ignored"),
    };
    if !broker.serves_pipelines_of(&repository) {
        return Err(WebhookError::Elsewhere);
    }
    tracing::debug!(event = "webhook.taken", %repository, run = run.get());
    match broker.hear_of_run(&repository, run).await {
        Ok(()) => Ok("taken"),
        Err(error) => {
            // It was claimed, and does not come again: who looks finds out in time.
            tracing::warn!(event = "webhook.not_passed_on", %error);
            Err(WebhookError::Unavailable)
        }
    }
}

/// What to answer to who told it.
pub(super) fn refused(error: WebhookError) -> Refusal {
    let status = match error {
        WebhookError::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        WebhookError::Signature | WebhookError::Stale | WebhookError::Elsewhere => {
            StatusCode::FORBIDDEN
        }
        WebhookError::Delivery | WebhookError::Malformed => StatusCode::BAD_REQUEST,
        WebhookError::Replayed => StatusCode::CONFLICT,
        WebhookError::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
    };
    Refusal::new(status, error.to_string())
}

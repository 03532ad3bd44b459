//! Webhooks that are delivered to replicas which share a real etcd: a delivery counts once.

use std::sync::Arc;

use async_trait::async_trait;
use ring::hmac;
use vaultgram::actions::deliveries::{Delivery, SecretSource, Webhooks};
use vaultgram::actions::webhook::{Event, WebhookError};
use vaultgram::broker::ports::{Coordination, SystemClock};
use vaultgram::domain::SecretValue;

use crate::etcd::Etcd;
use crate::replicas::{Replica, until};

const BODY: &[u8] = br#"{"zen": "Half measures are as bad as nothing at all."}"#;
const SECRET: &[u8] = b"webhook-hunter2";

struct Source;

#[async_trait]
impl SecretSource for Source {
    async fn secrets(&self) -> Result<Vec<SecretValue>, String> {
        Ok(vec![SecretValue::new(SECRET.to_vec())])
    }
}

fn webhooks(replica: &Replica) -> Webhooks {
    Webhooks::new(Arc::new(Source), replica.port(), Arc::new(SystemClock))
}

async fn take(at: &Webhooks, id: &str) -> Result<Event, WebhookError> {
    let key = hmac::Key::new(hmac::HMAC_SHA256, SECRET);
    let signature = format!("sha256={}", hex::encode(hmac::sign(&key, BODY)));
    let delivery = Delivery {
        event: Some("ping"),
        id: Some(id),
        signature: Some(&signature),
        body: BODY,
    };
    at.take(&delivery).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_one_delivered_to_two_replicas_one_takes_it() {
    let etcd = Etcd::start();
    let (one, other) = (Replica::join(&etcd).await, Replica::join(&etcd).await);
    until("they know of each other", || {
        !one.store.alone() && !other.store.alone()
    })
    .await;
    let (first, second) = (webhooks(&one), webhooks(&other));
    let ids: Vec<_> = (0..20)
        .map(|round| format!("{round:08}-cc78-11e3-81ab-4c9367dc0958"))
        .collect();
    for id in &ids {
        let took = tokio::join!(take(&first, id), take(&second, id));
        let sound = matches!(
            took,
            (Ok(Event::Ping), Err(WebhookError::Replayed))
                | (Err(WebhookError::Replayed), Ok(Event::Ping))
        );
        assert!(sound, "{id}: {took:?}");
    }
    // Nor does it count again where only one of them is left.
    drop(first);
    one.leave().await;
    until("it is known to have left", || other.store.alone()).await;
    for id in &ids {
        assert_eq!(take(&second, id).await, Err(WebhookError::Replayed), "{id}");
    }
    other.leave().await;
}

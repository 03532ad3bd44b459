//! A delivery counts once, after a restart too, and by secrets that change places.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use ring::hmac;
use serde_json::json;

use time::OffsetDateTime;
use vaultgram::actions::deliveries::{Delivery, SecretSource, Webhooks};
use vaultgram::actions::webhook::{Event, WebhookError, first};
use vaultgram::broker::ports::SystemClock;
use vaultgram::coordination::{LocalStore, OpenError};
use vaultgram::domain::SecretValue;

const DELIVERY: &str = "72d3162e-cc78-11e3-81ab-4c9367dc0958";

#[tokio::test]
async fn a_delivery_counts_once() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("state.redb");
    let now = OffsetDateTime::now_utc();
    let store = LocalStore::open(file.clone(), Arc::new(SystemClock)).unwrap();
    assert_eq!(first(&store, Some(DELIVERY), now).await.unwrap(), Ok(true));
    assert_eq!(first(&store, Some(DELIVERY), now).await.unwrap(), Ok(false));
    let upper = DELIVERY.to_uppercase();
    assert_eq!(first(&store, Some(&upper), now).await.unwrap(), Ok(false));
    drop(store);
    // Its thread ends a moment later.
    let store = loop {
        match LocalStore::open(file.clone(), Arc::new(SystemClock)) {
            Ok(store) => break store,
            Err(OpenError::InUse(_)) => tokio::time::sleep(Duration::from_millis(10)).await,
            Err(error) => panic!("{error}"),
        }
    };
    assert_eq!(first(&store, Some(DELIVERY), now).await.unwrap(), Ok(false));
    let other = DELIVERY.replace('7', "8");
    assert_eq!(first(&store, Some(&other), now).await.unwrap(), Ok(true));
    let long = "a".repeat(65);
    for id in [
        None,
        Some(""),
        Some("../x"),
        Some("a/b"),
        Some("x y"),
        Some(long.as_str()),
    ] {
        let first = first(&store, id, now).await.unwrap();
        assert_eq!(first, Err(WebhookError::Delivery), "{id:?}");
    }
}

/// What is configured now.
struct Source(Mutex<Result<Vec<&'static str>, String>>);

#[async_trait]
impl SecretSource for Source {
    async fn secrets(&self) -> Result<Vec<SecretValue>, String> {
        let found = self.0.lock().unwrap().clone()?;
        let value = |text: &&str| SecretValue::new(text.as_bytes().to_vec());
        Ok(found.iter().map(value).collect())
    }
}

fn signed(secret: &str, body: &[u8]) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    format!("sha256={}", hex::encode(hmac::sign(&key, body)))
}

#[tokio::test]
async fn secrets_change_places_and_outlast_an_outage() {
    let folder = tempfile::tempdir().unwrap();
    let store = LocalStore::open(folder.path().join("state"), Arc::new(SystemClock)).unwrap();
    let source = Arc::new(Source(Mutex::new(Ok(vec!["old"]))));
    let webhooks = Webhooks::new(source.clone(), Arc::new(store), Arc::new(SystemClock));
    let body = json!({"zen": "Anything added dilutes everything else."}).to_string();
    let numbers = Mutex::new(0);
    let take = async |secret: &str| {
        let number = {
            let mut numbers = numbers.lock().unwrap();
            *numbers += 1;
            *numbers
        };
        let (id, signature) = (format!("{number:04}"), signed(secret, body.as_bytes()));
        let delivery = Delivery {
            event: Some("ping"),
            id: Some(&id),
            signature: Some(&signature),
            body: body.as_bytes(),
        };
        webhooks.take(&delivery).await
    };
    assert_eq!(take("old").await, Ok(Event::Ping));
    *source.0.lock().unwrap() = Ok(vec!["new", "old"]);
    assert_eq!(
        take("new").await,
        Err(WebhookError::Signature),
        "read just now"
    );
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(10)).await;
    tokio::time::resume();
    assert_eq!(take("new").await, Ok(Event::Ping));
    assert_eq!(take("old").await, Ok(Event::Ping));
    *source.0.lock().unwrap() = Err("sealed".to_owned());
    for (wait, expected) in [
        (Duration::from_mins(1), Ok(Event::Ping)),
        (Duration::from_mins(10), Err(WebhookError::Unavailable)),
    ] {
        tokio::time::pause();
        tokio::time::advance(wait).await;
        tokio::time::resume();
        assert_eq!(take("new").await, expected);
    }
}

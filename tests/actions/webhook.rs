//! A delivery counts once, after a restart too.

use std::sync::Arc;
use std::time::Duration;

use time::OffsetDateTime;
use vaultgram::actions::webhook::{WebhookError, first};
use vaultgram::broker::ports::SystemClock;
use vaultgram::coordination::{LocalStore, OpenError};

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

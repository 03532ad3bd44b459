//! What every coordination store must do. Call [`hold`] with an empty store, then
//! [`survive`] with what it returns and the same store after a restart.

use std::sync::Arc;
use std::time::Duration;

use time::OffsetDateTime;
use tokio_util::task::TaskTracker;
use vaultgram::broker::ports::{Claim, Clock, Coordination, SystemClock};

/// The whole contract, on an empty store. Claims in the store that outlive a restart are
/// returned.
pub(crate) async fn hold(store: Arc<dyn Coordination>) -> Vec<String> {
    one_claimant_wins(&store).await;
    claims_end(&store).await;
    values_are_listed_in_order(&store).await;
    prefixes_are_taken_literally(&store).await;
    a_key_has_one_owner(&store).await;
    sizes_are_capped(&store).await;
    leave_something_behind(&store).await
}

/// After a restart, what was there is there.
pub(crate) async fn survive(store: Arc<dyn Coordination>, claims: Vec<String>) {
    assert!(!claims.is_empty());
    for key in claims {
        // Whoever claimed it did not say what became of it, and that is told once.
        let claim = store.claim(&key, in_an_hour()).await;
        assert_eq!(claim, Ok(Claim::Abandoned), "{key}");
        let claim = store.claim(&key, in_an_hour()).await;
        assert_eq!(claim, Ok(Claim::Taken), "{key}");
    }
    let kept = vec![("kept/value".to_owned(), b"after".to_vec())];
    assert_eq!(store.list("kept/").await.unwrap(), kept);
}

fn in_an_hour() -> OffsetDateTime {
    SystemClock.now() + Duration::from_hours(1)
}

async fn one_claimant_wins(store: &Arc<dyn Coordination>) {
    for round in 0..20 {
        let key = format!("race/{round}");
        let tasks = TaskTracker::new();
        let claimants: Vec<_> = (0..64)
            .map(|_| {
                let (store, key) = (store.clone(), key.clone());
                tasks.spawn(async move { store.claim(&key, in_an_hour()).await.unwrap() })
            })
            .collect();
        let mut winners = 0;
        for claimant in claimants {
            winners += usize::from(claimant.await.unwrap() == Claim::Ours);
        }
        assert_eq!(winners, 1, "round {round}");
    }
}

async fn claims_end(store: &Arc<dyn Coordination>) {
    // Whole seconds: some stores know no finer lifetimes.
    let until = SystemClock.now() + Duration::from_secs(2);
    assert_eq!(store.claim("brief/1", until).await, Ok(Claim::Ours));
    assert_eq!(store.claim("brief/1", in_an_hour()).await, Ok(Claim::Taken));
    assert_eq!(store.claim("brief/2", until).await, Ok(Claim::Ours));
    store.put("brief/2", b"set").await.unwrap();
    let taken_over = async {
        while store.claim("brief/1", in_an_hour()).await != Ok(Claim::Ours) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), taken_over)
        .await
        .unwrap();
    assert!(SystemClock.now() >= until, "a claim ended early");
    assert_eq!(store.claim("brief/1", in_an_hour()).await, Ok(Claim::Taken));
    assert_eq!(listed(store, "brief/2").await, ["brief/2=set"]);
}

async fn values_are_listed_in_order(store: &Arc<dyn Coordination>) {
    for (key, value) in [
        ("list/b", "2"),
        ("list/c", "3"),
        ("list/a", "0"),
        ("list/a", "1"),
    ] {
        store.put(key, value.as_bytes()).await.unwrap();
    }
    assert_eq!(
        listed(store, "list/").await,
        ["list/a=1", "list/b=2", "list/c=3"]
    );
    store.delete("list/b").await.unwrap();
    store.delete("list/b").await.unwrap();
    assert_eq!(listed(store, "list/").await, ["list/a=1", "list/c=3"]);
    assert!(listed(store, "nothing/").await.is_empty());
}

async fn prefixes_are_taken_literally(store: &Arc<dyn Coordination>) {
    for key in ["p", "p/", "p/a", "p/a/b", "p0", "p\u{10FFFF}", "q"] {
        store.put(key, b"").await.unwrap();
    }
    assert_eq!(listed(store, "p/").await, ["p/=", "p/a=", "p/a/b="]);
    assert_eq!(
        listed(store, "p").await,
        ["p=", "p/=", "p/a=", "p/a/b=", "p0=", "p\u{10FFFF}="]
    );
}

async fn a_key_has_one_owner(store: &Arc<dyn Coordination>) {
    store.put("owned/value", b"x").await.unwrap();
    assert_eq!(
        store.claim("owned/value", in_an_hour()).await,
        Ok(Claim::Taken)
    );
    assert_eq!(
        store.claim("owned/claim", in_an_hour()).await,
        Ok(Claim::Ours)
    );
    assert_eq!(listed(store, "owned/value").await, ["owned/value=x"]);
    store.delete("owned/claim").await.unwrap();
    let claim = store.claim("owned/claim", in_an_hour()).await;
    assert_eq!(claim, Ok(Claim::Ours), "a released claim is free");
}

async fn sizes_are_capped(store: &Arc<dyn Coordination>) {
    let (key, value) = ("k".repeat(512), vec![7; 64 * 1024]);
    store.put(&key, &value).await.unwrap();
    assert_eq!(
        store.list(&key).await.unwrap(),
        [(key.clone(), value.clone())]
    );
    let key = key + "k";
    assert!(store.claim(&key, in_an_hour()).await.is_err());
    assert!(store.put(&key, b"").await.is_err());
    assert!(store.delete(&key).await.is_err());
    assert!(store.list(&key).await.is_err());
    assert!(store.put("", b"").await.is_err());
    let error = store
        .put("big", &[value, vec![7]].concat())
        .await
        .unwrap_err();
    assert_eq!(error.0, "a value of 65537 bytes; 65536 is the most");
    assert!(listed(store, "big").await.is_empty());
}

async fn leave_something_behind(store: &Arc<dyn Coordination>) -> Vec<String> {
    store.put("kept/value", b"before").await.unwrap();
    store.put("kept/value", b"after").await.unwrap();
    store.put("kept/gone", b"x").await.unwrap();
    store.delete("kept/gone").await.unwrap();
    let claims: Vec<_> = (0..10).map(|number| format!("claims/{number}")).collect();
    for key in &claims {
        assert_eq!(store.claim(key, in_an_hour()).await, Ok(Claim::Ours));
    }
    claims
}

/// `key=value` of what is listed.
async fn listed(store: &Arc<dyn Coordination>, prefix: &str) -> Vec<String> {
    let found = store.list(prefix).await.unwrap().into_iter();
    found
        .map(|(key, value)| format!("{key}={}", String::from_utf8(value).unwrap()))
        .collect()
}

//! What every coordination store must do. Call [`hold`] with an empty store, then
//! [`survive`] with what it returns and the same store after a restart.

use std::sync::Arc;
use std::time::Duration;

use time::OffsetDateTime;
use tokio_util::task::TaskTracker;
use vaultgram::broker::ports::{Claim, Clock, Coordination, SystemClock};

/// How many claim the same at once.
const CLAIMANTS: usize = 64;

/// What is left in a store before a restart.
pub(crate) struct Left {
    /// Claims that nobody finished.
    claimed: Vec<String>,
    /// Claims that were finished.
    finished: Vec<String>,
    /// A claim that nobody finished, and when it ends.
    brief: (String, OffsetDateTime),
}

/// The whole contract, on an empty store. Returns what [`survive`] looks for.
pub(crate) async fn hold(store: Arc<dyn Coordination>) -> Left {
    one_claimant_wins(&store).await;
    claims_end(&store).await;
    values_are_listed_in_order(&store).await;
    prefixes_are_taken_literally(&store).await;
    a_key_has_one_owner(&store).await;
    a_value_is_swapped_only_for_the_one_expected(&store).await;
    of_many_swaps_at_once_none_is_lost(&store).await;
    what_is_finished_stays_taken_until_it_ends(&store).await;
    sizes_are_capped(&store).await;
    leave_something_behind(&store).await
}

/// After a restart, what was there is there.
pub(crate) async fn survive(store: Arc<dyn Coordination>, left: Left) {
    for key in left.finished {
        let claim = store.claim(&key, in_an_hour()).await;
        assert_eq!(claim, Ok(Claim::Done), "{key}");
    }
    for key in left.claimed {
        // Whoever claimed it did not finish it, and that is told once, to one.
        let claims = claimed_by_many(&store, &key).await;
        let told = |wanted| claims.iter().filter(|claim| **claim == wanted).count();
        assert_eq!(told(Claim::Abandoned), 1, "{key}: {claims:?}");
        assert_eq!(told(Claim::Taken), CLAIMANTS - 1, "{key}: {claims:?}");
    }
    let (key, until) = left.brief;
    let ended = async {
        while SystemClock.now() < until + Duration::from_secs(1) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    ended.await;
    let claim = store.claim(&key, in_an_hour()).await;
    assert_eq!(claim, Ok(Claim::Ours), "an abandoned claim ends too");
    let kept = vec![("kept/value".to_owned(), b"after".to_vec())];
    assert_eq!(store.list("kept/").await.unwrap(), kept);
    what_is_left_is_inherited_once(&store).await;
}

async fn what_is_left_is_inherited_once(store: &Arc<dyn Coordination>) {
    // Written anew, so it is this process's.
    store.put("left/b", b"new").await.unwrap();
    assert!(store.swap("left/c", Some(b"3"), Some(b"4")).await.unwrap());
    store.put("left/e", b"mine").await.unwrap();
    let inherit = || async { store.inherit("left/").await.unwrap() };
    let left = [("left/a", "1"), ("left/d", "5")];
    let left = left.map(|(key, value)| (key.to_owned(), value.as_bytes().to_vec()));
    assert_eq!(inherit().await, left);
    assert_eq!(inherit().await, [], "it is this process's by now");
    assert_eq!(
        listed(store, "left/").await.len(),
        5,
        "and it is still there"
    );
}

fn in_an_hour() -> OffsetDateTime {
    SystemClock.now() + Duration::from_hours(1)
}

/// What each of [`CLAIMANTS`] is told who claim `key` at once.
async fn claimed_by_many(store: &Arc<dyn Coordination>, key: &str) -> Vec<Claim> {
    let tasks = TaskTracker::new();
    let claimants: Vec<_> = (0..CLAIMANTS)
        .map(|_| {
            let (store, key) = (store.clone(), key.to_owned());
            tasks.spawn(async move { store.claim(&key, in_an_hour()).await.unwrap() })
        })
        .collect();
    let mut claims = vec![];
    for claimant in claimants {
        claims.push(claimant.await.unwrap());
    }
    claims
}

async fn one_claimant_wins(store: &Arc<dyn Coordination>) {
    for round in 0..20 {
        let claims = claimed_by_many(store, &format!("race/{round}")).await;
        let winners = claims.iter().filter(|claim| **claim == Claim::Ours);
        assert_eq!(winners.count(), 1, "round {round}");
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
        Ok(Claim::Done)
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

async fn a_value_is_swapped_only_for_the_one_expected(store: &Arc<dyn Coordination>) {
    let swap = |expected: Option<&'static [u8]>, new: Option<&'static [u8]>| {
        let store = store.clone();
        async move { store.swap("swap/a", expected, new).await.unwrap() }
    };
    let get = || async { store.get("swap/a").await.unwrap() };
    assert_eq!(get().await, None);
    assert!(!swap(Some(b""), Some(b"x")).await, "nothing is not empty");
    assert!(swap(None, None).await, "nothing is there, and stays so");
    assert!(swap(None, Some(b"1")).await);
    assert!(!swap(None, Some(b"2")).await, "it is there already");
    assert!(!swap(Some(b"2"), Some(b"3")).await);
    assert_eq!(get().await.as_deref(), Some(&b"1"[..]));
    assert!(swap(Some(b"1"), Some(b"")).await);
    assert_eq!(get().await.as_deref(), Some(&b""[..]));
    assert!(!swap(Some(b"1"), None).await);
    assert!(swap(Some(b""), None).await);
    assert_eq!(get().await, None);
    store.put("swap/a", b"put").await.unwrap();
    assert!(swap(Some(b"put"), Some(b"swapped")).await);
    assert_eq!(listed(store, "swap/").await, ["swap/a=swapped"]);

    // A claim is there until it ends.
    let until = SystemClock.now() + Duration::from_secs(1);
    assert_eq!(store.claim("swap/claim", until).await, Ok(Claim::Ours));
    assert!(!store.swap("swap/claim", None, Some(b"x")).await.unwrap());
    let ended = async {
        while !store.swap("swap/claim", None, Some(b"x")).await.unwrap() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), ended)
        .await
        .unwrap();
    assert!(SystemClock.now() >= until, "a claim ended early");
    let value = store.get("swap/claim").await.unwrap();
    assert_eq!(value.as_deref(), Some(&b"x"[..]));
}

async fn of_many_swaps_at_once_none_is_lost(store: &Arc<dyn Coordination>) {
    let tasks = TaskTracker::new();
    let counting: Vec<_> = (0..CLAIMANTS)
        .map(|_| {
            let store = store.clone();
            tasks.spawn(async move {
                loop {
                    let before = store.get("swap/count").await.unwrap();
                    let count = before.as_ref().map_or(0, |value| value[0]);
                    let new = Some(&[count + 1][..]);
                    let swapped = store.swap("swap/count", before.as_deref(), new).await;
                    if swapped.unwrap() {
                        break;
                    }
                }
            })
        })
        .collect();
    for one in counting {
        one.await.unwrap();
    }
    let count = store.get("swap/count").await.unwrap();
    assert_eq!(count, Some(vec![u8::try_from(CLAIMANTS).unwrap()]));
}

async fn what_is_finished_stays_taken_until_it_ends(store: &Arc<dyn Coordination>) {
    let until = SystemClock.now() + Duration::from_secs(2);
    assert_eq!(store.claim("done/brief", until).await, Ok(Claim::Ours));
    store.finish("done/brief").await.unwrap();
    let claim = store.claim("done/brief", in_an_hour()).await;
    assert_eq!(claim, Ok(Claim::Done));
    let ended = async {
        while store.claim("done/brief", in_an_hour()).await != Ok(Claim::Ours) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), ended)
        .await
        .unwrap();
    assert!(SystemClock.now() >= until, "it ended early");

    store.finish("done/unknown").await.unwrap();
    let claim = store.claim("done/unknown", in_an_hour()).await;
    assert_eq!(claim, Ok(Claim::Ours), "nobody had claimed it");
    store.put("done/value", b"x").await.unwrap();
    store.finish("done/value").await.unwrap();
    assert_eq!(listed(store, "done/value").await, ["done/value=x"]);
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
    assert!(store.get(&key).await.is_err());
    assert!(store.swap(&key, None, None).await.is_err());
    assert!(store.put("", b"").await.is_err());
    let error = store
        .put("big", &[value, vec![7]].concat())
        .await
        .unwrap_err();
    assert_eq!(error.0, "a value of 65537 bytes; 65536 is the most");
    let big = vec![7; 64 * 1024 + 1];
    assert!(store.swap("big", None, Some(&big)).await.is_err());
    assert!(listed(store, "big").await.is_empty());
}

async fn leave_something_behind(store: &Arc<dyn Coordination>) -> Left {
    store.put("kept/value", b"before").await.unwrap();
    store.put("kept/value", b"after").await.unwrap();
    store.put("kept/gone", b"x").await.unwrap();
    store.delete("kept/gone").await.unwrap();
    for (key, value) in [("a", "1"), ("b", "2"), ("c", "3"), ("d", "5")] {
        let key = format!("left/{key}");
        store.put(&key, value.as_bytes()).await.unwrap();
    }
    assert_eq!(
        store.inherit("left/").await.unwrap(),
        [],
        "nobody has ended"
    );
    let keys = |name: &str| (0..10).map(|n| format!("{name}/{n}")).collect::<Vec<_>>();
    let (claimed, finished) = (keys("claims"), keys("finished"));
    for key in claimed.iter().chain(&finished) {
        assert_eq!(store.claim(key, in_an_hour()).await, Ok(Claim::Ours));
    }
    for key in &finished {
        store.finish(key).await.unwrap();
    }
    let brief = (
        "brief/3".to_owned(),
        SystemClock.now() + Duration::from_secs(2),
    );
    assert_eq!(store.claim(&brief.0, brief.1).await, Ok(Claim::Ours));
    Left {
        claimed,
        finished,
        brief,
    }
}

/// `key=value` of what is listed.
async fn listed(store: &Arc<dyn Coordination>, prefix: &str) -> Vec<String> {
    let found = store.list(prefix).await.unwrap().into_iter();
    found
        .map(|(key, value)| format!("{key}={}", String::from_utf8(value).unwrap()))
        .collect()
}

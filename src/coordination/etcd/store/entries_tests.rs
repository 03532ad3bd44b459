//! Values among processes, on the simulated etcd.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

use super::sim::{Company, Fault, company};
use crate::broker::ports::{Claim, Coordination};

const SECOND: Duration = Duration::from_secs(1);
const LOST: [Fault; 4] = [
    Fault::LostBefore,
    Fault::LostAfter,
    Fault::Refused,
    Fault::Late(700),
];

#[tokio::test(start_paused = true)]
async fn what_comes_late_does_not_undo_what_came_after_it() {
    let Company { replicas, .. } = company(2).await;
    let [a, b] = [0, 1].map(|number| Arc::clone(&replicas[number].store));
    replicas[0].link.fault(Fault::Late(3000));
    a.put("k", b"1").await.unwrap();
    a.put("k", b"2").await.unwrap();
    sleep(5 * SECOND).await;
    assert_eq!(b.get("k").await.unwrap(), Some(b"2".to_vec()));
    replicas[0].link.fault(Fault::Late(3000));
    a.put("k", b"3").await.unwrap();
    b.put("k", b"4").await.unwrap();
    sleep(5 * SECOND).await;
    assert_eq!(a.get("k").await.unwrap(), Some(b"4".to_vec()));
}

#[tokio::test(start_paused = true)]
async fn what_was_removed_is_not_made_anew_by_what_comes_late() {
    let Company { replicas, .. } = company(2).await;
    let [a, b] = [0, 1].map(|number| Arc::clone(&replicas[number].store));
    let late = Fault::Late(3000);
    // The first try comes last.
    replicas[0].link.fault(late);
    a.put("put", b"1").await.unwrap();
    a.delete("put").await.unwrap();
    // Nobody waited for it.
    replicas[0].link.fault(late);
    assert!(timeout(SECOND / 2, a.put("left", b"1")).await.is_err());
    a.delete("left").await.unwrap();
    replicas[0].link.fault(late);
    assert!(a.swap("swapped", None, Some(b"1")).await.unwrap());
    assert!(a.swap("swapped", Some(b"1"), None).await.unwrap());
    let keys = ["put", "left", "swapped"];
    for wait in [SECOND / 2, 5 * SECOND] {
        for (store, key) in [&a, &b]
            .into_iter()
            .flat_map(|it| keys.map(|key| (it, key)))
        {
            assert_eq!(store.get(key).await, Ok(None), "{key}");
            assert_eq!(store.list(key).await, Ok(vec![]), "{key}");
        }
        sleep(wait).await;
    }
    for key in keys {
        assert_eq!(b.inherit(key).await, Ok(vec![]), "{key}");
        assert!(b.swap(key, None, Some(b"2")).await.unwrap(), "{key}");
        b.delete(key).await.unwrap();
        let until = b.clock.now() + Duration::from_mins(1);
        assert_eq!(b.claim(key, until).await, Ok(Claim::Ours), "{key}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_process_sent_that_has_ended_has_no_effect() {
    let Company { mut replicas, .. } = company(2).await;
    let [a, b] = [0, 1].map(|number| Arc::clone(&replicas[number].store));
    b.put("k", b"1").await.unwrap();
    a.put("k", b"2").await.unwrap();
    replicas[0].link.fault(Fault::Late(6000));
    let late = async {
        assert!(timeout(SECOND / 2, a.put("k", b"late")).await.is_err());
        drop(replicas.remove(0));
    };
    late.await;
    sleep(4 * SECOND).await;
    let inherited = b.inherit("k").await.unwrap();
    assert_eq!(inherited, [("k".to_owned(), b"2".to_vec())]);
    sleep(4 * SECOND).await;
    assert_eq!(b.get("k").await.unwrap(), Some(b"2".to_vec()));
}

#[tokio::test(start_paused = true)]
async fn nobody_is_left_what_an_ended_process_sent() {
    let Company { mut replicas, .. } = company(2).await;
    let [a, b] = [0, 1].map(|number| Arc::clone(&replicas[number].store));
    replicas[0].link.fault(Fault::Late(6000));
    assert!(timeout(SECOND / 2, a.put("k", b"late")).await.is_err());
    drop(replicas.remove(0));
    sleep(10 * SECOND).await;
    assert_eq!(
        b.get("k").await,
        Ok(None),
        "it would be nobody's to inherit"
    );
}

#[tokio::test(start_paused = true)]
async fn swaps_are_made_once_though_answers_are_lost() {
    let Company { replicas, .. } = company(2).await;
    let [a, b] = [0, 1].map(|number| Arc::clone(&replicas[number].store));
    for (number, fault) in LOST.into_iter().enumerate() {
        let key = format!("k/{number}");
        replicas[0].link.fault(fault);
        assert_eq!(a.swap(&key, None, Some(b"1")).await, Ok(true), "{fault:?}");
        let before = Some(&b"1"[..]);
        // The first call looks.
        replicas[0].link.fault(Fault::Slow(0));
        replicas[0].link.fault(fault);
        assert_eq!(
            a.swap(&key, before, Some(b"2")).await,
            Ok(true),
            "{fault:?}"
        );
        assert_eq!(
            b.swap(&key, before, Some(b"3")).await,
            Ok(false),
            "{fault:?}"
        );
        sleep(2 * SECOND).await;
        assert_eq!(b.get(&key).await.unwrap(), Some(b"2".to_vec()), "{fault:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn of_a_swap_that_was_overwritten_nobody_knows() {
    let Company { replicas, .. } = company(2).await;
    let [a, b] = [0, 1].map(|number| Arc::clone(&replicas[number].store));
    replicas[0].link.fault(Fault::LostAfter);
    let swap = a.swap("k", None, Some(b"1"));
    let overwrite = async {
        sleep(Duration::from_millis(3)).await;
        b.put("k", b"2").await.unwrap();
    };
    let (swapped, ()) = tokio::join!(swap, overwrite);
    let error = swapped.unwrap_err().0;
    assert!(
        error.contains("nobody knows whether it was done"),
        "{error}"
    );
}

#[tokio::test(start_paused = true)]
async fn what_one_leaves_is_one_others() {
    let Company { mut replicas, .. } = company(4).await;
    let stores: Vec<_> = replicas.iter().map(|it| Arc::clone(&it.store)).collect();
    for number in 0..50 {
        stores[0]
            .put(&format!("left/{number:02}"), b"v")
            .await
            .unwrap();
    }
    stores[1].put("left/99", b"of another").await.unwrap();
    // The bells for their own coming have fallen silent.
    sleep(60 * SECOND).await;
    let bereaved = stores.iter().skip(1).map(|store| store.bereaved());
    let kill = async {
        sleep(SECOND).await;
        drop(replicas.remove(0));
    };
    let waiting = futures_util::future::join_all(bereaved);
    timeout(5 * SECOND, async { tokio::join!(waiting, kill) })
        .await
        .unwrap();
    let (a, b, c) = tokio::join!(
        stores[1].inherit("left/"),
        stores[2].inherit("left/"),
        stores[3].inherit("left/")
    );
    let mut keys: Vec<_> = [a, b, c]
        .map(Result::unwrap)
        .concat()
        .into_iter()
        .map(|it| it.0)
        .collect();
    keys.sort();
    assert_eq!(
        keys,
        (0..50)
            .map(|number| format!("left/{number:02}"))
            .collect::<Vec<_>>()
    );
    assert_eq!(stores[1].inherit("left/").await.unwrap(), []);
    assert_eq!(stores[1].list("left/").await.unwrap().len(), 51);
}

#[tokio::test(start_paused = true)]
async fn while_all_live_it_takes_one_call_to_find_nothing_to_inherit() {
    let Company { mut replicas, .. } = company(2).await;
    let [a, b] = [0, 1].map(|number| Arc::clone(&replicas[number].store));
    // The bells for their own coming have fallen silent.
    sleep(60 * SECOND).await;
    a.put("left/a", b"v").await.unwrap();
    b.put("left/b", b"v").await.unwrap();
    let before = Instant::now();
    b.get("left/a").await.unwrap();
    let call = before.elapsed();
    let before = Instant::now();
    assert_eq!(b.inherit("left/").await.unwrap(), []);
    assert_eq!(before.elapsed(), call);
    replicas[1].link.lag(10 * SECOND);
    drop(replicas.remove(0));
    sleep(5 * SECOND).await;
    assert_eq!(
        b.inherit("left/").await.unwrap(),
        [],
        "it does not know yet"
    );
    let told = timeout(10 * SECOND, b.bereaved());
    told.await.unwrap();
    let left = [("left/a".to_owned(), b"v".to_vec())];
    assert_eq!(b.inherit("left/").await.unwrap(), left);
}

#[tokio::test(start_paused = true)]
async fn what_was_inherited_and_not_told_is_told_the_next_time() {
    let Company { mut replicas, .. } = company(2).await;
    let [a, b] = [0, 1].map(|number| Arc::clone(&replicas[number].store));
    for key in ["left/a", "left/b", "left/c"] {
        a.put(key, b"v").await.unwrap();
    }
    drop(replicas.remove(0));
    sleep(4 * SECOND).await;
    // Two calls look, then three make them ours: of one the answer is lost, one is late.
    for fault in [
        Fault::Slow(0),
        Fault::Slow(0),
        Fault::Slow(0),
        Fault::LostAfter,
        Fault::Slow(900),
    ] {
        replicas[0].link.fault(fault);
    }
    assert!(
        timeout(Duration::from_millis(12), b.inherit("left/"))
            .await
            .is_err()
    );
    sleep(2 * SECOND).await;
    // What we wrote since is ours for another reason.
    b.put("left/a", b"new").await.unwrap();
    let keys: Vec<_> = b
        .inherit("left/")
        .await
        .unwrap()
        .into_iter()
        .map(|it| it.0)
        .collect();
    assert_eq!(keys, ["left/b", "left/c"]);
    assert_eq!(b.inherit("left/").await.unwrap(), []);
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_opened_is_named_and_not_shown() {
    let Company {
        server, replicas, ..
    } = company(1).await;
    let store = &replicas[0].store;
    store.put("a", b"sesame").await.unwrap();
    server.move_entry("/vaultgram/state/a", "/vaultgram/state/b");
    let error = store.get("b").await.unwrap_err().0;
    assert!(
        error.starts_with("/vaultgram/state/b in etcd was sealed with another key"),
        "{error}"
    );
    assert!(store.list("b").await.is_err());
    assert!(store.swap("b", Some(b"sesame"), None).await.is_err());
    store.delete("b").await.unwrap();
    assert_eq!(store.get("b").await, Ok(None));
}

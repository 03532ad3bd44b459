//! Claims among processes, on the simulated etcd.

use std::sync::Arc;
use std::time::Duration;

use time::OffsetDateTime;
use tokio::time::{Instant, sleep, timeout};

use super::EtcdStore;
use super::sim::{Company, Fault, company};
use crate::broker::ports::{Claim, Coordination, CoordinationError};

const SECOND: Duration = Duration::from_secs(1);

fn after(store: &EtcdStore, time: Duration) -> OffsetDateTime {
    store.clock.now() + time
}

async fn claim(store: &Arc<EtcdStore>, key: &str) -> Result<Claim, CoordinationError> {
    let until = after(store, Duration::from_hours(1));
    store.claim(key, until).await
}

/// What comes of a claim, and after how many whole seconds.
async fn timed(store: &Arc<EtcdStore>, key: &str) -> (Claim, u64) {
    let start = Instant::now();
    let claim = claim(store, key).await.unwrap();
    (claim, start.elapsed().as_secs())
}

/// Seals with the same key again and again until the member that it falls to is `store`.
fn falls_to(store: &EtcdStore) -> String {
    let me = store.membership.current().unwrap();
    let keys = (0..).map(|number| format!("claims/{number}"));
    keys.into_iter()
        .find(|key| store.company.prefers(me, key))
        .unwrap()
}

#[tokio::test(start_paused = true)]
async fn one_claim_is_one_change_whoever_is_asked_first() {
    let Company {
        server, replicas, ..
    } = company(3).await;
    let [a, b, c] = [0, 1, 2].map(|number| Arc::clone(&replicas[number].store));
    sleep(SECOND).await;
    for number in 0..20 {
        let key = format!("claims/{number}");
        let before = server.revision();
        let first = async {
            let start = Instant::now();
            let quick = async |store| (claim(store, &key).await.unwrap(), start.elapsed());
            let claims = tokio::join!(quick(&a), quick(&b), quick(&c));
            [claims.0, claims.1, claims.2]
        };
        let finish = async {
            sleep(SECOND).await;
            for store in [&a, &b, &c] {
                store.finish(&key).await.unwrap();
            }
        };
        let (mut claims, ()) = tokio::join!(first, finish);
        claims.sort_by_key(|(claim, _)| *claim == Claim::Done);
        let [ours, rest @ ..] = claims;
        assert_eq!(ours.0, Claim::Ours);
        assert_eq!(rest.map(|(claim, _)| claim), [Claim::Done; 2]);
        assert!(
            ours.1 < Duration::from_millis(10),
            "{:?}: it waited for nobody",
            ours.1
        );
        assert_eq!(
            server.revision() - before,
            2,
            "claimed once and finished once"
        );
        // All know by now, and ask nobody.
        let start = Instant::now();
        assert_eq!(claim(&a, &key).await, Ok(Claim::Done));
        assert_eq!(claim(&b, &key).await, Ok(Claim::Done));
        assert_eq!(start.elapsed(), Duration::ZERO);
    }
    assert!(
        server.leases() <= 3 + 3,
        "one a process for claims, and one to live by"
    );
}

#[tokio::test(start_paused = true)]
async fn what_is_done_before_the_watch_tells_that_it_began_is_not_looked_into() {
    let Company {
        server, replicas, ..
    } = company(2).await;
    let store = &replicas[0].store;
    replicas[0].link.lag(SECOND);
    for key in ["claims/1", "claims/2"] {
        assert_eq!(claim(store, key).await, Ok(Claim::Ours));
    }
    let looks = server.looks();
    store.finish("claims/1").await.unwrap();
    store.delete("claims/2").await.unwrap();
    sleep(5 * SECOND).await;
    assert_eq!(server.looks(), looks);
}

#[tokio::test(start_paused = true)]
async fn within_a_process_who_comes_second_is_told_at_once() {
    let Company { replicas, .. } = company(2).await;
    let store = &replicas[0].store;
    assert_eq!(claim(store, "k").await, Ok(Claim::Ours));
    assert_eq!(timed(store, "k").await, (Claim::Taken, 0));
    let twice = tokio::join!(claim(store, "l"), claim(store, "l"));
    assert_eq!(twice, (Ok(Claim::Ours), Ok(Claim::Taken)));
}

#[tokio::test(start_paused = true)]
async fn another_waits_until_it_is_done_or_given_up_or_its_holder_ends() {
    let Company { mut replicas, .. } = company(3).await;
    let [a, b, c] = [0, 1, 2].map(|number| Arc::clone(&replicas[number].store));
    for key in ["done", "released", "left", "kept"] {
        assert_eq!(claim(&a, key).await, Ok(Claim::Ours));
    }
    let end = async {
        sleep(5 * SECOND).await;
        a.finish("done").await.unwrap();
        a.delete("released").await.unwrap();
    };
    let (done, released, ()) = tokio::join!(timed(&b, "done"), timed(&b, "released"), end);
    assert_eq!((done, released), ((Claim::Done, 5), (Claim::Ours, 5)));
    assert_eq!(
        timed(&b, "kept").await,
        (Claim::Taken, 60),
        "for ever nobody waits"
    );
    let kill = async {
        sleep(5 * SECOND).await;
        drop(replicas.remove(0));
    };
    let (left, same, ()) = tokio::join!(timed(&b, "left"), timed(&c, "kept"), kill);
    assert_eq!(left.0, Claim::Abandoned);
    assert_eq!(same.0, Claim::Abandoned);
    assert!(
        (6..=7).contains(&left.1),
        "as long as its lease lasted: {left:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn what_was_taken_over_cannot_be_finished_by_who_had_it() {
    let Company { replicas, .. } = company(3).await;
    let [a, b, c] = [0, 1, 2].map(|number| Arc::clone(&replicas[number].store));
    assert_eq!(claim(&a, "k").await, Ok(Claim::Ours));
    replicas[0].freeze();
    assert_eq!(claim(&b, "k").await, Ok(Claim::Abandoned));
    // We are not of its tasks, and may go on.
    a.finish("k").await.unwrap_err();
    replicas[0].thaw();
    replicas[0].joined().await;
    assert_eq!(a.term(), Some(2));
    a.finish("k").await.unwrap();
    assert!(
        timeout(5 * SECOND, claim(&c, "k")).await.is_err(),
        "it is not done"
    );
    b.finish("k").await.unwrap();
    assert_eq!(claim(&c, "k").await, Ok(Claim::Done));
}

#[tokio::test(start_paused = true)]
async fn what_was_claimed_under_an_earlier_term_is_told_to_be_abandoned() {
    let Company { replicas, .. } = company(1).await;
    let store = &replicas[0].store;
    assert_eq!(claim(store, "k").await, Ok(Claim::Ours));
    replicas[0].link.cut(5 * SECOND);
    sleep(8 * SECOND).await;
    assert!(store.term().unwrap() > 1);
    assert_eq!(claim(store, "k").await, Ok(Claim::Abandoned));
    assert_eq!(claim(store, "k").await, Ok(Claim::Taken));
    // What was done before it was lost may be said afterwards, where nobody took over.
    assert_eq!(claim(store, "l").await, Ok(Claim::Ours));
    replicas[0].link.cut(5 * SECOND);
    sleep(8 * SECOND).await;
    store.finish("l").await.unwrap();
    assert_eq!(claim(store, "l").await, Ok(Claim::Done));
}

#[tokio::test(start_paused = true)]
async fn a_claim_ends_when_it_should_and_later_for_others() {
    let Company { mut replicas, .. } = company(3).await;
    let [a, b, c] = [0, 1, 2].map(|number| Arc::clone(&replicas[number].store));
    let until = after(&a, 10 * SECOND);
    for key in ["a", "b", "left"] {
        assert_eq!(a.claim(key, until).await, Ok(Claim::Ours));
    }
    a.finish("b").await.unwrap();
    sleep((until - after(&a, SECOND)).unsigned_abs()).await;
    for (key, told) in [("a", Claim::Taken), ("b", Claim::Done)] {
        assert_eq!(claim(&a, key).await, Ok(told), "a second is left");
        assert!(a.get(key).await.unwrap().is_some());
    }
    sleep(SECOND).await;
    assert_eq!(a.get("a").await, Ok(None));
    assert_eq!(
        claim(&b, "b").await,
        Ok(Claim::Done),
        "its clock may be ahead"
    );
    for key in ["a", "b"] {
        assert_eq!(claim(&a, key).await, Ok(Claim::Ours));
    }
    assert!(a.swap("left", None, Some(b"x")).await.unwrap());
    let until = after(&a, 10 * SECOND);
    assert_eq!(a.claim("left2", until).await, Ok(Claim::Ours));
    drop(replicas.remove(0));
    sleep(Duration::from_millis(10_200)).await;
    assert_eq!(
        claim(&b, "left2").await,
        Ok(Claim::Abandoned),
        "its owner's clock may be behind"
    );
    let until = after(&b, 10 * SECOND);
    assert_eq!(b.claim("left3", until).await, Ok(Claim::Ours));
    drop(replicas.remove(0));
    sleep(Duration::from_millis(10_600)).await;
    assert_eq!(
        claim(&c, "left3").await,
        Ok(Claim::Ours),
        "it has ended, not been left"
    );
}

#[tokio::test(start_paused = true)]
async fn what_nobody_was_told_is_theirs_is_given_up() {
    let Company { replicas, .. } = company(2).await;
    let [a, b] = [0, 1].map(|number| Arc::clone(&replicas[number].store));
    sleep(SECOND).await;
    let key = falls_to(&a);
    // Whoever asked goes away before etcd answers; or etcd answers late.
    for fault in [Fault::Slow(500), Fault::Late(500)] {
        replicas[0].link.fault(fault);
        let wait = Duration::from_millis(100);
        assert!(timeout(wait, claim(&a, &key)).await.is_err());
        sleep(Duration::from_millis(600)).await;
        let (claim, seconds) = timed(&b, &key).await;
        assert_eq!(claim, Claim::Ours, "{fault:?}");
        assert!(seconds < 3, "{fault:?}: {seconds}");
        b.delete(&key).await.unwrap();
        sleep(SECOND).await;
    }
}

#[tokio::test(start_paused = true)]
async fn that_somebody_had_it_is_not_forgotten_when_it_is_given_up() {
    let Company { mut replicas, .. } = company(3).await;
    let [b, c] = [1, 2].map(|number| Arc::clone(&replicas[number].store));
    assert_eq!(claim(&replicas[0].store, "k").await, Ok(Claim::Ours));
    drop(replicas.remove(0));
    sleep(4 * SECOND).await;
    // The first call makes a lease, the second takes it over.
    replicas[0].link.fault(Fault::Slow(0));
    replicas[0].link.fault(Fault::Slow(500));
    assert!(
        timeout(Duration::from_millis(100), claim(&b, "k"))
            .await
            .is_err()
    );
    sleep(Duration::from_millis(600)).await;
    let (claim, seconds) = timed(&c, "k").await;
    assert_eq!(claim, Claim::Abandoned);
    assert!(seconds < 3, "{seconds}");
}

#[tokio::test(start_paused = true)]
async fn a_claim_is_made_though_answers_are_lost() {
    let Company { replicas, .. } = company(2).await;
    let [a, b] = [0, 1].map(|number| Arc::clone(&replicas[number].store));
    for (number, fault) in [
        Fault::LostBefore,
        Fault::LostAfter,
        Fault::Refused,
        Fault::Late(1500),
    ]
    .into_iter()
    .enumerate()
    {
        let key = format!("claims/{number}");
        replicas[0].link.fault(fault);
        assert_eq!(claim(&a, &key).await, Ok(Claim::Ours), "{fault:?}");
        assert!(
            timeout(10 * SECOND, claim(&b, &key)).await.is_err(),
            "{fault:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn who_may_not_act_is_refused_at_once_and_may_look() {
    let Company { replicas, .. } = company(2).await;
    let store = &replicas[0].store;
    store.put("v", b"1").await.unwrap();
    assert_eq!(claim(store, "k").await, Ok(Claim::Ours));
    replicas[0].freeze();
    sleep(3 * SECOND).await;
    let start = Instant::now();
    assert_eq!(store.term(), None);
    let refused = [
        claim(store, "l").await.err(),
        store.finish("k").await.err(),
        store.put("v", b"2").await.err(),
        store.delete("v").await.err(),
        store.swap("v", Some(b"1"), Some(b"2")).await.err(),
        store.inherit("v").await.err(),
    ];
    for error in refused {
        let error = error.unwrap().0;
        let wanted = "this replica may not act now: etcd did not hear of this replica in time";
        assert_eq!(error, wanted);
    }
    assert_eq!(start.elapsed(), Duration::ZERO);
    assert_eq!(store.get("v").await.unwrap(), Some(b"1".to_vec()));
    assert_eq!(store.list("v").await.unwrap().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn who_waits_is_not_put_off_by_etcd_being_away() {
    let Company {
        server,
        mut replicas,
        ..
    } = company(3).await;
    let [a, b] = [0, 1].map(|number| Arc::clone(&replicas[number].store));
    assert_eq!(claim(&a, "k").await, Ok(Claim::Ours));
    let fail = async {
        sleep(SECOND).await;
        server.lose_quorum(10 * SECOND);
        drop(replicas.remove(0));
    };
    let (claim, ()) = tokio::join!(claim(&b, "k"), fail);
    assert_eq!(claim, Ok(Claim::Abandoned));
}

//! Membership: how it is gained, kept, lost, and regained.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

use super::sim::{Company, Fault, Replica, company};
use super::{Keys, Settings};
use crate::broker::ports::Coordination;
use crate::coordination::key::StateKey;

const SECOND: Duration = Duration::from_secs(1);

/// Starts another replica, with `seed` of its own.
fn another(company: &Company, seed: u64, settings: &Settings) -> Replica {
    Replica::start(&company.server, Instant::now(), seed, settings)
}

fn with_session(name: &str) -> Settings {
    Settings {
        session: Some(name.into()),
        ..Settings::default()
    }
}

#[tokio::test(start_paused = true)]
async fn a_term_ends_before_the_lease_and_the_next_has_another_number() {
    let Company { replicas, .. } = company(2).await;
    let [a, b] = [0, 1].map(|number| Arc::clone(&replicas[number].store));
    sleep(10 * SECOND).await;
    assert_eq!((a.term(), b.term()), (Some(1), Some(1)));
    let start = Instant::now();
    replicas[0].link.cut(6 * SECOND);
    while a.term().is_some() {
        sleep(Duration::from_millis(1)).await;
    }
    let ended = start.elapsed();
    assert!(
        ended > Duration::from_millis(1100) && ended < Duration::from_millis(1602),
        "{ended:?}"
    );
    assert_eq!(b.members().len(), 2, "the others do not know yet");
    while b.members().len() == 2 {
        sleep(Duration::from_millis(1)).await;
    }
    let known = start.elapsed();
    assert!(
        known > ended + Duration::from_millis(390),
        "{ended:?} {known:?}"
    );
    assert!(b.alone());
    assert!(a.trouble().is_some());
    replicas[0].joined().await;
    assert!(a.term().unwrap() > 1);
    assert_eq!(a.trouble(), None);
    sleep(SECOND).await;
    assert!(!b.alone() && !a.alone());
}

#[tokio::test(start_paused = true)]
async fn a_term_that_was_over_does_not_come_back() {
    let Company { replicas, .. } = company(1).await;
    let store = &replicas[0].store;
    // The clock alone says that time has passed: the machine slept.
    replicas[0].clock.shift(1700);
    assert_eq!(store.term(), None);
    replicas[0].clock.shift(0);
    assert_eq!(store.term(), None);
    sleep(SECOND).await;
    assert_eq!(store.term(), Some(2));
}

#[tokio::test(start_paused = true)]
async fn few_lost_answers_are_no_harm() {
    let Company { replicas, .. } = company(2).await;
    for fault in [
        Fault::LostBefore,
        Fault::LostAfter,
        Fault::Refused,
        Fault::Slow(600),
    ] {
        replicas[0].link.fault(fault);
        sleep(3 * SECOND).await;
        assert_eq!(replicas[0].store.term(), Some(1), "{fault:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn who_is_removed_by_hand_comes_back() {
    let Company {
        server, replicas, ..
    } = company(2).await;
    sleep(SECOND).await;
    let member = replicas[0].store.membership.current().unwrap();
    let bereaved = replicas[1].store.bereaved();
    let remove = async {
        server.remove_entry(&format!("/vaultgram/members/{member}"));
        sleep(Duration::from_millis(5)).await;
        assert_ne!(replicas[0].store.term(), Some(1));
    };
    timeout(SECOND, async { tokio::join!(bereaved, remove) })
        .await
        .unwrap();
    replicas[0].joined().await;
    assert_eq!(replicas[0].store.term(), Some(2));
}

#[tokio::test(start_paused = true)]
async fn each_is_told_what_the_others_say_of_themselves() {
    let Company { replicas, .. } = company(2).await;
    replicas[0].store.describe(b"one".to_vec());
    replicas[1].store.describe(b"two".to_vec());
    sleep(SECOND).await;
    for (number, this) in [b"one", b"two"].iter().enumerate() {
        let members = replicas[number].store.members();
        let mut facts: Vec<_> = members.iter().map(|it| it.facts.clone()).collect();
        facts.sort();
        assert_eq!(facts, [b"one", b"two"]);
        let own = members.iter().find(|it| it.this).unwrap();
        assert_eq!(own.facts, **this);
    }
}

#[tokio::test(start_paused = true)]
async fn one_session_is_one_process() {
    let company = company(1).await;
    let first = another(&company, 11, &with_session("s"));
    first.joined().await;
    let other = another(&company, 12, &with_session("t"));
    other.joined().await;
    let second = another(&company, 13, &with_session("s"));
    let start = Instant::now();
    let error = second.store.ready().await.unwrap_err().0;
    assert!(error.contains("uses the same Telegram session"), "{error}");
    assert!(start.elapsed() < 10 * SECOND);
    // For ever.
    drop(first);
    sleep(10 * SECOND).await;
    assert_eq!(second.store.term(), None);
    assert!(second.store.trouble().unwrap().contains("vaultgram login"));
    let third = another(&company, 14, &with_session("s"));
    third.joined().await;
    // And who loses its membership has it again.
    third.link.cut(5 * SECOND);
    sleep(9 * SECOND).await;
    assert!(third.store.term().unwrap() > 1);
}

#[tokio::test(start_paused = true)]
async fn after_a_crash_the_next_waits_for_the_session() {
    let company = company(1).await;
    let first = another(&company, 11, &with_session("s"));
    first.joined().await;
    drop(first);
    let second = another(&company, 12, &with_session("s"));
    let start = Instant::now();
    second.joined().await;
    assert!(start.elapsed() > SECOND && start.elapsed() < 5 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn who_has_another_key_is_not_let_in() {
    let company = company(1).await;
    let keys = Keys::new(&[StateKey::of([8; 32])]);
    let second = Replica::start_with(
        &company.server,
        Instant::now(),
        11,
        &Settings::default(),
        keys,
    );
    assert!(timeout(10 * SECOND, second.store.ready()).await.is_err());
    let trouble = second.store.trouble().unwrap();
    assert!(trouble.contains("was sealed with another key"), "{trouble}");
    assert_eq!(company.replicas[0].store.term(), Some(1), "it did no harm");
}

#[tokio::test(start_paused = true)]
async fn who_leaves_tells_the_others_at_once() {
    let Company { replicas, .. } = company(2).await;
    let [a, b] = [0, 1].map(|number| Arc::clone(&replicas[number].store));
    a.put("left/a", b"v").await.unwrap();
    let (closed, ()) = tokio::join!(a.close(), b.bereaved());
    closed.unwrap();
    assert_eq!(b.inherit("left/").await.unwrap().len(), 1);
    sleep(5 * SECOND).await;
    assert_eq!(a.term(), None);
    let error = a.put("k", b"v").await.unwrap_err().0;
    assert_eq!(
        error,
        "this replica may not act now: the state store is closed"
    );
    assert!(a.ready().await.is_err());
    a.close().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_dead_watch_is_noticed() {
    let Company { mut replicas, .. } = company(2).await;
    // It tells nothing for a long time, and everything is listed anew.
    replicas[0].link.lag(3600 * SECOND);
    drop(replicas.remove(1));
    sleep(70 * SECOND).await;
    assert!(replicas[0].store.alone());
}

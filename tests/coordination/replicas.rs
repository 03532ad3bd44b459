//! Replicas that share a real etcd.

use std::sync::Arc;
use std::time::Duration;

use time::OffsetDateTime;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use vaultgram::broker::ports::{Claim, Clock, Coordination, SystemClock, SystemRandom};
use vaultgram::coordination::etcd::store::{Keys, Settings};
use vaultgram::coordination::etcd::{AtRest, EtcdClient, EtcdStore, Reach};
use vaultgram::coordination::key::StateKey;
use vaultgram::coordination::{Kept, What};

use crate::client::by_certificate;
use crate::contract;
use crate::etcd::Etcd;

/// Longest wait for what takes a lease's end or an election.
const PATIENCE: Duration = Duration::from_secs(20);

/// A replica, as one process is it.
pub(crate) struct Replica {
    pub(crate) store: Arc<EtcdStore>,
    stop: CancellationToken,
    tasks: TaskTracker,
}

fn key(byte: u8) -> StateKey {
    let line = format!("state-secret:{}", format!("{byte:02x}").repeat(32));
    StateKey::read(line.as_bytes()).unwrap()
}

fn keys(byte: u8) -> Keys {
    Keys::new(&[key(byte)])
}

fn plain(etcd: &Etcd) -> Reach {
    Reach {
        endpoints: etcd.endpoints(),
        tls: None,
        user: None,
    }
}

impl Replica {
    fn begin(reach: Reach, keys: Keys, session: Option<&str>) -> Self {
        let settings = Settings {
            session: session.map(str::to_owned),
            ..Settings::default()
        };
        let kv = Arc::new(EtcdClient::new(reach));
        let (clock, random) = (Arc::new(SystemClock), Arc::new(SystemRandom));
        let store = Arc::new(EtcdStore::new(kv, &settings, keys, clock, random).unwrap());
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        let (running, stopped) = (Arc::clone(&store), stop.clone());
        tasks.spawn(async move { running.run(stopped).await });
        tasks.close();
        Self { store, stop, tasks }
    }

    pub(crate) async fn join(etcd: &Etcd) -> Self {
        let replica = Self::begin(plain(etcd), keys(1), None);
        replica.joined().await;
        replica
    }

    async fn joined(&self) {
        timeout(PATIENCE, self.store.ready())
            .await
            .unwrap()
            .unwrap();
    }

    pub(crate) fn port(&self) -> Arc<dyn Coordination> {
        Arc::clone(&self.store) as _
    }

    /// As at kill -9: nobody is told.
    async fn die(self) {
        self.stop.cancel();
        self.tasks.wait().await;
    }

    pub(crate) async fn leave(self) {
        self.stop.cancel();
        self.tasks.wait().await;
        self.store.close().await.unwrap();
    }
}

fn in_an_hour() -> OffsetDateTime {
    SystemClock.now() + Duration::from_hours(1)
}

pub(crate) async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let started = Instant::now();
    while !condition() {
        assert!(started.elapsed() < PATIENCE, "waited in vain until {what}");
        sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn holds_the_contract() {
    let etcd = Etcd::start();
    let replica = Replica::join(&etcd).await;
    let left = contract::hold(replica.port()).await;
    replica.leave().await;
    contract::survive(Replica::join(&etcd).await.port(), left).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn holds_the_contract_over_a_crash_and_with_certificates() {
    let etcd = Etcd::start_cluster();
    let join = async || {
        let replica = Replica::begin(by_certificate(&etcd, "root"), keys(1), None);
        replica.joined().await;
        replica
    };
    let replica = join().await;
    let left = contract::hold(replica.port()).await;
    replica.die().await;
    // The dead one's lease has to end first.
    sleep(Duration::from_secs(4)).await;
    contract::survive(join().await.port(), left).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_large_values_are_listed_and_inherited() {
    let etcd = Etcd::start();
    let (one, other) = (Replica::join(&etcd).await, Replica::join(&etcd).await);
    let values: Vec<_> = (0..200)
        .map(|number| (format!("large/{number:03}"), vec![number; 60_000]))
        .collect();
    for (key, value) in &values {
        one.store.put(key, value).await.unwrap();
    }
    assert!(other.store.list("large/").await.unwrap() == values);
    one.leave().await;
    until("it is known to have left", || other.store.alone()).await;
    assert!(other.store.inherit("large/").await.unwrap() == values);
    other.leave().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_loses_a_race_waits_for_what_comes_of_it() {
    let etcd = Etcd::start();
    let (a, b) = (Replica::join(&etcd).await, Replica::join(&etcd).await);
    until("they know of each other", || {
        !a.store.alone() && !b.store.alone()
    })
    .await;
    for key in ["claims/done", "claims/died"] {
        assert_eq!(a.store.claim(key, in_an_hour()).await, Ok(Claim::Ours));
    }
    let tasks = TaskTracker::new();
    let claim = |key: &'static str| {
        let store = Arc::clone(&b.store);
        tasks.spawn(async move { store.claim(key, in_an_hour()).await })
    };
    let (done, died) = (claim("claims/done"), claim("claims/died"));
    sleep(Duration::from_millis(500)).await;
    assert!(!done.is_finished() && !died.is_finished());
    a.store.finish("claims/done").await.unwrap();
    let told = timeout(Duration::from_secs(1), done).await;
    assert_eq!(told.unwrap().unwrap(), Ok(Claim::Done));

    a.store.put("left/a", b"1").await.unwrap();
    b.store.put("left/b", b"2").await.unwrap();
    assert_eq!(b.store.inherit("left/").await.unwrap(), [], "a lives");
    let bereaved = b.store.bereaved();
    a.die().await;
    assert_eq!(
        timeout(PATIENCE, died).await.unwrap().unwrap(),
        Ok(Claim::Abandoned)
    );
    timeout(PATIENCE, bereaved).await.unwrap();
    let left = vec![("left/a".to_owned(), b"1".to_vec())];
    assert_eq!(b.store.inherit("left/").await.unwrap(), left);
    assert_eq!(b.store.inherit("left/").await.unwrap(), []);
    assert!(b.store.alone());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_that_etcd_does_not_hear_does_nothing() {
    let etcd = Etcd::start();
    let replica = Replica::join(&etcd).await;
    let term = replica.store.term().unwrap();
    etcd.pause(0);
    let paused = Instant::now();
    until("the term ends", || replica.store.term().is_none()).await;
    assert!(
        paused.elapsed() < Duration::from_secs(2),
        "the lease may have ended before"
    );
    assert!(replica.store.put("a", b"").await.is_err());
    assert!(replica.store.claim("claims/a", in_an_hour()).await.is_err());
    etcd.resume(0);
    until("there is another", || replica.store.term().is_some()).await;
    assert_ne!(replica.store.term(), Some(term));
    let claimed = replica.store.claim("claims/a", in_an_hour()).await;
    assert_eq!(claimed, Ok(Claim::Ours));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_is_one_replicas() {
    let etcd = Etcd::start();
    let first = Replica::begin(plain(&etcd), keys(1), Some("abc"));
    first.joined().await;
    let other = Replica::begin(plain(&etcd), keys(1), Some("def"));
    other.joined().await;
    let second = Replica::begin(plain(&etcd), keys(1), Some("abc"));
    let error = timeout(PATIENCE, second.store.ready())
        .await
        .unwrap()
        .unwrap_err();
    assert!(
        error.0.contains("uses the same Telegram session"),
        "{error}"
    );
    // Once the first has crashed, it is there to be had.
    first.die().await;
    let third = Replica::begin(plain(&etcd), keys(1), Some("abc"));
    third.joined().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_key_takes_no_part() {
    let etcd = Etcd::start();
    let first = Replica::join(&etcd).await;
    first.store.put("a", b"1").await.unwrap();
    let second = Replica::begin(plain(&etcd), keys(2), None);
    let said = || second.store.trouble().unwrap_or_default();
    until("it is told", || said().contains("sealed with another key")).await;
    assert!(second.store.put("a", b"2").await.is_err());
    // Both keys together read what was sealed with either.
    let third = Replica::begin(plain(&etcd), Keys::new(&[key(2), key(1)]), None);
    third.joined().await;
    assert_eq!(
        third.store.get("a").await.unwrap().as_deref(),
        Some(&b"1"[..])
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replicas_outlive_the_leader() {
    let mut etcd = Etcd::start_cluster();
    let join = async || {
        let replica = Replica::begin(by_certificate(&etcd, "root"), keys(1), None);
        replica.joined().await;
        replica
    };
    let (a, b) = (join().await, join().await);
    for round in 0..3 {
        until("both may act", || {
            a.store.term().is_some() && b.store.term().is_some()
        })
        .await;
        let key = format!("claims/{round}");
        assert_eq!(a.store.claim(&key, in_an_hour()).await, Ok(Claim::Ours));
        let (store, claimed) = (Arc::clone(&b.store), key.clone());
        let tasks = TaskTracker::new();
        let waiting = tasks.spawn(async move { store.claim(&claimed, in_an_hour()).await });
        let term = a.store.term();
        let leader = etcd.leader();
        etcd.kill(leader);
        let started = Instant::now();
        while a.store.finish(&key).await.is_err() && a.store.term() == term {
            assert!(started.elapsed() < PATIENCE);
        }
        let told = timeout(PATIENCE, waiting).await.unwrap().unwrap();
        if a.store.term() == term {
            assert_eq!(told, Ok(Claim::Done), "round {round}");
        } else {
            // The election took longer than the lease: a was taken for ended.
            assert_ne!(told, Ok(Claim::Ours), "round {round}");
        }
        etcd.restart(leader);
        etcd.wait_until_healthy();
    }
}

#[tokio::test]
async fn what_is_carried_there_is_as_if_a_replica_had_left_it() {
    let etcd = Etcd::start();
    let rest = |byte| {
        let kv = Arc::new(EtcdClient::new(plain(&etcd)));
        AtRest::new(kv, "/vaultgram/", keys(byte))
    };
    let at_rest = rest(1);
    assert!(at_rest.is_empty().await.unwrap());
    let now = SystemClock.now().unix_timestamp() * 1000;
    let until = now + 3_600_000;
    let kept = |key: &str, what| Kept {
        key: key.to_owned(),
        what,
    };
    let mut all = vec![
        kept("claims/done", What::Done { until }),
        kept("claims/open", What::Claimed { until }),
    ];
    all.extend((0..300).map(|number| {
        kept(
            &format!("values/{number:03}"),
            What::Set(vec![7; number * 100]),
        )
    }));
    at_rest.fill(&all, now).await.unwrap();
    assert_eq!(at_rest.everything(now).await.unwrap(), all);
    assert_eq!(at_rest.everything(until).await.unwrap().len(), 300);
    let error = rest(2).everything(now).await.unwrap_err();
    assert!(error.0.contains("sealed with another key"), "{error}");

    let replica = Replica::join(&etcd).await;
    assert_eq!(at_rest.replicas().await, Ok(1));
    let store = &replica.store;
    let term = store.term();
    assert_eq!(store.inherit("values/").await.unwrap().len(), 300);
    assert_eq!(store.list("values/").await.unwrap().len(), 300);
    assert_eq!(store.term(), term, "signs of life came through meanwhile");
    for (key, told) in [
        ("claims/done", Claim::Done),
        ("claims/open", Claim::Abandoned),
        ("claims/new", Claim::Ours),
    ] {
        assert_eq!(store.claim(key, in_an_hour()).await, Ok(told), "{key}");
    }
}

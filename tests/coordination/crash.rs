//! kill -9 and a full disk.

#[path = "../common/child.rs"]
mod child;

use std::io::{BufRead, BufReader};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use rustix::process::{Resource, setrlimit};
use tokio_util::task::TaskTracker;
use vaultgram::broker::ports::{Claim, Clock, Coordination, SystemClock};

use crate::local::open;

fn in_an_hour() -> time::OffsetDateTime {
    SystemClock.now() + Duration::from_hours(1)
}

#[tokio::test]
async fn acknowledged_claims_survive_kill_9() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state.redb");
    let mut child = child::command("crash::child_claims", dir.path())
        .spawn()
        .unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    let (mut acknowledged, mut line) = (vec![], String::new());
    while output.read_line(&mut line).unwrap() > 0 {
        // A last line cut short has no newline, and is no acknowledgement.
        if let Some(key) = line
            .strip_prefix("ack ")
            .and_then(|key| key.strip_suffix('\n'))
        {
            acknowledged.push(key.to_owned());
        }
        if acknowledged.len() == 500 {
            child.kill().unwrap();
        }
        line.clear();
    }
    child.wait().unwrap();
    assert!(acknowledged.len() >= 500, "the child ended early");
    let store = open(&path);
    for key in acknowledged {
        let claim = store.claim(&key, in_an_hour()).await;
        assert_eq!(claim, Ok(Claim::Abandoned), "{key} was lost");
    }
    assert_eq!(
        store.claim("claims/new", in_an_hour()).await,
        Ok(Claim::Ours)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "the process that acknowledged_claims_survive_kill_9 kills"]
async fn child_claims() {
    let store = open(&child::directory().join("state.redb"));
    let next = Arc::new(AtomicU32::new(0));
    let tasks = TaskTracker::new();
    for _ in 0..8 {
        let (store, next) = (store.clone(), next.clone());
        tasks.spawn(async move {
            loop {
                let key = format!("claims/{}", next.fetch_add(1, Ordering::Relaxed));
                assert_eq!(store.claim(&key, in_an_hour()).await, Ok(Claim::Ours));
                println!("ack {key}");
            }
        });
    }
    tasks.close();
    tasks.wait().await;
}

#[test]
fn a_full_disk_fails_closed_and_heals() {
    child::run("crash::child_full_disk");
}

#[tokio::test]
#[ignore = "the process that a_full_disk_fails_closed_and_heals limits"]
async fn child_full_disk() {
    let path = child::directory().join("state.redb");
    let store = open(&path);
    assert_eq!(store.claim("claims/1", in_an_hour()).await, Ok(Claim::Ours));
    let unlimited = child::limit_files(std::fs::metadata(&path).unwrap().len());
    // The file has some room inside; this is more.
    let value = vec![7; 64 * 1024];
    let mut stored = vec![];
    let error = loop {
        let key = format!("values/{}", stored.len());
        match store.put(&key, &value).await {
            Ok(()) => stored.push(key),
            Err(error) => break error,
        }
    };
    assert!(error.0.contains("File too large"), "{error}");

    setrlimit(Resource::Fsize, unlimited).unwrap();
    assert_eq!(
        store.claim("claims/1", in_an_hour()).await,
        Ok(Claim::Taken)
    );
    assert_eq!(store.claim("claims/2", in_an_hour()).await, Ok(Claim::Ours));
    let keys = store
        .list("values/")
        .await
        .unwrap()
        .into_iter()
        .map(|(key, _)| key);
    let mut keys: Vec<_> = keys.collect();
    keys.sort_by_key(String::len);
    assert_eq!(keys, stored, "exactly what was acknowledged");
}

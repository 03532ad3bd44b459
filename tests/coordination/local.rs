//! The store in a file.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use time::{Duration, OffsetDateTime};
use vaultgram::broker::ports::{Claim, Clock, Coordination, SystemClock};
use vaultgram::coordination::{LocalStore, OpenError};

use crate::contract;

pub(crate) fn open(path: &Path) -> Arc<LocalStore> {
    Arc::new(LocalStore::open(path.to_owned(), Arc::new(SystemClock)).unwrap())
}

fn refusal(path: &Path) -> OpenError {
    LocalStore::open(path.to_owned(), Arc::new(SystemClock)).unwrap_err()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn holds_the_contract() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state.redb");
    let store = open(&path);
    let left = contract::hold(store.clone()).await;
    store.close().await.unwrap();
    contract::survive(open(&path), left).await;
}

/// Seconds since 1970, set by the test.
struct TestClock(AtomicI64);

impl Clock for TestClock {
    fn now(&self) -> OffsetDateTime {
        OffsetDateTime::from_unix_timestamp(self.0.load(Ordering::SeqCst)).unwrap()
    }
}

#[tokio::test]
async fn ended_claims_are_forgotten() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state.redb");
    let clock = Arc::new(TestClock(AtomicI64::new(1_000_000)));
    let store = LocalStore::open(path.clone(), clock.clone()).unwrap();
    store.put("stays", b"").await.unwrap();
    for number in 0..1000 {
        let until = clock.now() + Duration::seconds(60 + number % 3);
        let claim = store.claim(&format!("claims/{number:04}"), until).await;
        assert_eq!(claim, Ok(Claim::Ours));
    }
    clock.0.fetch_add(60, Ordering::SeqCst);
    let left = store.list("claims/").await.unwrap();
    assert_eq!(
        left.len(),
        666,
        "those of 61 and 62 s, whether forgotten yet or not"
    );
    clock.0.fetch_add(60, Ordering::SeqCst);
    // One of the last in line to be forgotten can be taken over at once.
    let until = clock.now() + Duration::seconds(1);
    assert_eq!(store.claim("claims/0998", until).await, Ok(Claim::Ours));
    store.delete("claims/0998").await.unwrap();
    for _ in 0..20 {
        store.put("other", b"").await.unwrap();
    }
    // Back to when no claim had ended: those that were only hidden would show.
    clock.0.fetch_sub(120, Ordering::SeqCst);
    assert_eq!(store.list("claims/").await.unwrap(), []);
    assert_eq!(store.list("stays").await.unwrap().len(), 1);
}

#[tokio::test]
async fn has_one_owner() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state.redb");
    let store = open(&path);
    assert!(matches!(refusal(&path), OpenError::InUse(_)));
    store.close().await.unwrap();
    let error = store.put("key", b"").await.unwrap_err();
    assert_eq!(error.0, "the state store is closed");
    open(&path).put("key", b"").await.unwrap();
}

#[tokio::test]
async fn says_why_it_cannot_open() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state.redb");
    fs::write(&path, "not a state file").unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
    let error = refusal(&path).to_string();
    assert!(error.contains("is damaged or not a state file"), "{error}");
    fs::write(&path, vec![0x5A; 100_000]).unwrap();
    assert!(matches!(refusal(&path), OpenError::Damaged { .. }));
    fs::set_permissions(&path, Permissions::from_mode(0o620)).unwrap();
    assert!(matches!(refusal(&path), OpenError::Permissions(_)));
    let error = refusal(&dir.path().join("missing/state.redb")).to_string();
    assert!(
        error.contains("missing/state.redb: No such file"),
        "{error}"
    );
}

#[tokio::test]
async fn nobody_else_may_read_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state.redb");
    open(&path);
    assert_eq!(
        fs::metadata(&path).unwrap().permissions().mode() & 0o777,
        0o600
    );
}

#[tokio::test]
async fn damage_is_refused_or_harmless() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state.redb");
    let store = open(&path);
    for number in 0..100 {
        store
            .put(&format!("key/{number:03}"), &[7; 300])
            .await
            .unwrap();
    }
    let expected = store.list("key/").await.unwrap();
    store.close().await.unwrap();
    let sound = fs::read(&path).unwrap();
    let mut refused = 0;
    for round in 0..150 {
        let mut bytes = sound.clone();
        // Spread over the file, and off the page boundaries.
        let at = round * (sound.len() - 4096) / 150 + round % 97;
        match round % 3 {
            0 => bytes.truncate(at),
            1 => bytes[at] ^= 0xFF,
            _ => bytes[at..at + 4000].fill(0),
        }
        fs::write(&path, bytes).unwrap();
        match LocalStore::open(path.clone(), Arc::new(SystemClock)) {
            Err(error) => {
                assert!(matches!(error, OpenError::Damaged { .. }), "{error}");
                refused += 1;
            }
            Ok(store) => {
                let found = store.list("key/").await.unwrap();
                // A file cut to nothing is a new file.
                assert!(found == expected || at == 0, "round {round}");
                store.close().await.unwrap();
            }
        }
    }
    assert!(refused > 40, "{refused}");
}

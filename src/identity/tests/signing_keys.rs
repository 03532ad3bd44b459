//! The keys that requests are signed with: read, rotated, gone.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use super::memory::{Memory, Set};
use super::signature::sign;
use super::world::{NOW, later};
use crate::domain::job::Job;
use crate::identity::{IdentityError, KeySource, Signatures, Signed};

pub(super) const FIRST: &[u8] = &[1; 32];
const SECOND: &[u8] = &[2; 32];

/// Where the keys are.
#[derive(Default)]
pub(super) struct Source {
    keys: Mutex<BTreeMap<String, String>>,
    pub(super) read: AtomicUsize,
    down: AtomicBool,
    slow: AtomicBool,
}

#[async_trait]
impl KeySource for Source {
    async fn keys(&self) -> Result<BTreeMap<String, Zeroizing<Vec<u8>>>, String> {
        self.read.fetch_add(1, Ordering::SeqCst);
        if self.slow.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
        if self.down.load(Ordering::SeqCst) {
            return Err("Vault is sealed".to_owned());
        }
        let keys = self.keys.lock().unwrap();
        let keys = keys
            .iter()
            .map(|(name, key)| (name.clone(), key.clone().into_bytes().into()));
        Ok(keys.collect())
    }
}

impl Source {
    pub(super) fn new(keys: &[(&str, &str)]) -> Arc<Self> {
        let source = Self::default();
        for (name, key) in keys {
            source.set(name, key);
        }
        Arc::new(source)
    }

    fn set(&self, name: &str, key: &str) {
        self.keys
            .lock()
            .unwrap()
            .insert(name.to_owned(), key.to_owned());
    }
}

/// vaultgram, which knows the keys of a source.
pub(super) struct World {
    pub(super) clock: Arc<Set>,
    pub(super) memory: Arc<Memory>,
    pub(super) source: Arc<Source>,
    pub(super) signatures: Arc<Signatures>,
}

impl World {
    /// One with [`FIRST`] as `acme/k1`.
    pub(super) fn new() -> Self {
        Self::with(Source::new(&[("acme/k1", &text(FIRST))]))
    }

    pub(super) fn with(source: Arc<Source>) -> Self {
        let (clock, memory) = (Arc::new(Set::at(NOW)), Arc::new(Memory::default()));
        let issuers = ["github".to_owned()].into();
        let signatures = Signatures::new(source.clone(), issuers, clock.clone(), memory.clone());
        Self {
            clock,
            memory,
            source,
            signatures: Arc::new(signatures),
        }
    }

    pub(super) async fn verify(&self, request: Signed<'_>) -> Result<Job, IdentityError> {
        self.signatures.verify(request).await
    }

    pub(super) async fn name(&self, request: Signed<'_>) -> &'static str {
        match self.verify(request).await {
            Ok(_) => "ok",
            Err(error) => error.name(),
        }
    }

    /// What becomes of a new request that says it is signed with `name`, and is with `key`.
    async fn signed(&self, name: &str, key: &[u8]) -> &'static str {
        let (id, now) = (rand::random::<u64>().to_string(), NOW.to_string());
        let signatures = sign(key, &id, &now, &[b"x"]);
        self.name(Signed {
            key: name,
            id: &id,
            timestamp: &now,
            signatures: &signatures,
            content: &[b"x"],
        })
        .await
    }

    fn read(&self) -> usize {
        self.source.read.load(Ordering::SeqCst)
    }
}

/// A key as it is kept.
fn text(key: &[u8]) -> String {
    format!("whsec_{}", STANDARD.encode(key))
}

#[tokio::test]
async fn two_keys_of_an_owner_overlap_while_they_rotate() {
    let world = World::new();
    assert_eq!(world.signed("acme/k1", FIRST).await, "ok");
    world.source.set("acme/k2", &text(SECOND));
    // It was read just now; a little later it is read for the new key.
    assert_eq!(world.signed("acme/k2", SECOND).await, "key_unknown");
    later(Duration::from_secs(10)).await;
    assert_eq!(world.signed("acme/k2", SECOND).await, "ok");
    assert_eq!(world.signed("acme/k1", FIRST).await, "ok");
    assert_eq!(world.signed("acme/k1", SECOND).await, "signature");
    assert_eq!(world.signed("acme/k2", FIRST).await, "signature");
    // The old one goes, and is refused within a minute.
    world.source.keys.lock().unwrap().remove("acme/k1");
    later(Duration::from_mins(1)).await;
    assert_eq!(world.signed("acme/k1", FIRST).await, "key_unknown");
    assert_eq!(world.signed("acme/k2", SECOND).await, "ok");
}

#[tokio::test]
async fn one_id_is_one_request_whichever_key_signed_it() {
    let world = World::new();
    world.source.set("acme/k2", &text(SECOND));
    let now = NOW.to_string();
    let both = format!(
        "{} {}",
        sign(SECOND, "m", &now, &[]),
        sign(FIRST, "m", &now, &[])
    );
    let request = Signed {
        key: "acme/k1",
        id: "m",
        timestamp: &now,
        signatures: &both,
        content: &[],
    };
    assert_eq!(world.name(request).await, "ok");
    let request = Signed {
        key: "acme/k2",
        ..request
    };
    assert_eq!(world.name(request).await, "replayed");
    // Another owner has ids of its own.
    world.source.set("other/k1", &text(FIRST));
    later(Duration::from_mins(1)).await;
    let request = Signed {
        key: "other/k1",
        ..request
    };
    assert_eq!(world.name(request).await, "ok");
}

#[tokio::test]
async fn forgers_do_not_have_the_keys_read_all_the_time() {
    let world = World::new();
    for _ in 0..50 {
        assert_eq!(world.signed("acme/k9", SECOND).await, "key_unknown");
        assert_eq!(world.signed("acme/k1", SECOND).await, "signature");
    }
    assert_eq!(world.read(), 1);
    later(Duration::from_secs(59)).await;
    assert_eq!(world.signed("acme/k1", FIRST).await, "ok");
    assert_eq!(world.read(), 1);
    later(Duration::from_secs(1)).await;
    assert_eq!(world.signed("acme/k1", FIRST).await, "ok");
    assert_eq!(world.read(), 2);
}

#[tokio::test]
async fn old_keys_are_taken_for_ten_minutes_while_there_are_no_new_ones() {
    let world = World::new();
    assert_eq!(world.signed("acme/k1", FIRST).await, "ok");
    world.source.down.store(true, Ordering::SeqCst);
    later(Duration::from_secs(599)).await;
    assert_eq!(world.signed("acme/k1", FIRST).await, "ok");
    assert_eq!(world.signed("acme/k9", FIRST).await, "key_unknown");
    later(Duration::from_secs(1)).await;
    assert_eq!(world.signed("acme/k1", FIRST).await, "keys_down");
    world.source.down.store(false, Ordering::SeqCst);
    later(Duration::from_secs(10)).await;
    assert_eq!(world.signed("acme/k1", FIRST).await, "ok");
}

#[tokio::test(start_paused = true)]
async fn a_source_that_hangs_is_given_up() {
    let world = World::new();
    world.source.slow.store(true, Ordering::SeqCst);
    let begun = tokio::time::Instant::now();
    assert_eq!(world.signed("acme/k1", FIRST).await, "keys_down");
    assert_eq!(begun.elapsed(), Duration::from_secs(5));
}

#[tokio::test]
async fn a_key_that_cannot_be_used_leaves_the_others() {
    let long = |length: usize| text(&vec![7; length]);
    for (name, key, expected) in [
        ("a/k", long(24), "ok"),
        ("a/k", long(64), "ok"),
        ("a/k", format!(" {}\n", long(24)), "ok"),
        ("a/k", long(32).trim_end_matches('=').to_owned(), "ok"),
        ("a/k", long(23), "key_unknown"),
        ("a/k", long(65), "key_unknown"),
        ("a/k", String::new(), "key_unknown"),
        ("a/k", "whsec_".to_owned(), "key_unknown"),
        ("a/k", "whsec_hunter2 hunter2".to_owned(), "key_unknown"),
        ("a/k", STANDARD.encode([7; 32]), "key_unknown"),
        // Who is called as an issuer would have what policies give to its jobs.
        ("github/k", long(32), "key_unknown"),
        ("a b/k", long(32), "malformed"),
        ("a", long(32), "malformed"),
    ] {
        let world = World::with(Source::new(&[(name, &key), ("acme/k1", &text(FIRST))]));
        let length = STANDARD.decode(key.trim().replace("whsec_", ""));
        let key = vec![7; length.map_or(32, |key| key.len())];
        assert_eq!(world.signed(name, &key).await, expected, "{name}");
        assert_eq!(world.signed("acme/k1", FIRST).await, "ok");
    }
    let source = Source::default();
    for number in 0..1001 {
        source.set(&format!("a/{number}"), &text(FIRST));
    }
    let world = World::with(Arc::new(source));
    assert_eq!(world.signed("a/1", FIRST).await, "keys_down");
}

//! Sessions, as long as they last.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use time::OffsetDateTime;

use super::memory::{Memory, Set};
use super::world::NOW;
use crate::broker::ports::{Random, SystemRandom};
use crate::domain::job::Job;
use crate::identity::sessions::MAX_LIVE;
use crate::identity::{Proven, Session, Sessions};

struct World {
    clock: Arc<Set>,
    memory: Arc<Memory>,
    sessions: Sessions,
}

impl World {
    fn new() -> Self {
        let (clock, memory) = (Arc::new(Set::at(NOW)), Arc::new(Memory::default()));
        let sessions = Sessions::new(memory.clone(), clock.clone(), Arc::new(SystemRandom));
        Self {
            clock,
            memory,
            sessions,
        }
    }

    async fn open(&self, lasts: i64) -> String {
        text(&self.sessions.open(&proven(lasts)).await.unwrap())
    }

    async fn finds(&self, token: &str) -> bool {
        match self.sessions.find(token).await {
            Ok(_) => true,
            Err(error) => {
                assert_eq!((error.name(), error.may_pass()), ("no_session", false));
                false
            }
        }
    }

    fn kept(&self) -> usize {
        self.memory.values.lock().unwrap().len()
    }
}

fn proven(lasts: i64) -> Proven {
    Proven {
        job: Job {
            issuer: "github".to_owned(),
            subject: "repo:acme/app".to_owned(),
            claims: BTreeMap::from([("ref", "refs/heads/main".to_owned())]),
        },
        until: OffsetDateTime::from_unix_timestamp(NOW + lasts).unwrap(),
    }
}

#[expect(clippy::disallowed_methods, reason = "the test brings it back")]
fn text(session: &Session) -> String {
    String::from_utf8(session.token.expose_secret().to_vec()).unwrap()
}

#[tokio::test]
async fn a_session_is_found_by_its_token_while_it_lasts() {
    let world = World::new();
    let token = world.open(60).await;
    assert!(
        token.starts_with("vgs.") && token.len() == 4 + 43,
        "{token}"
    );
    assert_eq!(world.sessions.find(&token).await.unwrap(), proven(60));
    // By every replica.
    let other = Sessions::new(
        world.memory.clone(),
        world.clock.clone(),
        Arc::new(SystemRandom),
    );
    assert_eq!(other.find(&token).await.unwrap(), proven(60));
    world.clock.set(NOW + 59);
    assert!(world.finds(&token).await);
    world.clock.set(NOW + 60);
    assert!(!world.finds(&token).await);
}

#[tokio::test]
async fn a_session_ends_when_its_bearer_says_so() {
    let world = World::new();
    let (token, other) = (world.open(60).await, world.open(60).await);
    world.sessions.end("vgs.nonsense").await.unwrap();
    world.sessions.end(&token).await.unwrap();
    assert!(!world.finds(&token).await);
    assert!(world.finds(&other).await);
    world.sessions.end(&token).await.unwrap();
}

#[tokio::test]
async fn the_store_has_no_token() {
    let world = World::new();
    let token = world.open(60).await;
    let values = world.memory.values.lock().unwrap();
    let (name, value) = values.first_key_value().unwrap();
    let secret = token.strip_prefix("vgs.").unwrap();
    assert!(name.starts_with("identity/sessions/") && !name.contains(secret));
    assert!(!String::from_utf8(value.clone()).unwrap().contains(secret));
}

#[tokio::test]
async fn every_bit_of_a_token_is_random() {
    struct Counting(std::sync::Mutex<BTreeSet<usize>>);
    impl Random for Counting {
        fn fill(&self, bytes: &mut [u8]) {
            self.0.lock().unwrap().insert(bytes.len());
            bytes.fill(0xff);
        }
    }
    let random = Arc::new(Counting(std::sync::Mutex::default()));
    let world = World::new();
    let sessions = Sessions::new(world.memory, world.clock, random.clone());
    let token = text(&sessions.open(&proven(60)).await.unwrap());
    assert_eq!(
        token,
        format!("vgs.{}8", "_".repeat(42)),
        "256 bits that are all set"
    );
    assert_eq!(*random.0.lock().unwrap(), [32].into());
}

#[tokio::test]
async fn what_is_no_token_is_no_session() {
    let world = World::new();
    let token = world.open(60).await;
    let mut other = token.clone();
    let last = other.pop().unwrap();
    for wrong in [
        String::new(),
        "vgs.".to_owned(),
        other.clone(),
        format!("{other}{}", if last == 'A' { 'B' } else { 'A' }),
        format!("{token}A"),
        format!(" {token}"),
        token.to_uppercase(),
        token.replace("vgs.", "hvs."),
        format!("vgs.{}", "é".repeat(22)),
        format!("vgs.{}", "../".repeat(14)),
        "x".repeat(1_000_000),
    ] {
        assert!(!world.finds(&wrong).await, "{wrong:.80}");
    }
    assert!(world.finds(&token).await);
}

#[tokio::test]
async fn what_another_version_said_of_a_job_is_not_left_out() {
    let world = World::new();
    let token = world.open(60).await;
    let change = |from: &str, to: &str| {
        let mut values = world.memory.values.lock().unwrap();
        let value = values.values_mut().next().unwrap();
        *value = String::from_utf8(value.clone())
            .unwrap()
            .replace(from, to)
            .into();
    };
    change("\"ref\"", "\"newer\"");
    assert!(!world.finds(&token).await);
    change("\"newer\"", "\"ref\"");
    assert!(world.finds(&token).await);
    change("{", "");
    assert!(!world.finds(&token).await);
}

#[tokio::test]
async fn ended_sessions_are_forgotten() {
    let world = World::new();
    let (short, long) = (world.open(60).await, world.open(600).await);
    world
        .memory
        .values
        .lock()
        .unwrap()
        .insert("identity/sessions/x".to_owned(), b"?".to_vec());
    world
        .memory
        .values
        .lock()
        .unwrap()
        .insert("identity/other".to_owned(), b"?".to_vec());
    assert_eq!(
        world.sessions.prune().await.unwrap(),
        1,
        "what nobody can read"
    );
    assert_eq!(world.kept(), 3);
    world.clock.set(NOW + 60);
    assert_eq!(world.sessions.prune().await.unwrap(), 1);
    assert_eq!(world.kept(), 2);
    assert!(world.finds(&long).await && !world.finds(&short).await);
}

#[tokio::test]
async fn there_are_so_many_at_most() {
    let world = World::new();
    let token = world.open(60).await;
    {
        let mut values = world.memory.values.lock().unwrap();
        let one = values.values().next().unwrap().clone();
        let more = (2..MAX_LIVE).map(|number| (format!("identity/sessions/{number}"), one.clone()));
        values.extend(more);
    }
    world.sessions.prune().await.unwrap();
    world.open(60).await;
    let error = world.sessions.open(&proven(60)).await.err().unwrap();
    assert_eq!((error.name(), error.may_pass()), ("full", true));
    // After a restart too.
    let other = Sessions::new(
        world.memory.clone(),
        world.clock.clone(),
        Arc::new(SystemRandom),
    );
    assert_eq!(other.open(&proven(60)).await.err().unwrap().name(), "full");
    assert!(world.finds(&token).await, "nobody is put out");
    world.sessions.end(&token).await.unwrap();
    world.open(60).await;
    world.clock.set(NOW + 60);
    world.open(600).await;
    assert_eq!(world.kept(), 1);
}

#[tokio::test]
async fn without_the_store_there_are_none() {
    let world = World::new();
    let token = world.open(60).await;
    world.memory.broken.store(true, Ordering::SeqCst);
    assert_eq!(
        world.sessions.open(&proven(60)).await.err().unwrap().name(),
        "store"
    );
    assert_eq!(
        world.sessions.find(&token).await.unwrap_err().name(),
        "store"
    );
    assert_eq!(
        world.sessions.end(&token).await.unwrap_err().name(),
        "store"
    );
    assert_eq!(world.sessions.prune().await.unwrap_err().name(), "store");
}

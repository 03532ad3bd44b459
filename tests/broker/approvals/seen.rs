//! What was seen of requests a moment ago, and how often the state store is asked for more.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use time::OffsetDateTime;
use tokio::sync::Notify;
use vaultgram::broker::ports::{Claim, Coordination, CoordinationError};
use vaultgram::coordination::LocalStore;
use vaultgram::domain::RequestId;
use vaultgram::domain::approval::State;

use super::*;

/// A state store that counts what it is asked, and whose next list can be held back once it is read.
struct Counting {
    inner: Arc<LocalStore>,
    asked: Mutex<Vec<&'static str>>,
    hold: AtomicBool,
    held: Notify,
    go: Notify,
}

impl Counting {
    fn on(world: &World) -> Arc<Self> {
        Arc::new(Self {
            inner: world.coordination.clone(),
            asked: Mutex::default(),
            hold: AtomicBool::new(false),
            held: Notify::new(),
            go: Notify::new(),
        })
    }

    fn asked(&self, what: &'static str) {
        self.asked.lock().unwrap().push(what);
    }

    /// What it was asked since this was last asked.
    fn take(&self) -> Vec<&'static str> {
        std::mem::take(&mut *self.asked.lock().unwrap())
    }
}

#[async_trait]
impl Coordination for Counting {
    async fn claim(&self, key: &str, until: OffsetDateTime) -> Result<Claim, CoordinationError> {
        self.asked("claim");
        self.inner.claim(key, until).await
    }

    async fn finish(&self, key: &str) -> Result<(), CoordinationError> {
        self.asked("finish");
        self.inner.finish(key).await
    }

    async fn put(&self, key: &str, value: &[u8]) -> Result<(), CoordinationError> {
        self.asked("put");
        self.inner.put(key, value).await
    }

    async fn delete(&self, key: &str) -> Result<(), CoordinationError> {
        self.asked("delete");
        self.inner.delete(key).await
    }

    async fn get(&self, key: &str) -> Result<Option<Vec<u8>>, CoordinationError> {
        self.asked("get");
        self.inner.get(key).await
    }

    async fn swap(
        &self,
        key: &str,
        expected: Option<&[u8]>,
        new: Option<&[u8]>,
    ) -> Result<bool, CoordinationError> {
        self.asked("swap");
        self.inner.swap(key, expected, new).await
    }

    async fn list(&self, prefix: &str) -> Result<Vec<(String, Vec<u8>)>, CoordinationError> {
        self.asked("list");
        let found = self.inner.list(prefix).await;
        if self.hold.swap(false, Ordering::SeqCst) {
            self.held.notify_one();
            self.go.notified().await;
        }
        found
    }

    async fn inherit(&self, prefix: &str) -> Result<Vec<(String, Vec<u8>)>, CoordinationError> {
        self.asked("inherit");
        self.inner.inherit(prefix).await
    }
}

/// Alice reads on the host, where nothing is claimed and chat is never locked.
async fn on_the_host(world: &World, broker: &Broker, path: &str) -> Outcome {
    let request = Request {
        id: RequestId::Connection(1),
        caller: on_host(ALICE),
        action: Action::Read(Delivery::Socket),
        ..read(world, ALICE.0, path)
    };
    let answer = broker.handle_with(request, Beside::default()).await;
    answer.unwrap()
}

/// Somebody's policy speaks of reasons, so any refusal might hang on one.
const REASONS: &str = r#"
permit(principal, action, resource == Path::"secret/why")
when { context has reason && context.reason like "*INC-*" };
"#;

#[tokio::test]
async fn the_state_store_is_asked_for_little() {
    let mut world = world();
    world.policy.push_str(REASONS);
    let store = Counting::on(&world);
    let broker = world.broker_on(store.clone());
    let socket = Request {
        caller: on_host(ALICE),
        action: Action::Read(Delivery::Socket),
        ..read(&world, ALICE.0, "one")
    };
    let approval = open(broker.open_approval(&socket, "").await);
    store.take();
    on_the_host(&world, &broker, "free").await;
    assert_eq!(store.take(), [""; 0], "what policy allows");

    let name = approval.id.to_string();
    for asked in [&["list", "get"][..], &["get"]] {
        let outcome = on_the_host(&world, &broker, "one").await;
        assert!(matches!(outcome, Outcome::NeedsApproval(Waiting::Known(_))));
        assert_eq!(store.take(), asked, "what waits for others");
    }
    approve(&world, &broker, BOB.0, &approval).await.unwrap();
    store.take();
    for asked in [&["list", "get", "get"][..], &["get", "get"]] {
        let outcome = on_the_host(&world, &broker, "one").await;
        assert!(matches!(outcome, Outcome::Released(_)));
        assert_eq!(store.take(), asked, "what was granted");
    }
    for _ in 0..2 {
        let outcome = on_the_host(&world, &broker, "forbidden").await;
        assert!(matches!(outcome, Outcome::Denied(_)));
        assert_eq!(store.take(), [""; 0], "what is refused");
    }
    world.clock.pass(Duration::from_secs(1));
    on_the_host(&world, &broker, "forbidden").await;
    assert_eq!(store.take(), ["list"], "once in a second");
    let alice = on_host(ALICE);
    broker
        .revoke_approval(&world.id(), &alice, &name)
        .await
        .unwrap();
    store.take();
    let outcome = on_the_host(&world, &broker, "forbidden").await;
    assert!(matches!(outcome, Outcome::Denied(_)));
    assert_eq!(store.take(), ["list"], "and after a change made here");
}

#[tokio::test]
async fn what_another_replica_takes_back_is_not_to_be_had_a_moment_later() {
    let world = world();
    let (here, there) = (world.broker(), world.broker());
    let bob = on_telegram(BOB.0);
    for path in ["one", "once"] {
        let approval = request(&world, &here, path).await;
        assert!(!released(&world, &here, path).await);
        approve(&world, &there, BOB.0, &approval).await.unwrap();
        let name = approval.id.to_string();
        if path == "one" {
            assert!(released(&world, &here, path).await, "granted elsewhere");
            there
                .revoke_approval(&world.id(), &bob, &name)
                .await
                .unwrap();
        } else {
            // Seen as granted here, and used there.
            assert_eq!(now(&here, &approval).await.state, State::Granted);
            here.approvals_for_notices().await.unwrap();
            assert!(released(&world, &there, path).await);
        }
        world.store.take_calls();
        let after = waiting(&world, &here, path).await;
        assert!(matches!(after, Waiting::Opened(_)), "{after:?}");
        assert_eq!(world.store.take_calls(), ["history"], "{path}");
    }
}

#[tokio::test]
async fn what_was_looked_at_before_a_change_is_not_taken_for_what_is() {
    let world = world();
    let store = Counting::on(&world);
    let broker = world.broker_on(store.clone());
    store.hold.store(true, Ordering::SeqCst);
    let looking = broker.approvals_for_notices();
    let changing = async {
        store.held.notified().await;
        let approval = request(&world, &broker, "one").await;
        store.go.notify_one();
        approval
    };
    let (seen, approval) = tokio::join!(looking, changing);
    assert_eq!(seen, Ok(vec![]), "as it was when that began");
    assert_eq!(broker.approvals_for_notices().await, Ok(vec![approval]));
}

//! A broker, what it works with, and short ways to ask it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use time::OffsetDateTime;
use vaultgram::age::AgeSealer;
use vaultgram::broker::ports::{
    AuditError, AuditSink, Clock, Coordination, SecretStore, StoreError, StoreHealth, SystemClock,
    SystemRandom, Wrapped, WrappedFacts,
};
use vaultgram::broker::{
    ApprovalRules, Beside, Broker, BrokerError, Outcome, Ports, Rules, ServedPipelines,
};
use vaultgram::coordination::LocalStore;
use vaultgram::domain::caller::{ChatKind, TelegramUser, UnixPeer};
use vaultgram::domain::group::Groups;
use vaultgram::domain::policy_load::PolicySource;
use vaultgram::domain::{
    Action, AuditEntry, AuditEvent, Caller, Field, History, Lease, MountKind, Mounts, Origin,
    Permit, Policy, Request, RequestId, Secret, SecretValue, Version, VersionFacts, VersionState,
};

/// The secret's one value, as JSON text.
pub(crate) const VALUE: &str = r#""Hunter2-staple!""#;
/// Alice's Telegram account, and her Unix user.
pub(crate) const ALICE: (i64, u32) = (1001, 990);
/// Bob's.
pub(crate) const BOB: (i64, u32) = (1002, 991);
/// The Telegram account of an administrator.
pub(crate) const CAROL: i64 = 1003;

/// What a broker works with; it can have several, one after the other.
pub(crate) struct World {
    pub(crate) store: Arc<FakeStore>,
    pub(crate) audit: Arc<FakeAudit>,
    pub(crate) clock: Arc<FakeClock>,
    pub(crate) coordination: Arc<LocalStore>,
    pub(crate) unix_users: BTreeMap<i64, u32>,
    pub(crate) policy: String,
    pub(crate) groups: Groups,
    pub(crate) approvals: ApprovalRules,
    pub(crate) pipelines: Option<ServedPipelines>,
    next: AtomicUsize,
    folder: tempfile::TempDir,
}

impl World {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clock = Arc::new(FakeClock(Mutex::new(SystemClock.now())));
        let coordination = open(folder.path().join("state.redb"), &clock);
        Self {
            store: Arc::default(),
            audit: Arc::default(),
            clock,
            coordination,
            unix_users: BTreeMap::from([ALICE, BOB]),
            policy: "permit(principal, action, resource)
                     unless { resource == Path::\"secret/forbidden\" };"
                .to_owned(),
            groups: Groups::default(),
            approvals: ApprovalRules::default(),
            pipelines: None,
            next: AtomicUsize::new(1),
            folder,
        }
    }

    /// A broker that permits everything but `secret/forbidden`, unless the world says otherwise.
    pub(crate) fn broker(&self) -> Arc<Broker> {
        self.broker_on(self.coordination.clone())
    }

    /// As [`World::broker`], with state that is kept elsewhere.
    pub(crate) fn broker_on(&self, coordination: Arc<dyn Coordination>) -> Arc<Broker> {
        let rules = Rules {
            policy: self.loaded().into(),
            mounts: mounts(),
            wrap_ttl: Duration::from_mins(5),
            unix_users: self.unix_users.clone(),
            admins: BTreeSet::from([CAROL]),
            approvals: self.approvals,
        };
        let ports = Ports {
            store: self.store.clone(),
            audit: self.audit.clone(),
            coordination,
            sealer: Arc::new(AgeSealer),
            clock: self.clock.clone(),
            random: Arc::new(SystemRandom),
            pipelines: self.pipelines.clone(),
        };
        Arc::new(Broker::new(rules, ports))
    }

    /// The policy, as it is now.
    pub(crate) fn loaded(&self) -> Policy {
        let source = PolicySource {
            name: "test".to_owned(),
            text: self.policy.clone(),
        };
        Policy::load(&[source], self.groups.clone(), &mounts()).unwrap()
    }

    /// Ends the process, as far as the state file is concerned, and begins another.
    pub(crate) async fn restart(&mut self) {
        self.coordination.close().await.unwrap();
        self.coordination = open(self.folder.path().join("state.redb"), &self.clock);
    }

    /// A name for a message that nobody wrote before.
    pub(crate) fn id(&self) -> RequestId {
        let message = self.next.fetch_add(1, Ordering::SeqCst);
        RequestId::Message {
            chat: ALICE.0,
            message: i32::try_from(message).unwrap(),
        }
    }

    /// A new request of Alice's.
    pub(crate) fn request(&self, action: Action, target: &str) -> Request {
        Request {
            id: self.id(),
            caller: Caller::Telegram(user(ALICE)),
            action,
            target: mounts().parse(target).unwrap(),
        }
    }

    /// Alice asks in a broker of its own.
    pub(crate) async fn ask(&self, action: Action, target: &str) -> Result<Outcome, BrokerError> {
        let request = self.request(action, target);
        self.broker()
            .handle_with(request, Beside::fields(&[field()]))
            .await
    }
}

fn mounts() -> Mounts {
    let mounts = vec![
        ("secret".to_owned(), MountKind::Kv2),
        ("old".to_owned(), MountKind::Kv1),
        ("db".to_owned(), MountKind::Engine),
        ("github".to_owned(), MountKind::Pipelines),
    ];
    Mounts::of(mounts).unwrap()
}

fn open(path: PathBuf, clock: &Arc<FakeClock>) -> Arc<LocalStore> {
    Arc::new(LocalStore::open(path, clock.clone()).unwrap())
}

pub(crate) fn user((id, _): (i64, u32)) -> TelegramUser {
    let chat = ChatKind::Private;
    TelegramUser { id, chat }
}

pub(crate) fn peer((_, uid): (i64, u32)) -> UnixPeer {
    UnixPeer::known(uid, uid, 7)
}

pub(crate) fn local(who: (i64, u32)) -> Caller {
    Caller::Unix(peer(who))
}

pub(crate) fn field() -> Field {
    Field {
        name: "password".to_owned(),
        json: SecretValue::new(VALUE.as_bytes().to_vec()),
    }
}

fn wrapped(ttl: Duration) -> Wrapped {
    Wrapped {
        token: SecretValue::new(b"token".to_vec()),
        accessor: "accessor".to_owned(),
        facts: WrappedFacts {
            path: String::new(),
            created: String::new(),
            ttl,
        },
    }
}

fn new(number: u64) -> VersionFacts {
    VersionFacts {
        number,
        ..VersionFacts::default()
    }
}

/// The error of what must fail.
pub(crate) fn error<T>(result: Result<T, BrokerError>) -> BrokerError {
    match result {
        Ok(_) => panic!("it must fail"),
        Err(error) => error,
    }
}

/// A secret at version 3, of which version 1 is deleted; below `db`, one that ends with a lease.
pub(crate) struct FakeStore {
    /// What was called.
    pub(crate) calls: Mutex<Vec<&'static str>>,
    /// What to answer instead.
    pub(crate) fails: Mutex<Option<StoreError>>,
    /// The newest version is deleted too.
    pub(crate) newest_deleted: Mutex<bool>,
    /// There is no secret.
    pub(crate) absent: Mutex<bool>,
    /// It is written only over a version that is named.
    pub(crate) strict: Mutex<bool>,
    /// Where every wrapping token was made.
    pub(crate) wrapped_at: Mutex<String>,
    /// A read needs nobody to be asked.
    pub(crate) at_hand: Mutex<bool>,
    /// The lease of every dynamic secret, as it is made.
    pub(crate) lease: Mutex<Lease>,
    /// The longest it lets a lease last.
    pub(crate) most: Mutex<Duration>,
}

impl Default for FakeStore {
    fn default() -> Self {
        let lease = Lease {
            id: LEASE.to_owned(),
            duration: Duration::from_hours(1),
            renewable: true,
            code: None,
        };
        Self {
            calls: Mutex::default(),
            fails: Mutex::default(),
            newest_deleted: Mutex::default(),
            absent: Mutex::default(),
            strict: Mutex::default(),
            wrapped_at: Mutex::default(),
            at_hand: Mutex::default(),
            lease: Mutex::new(lease),
            most: Mutex::new(Duration::from_hours(2)),
        }
    }
}

/// The lease of every dynamic secret.
pub(crate) const LEASE: &str = "db/creds/app/x";

impl FakeStore {
    fn called(&self, name: &'static str) -> Result<(), StoreError> {
        self.calls.lock().unwrap().push(name);
        match self.fails.lock().unwrap().clone() {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }

    fn leased(&self) -> Secret {
        Secret {
            fields: vec![field()],
            origin: Origin::Leased(self.lease.lock().unwrap().clone()),
            age: None,
        }
    }

    /// What was called since this was last asked.
    pub(crate) fn take_calls(&self) -> Vec<&'static str> {
        std::mem::take(&mut *self.calls.lock().unwrap())
    }

    pub(crate) fn fail(&self, error: Option<StoreError>) {
        *self.fails.lock().unwrap() = error;
    }
}

#[async_trait]
impl SecretStore for FakeStore {
    fn at_hand(&self, _: &Permit) -> Option<Secret> {
        let secret = Secret::of_version(vec![field()], new(3));
        self.at_hand.lock().unwrap().then_some(secret)
    }

    async fn read(&self, permit: &Permit) -> Result<Secret, StoreError> {
        self.called("read")?;
        // So that others come in between.
        tokio::task::yield_now().await;
        if permit.target().path.mount() == "db" {
            return Ok(self.leased());
        }
        Ok(Secret::of_version(vec![field()], new(3)))
    }

    async fn wrap(&self, _: &Permit, ttl: Duration) -> Result<Wrapped, StoreError> {
        self.called("wrap").map(|()| wrapped(ttl))
    }

    async fn wrapped(&self, _: &SecretValue) -> Result<WrappedFacts, StoreError> {
        self.called("wrapped")?;
        let mut facts = wrapped(Duration::from_mins(1)).facts;
        facts.path.clone_from(&self.wrapped_at.lock().unwrap());
        Ok(facts)
    }

    async fn unwrap(&self, permit: &Permit, _: &SecretValue) -> Result<Secret, StoreError> {
        self.called("unwrap")?;
        if permit.target().path.mount() == "db" {
            return Ok(self.leased());
        }
        Ok(Secret::of_version(vec![field()], new(3)))
    }

    async fn invoke(&self, _: &Permit, fields: &[Field]) -> Result<Secret, StoreError> {
        assert_eq!(fields.len(), 1, "what it is invoked with");
        self.called("invoke").map(|()| self.leased())
    }

    async fn invoke_wrapped(
        &self,
        _: &Permit,
        _: &[Field],
        ttl: Duration,
    ) -> Result<Wrapped, StoreError> {
        self.called("invoke_wrapped").map(|()| wrapped(ttl))
    }

    async fn revoke(&self, lease: &str) -> Result<(), StoreError> {
        assert_eq!(lease, LEASE);
        self.called("revoke")
    }

    async fn check_code(
        &self,
        mount: &str,
        key: &str,
        code: &SecretValue,
    ) -> Result<bool, StoreError> {
        assert_eq!((mount, key), ("totp", "telegram:1002"), "whose code");
        self.called("check_code")?;
        Ok(code.expose_secret() == b"123456")
    }

    async fn renew(&self, lease: &str, increment: Duration) -> Result<Duration, StoreError> {
        assert_eq!(lease, LEASE);
        self.called("renew")?;
        Ok(increment.min(*self.most.lock().unwrap()))
    }

    async fn exists(&self, _: &Permit) -> Result<bool, StoreError> {
        self.called("exists")?;
        Ok(!*self.absent.lock().unwrap())
    }

    async fn destroy(&self, _: &Permit, _: u64) -> Result<(), StoreError> {
        self.called("destroy")
    }

    async fn list(&self, _: &Permit) -> Result<Vec<String>, StoreError> {
        self.called("list")?;
        Ok(vec!["name".to_owned()])
    }

    async fn history(&self, _: &Permit) -> Result<History, StoreError> {
        self.called("history")?;
        let newest = if *self.newest_deleted.lock().unwrap() {
            VersionState::Deleted
        } else {
            VersionState::Live
        };
        let states = [
            (3, newest),
            (2, VersionState::Live),
            (1, VersionState::Deleted),
        ];
        let version = |(number, state)| Version {
            number,
            created: String::new(),
            deletion: String::new(),
            state,
        };
        Ok(History {
            current: 3,
            versions: states.map(version).to_vec(),
            ..History::default()
        })
    }

    async fn put(
        &self,
        _: &Permit,
        _: &[Field],
        over: Option<u64>,
    ) -> Result<Option<VersionFacts>, StoreError> {
        self.called("put")
            .map(|()| Some(new(over.unwrap_or(3) + 1)))
    }

    async fn patch(
        &self,
        _: &Permit,
        _: &[Field],
        over: Option<u64>,
    ) -> Result<VersionFacts, StoreError> {
        self.called("patch")?;
        match over {
            None if *self.strict.lock().unwrap() => Err(StoreError::CasRequired),
            Some(_) | None => Ok(new(4)),
        }
    }

    async fn delete(&self, permit: &Permit) -> Result<Option<u64>, StoreError> {
        self.called("delete")?;
        Ok(Some(permit.target().version.unwrap_or(3)))
    }

    async fn undelete(&self, _: &Permit, _: u64) -> Result<(), StoreError> {
        self.called("undelete")
    }

    async fn health(&self) -> StoreHealth {
        StoreHealth::Unreachable {
            reason: String::new(),
        }
    }
}

/// An audit in memory that can fail.
#[derive(Default)]
pub(crate) struct FakeAudit {
    pub(crate) entries: Mutex<Vec<AuditEntry>>,
    /// Which record from now on fails; 0 for none.
    fails_in: AtomicUsize,
}

impl FakeAudit {
    /// The `count`th record from now on fails; 0 for none.
    pub(crate) fn fail_in(&self, count: usize) {
        self.fails_in.store(count, Ordering::SeqCst);
    }

    /// What was recorded since this was last asked.
    pub(crate) fn take(&self) -> Vec<AuditEvent> {
        let entries = self.take_entries();
        entries.into_iter().map(|entry| entry.event).collect()
    }

    /// As [`FakeAudit::take`], with who and what about.
    pub(crate) fn take_entries(&self) -> Vec<AuditEntry> {
        std::mem::take(&mut *self.entries.lock().unwrap())
    }
}

#[async_trait]
impl AuditSink for FakeAudit {
    async fn record_all(&self, entries: Vec<AuditEntry>) -> Result<(), AuditError> {
        let left = self.fails_in.load(Ordering::SeqCst);
        self.fails_in
            .store(left.saturating_sub(1), Ordering::SeqCst);
        if left == 1 {
            return Err(AuditError("made to fail".to_owned()));
        }
        self.entries.lock().unwrap().extend(entries);
        // So that others come in between.
        tokio::task::yield_now().await;
        Ok(())
    }
}

/// A clock that stands still until it is moved.
pub(crate) struct FakeClock(Mutex<OffsetDateTime>);

impl FakeClock {
    pub(crate) fn pass(&self, time: Duration) {
        *self.0.lock().unwrap() += time;
    }
}

impl Clock for FakeClock {
    fn now(&self) -> OffsetDateTime {
        *self.0.lock().unwrap()
    }
}

//! The front end under test: a real broker on fake ports, on the simulated datacenter.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use telegram_dc::{Chat, Datacenter, Message, Options, User};
use time::OffsetDateTime;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use vaultgram::age::{AgeSealer, SessionKey, StoredKey};
use vaultgram::audit::AuditFile;
use vaultgram::broker::ports::{
    AuditHead, AuditSink, Clock, Coordination, SecretStore, Serving, StoreError, StoreHealth,
    SystemClock, SystemRandom, Wrapped, WrappedFacts,
};
use vaultgram::broker::{self, ApprovalRules, Broker, Rules};
use vaultgram::domain::group::Groups;
use vaultgram::domain::policy_load::PolicySource;
use vaultgram::domain::{Field, Mounts, Permit, Policy, Secret, SecretValue, VersionFacts};
use vaultgram::telegram::{
    FileSession, Login, Ports, SessionError, Settings, State, Status, TelegramError, Witness, run,
};

pub(crate) use super::doubles::{Entries, Memory};
use super::kept::KeptStore;

/// The broker's own account.
pub(crate) const BROKER: i64 = 5000;
/// On the list, and permitted to read.
pub(crate) const ALICE: i64 = 1001;
/// On the list, but no policy permits anything.
pub(crate) const BOB: i64 = 1002;
/// On no list.
pub(crate) const MALLORY: i64 = 6666;
/// Ample, for busy machines.
pub(crate) const SOON: Duration = Duration::from_secs(20);
/// Long enough for an answer that must not come.
pub(crate) const A_WHILE: Duration = Duration::from_millis(700);
/// What is asked for.
pub(crate) const GET: &str = "/get_secret django/database";
/// The value that is hidden.
pub(crate) const VALUE: &str = "hunter2-Ωmega";
/// What unwraps it.
pub(crate) const TOKEN: &str = "s.wrapping-token";

const POLICY: &str = r#"
permit(
    principal == TelegramUser::"1001",
    action == Action::"read",
    resource in Path::"secret"
);
"#;

/// Everything that outlives a process.
pub(crate) struct World {
    pub(crate) dc: Datacenter,
    pub(crate) store: Arc<FakeStore>,
    pub(crate) coordination: Arc<Memory>,
    pub(crate) audit: Arc<Entries>,
    pub(crate) settings: Settings,
    pub(crate) admins: BTreeSet<i64>,
    /// Serves in place of `store`.
    pub(crate) kept: Option<Arc<KeptStore>>,
    pub(crate) policy: &'static str,
    pub(crate) groups: Groups,
    pub(crate) clock: Arc<ShiftedClock>,
    /// How long a wrapping token lives.
    pub(crate) wrap_ttl: Duration,
    /// The audit whose head is posted.
    pub(crate) witness: Option<Arc<AuditFile>>,
    directory: tempfile::TempDir,
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::on(User::new(BROKER, "Broker").username("vault_broker")).await
    }

    /// A broker on a bot's account.
    pub(crate) async fn of_a_bot() -> Self {
        let broker = User::new(BROKER, "Broker").username("vault_broker_bot");
        Self::on(broker.bot("5000:token")).await
    }

    /// With this account for the broker.
    pub(crate) async fn on(broker: User) -> Self {
        let dc = Datacenter::start(Options::default()).await.unwrap();
        dc.add_user(broker);
        dc.add_user(User::new(ALICE, "Alice"));
        dc.add_user(User::new(BOB, "Bob"));
        dc.add_user(User::new(MALLORY, "Mallory"));
        let mut settings = Settings::new(1, [ALICE, BOB].into());
        settings.request_timeout = Duration::from_secs(3);
        settings.probe_interval = Duration::from_secs(2);
        // It leaves a message in the chat, which few tests expect.
        settings.history_ttl = None;
        let world = Self {
            dc,
            store: Arc::default(),
            coordination: Arc::default(),
            audit: Arc::default(),
            settings,
            admins: BTreeSet::new(),
            kept: None,
            policy: POLICY,
            groups: Groups::default(),
            clock: Arc::default(),
            wrap_ttl: Duration::from_mins(5),
            witness: None,
            directory: tempfile::tempdir().unwrap(),
        };
        let login = world.login();
        drop(FileSession::create(&world.session_path(), key(), &login).unwrap());
        world
    }

    fn login(&self) -> Login {
        Login {
            user: Some(BROKER),
            ..login_with(&self.dc, self.dc.provision_key(BROKER))
        }
    }

    pub(crate) fn session_path(&self) -> PathBuf {
        self.directory.path().join("broker.session")
    }

    pub(crate) fn open_session(&self) -> Result<FileSession, SessionError> {
        FileSession::open(&self.session_path(), key())
    }

    /// Starts the front end, without waiting for anything.
    pub(crate) async fn launch(&self) -> Process {
        self.launch_on(&self.session_path(), self.coordination.clone())
            .await
    }

    /// As [`World::launch`], with this session and state.
    pub(crate) async fn launch_on(&self, path: &Path, state: Arc<dyn Coordination>) -> Process {
        let session = Arc::new(open_when_free(path).await);
        let source = PolicySource {
            name: "test.cedar".into(),
            text: self.policy.into(),
        };
        let groups = self.groups.clone();
        let mounts = Mounts::new(vec!["secret".into()]).unwrap();
        let broker = Broker::new(
            Rules {
                policy: Policy::load(&[source], groups, &mounts).unwrap().into(),
                mounts,
                wrap_ttl: self.wrap_ttl,
                unix_users: BTreeMap::from([(ALICE, 990)]),
                admins: self.admins.clone(),
                approvals: ApprovalRules::default(),
            },
            broker::Ports {
                store: match &self.kept {
                    Some(kept) => Arc::clone(kept) as Arc<dyn SecretStore>,
                    None => Arc::clone(&self.store) as Arc<dyn SecretStore>,
                },
                audit: Arc::clone(&self.audit) as Arc<dyn AuditSink>,
                coordination: Arc::clone(&state),
                sealer: Arc::new(AgeSealer),
                clock: Arc::clone(&self.clock) as Arc<dyn Clock>,
                random: Arc::new(SystemRandom),
                pipelines: None,
            },
        );
        let broker = Arc::new(broker);
        let ports = Ports {
            broker: Arc::clone(&broker),
            coordination: state,
            clock: Arc::clone(&self.clock) as Arc<dyn Clock>,
            witness: self.witness.as_ref().map(|audit| Witness {
                audit: Arc::clone(audit) as Arc<dyn AuditHead>,
                chat: super::witness::CHAT_ID,
                every: super::witness::EVERY,
            }),
        };
        let status = Arc::new(Status::default());
        let accept = CancellationToken::new();
        let task = tokio::spawn(run(
            self.settings.clone(),
            session,
            ports,
            Arc::clone(&status),
            accept.clone(),
        ));
        Process {
            broker,
            status,
            accept,
            task,
        }
    }

    /// Starts the front end and waits until it is connected.
    pub(crate) async fn start(&self) -> Process {
        let process = self.launch().await;
        process.connected().await;
        process
    }

    /// The chat with the broker as somebody sees it: what the broker wrote.
    pub(crate) fn answers(&self, user: i64) -> Vec<Message> {
        let mut messages = self.dc.history(user, Chat::User(BROKER));
        messages.retain(|message| !message.out);
        messages
    }

    /// The first answer to somebody for which `wanted` holds.
    pub(crate) async fn answer(&self, user: i64, wanted: impl Fn(&Message) -> bool) -> Message {
        self.dc
            .wait_for(user, Chat::User(BROKER), SOON, |m| !m.out && wanted(m))
            .await
            .expect("an answer")
    }

    pub(crate) fn send(&self, user: i64, draft: impl Into<telegram_dc::Draft>) {
        self.dc.send(user, Chat::User(BROKER), draft).unwrap();
    }

    /// Waits until the front end has caught up and answers what is new: it answers Bob.
    pub(crate) async fn quiet(&self) {
        let before = self.answers(BOB).len();
        self.send(BOB, "/help");
        self.until("Bob's answer", |world| world.answers(BOB).len() > before)
            .await;
    }

    /// Waits for something to become true.
    pub(crate) async fn until(&self, what: &str, holds: impl Fn(&Self) -> bool) {
        until(what, || holds(self)).await;
    }
}

/// The system's clock, so many seconds ahead.
#[derive(Default)]
pub(crate) struct ShiftedClock(pub(crate) AtomicI64);

impl Clock for ShiftedClock {
    fn now(&self) -> OffsetDateTime {
        SystemClock.now() + time::Duration::seconds(self.0.load(Ordering::SeqCst))
    }
}

/// Every session's key here.
pub(crate) fn key() -> SessionKey {
    let text = b"AGE-SECRET-KEY-1GFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPQ4EGAEX";
    match StoredKey::read(text) {
        Ok(StoredKey::Open(key)) => key,
        Ok(StoredKey::Locked(_)) | Err(_) => panic!("a good key"),
    }
}

/// Opens a session file; an aborted task lets go of it a moment later.
pub(crate) async fn open_when_free(path: &Path) -> FileSession {
    let opening = async {
        loop {
            match FileSession::open(path, key()) {
                Err(SessionError::InUse { .. }) => {
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
                result => return result.unwrap(),
            }
        }
    };
    tokio::time::timeout(SOON, opening).await.expect("the lock")
}

/// A key that this datacenter knows, with nobody signed in as far as we know.
pub(crate) fn login_with(dc: &Datacenter, auth_key: [u8; 256]) -> Login {
    let SocketAddr::V4(address) = dc.address() else {
        panic!("the datacenter is on IPv4")
    };
    Login {
        dc: dc.id(),
        address,
        auth_key,
        user: None,
    }
}

pub(crate) async fn until(what: &str, holds: impl Fn() -> bool) {
    let waiting = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(SOON, waiting)
        .await
        .unwrap_or_else(|_| panic!("waited in vain for: {what}"));
}

/// A running front end. Dropped, it is killed.
pub(crate) struct Process {
    pub(crate) broker: Arc<Broker>,
    pub(crate) status: Arc<Status>,
    pub(crate) accept: CancellationToken,
    task: JoinHandle<Result<(), TelegramError>>,
}

impl Process {
    pub(crate) async fn connected(&self) {
        let mut states = self.status.watch();
        let connected = states.wait_for(|state| matches!(state, State::Connected { .. }));
        tokio::time::timeout(SOON, connected)
            .await
            .expect("connected in time")
            .unwrap();
    }

    /// Waits for it to end by itself.
    pub(crate) async fn end(mut self) -> Result<(), TelegramError> {
        let ended = tokio::time::timeout(SOON, &mut self.task).await;
        ended.expect("ended in time").unwrap()
    }

    pub(crate) async fn stop(self) {
        self.accept.cancel();
        self.end().await.unwrap();
    }

    /// As kill -9 does it.
    pub(crate) async fn kill(mut self) {
        self.task.abort();
        drop((&mut self.task).await);
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Secrets that never change: `secret/django/database`, and `secret/huge`.
#[derive(Default)]
pub(crate) struct FakeStore {
    pub(crate) reads: AtomicUsize,
    pub(crate) slow: AtomicBool,
    pub(crate) stuck: AtomicBool,
}

#[async_trait]
impl SecretStore for FakeStore {
    async fn read(&self, permit: &Permit) -> Result<Secret, StoreError> {
        self.reads.fetch_add(1, Ordering::SeqCst);
        if self.slow.load(Ordering::SeqCst) {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        while self.stuck.load(Ordering::SeqCst) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let value = match permit.target().path.path() {
            "django/database" => VALUE.to_owned(),
            "huge" => "x".repeat(5000),
            _ => return Err(StoreError::NotFound),
        };
        let field = |name: &str, value: &str| Field {
            name: name.to_owned(),
            json: SecretValue::new(serde_json::to_vec(value).unwrap()),
        };
        let fields = vec![field("password", &value), field("user", "django")];
        let facts = VersionFacts {
            number: 3,
            ..VersionFacts::default()
        };
        Ok(Secret::of_version(fields, facts))
    }

    async fn wrap(&self, _: &Permit, ttl: Duration) -> Result<Wrapped, StoreError> {
        Ok(Wrapped {
            token: SecretValue::new(TOKEN.into()),
            accessor: "accessor".to_owned(),
            facts: WrappedFacts {
                path: String::new(),
                created: String::new(),
                ttl,
            },
        })
    }

    async fn health(&self) -> StoreHealth {
        StoreHealth::Ready(Serving {
            version: "2.7.2".to_owned(),
            ..Serving::default()
        })
    }
}

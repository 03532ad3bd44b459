//! A real broker behind a real socket, over a store, an audit and a clock made for the tests.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::process::Command;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use vaultgram::age::AgeSealer;
use vaultgram::broker::ports::{
    AuditSink, Coordination, SecretStore, Serving, StoreError, StoreHealth, SystemClock,
    SystemRandom,
};
use vaultgram::broker::{ApprovalRules, Broker, Ports, Rules};
use vaultgram::domain::group::Groups;
use vaultgram::domain::policy_load::PolicySource;
use vaultgram::domain::{
    Field, History, Lease, MountKind, Mounts, Origin, Permit, Policy, Secret, SecretValue,
    VersionFacts,
};
use vaultgram::http::{Attestor, Limits, Settings, Timeouts, bind};

use crate::kept::{Audit, Memory};

/// A value that breaks whoever re-encodes it carelessly, and the JSON that Vault sends for it.
pub(crate) const PASSWORD: &str = "p<\"\\/ü😀&";
pub(crate) const PASSWORD_JSON: &str = r#""p\u003c\"\\/ü😀\u0026""#;
/// Far more than a socket's buffers hold.
pub(crate) const HUGE: usize = 4 << 20;
/// What everybody's authenticator shows.
pub(crate) const CODE: &str = "246813";
/// For everything that is waited for: generous, for busy machines.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

pub(crate) fn own_uid() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// A store with fixed secrets.
pub(crate) struct Store {
    pub(crate) health: Mutex<StoreHealth>,
    /// Requests for `secret/slow` that have arrived; and what lets them go on.
    pub(crate) slow: (Semaphore, Semaphore),
    /// The leases that were taken back.
    pub(crate) revoked: Mutex<Vec<String>>,
    pub(crate) namespace: OnceLock<String>,
}

/// What an engine makes.
fn leased() -> Secret {
    let lease = Lease {
        id: "db/creds/app/x".to_owned(),
        duration: Duration::from_hours(1),
        renewable: true,
        code: None,
    };
    Secret {
        origin: Origin::Leased(lease),
        ..secret(1, &[("user", r#""v-app""#)])
    }
}

fn secret(version: u64, fields: &[(&str, &str)]) -> Secret {
    let fields = fields.iter().map(|(name, json)| Field {
        name: (*name).to_owned(),
        json: SecretValue::new(json.as_bytes().to_vec()),
    });
    Secret::of_version(fields.collect(), facts(version, ""))
}

fn facts(number: u64, deletion: &str) -> VersionFacts {
    VersionFacts {
        number,
        created: "2026-01-02T03:04:05.123456789Z".to_owned(),
        deletion: deletion.to_owned(),
        notes: vec![],
    }
}

#[async_trait]
impl SecretStore for Store {
    fn namespace(&self) -> Option<&str> {
        self.namespace.get().map(String::as_str)
    }

    async fn read(&self, permit: &Permit) -> Result<Secret, StoreError> {
        let target = permit.target();
        let error = match target.path.path() {
            "django/database" => {
                return match target.version {
                    None | Some(2) => Ok(secret(
                        2,
                        &[
                            ("nested", r#"{"a":[1,{"b":null}]}"#),
                            ("number", "12345678901234567890.5"),
                            ("password", PASSWORD_JSON),
                            ("user", r#""django""#),
                        ],
                    )),
                    Some(1) => Ok(secret(1, &[("password", r#""old""#)])),
                    Some(_) => Err(StoreError::NoSuchVersion),
                };
            }
            "creds/app" => return Ok(leased()),
            "creds/huge" => {
                let value = format!("\"{}\"", "x".repeat(HUGE));
                return Ok(Secret {
                    origin: leased().origin,
                    ..secret(1, &[("key", &value)])
                });
            }
            "creds/slow" => {
                self.slow.0.add_permits(1);
                self.slow.1.acquire().await.unwrap().forget();
                return Ok(leased());
            }
            "slow" => {
                self.slow.0.add_permits(1);
                self.slow.1.acquire().await.unwrap().forget();
                return Ok(secret(1, &[("key", r#""late""#)]));
            }
            "huge" => {
                let value = format!("\"{}\"", "x".repeat(HUGE));
                return Ok(secret(1, &[("key", &value)]));
            }
            "deleted" => StoreError::Deleted(facts(3, "2026-02-03T04:05:06.7Z")),
            "destroyed" => StoreError::Destroyed(facts(3, "")),
            "forbidden" => StoreError::Forbidden,
            "sealed" => StoreError::Sealed,
            "unavailable" => StoreError::Unavailable,
            "invalid" => StoreError::Invalid,
            _ => StoreError::NotFound,
        };
        Err(error)
    }

    async fn invoke(&self, permit: &Permit, fields: &[Field]) -> Result<Secret, StoreError> {
        match permit.target().path.path() {
            "nothing" => return Err(StoreError::NotFound),
            "refused" => return Err(StoreError::Rejected("no such role".to_owned())),
            "read-only" => return Err(StoreError::Unsupported),
            "unclear" => return Err(StoreError::Unclear),
            "slow" => {
                self.slow.0.add_permits(1);
                self.slow.1.acquire().await.unwrap().forget();
            }
            _ => {}
        }
        // What it was given.
        #[expect(clippy::disallowed_methods, reason = "a copy of what was given")]
        let copy = |field: &Field| Field {
            name: field.name.clone(),
            json: SecretValue::new(field.json.expose_secret().to_vec()),
        };
        Ok(Secret {
            fields: fields.iter().map(copy).collect(),
            origin: Origin::Plain,
            age: None,
        })
    }

    async fn revoke(&self, lease: &str) -> Result<(), StoreError> {
        self.revoked.lock().unwrap().push(lease.to_owned());
        Ok(())
    }

    async fn history(&self, permit: &Permit) -> Result<History, StoreError> {
        match permit.target().path.path() {
            "nothing" => Err(StoreError::NotFound),
            _ => Ok(History::default()),
        }
    }

    #[expect(clippy::disallowed_methods, reason = "a made-up authenticator")]
    async fn check_code(&self, _: &str, _: &str, code: &SecretValue) -> Result<bool, StoreError> {
        Ok(code.expose_secret() == CODE.as_bytes())
    }

    async fn list(&self, permit: &Permit) -> Result<Vec<String>, StoreError> {
        match permit.target().path.path() {
            "" => Ok(vec!["a".to_owned(), "b/".to_owned()]),
            "empty" => Ok(vec![]),
            _ => Err(StoreError::NotFound),
        }
    }

    async fn health(&self) -> StoreHealth {
        self.health.lock().unwrap().clone()
    }
}

/// A socket that is served until this is dropped.
pub(crate) struct Server {
    pub(crate) path: PathBuf,
    pub(crate) broker: Arc<Broker>,
    pub(crate) store: Arc<Store>,
    pub(crate) audit: Arc<Audit>,
    pub(crate) coordination: Arc<Memory>,
    pub(crate) stop: CancellationToken,
    pub(crate) served: JoinHandle<std::io::Result<()>>,
    folder: tempfile::TempDir,
}

pub(crate) fn settings(path: PathBuf) -> Settings {
    Settings {
        name: "default".to_owned(),
        path,
        mode: 0o600,
        owner: None,
        group: None,
        limits: Limits::of(256),
        timeouts: Timeouts::default(),
    }
}

/// Everything below `secret` but `secret/private`, for the user the tests run as.
pub(crate) fn own_policy() -> String {
    format!(
        r#"permit (principal == UnixPeer::"{}", action == Action::"read", resource in Path::"secret")
           when {{ context.delivery == "socket" }}
           unless {{ resource in Path::"secret/private" }};"#,
        own_uid()
    )
}

pub(crate) fn serve(policy: &str, change: impl FnOnce(&mut Settings)) -> Server {
    serve_to(policy, Groups::default(), change)
}

/// As [`serve`], where policies may speak of `groups`.
pub(crate) fn serve_to(policy: &str, groups: Groups, change: impl FnOnce(&mut Settings)) -> Server {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("vaultgram.sock");
    let mut settings = settings(path.clone());
    change(&mut settings);
    let source = PolicySource {
        name: "test.cedar".to_owned(),
        text: policy.to_owned(),
    };
    let mounts = vec![
        ("secret".to_owned(), MountKind::Kv2),
        ("team/kv".to_owned(), MountKind::Kv2),
        ("old".to_owned(), MountKind::Kv1),
        ("db".to_owned(), MountKind::Engine),
    ];
    let mounts = Mounts::of(mounts).unwrap();
    let policy = Policy::load(&[source], groups, &mounts).unwrap_or_else(|error| panic!("{error}"));
    let subuid = folder.path().join("subuid");
    let attestor = Attestor::new(policy.speaks_of_hashes(), &subuid);
    let store = Arc::new(Store {
        health: Mutex::new(StoreHealth::Ready(Serving {
            version: "2.7.2".to_owned(),
            ..Serving::default()
        })),
        slow: (Semaphore::new(0), Semaphore::new(0)),
        revoked: Mutex::default(),
        namespace: OnceLock::new(),
    });
    let audit = Arc::new(Audit::default());
    let coordination = Arc::new(Memory::default());
    let broker = Arc::new(Broker::new(
        Rules {
            policy: policy.into(),
            mounts,
            wrap_ttl: Duration::from_mins(5),
            unix_users: BTreeMap::from([(1001, own_uid())]),
            admins: BTreeSet::new(),
            approvals: ApprovalRules::default(),
        },
        Ports {
            store: Arc::clone(&store) as Arc<dyn SecretStore>,
            audit: Arc::clone(&audit) as Arc<dyn AuditSink>,
            coordination: Arc::clone(&coordination) as Arc<dyn Coordination>,
            sealer: Arc::new(AgeSealer),
            clock: Arc::new(SystemClock),
            random: Arc::new(SystemRandom),
            pipelines: None,
        },
    ));
    let listener = bind(&settings).unwrap_or_else(|error| panic!("{error}"));
    let stop = CancellationToken::new();
    let served =
        TaskTracker::new().spawn(listener.serve(Arc::clone(&broker), attestor, stop.clone()));
    Server {
        path,
        broker,
        store,
        audit,
        coordination,
        stop,
        served,
        folder,
    }
}

/// A server with [`own_policy`] and ordinary settings.
pub(crate) fn ordinary() -> Server {
    serve(&own_policy(), |_| {})
}

impl Server {
    pub(crate) async fn connect(&self) -> UnixStream {
        UnixStream::connect(&self.path).await.unwrap()
    }

    /// Sends `request` on a connection of its own, and returns everything that comes back.
    pub(crate) async fn raw(&self, request: impl AsRef<[u8]>) -> String {
        let mut stream = self.connect().await;
        // A server that refuses early closes while we still write.
        stream.write_all(request.as_ref()).await.ok();
        until_closed(&mut stream).await
    }

    /// `GET target` with `headers` (each line with its CRLF), and the connection closed after.
    pub(crate) async fn get_with(&self, target: &str, headers: &str) -> Reply {
        let answer = self
            .raw(format!(
                "GET {target} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n{headers}\r\n"
            ))
            .await;
        Reply::parse(&answer)
    }

    /// `POST target` without a body, and the connection closed after.
    pub(crate) async fn post(&self, target: &str) -> Reply {
        let head = "host: localhost\r\nconnection: close\r\ncontent-length: 0";
        let answer = self
            .raw(format!("POST {target} HTTP/1.1\r\n{head}\r\n\r\n"))
            .await;
        Reply::parse(&answer)
    }

    pub(crate) async fn get(&self, target: &str) -> Reply {
        self.get_with(target, "").await
    }

    /// The environment for Vault clients, and nothing of ours that they could pick up.
    pub(crate) fn client(&self, program: impl AsRef<Path>) -> Command {
        let mut command = Command::new(program.as_ref());
        command
            .env_clear()
            .env("BAO_ADDR", format!("unix://{}", self.path.display()))
            .env("HOME", self.folder.path())
            .env("PATH", environment("PATH").unwrap())
            .stdin(Stdio::null())
            .kill_on_drop(true);
        command
    }

    pub(crate) async fn bao(&self, arguments: &[&str]) -> Output {
        run(self.client(tool("bin/bao")).args(arguments)).await
    }

    pub(crate) fn decisions(&self) -> usize {
        self.audit.entries.lock().unwrap().len()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// An answer, taken apart.
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Reply {
    pub(crate) fn parse(text: &str) -> Self {
        let (head, body) = text
            .split_once("\r\n\r\n")
            .unwrap_or_else(|| panic!("no answer: {text:?}"));
        Self {
            status: head.split(' ').nth(1).unwrap().parse().unwrap(),
            head: head.to_ascii_lowercase(),
            body: body.to_owned(),
        }
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

pub(crate) async fn until_closed(stream: &mut UnixStream) -> String {
    let mut answer = vec![];
    // A reset after the answer is the server's right when it refuses what we still send.
    tokio::time::timeout(PATIENCE, stream.read_to_end(&mut answer))
        .await
        .expect("the server closes")
        .ok();
    String::from_utf8(answer).unwrap()
}

pub(crate) async fn run(command: &mut Command) -> Output {
    tokio::time::timeout(PATIENCE, command.output())
        .await
        .expect("the command ends")
        .unwrap()
}

#[expect(
    clippy::disallowed_methods,
    reason = "the tests' environment, not vaultgram's configuration"
)]
pub(crate) fn environment(name: &str) -> Option<std::ffi::OsString> {
    std::env::var_os(name)
}

/// A real client or server that `make tools` installs.
pub(crate) fn tool(path: &str) -> PathBuf {
    let tools = match environment("VAULTGRAM_TOOLS") {
        Some(tools) => PathBuf::from(tools),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tools"),
    };
    let tool = tools.join(path);
    assert!(
        tool.exists(),
        "{} is missing; run: make tools",
        tool.display()
    );
    tool
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// Waits until `condition` holds.
pub(crate) async fn eventually(what: &str, condition: impl AsyncFn() -> bool) {
    let wait = async {
        while !condition().await {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, wait)
        .await
        .unwrap_or_else(|_| panic!("never: {what}"));
}

/// Says, where nobody can overlook it, that a test could not be made here.
pub(crate) fn skipped(why: &str) {
    // Past the harness, which shows what is printed only of a test that fails.
    let said = format!("\nSKIPPED: {why}\n");
    std::io::Write::write_all(&mut std::io::stderr(), said.as_bytes()).unwrap();
}

//! A whole stage for end-to-end runs: OpenBao, the simulated Telegram, and vaultgram as a process.
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "shared by tests, the demo and benches, of which none uses all; they may panic and look around"
)]

use std::fmt::Write;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use serde_json::json;
use telegram_dc::{Chat, Datacenter, Options, User};
use tempfile::TempDir;
use vaultgram::age::{SessionKey, StoredKey};
use vaultgram::telegram::{FileSession, Login};

use crate::openbao::OpenBao;

/// Allowlisted; may read what lies under `secret/django`.
pub(crate) const ALICE: i64 = 1001;
/// Allowlisted; no policy permits anything.
pub(crate) const BOB: i64 = 1002;
/// Not allowlisted.
pub(crate) const MALLORY: i64 = 6666;
/// The account vaultgram runs on.
pub(crate) const BROKER: i64 = 5000;
/// The group that Alice, Bob and the broker are in.
pub(crate) const GROUP: i64 = 77;

/// The AppRole that vaultgram signs in with.
pub(crate) const ROLE: &str = "vaultgram";

/// A password that JSON, HTML and UTF-16 each treat specially.
pub(crate) const PASSWORD: &str = "pw-7f3a\"<\\&é😀-9c21";

/// How long anything may take on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

/// What a test changes.
pub(crate) struct Setting<'a> {
    /// The `vaultgram` binary.
    pub(crate) program: PathBuf,
    /// Lines added to `[telegram]`.
    pub(crate) telegram: &'a str,
    /// Lines added to `[audit]`.
    pub(crate) audit: &'a str,
    /// Allowlisted besides Alice and Bob, and permitted what Alice is.
    pub(crate) crowd: Vec<i64>,
    /// `RUST_LOG`.
    pub(crate) log: &'a str,
    /// Signs in to Vault with a plain token instead of an AppRole.
    pub(crate) plain_token: bool,
}

/// Everything that runs. Ends with this value.
pub(crate) struct Stage {
    pub(crate) broker: Option<Broker>,
    pub(crate) bao: OpenBao,
    pub(crate) dc: Datacenter,
    pub(crate) directory: TempDir,
    program: PathBuf,
    log: String,
}

impl Stage {
    /// Starts the servers and writes the configuration; [`Stage::start`] starts vaultgram.
    pub(crate) async fn build(setting: Setting<'_>) -> Self {
        let bao = tokio::task::spawn_blocking(|| {
            let bao = OpenBao::start();
            bao.put(
                "django/database",
                &json!({"username": "django", "password": PASSWORD}),
            );
            bao.put("payroll/key", &json!({"key": "payroll"}));
            bao
        });
        let dc = Datacenter::start(Options::default()).await.unwrap();
        for (id, name) in [(ALICE, "Alice"), (BOB, "Bob"), (MALLORY, "Mallory")] {
            dc.add_user(User::new(id, name));
        }
        for id in &setting.crowd {
            dc.add_user(User::new(*id, format!("Person {id}")));
        }
        dc.add_user(User::new(BROKER, "vaultgram").username("vaultgram"));
        dc.add_group(GROUP, "Operations", &[ALICE, BOB, BROKER]);

        let directory = tempfile::tempdir().unwrap();
        let SocketAddr::V4(address) = dc.address() else {
            panic!("IPv4")
        };
        let auth_key = dc.provision_key(BROKER);
        let login = Login {
            dc: dc.id(),
            address,
            auth_key,
            user: Some(BROKER),
        };
        let key = SessionKey::generate();
        let key_file = directory.path().join("session.key");
        std::fs::write(&key_file, key.to_file()).unwrap();
        std::fs::set_permissions(&key_file, PermissionsExt::from_mode(0o600)).unwrap();
        let session = directory.path().join("telegram.session");
        drop(FileSession::create(&session, key, &login).unwrap());

        let bao = bao.await.unwrap();
        let (program, log) = (setting.program.clone(), setting.log.to_owned());
        let stage = Self {
            broker: None,
            bao,
            dc,
            directory,
            program,
            log,
        };
        stage.configure(&setting);
        stage
    }

    fn configure(&self, setting: &Setting<'_>) {
        let rules = std::fs::read_to_string(
            Path::new(env!("CARGO_MANIFEST_DIR")).join("policies/vault/broker.hcl"),
        );
        self.bao.policy("vaultgram-broker", &rules.unwrap());
        let (auth, secret) = if setting.plain_token {
            (
                "auth = \"token\"".to_owned(),
                self.bao.token(&json!({"policies": ["vaultgram-broker"]})),
            )
        } else {
            let role = json!({"token_policies": ["vaultgram-broker"], "token_ttl": "1h"});
            let (role_id, secret_id) = self.bao.role(ROLE, &role);
            (
                format!("auth = \"approle\"\nrole_id = \"{role_id}\""),
                secret_id,
            )
        };

        let ids: Vec<i64> = [ALICE, BOB]
            .into_iter()
            .chain(setting.crowd.clone())
            .collect();
        let mut members = format!("\"telegram:{ALICE}\"");
        for id in &setting.crowd {
            write!(members, ", \"telegram:{id}\"").unwrap();
        }
        let uid = rustix::process::getuid().as_raw();
        // It leaves a message in the chat, which few tests expect.
        let history_ttl = if setting.telegram.contains("history_ttl") {
            ""
        } else {
            "history_ttl = \"off\""
        };
        let config = format!(
            "[telegram]\nsession = \"telegram.session\"\nallowed_users = {ids:?}\n{}\n{history_ttl}\n\
             [vault]\naddress = \"{}\"\n{auth}\n\
             [groups]\ndevelopers = [{members}]\n\
             [socket]\npath = \"vaultgram.sock\"\n\
             [audit]\n{}\n",
            setting.telegram,
            self.bao.address(),
            setting.audit,
        );
        let policy = format!(
            "@id(\"developers-read-django\")\n\
             permit(principal in Group::\"developers\", action, resource in Path::\"secret/django\");\n\
             @id(\"own-user-reads-django\")\n\
             permit(principal == UnixPeer::\"{uid}\", action, resource in Path::\"secret/django\");\n"
        );
        std::fs::write(self.path("vaultgram.toml"), config).unwrap();
        std::fs::write(self.path("policy.cedar"), policy).unwrap();
        std::fs::write(self.path("secret_id"), secret).unwrap();
        std::fs::set_permissions(self.path("secret_id"), PermissionsExt::from_mode(0o600)).unwrap();
    }

    /// The `vaultgram` binary.
    pub(crate) fn program(&self) -> &Path {
        &self.program
    }

    /// A file in the broker's folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// The session's key.
    pub(crate) fn key(&self) -> SessionKey {
        let text = std::fs::read(self.path("session.key")).unwrap();
        match StoredKey::read(&text) {
            Ok(StoredKey::Open(key)) => key,
            Ok(StoredKey::Locked(_)) | Err(_) => panic!("an open key"),
        }
    }

    /// `vaultgram` with the broker's configuration at hand.
    pub(crate) fn vaultgram(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command
            .env_clear()
            .env("VAULTGRAM_CONFIG", self.path("vaultgram.toml"))
            .env("VAULTGRAM_SOCKET", self.path("vaultgram.sock"))
            .env("VAULT_SECRET_ID_FILE", self.path("secret_id"))
            .env("VAULT_TOKEN_FILE", self.path("secret_id"))
            .env("TELEGRAM_API_ID", "1")
            .env("TELEGRAM_API_HASH", "0123456789abcdef0123456789abcdef")
            .env("RUST_LOG", &self.log)
            .args(arguments);
        command
    }

    /// Starts vaultgram and waits until it listens on Telegram and on its socket.
    pub(crate) async fn start(&mut self) {
        let before = self.log().len();
        self.spawn();
        let connected = || self.log().split_at(before).1.contains("telegram.connected");
        self.wait("vaultgram is connected", connected).await;
        let socket = self.path("vaultgram.sock");
        self.wait("vaultgram has its socket", || socket.exists())
            .await;
    }

    /// Starts vaultgram and waits for nothing.
    pub(crate) fn spawn(&mut self) {
        let command = self.vaultgram(&["serve"]);
        self.spawn_as(command);
    }

    /// Starts `command`, which is vaultgram with another environment.
    pub(crate) fn spawn_as(&mut self, mut command: Command) {
        assert!(self.broker.is_none(), "stop it first");
        let log = std::fs::File::options()
            .create(true)
            .append(true)
            .open(self.path("log"));
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log.unwrap());
        self.broker = Some(Broker {
            child: command.spawn().unwrap(),
            log: self.path("log"),
        });
    }

    /// What vaultgram logged so far.
    pub(crate) fn log(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(self.path("log")).unwrap_or_default()).into_owned()
    }

    /// Polls until `condition` holds.
    pub(crate) async fn wait(&self, what: &str, condition: impl Fn() -> bool) {
        let start = Instant::now();
        while !condition() {
            assert!(
                start.elapsed() < PATIENCE,
                "waited in vain until {what}; log:
{}",
                tail(&self.path("log"))
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Writes to the broker as `person`; the answer in their private chat.
    pub(crate) async fn ask(&self, person: i64, text: &str) -> String {
        let chat = Chat::User(BROKER);
        let last = self
            .dc
            .history(person, chat)
            .last()
            .map_or(0, |message| message.id);
        self.dc.send(person, chat, text).unwrap();
        let answer = self.dc.wait_for(person, chat, PATIENCE, |message| {
            !message.out && message.id > last
        });
        let answer = answer.await;
        answer
            .unwrap_or_else(|| panic!("no answer to {text}; log:\n{}", self.log()))
            .text
    }

    /// What a person sees in the private chat with the broker.
    pub(crate) fn chat(&self, person: i64) -> Vec<telegram_dc::Message> {
        self.dc.history(person, Chat::User(BROKER))
    }
}

/// The end of a log.
fn tail(log: &Path) -> String {
    let bytes = std::fs::read(log).unwrap_or_default();
    String::from_utf8_lossy(&bytes[bytes.len().saturating_sub(4000)..]).into_owned()
}

/// A vaultgram process, killed with this value.
pub(crate) struct Broker {
    child: Child,
    log: PathBuf,
}

impl Broker {
    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends SIGTERM.
    pub(crate) fn terminate(&self) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    }

    /// Waits for its end.
    pub(crate) async fn exit(mut self) -> ExitStatus {
        let start = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(
                start.elapsed() < PATIENCE,
                "vaultgram does not stop; log:\n{}",
                tail(&self.log)
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// kill -9, and waits.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

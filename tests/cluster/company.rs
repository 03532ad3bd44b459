//! Several vaultgrams, each with a login of its own to the same account, on one etcd of three nodes.

use std::fs::{Permissions, set_permissions};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use vaultgram::age::SessionKey;
use vaultgram::telegram::{FileSession, Login};

use crate::etcd::Etcd;
use crate::grants;
use crate::line::Line;
use crate::stage::{BROKER, Setting, Stage};

/// What all of them serve, and they. Ends with this value.
pub(crate) struct Company {
    pub(crate) replicas: Vec<Replica>,
    pub(crate) stage: Stage,
    pub(crate) etcd: Etcd,
}

/// One vaultgram, with a folder and a line to each node of etcd.
pub(crate) struct Replica {
    name: String,
    folder: PathBuf,
    lines: Vec<Line>,
    child: Option<Child>,
}

impl Company {
    /// Everything but the vaultgrams, of which there will be `count`.
    pub(crate) async fn build(setting: Setting<'_>, count: usize) -> Self {
        let stage = Stage::build(setting).await;
        let etcd = tokio::task::block_in_place(Etcd::start_cluster);
        grants::apply(&etcd).await;
        let key = stage.path("state.key");
        let made = stage
            .vaultgram(&["state", "keygen", "--out", key.to_str().unwrap()])
            .output()
            .unwrap();
        assert!(made.status.success(), "{made:?}");

        let mut replicas = vec![];
        for number in 1..=count {
            let name = format!("replica-{number}");
            let folder = stage.path(&name);
            std::fs::create_dir(&folder).unwrap();
            for file in ["policy.cedar", "secret_id", "session.key", "state.key"] {
                std::fs::copy(stage.path(file), folder.join(file)).unwrap();
            }
            sign_in(&stage, &folder);
            let mut lines = vec![];
            for node in etcd.sockets() {
                lines.push(Line::to(node).await);
            }
            let config = std::fs::read_to_string(stage.path("vaultgram.toml")).unwrap();
            let config = config + &section(&name, &folder, &etcd, &lines);
            std::fs::write(folder.join("vaultgram.toml"), config).unwrap();
            replicas.push(Replica {
                name,
                folder,
                lines,
                child: None,
            });
        }
        Self {
            replicas,
            stage,
            etcd,
        }
    }

    /// Starts them all, and waits until they listen on Telegram.
    pub(crate) async fn start(&mut self) {
        for number in 0..self.replicas.len() {
            self.start_one(number).await;
        }
    }

    /// Starts one that does not run, and waits until it listens on Telegram.
    pub(crate) async fn start_one(&mut self, number: usize) {
        let before = self.replicas[number].log().len();
        self.spawn(number);
        let replica = &self.replicas[number];
        let connected = || {
            let log = replica.log().split_off(before);
            log.contains("telegram.connected") && log.contains("daemon.serving")
        };
        self.stage
            .wait(&format!("{} serves", replica.name), connected)
            .await;
    }

    /// Starts one that does not run, and waits for nothing.
    pub(crate) fn spawn(&mut self, number: usize) {
        let command = self.vaultgram(number, &["serve"]);
        self.replicas[number].spawn(command);
    }

    /// `vaultgram` with the configuration of one of them at hand.
    pub(crate) fn vaultgram(&self, number: usize, arguments: &[&str]) -> Command {
        self.vaultgram_in(&self.replicas[number].folder, arguments)
    }

    /// `vaultgram` with what is in `folder` at hand.
    pub(crate) fn vaultgram_in(&self, folder: &Path, arguments: &[&str]) -> Command {
        let mut command = self.stage.vaultgram(arguments);
        command
            .env("VAULTGRAM_CONFIG", folder.join("vaultgram.toml"))
            .env("VAULTGRAM_SOCKET", folder.join("vaultgram.sock"))
            .env("VAULTGRAM_STATE_KEY_FILE", folder.join("state.key"))
            .env("VAULT_SECRET_ID_FILE", folder.join("secret_id"));
        command
    }

    /// Where each logs to.
    pub(crate) fn logs(&self) -> Vec<PathBuf> {
        self.replicas
            .iter()
            .map(|replica| replica.folder.join("log"))
            .collect()
    }
}

impl Replica {
    /// A file of its own.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// What it logged so far.
    pub(crate) fn log(&self) -> String {
        let text = std::fs::read(self.path("log")).unwrap_or_default();
        String::from_utf8_lossy(&text).into_owned()
    }

    /// Whether its process ended by itself, as it may where etcd is away for long at its start, and
    /// asked to be started again.
    pub(crate) fn gave_up(&mut self) -> bool {
        let ended = self
            .child
            .as_mut()
            .and_then(|child| child.try_wait().unwrap());
        if let Some(status) = ended {
            // Its session is still held, or etcd did not answer as it started.
            let known = matches!(status.code(), Some(69 | 75));
            assert!(known, "{} {status}\n{}", self.name, self.log());
            self.child = None;
        }
        ended.is_some()
    }

    /// kill -9, and waits.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// SIGTERM, and waits for its end, which must be a good one.
    pub(crate) async fn stop(&mut self) {
        let mut child = self.child.take().expect("it runs");
        kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
        let waited = tokio::task::spawn_blocking(move || child.wait().unwrap());
        let status = tokio::time::timeout(crate::stage::PATIENCE, waited).await;
        let status = status
            .unwrap_or_else(|_| panic!("{} does not stop", self.name))
            .unwrap();
        assert!(status.success(), "{}: {status}\n{}", self.name, self.log());
    }

    /// SIGSTOP, or SIGCONT.
    pub(crate) fn pause(&self, pause: bool) {
        if let Some(child) = &self.child {
            let signal = if pause { Signal::STOP } else { Signal::CONT };
            kill_process(Pid::from_child(child), signal).unwrap();
        }
    }

    /// Cuts its lines to etcd, or mends them.
    pub(crate) fn cut(&self, cut: bool) {
        for line in &self.lines {
            line.cut(cut);
        }
    }

    fn spawn(&mut self, mut command: Command) {
        assert!(self.child.is_none(), "stop it first");
        let log = std::fs::File::options()
            .create(true)
            .append(true)
            .open(self.path("log"));
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log.unwrap());
        self.child = Some(command.spawn().unwrap());
    }
}

impl Drop for Replica {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A login of its own to the one account.
fn sign_in(stage: &Stage, folder: &Path) {
    let SocketAddr::V4(address) = stage.dc.address() else {
        panic!("IPv4")
    };
    let login = Login {
        dc: stage.dc.id(),
        address,
        auth_key: stage.dc.provision_key(BROKER),
        user: Some(BROKER),
    };
    let key: SessionKey = stage.key();
    drop(FileSession::create(&folder.join("telegram.session"), key, &login).unwrap());
}

/// What its configuration says of etcd.
fn section(name: &str, folder: &Path, etcd: &Etcd, lines: &[Line]) -> String {
    let issued = etcd.certificate("vaultgram");
    for (from, to) in [
        (&issued.certificate, "etcd.pem"),
        (&issued.key, "etcd-key.pem"),
        (&etcd.trust(), "etcd-ca.pem"),
    ] {
        std::fs::copy(from, folder.join(to)).unwrap();
    }
    set_permissions(folder.join("etcd-key.pem"), Permissions::from_mode(0o600)).unwrap();
    let endpoints: Vec<_> = lines
        .iter()
        .map(|line| format!("https://{}", line.address()))
        .collect();
    format!(
        "[state.etcd]\nendpoints = {endpoints:?}\nreplica = \"{name}\"\nca_file = \"etcd-ca.pem\"\n\
         cert_file = \"etcd.pem\"\nkey_file = \"etcd-key.pem\"\n"
    )
}

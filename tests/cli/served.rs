//! A real vaultgram that serves secrets of a real OpenBao on its socket, for one test.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::time::Instant;

use crate::Ran;
use crate::openbao::{OpenBao, spawn_bound_to_us, wait_until};

/// For everything that is waited for: generous, for busy machines.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

/// The servers; they end with this value.
pub(crate) struct Served {
    pub(crate) bao: OpenBao,
    pub(crate) folder: TempDir,
    broker: Child,
}

impl Served {
    /// Whoever runs the tests may do anything, but not below `secret/private`, nor learn versions
    /// below `secret/hidden`.
    pub(crate) fn start() -> Self {
        Self::over(OpenBao::start(), "")
    }

    /// As [`Served::start`], with more lines of `[vault]`.
    pub(crate) fn over(bao: OpenBao, vault: &str) -> Self {
        Self::with(bao, vault, "", "")
    }

    /// As [`Served::over`], with more of `[socket]` and what follows it, and more policies.
    pub(crate) fn with(bao: OpenBao, vault: &str, more: &str, policies: &str) -> Self {
        let uid = rustix::process::geteuid().as_raw();
        let policy = format!(
            "permit (principal == UnixPeer::\"{uid}\", action, resource);\n\
             forbid (principal, action, resource in Path::\"secret/private\");\n\
             forbid (principal, action == Action::\"versions\", resource in Path::\"secret/hidden\");\n\
             {policies}"
        );
        let folder = tempfile::tempdir().unwrap();
        let config = format!(
            "[vault]\naddress = \"{}\"\nauth = \"token\"\n{vault}[socket]\npath = \"vaultgram.sock\"\n{more}",
            bao.address()
        );
        for (name, text) in [
            ("vaultgram.toml", config),
            ("policy.cedar", policy),
            ("token", bao.root().to_owned()),
        ] {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            std::fs::set_permissions(path, PermissionsExt::from_mode(0o600)).unwrap();
        }
        let broker = broker(folder.path());
        let served = Self {
            bao,
            folder,
            broker,
        };
        let socket = served.path("vaultgram.sock");
        wait_until("vaultgram has its socket", || socket.exists());
        served
    }

    /// A file in the test's folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a file into the test's folder.
    pub(crate) fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    /// Writes a new version of a secret.
    pub(crate) fn put(&self, path: &str, fields: &Value) {
        self.bao.put(path, fields);
    }

    /// `vaultgram` with nothing but the socket and `PATH` in its environment.
    pub(crate) fn vaultgram(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_vaultgram"));
        command
            .current_dir(self.folder.path())
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .env("VAULTGRAM_SOCKET", self.path("vaultgram.sock"))
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// Runs `vaultgram` to its end.
    pub(crate) fn run(&self, arguments: &[&str]) -> Ran {
        Ran::from(self.vaultgram(arguments).output().unwrap())
    }

    /// What the broker logged.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.path("log")).unwrap()
    }

    /// How often a secret was handed over.
    pub(crate) fn reads(&self) -> usize {
        let audit = std::fs::read_to_string(self.path("audit.jsonl")).unwrap();
        let entries = audit
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap());
        entries.filter(|entry| entry["event"] == "released").count()
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        drop(self.broker.stdin.take());
        self.broker.wait().unwrap();
    }
}

fn broker(folder: &Path) -> Child {
    let file = |name: &str| folder.join(name).display().to_string();
    let arguments = [
        format!("VAULT_TOKEN_FILE={}", file("token")),
        env!("CARGO_BIN_EXE_vaultgram").to_owned(),
        "serve".to_owned(),
        "--config".to_owned(),
        file("vaultgram.toml"),
    ];
    spawn_bound_to_us(Path::new("/usr/bin/env"), &arguments, &folder.join("log"))
}

/// What a file holds, once it satisfies `good`.
pub(crate) fn wait_for(path: &Path, good: impl Fn(&str) -> bool) -> String {
    let start = Instant::now();
    loop {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        if good(&text) {
            return text;
        }
        assert!(start.elapsed() < PATIENCE, "{}: {text:?}", path.display());
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Fields whose values break what is careless.
pub(crate) fn fields() -> Value {
    json!({
        "user": "ann",
        "password": "p<\"\\/ü😀& $HOME 'x' %0A\n::add-mask::no\n",
        "port": 5432,
        "json": {"list": ["leaf-secret", 12.50, true], "empty": ""},
    })
}

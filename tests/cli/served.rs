//! A running vaultgram of a test's own, and the folder its commands work in.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::Ran;
use crate::openbao::OpenBao;
use crate::server::{PATIENCE, Server};

/// The server; it ends with this value.
pub(crate) struct Served(Server);

impl Served {
    /// Whoever runs the tests may do anything, but not below `secret/private`.
    pub(crate) fn start() -> Self {
        Self(Server::start())
    }

    pub(crate) fn bao(&self) -> &OpenBao {
        &self.0.bao
    }

    /// A file in the test's folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.socket().with_file_name(name)
    }

    /// Writes a file into the test's folder.
    pub(crate) fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    /// Writes a new version of a secret.
    pub(crate) fn put(&self, path: &str, fields: &Value) {
        self.0.bao.put(path, fields);
    }

    /// `vaultgram` with nothing but the socket and `PATH` in its environment.
    pub(crate) fn vaultgram(&self, arguments: &[&str]) -> Command {
        let mut command = self.0.command(arguments);
        command
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
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

//! A running vaultgram whose secrets whoever runs the tests may change.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use serde_json::json;

use crate::Ran;
use crate::openbao::OpenBao;
use crate::served::Served;

pub(crate) struct Server(Served);

impl Server {
    /// One for all tests that leave it as it is: each has paths of its own.
    pub(crate) fn shared() -> &'static Self {
        static SERVER: OnceLock<Server> = OnceLock::new();
        SERVER.get_or_init(Self::start)
    }

    pub(crate) fn start() -> Self {
        let bao = OpenBao::start();
        let legacy = json!({"type": "kv", "options": {"version": "1"}});
        bao.must("POST", "sys/mounts/legacy", &legacy);
        bao.must("POST", "sys/mounts/transit", &json!({"type": "transit"}));
        bao.must("POST", "transit/keys/k", &json!({}));
        let vault = "mounts_v1 = [\"legacy\"]\nengines = [\"transit\"]\n";
        Self(Served::over(bao, vault))
    }

    pub(crate) fn bao(&self) -> &OpenBao {
        &self.0.bao
    }

    /// Where `vaultgram` runs.
    pub(crate) fn file(&self, name: &str, text: &str) {
        self.0.file(name, text);
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        self.0.vaultgram(arguments)
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Ran {
        self.0.run(arguments)
    }

    /// The address by which clients of Vault find the server.
    pub(crate) fn address(&self) -> String {
        format!("unix://{}", self.0.path("vaultgram.sock").display())
    }

    /// Runs `vaultgram` with `input` on its standard input.
    pub(crate) fn piped(&self, arguments: &[&str], input: &str) -> Ran {
        let mut child = self
            .command(arguments)
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        // One that refuses its arguments reads nothing.
        drop(child.stdin.take().unwrap().write_all(input.as_bytes()));
        Ran::from(child.wait_with_output().unwrap())
    }

    /// Runs it; what it printed, after it ended well.
    pub(crate) fn good(&self, arguments: &[&str]) -> String {
        let ran = self.run(arguments);
        assert_eq!(
            (ran.code, ran.err.as_str()),
            (0, ""),
            "{arguments:?}: {ran:?}"
        );
        ran.out
    }

    /// Runs it at a terminal, at which `typed` is typed; all that is seen there, and the code.
    pub(crate) fn at_a_terminal(&self, arguments: &str, typed: &str) -> Ran {
        at_a_terminal(&self.0.path("vaultgram.sock"), arguments, typed)
    }
}

/// As [`Server::at_a_terminal`], with any socket.
pub(crate) fn at_a_terminal(socket: &Path, arguments: &str, typed: &str) -> Ran {
    let command = format!("{} {arguments}", env!("CARGO_BIN_EXE_vaultgram"));
    let mut child = Command::new("script")
        .args(["-qec", &command, "/dev/null"])
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .env("TERM", "xterm")
        .env("VAULTGRAM_SOCKET", socket)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(typed.as_bytes()).unwrap();
    let ran = Ran::from(child.wait_with_output().unwrap());
    drop(stdin);
    Ran {
        out: ran.out.replace("\r\n", "\n"),
        ..ran
    }
}

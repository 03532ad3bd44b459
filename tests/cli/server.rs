//! A running vaultgram for the command line to ask, over a real OpenBao, without Telegram.

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use serde_json::json;
use tempfile::TempDir;

use crate::Ran;
use crate::openbao::{OpenBao, spawn_bound_to_us};

/// How long anything may take on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

pub(crate) struct Server {
    pub(crate) bao: OpenBao,
    folder: TempDir,
    _child: Child,
}

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
        let all = r#"["create", "read", "update", "patch", "delete", "list"]"#;
        let mounts = ["secret", "legacy", "transit", "sys/wrapping"];
        let rules = mounts.map(|mount| format!("path \"{mount}/*\" {{ capabilities = {all} }}\n"));
        let rules = include_str!("../../policies/vault/broker.hcl").to_owned() + &rules.concat();
        bao.policy("vaultgram", &rules);

        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let config = format!(
            "[vault]\naddress = \"{}\"\nauth = \"token\"\nmounts_v1 = [\"legacy\"]\n\
             engines = [\"transit\"]\n[socket]\npath = \"vaultgram.sock\"\n",
            bao.address()
        );
        std::fs::write(path("vaultgram.toml"), config).unwrap();
        let uid = rustix::process::getuid().as_raw();
        let policy = format!(
            "permit(principal == UnixPeer::\"{uid}\", action, resource);\n\
             forbid(principal, action, resource in Path::\"secret/private\");\n\
             forbid(principal, action == Action::\"versions\", resource in Path::\"secret/hidden\");\n"
        );
        std::fs::write(path("policy.cedar"), policy).unwrap();
        std::fs::write(
            path("token"),
            bao.token(&json!({"policies": ["vaultgram"]})),
        )
        .unwrap();
        std::fs::set_permissions(path("token"), PermissionsExt::from_mode(0o600)).unwrap();
        let arguments = [
            format!("VAULT_TOKEN_FILE={}", path("token").display()),
            env!("CARGO_BIN_EXE_vaultgram").to_owned(),
            "serve".to_owned(),
            "--config".to_owned(),
            path("vaultgram.toml").display().to_string(),
        ];
        let child = spawn_bound_to_us(Path::new("/usr/bin/env"), &arguments, &path("log"));
        let server = Self {
            bao,
            folder,
            _child: child,
        };
        let start = Instant::now();
        while server.run(&["status"]).code != 0 {
            let log = std::fs::read_to_string(server.folder.path().join("log"));
            assert!(start.elapsed() < PATIENCE, "it does not serve: {log:?}");
            std::thread::sleep(Duration::from_millis(20));
        }
        server
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.folder.path().join("vaultgram.sock")
    }

    /// `vaultgram` that finds the server's socket.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_vaultgram"));
        command
            .current_dir(self.folder.path())
            .env_clear()
            .env("VAULTGRAM_SOCKET", self.socket())
            .args(arguments);
        command
    }

    /// Runs `vaultgram` with nothing on its standard input.
    pub(crate) fn run(&self, arguments: &[&str]) -> Ran {
        self.piped(arguments, "")
    }

    /// Runs `vaultgram` with `input` on its standard input.
    pub(crate) fn piped(&self, arguments: &[&str], input: &str) -> Ran {
        let mut child = self
            .command(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
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
        at_a_terminal(&self.socket(), arguments, typed)
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

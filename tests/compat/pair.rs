//! Two OpenBao servers that hold the same; vaultgram serves before one of them.

use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::openbao::{OpenBao, wait_until};

/// What the token may do that is used at the real server: everything but what policy denies at the
/// socket.
const EVERYTHING: &str = r#"
path "*" { capabilities = ["create", "read", "update", "patch", "delete", "list"] }
path "secret/data/private/*" { capabilities = ["deny"] }
path "secret/metadata/private/*" { capabilities = ["deny"] }
"#;

/// What the shipped policy leaves to be asked for.
const MORE: &str = r#"
path "secret/destroy/*" { capabilities = ["update"] }
path "legacy/*" { capabilities = ["create", "read", "update", "delete", "list"] }
path "transit/*" { capabilities = ["create", "read", "update", "list"] }
path "pki/*" { capabilities = ["create", "read", "update", "list"] }
path "sys/leases/renew" { capabilities = ["update"] }
path "sys/leases/revoke" { capabilities = ["update"] }
"#;

/// Both sides. They end with this value.
pub(crate) struct Pair {
    /// The server that is asked directly.
    pub(crate) real: OpenBao,
    /// The token that is used there.
    pub(crate) token: String,
    /// The server behind vaultgram.
    pub(crate) behind: OpenBao,
    pub(crate) socket: PathBuf,
    pub(crate) directory: TempDir,
    serving: Child,
}

impl Pair {
    pub(crate) fn start() -> Self {
        let (real, behind) = std::thread::scope(|scope| {
            let behind = scope.spawn(|| seeded(OpenBao::start()));
            (seeded(OpenBao::start()), behind.join().unwrap())
        });
        real.policy("everything", EVERYTHING);
        let token = real.token(&json!({"policies": ["everything"], "renewable": false}));
        let directory = tempfile::tempdir().unwrap();
        let (socket, serving) = serve(&behind, directory.path());
        Self {
            real,
            token,
            behind,
            socket,
            directory,
            serving,
        }
    }

    /// Where a client finds a side, and the token it uses there: our own way needs none.
    pub(crate) fn address(&self, side: Side) -> (String, Option<&str>) {
        match side {
            Side::Real => (self.real.address(), Some(&self.token)),
            Side::Ours => (format!("unix://{}", self.socket.display()), None),
        }
    }

    /// Sends one request, with `headers` in lines, to `side`.
    pub(crate) fn send(&self, side: Side, request: &Request<'_>) -> Answer {
        let Request {
            method,
            path,
            headers,
            body,
        } = request;
        let mut text = format!("{method} /v1/{path} HTTP/1.0\r\nHost: localhost\r\n");
        text += "X-Vault-Request: true\r\n";
        let token = headers.iter().any(|(name, _)| *name == "X-Vault-Token");
        if side == Side::Real && !token {
            writeln!(text, "X-Vault-Token: {}\r", self.token).unwrap();
        }
        for (name, value) in headers {
            writeln!(text, "{name}: {value}\r").unwrap();
        }
        if !body.is_empty() {
            writeln!(text, "Content-Length: {}\r", body.len()).unwrap();
        }
        writeln!(text, "\r").unwrap();
        text += body;
        let answer = match side {
            Side::Real => exchange(TcpStream::connect(self.real.socket()).unwrap(), &text),
            Side::Ours => exchange(UnixStream::connect(&self.socket).unwrap(), &text),
        };
        Answer::read(&answer)
    }
}

impl Drop for Pair {
    fn drop(&mut self) {
        self.serving.kill().ok();
        self.serving.wait().ok();
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Real,
    Ours,
}

pub(crate) struct Request<'a> {
    pub(crate) method: &'a str,
    pub(crate) path: String,
    pub(crate) headers: Vec<(&'a str, String)>,
    pub(crate) body: String,
}

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// Those that matter: `Content-Type`, `Cache-Control`.
    pub(crate) headers: Vec<String>,
    /// Null where there is none.
    pub(crate) body: Value,
}

impl Answer {
    fn read(text: &str) -> Self {
        let (head, body) = text.split_once("\r\n\r\n").expect("an answer");
        let matters = |line: &&str| {
            let line = line.to_ascii_lowercase();
            line.starts_with("content-type:") || line.starts_with("cache-control:")
        };
        let headers = head.lines().filter(matters);
        let mut headers: Vec<_> = headers.map(str::to_ascii_lowercase).collect();
        headers.sort();
        Self {
            status: head.split(' ').nth(1).unwrap().parse().unwrap(),
            headers,
            body: match body {
                "" => Value::Null,
                body => serde_json::from_str(body).unwrap_or_else(|_| panic!("{body}")),
            },
        }
    }
}

fn exchange(mut stream: impl Read + Write, text: &str) -> String {
    stream.write_all(text.as_bytes()).unwrap();
    let mut answer = vec![];
    stream.read_to_end(&mut answer).unwrap();
    String::from_utf8(answer).unwrap()
}

/// What both servers hold.
fn seeded(bao: OpenBao) -> OpenBao {
    for version in 1..4 {
        let fields = json!({"username": format!("u{version}"), "password": "p<\"\\/ü😀&"});
        bao.put("app/db", &fields);
    }
    for path in [
        "app/gone",
        "app/destroyed",
        "app/strict",
        "app/other",
        "app/doomed",
        "private/key",
    ] {
        bao.put(path, &json!({"a": "b"}));
    }
    let notes = json!({"custom_metadata": {"owner": "me"}});
    bao.must("POST", "secret/metadata/app/db", &notes);
    bao.must("DELETE", "secret/data/app/gone", &Value::Null);
    bao.must(
        "POST",
        "secret/destroy/app/destroyed",
        &json!({"versions": [1]}),
    );
    let strict = json!({"cas_required": true});
    bao.must("POST", "secret/metadata/app/strict", &strict);
    let old = json!({"type": "kv", "options": {"version": "1"}});
    bao.must("POST", "sys/mounts/legacy", &old);
    bao.must(
        "POST",
        "legacy/app/db",
        &json!({"username": "l", "password": "m"}),
    );
    bao.must("POST", "sys/mounts/transit", &json!({"type": "transit"}));
    bao.must("POST", "transit/keys/mail", &json!({}));
    bao.must("POST", "sys/mounts/pki", &json!({"type": "pki"}));
    let root = json!({"common_name": "root", "ttl": "24h"});
    bao.must("POST", "pki/root/generate/internal", &root);
    let web =
        json!({"allow_any_name": true, "generate_lease": true, "ttl": "1h", "max_ttl": "10h"});
    bao.must("POST", "pki/roles/web", &web);
    bao
}

/// `vaultgram serve` before `bao`: everything is permitted but `secret/private`.
fn serve(bao: &OpenBao, directory: &Path) -> (PathBuf, Child) {
    let rules = concat!(env!("CARGO_MANIFEST_DIR"), "/policies/vault/broker.hcl");
    let rules = std::fs::read_to_string(rules).unwrap();
    bao.policy("vaultgram", &format!("{rules}{MORE}"));
    let write = |name: &str, text: &str| {
        let path = directory.join(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).unwrap();
        path
    };
    let token = write("token", &bao.token(&json!({"policies": ["vaultgram"]})));
    let uid = rustix::process::getuid().as_raw();
    write(
        "policy.cedar",
        &format!(
            "permit(principal == UnixPeer::\"{uid}\", action, resource);\n\
             forbid(principal, action, resource in Path::\"secret/private\");\n"
        ),
    );
    let config = format!(
        "[vault]\naddress = \"{}\"\nauth = \"token\"\nmounts = [\"secret\"]\nmounts_v1 = [\"legacy\"]\n\
         engines = [\"transit\", \"pki\"]\n[socket]\npath = \"vaultgram.sock\"\n",
        bao.address()
    );
    let config = write("vaultgram.toml", &config);
    let log = std::fs::File::create(directory.join("log")).unwrap();
    let serving = Command::new(env!("CARGO_BIN_EXE_vaultgram"))
        .env_clear()
        .env("VAULTGRAM_CONFIG", config)
        .env("VAULT_TOKEN_FILE", token)
        .arg("serve")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .unwrap();
    let socket = directory.join("vaultgram.sock");
    let health = "GET /v1/sys/health HTTP/1.0\r\nHost: localhost\r\n\r\n";
    wait_until("vaultgram is ready", || {
        UnixStream::connect(&socket)
            .is_ok_and(|stream| Answer::read(&exchange(stream, health)).status == 200)
    });
    (socket, serving)
}

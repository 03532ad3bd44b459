//! A real OpenBao server for tests: started, sealed, killed and started again at will.
#![allow(
    dead_code,
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::panic,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "shared by test targets, of which none uses all of it; tests may panic, time and look around"
)]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

/// How long a server may take to answer on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// A server with storage on disk, so that it keeps its data over a kill. Ends with this value.
pub(crate) struct OpenBao {
    port: u16,
    directory: TempDir,
    child: Option<Child>,
    root: String,
    unseal_key: String,
    audited: bool,
    /// Where it speaks TLS too.
    tls: Option<u16>,
}

impl OpenBao {
    /// Starts a server that is initialised and unsealed, with KV version 2 at `secret/` and
    /// AppRole at `auth/approle/`.
    pub(crate) fn start() -> Self {
        let mut server = Self {
            port: free_port(),
            directory: tempfile::tempdir().unwrap(),
            child: None,
            root: String::new(),
            unseal_key: String::new(),
            audited: false,
            tls: None,
        };
        server.spawn();
        let shares = json!({"secret_shares": 1, "secret_threshold": 1});
        let keys = server.must("PUT", "sys/init", &shares);
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        server.root = text(&keys["root_token"]);
        server.unseal_key = text(&keys["keys_base64"][0]);
        server.unseal();
        let kv = json!({"type": "kv", "options": {"version": "2"}});
        server.must("POST", "sys/mounts/secret", &kv);
        server.must("POST", "sys/auth/approle", &json!({"type": "approle"}));
        // A new version 2 mount answers 400 until it has set itself up.
        wait_until("KV version 2 is ready", || {
            server.call("GET", "secret/config", &Value::Null).0 == 200
        });
        server
    }

    /// `http://127.0.0.1:PORT`.
    pub(crate) fn address(&self) -> String {
        format!("http://{}", self.socket())
    }

    /// Where it listens.
    pub(crate) fn socket(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.port))
    }

    /// The root token.
    pub(crate) fn root(&self) -> &str {
        &self.root
    }

    /// kill -9.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            drop(child.stdin.take());
            child.wait().unwrap();
        }
    }

    /// Starts it again on the same port and data after a kill; it comes up sealed.
    pub(crate) fn restart_sealed(&mut self) {
        assert!(self.child.is_none(), "kill it first");
        self.spawn();
    }

    /// Makes it speak TLS too: its address there, and the file of the authority to trust.
    pub(crate) fn speak_tls(&mut self) -> (String, PathBuf) {
        self.must("POST", "sys/mounts/tls", &json!({"type": "pki"}));
        let root = json!({"common_name": "root", "ttl": "24h"});
        let root = self.must("POST", "tls/root/generate/internal", &root);
        let role = json!({"allow_any_name": true, "enforce_hostnames": false});
        self.must("POST", "tls/roles/any", &role);
        let wanted = json!({"common_name": "openbao", "ip_sans": "127.0.0.1", "ttl": "12h"});
        let issued = self.must("POST", "tls/issue/any", &wanted);
        for (name, pem) in [
            ("ca", &root["data"]["certificate"]),
            ("tls", &issued["data"]["certificate"]),
            ("tls-key", &issued["data"]["private_key"]),
        ] {
            let file = self.directory.path().join(format!("{name}.pem"));
            std::fs::write(file, pem.as_str().unwrap()).unwrap();
        }
        let port = free_port();
        self.tls = Some(port);
        self.kill();
        self.restart_sealed();
        self.unseal();
        let address = format!("https://127.0.0.1:{port}");
        (address, self.directory.path().join("ca.pem"))
    }

    /// From its next start on it keeps an audit.
    pub(crate) fn keep_audit(&mut self) {
        self.audited = true;
    }

    /// Its audit so far.
    pub(crate) fn audit(&self) -> String {
        std::fs::read_to_string(self.directory.path().join("audit.log")).unwrap()
    }

    /// Removes all data of a killed server: it starts again uninitialised.
    pub(crate) fn forget_everything(&self) {
        assert!(self.child.is_none(), "kill it first");
        std::fs::remove_dir_all(self.directory.path().join("data")).unwrap();
    }

    /// Seals it.
    pub(crate) fn seal(&self) {
        self.must("POST", "sys/seal", &Value::Null);
    }

    /// Unseals it, and waits until it serves.
    pub(crate) fn unseal(&self) {
        self.must("POST", "sys/unseal", &json!({"key": self.unseal_key}));
        wait_until("OpenBao serves", || {
            self.call("GET", "sys/health", &Value::Null).0 == 200
        });
    }

    /// Writes a new version of `secret/PATH`.
    pub(crate) fn put(&self, path: &str, fields: &Value) {
        self.must(
            "POST",
            &format!("secret/data/{path}"),
            &json!({"data": fields}),
        );
    }

    /// Writes a policy.
    pub(crate) fn policy(&self, name: &str, rules: &str) {
        let path = format!("sys/policies/acl/{name}");
        self.must("POST", &path, &json!({"policy": rules}));
    }

    /// A token with the policies and properties in `settings`.
    pub(crate) fn token(&self, settings: &Value) -> String {
        let answer = self.must("POST", "auth/token/create", settings);
        answer["auth"]["client_token"].as_str().unwrap().to_owned()
    }

    /// Makes a role; returns its `role_id` and a `secret_id`.
    pub(crate) fn role(&self, name: &str, settings: &Value) -> (String, String) {
        let path = format!("auth/approle/role/{name}");
        self.must("POST", &path, settings);
        let role = self.must("GET", &format!("{path}/role-id"), &Value::Null);
        let secret = self.must("POST", &format!("{path}/secret-id"), &Value::Null);
        (
            role["data"]["role_id"].as_str().unwrap().to_owned(),
            secret["data"]["secret_id"].as_str().unwrap().to_owned(),
        )
    }

    /// The accessors of the live tokens that `role` logged in with.
    pub(crate) fn tokens_of(&self, role: &str) -> Vec<String> {
        let mut tokens = self.tokens();
        tokens.retain(|facts| facts["meta"]["role_name"] == role);
        let accessors = tokens.iter().map(|facts| facts["accessor"].as_str());
        accessors.map(|text| text.unwrap().to_owned()).collect()
    }

    /// What OpenBao says of each live token.
    pub(crate) fn tokens(&self) -> Vec<Value> {
        let list = self.must("LIST", "auth/token/accessors", &Value::Null);
        let facts = |accessor: &Value| {
            let about = json!({"accessor": accessor});
            let (status, mut facts) = self.call("POST", "auth/token/lookup-accessor", &about);
            // It may have ended meanwhile.
            (status == 200).then(|| facts["data"].take())
        };
        let keys = list["data"]["keys"].as_array().unwrap();
        keys.iter().filter_map(facts).collect()
    }

    /// Revokes every token that `role` logged in with.
    pub(crate) fn revoke_tokens_of(&self, role: &str) {
        for accessor in self.tokens_of(role) {
            self.must(
                "POST",
                "auth/token/revoke-accessor",
                &json!({"accessor": accessor}),
            );
        }
    }

    /// A request as root that must succeed.
    pub(crate) fn must(&self, method: &str, path: &str, body: &Value) -> Value {
        let (status, answer) = self.call(method, path, body);
        assert!(
            (200..300).contains(&status),
            "{method} {path}: {status} {answer}"
        );
        answer
    }

    /// A request as root: its status (0 when there is no answer) and JSON.
    pub(crate) fn call(&self, method: &str, path: &str, body: &Value) -> (u16, Value) {
        self.call_with(&self.root, method, path, body)
    }

    /// As [`Self::call`], with another token.
    pub(crate) fn call_with(
        &self,
        token: &str,
        method: &str,
        path: &str,
        body: &Value,
    ) -> (u16, Value) {
        self.try_call(token, "", method, path, body)
            .unwrap_or((0, Value::Null))
    }

    /// Posts `body` as root; the token of the answer, which is wrapped for `ttl`.
    pub(crate) fn wrapped(&self, path: &str, ttl: &str, body: &Value) -> String {
        let header = format!("X-Vault-Wrap-TTL: {ttl}\r\n");
        let answer = self.try_call(&self.root, &header, "POST", path, body);
        let (status, answer) = answer.unwrap();
        assert_eq!(status, 200, "{path}: {answer}");
        answer["wrap_info"]["token"].as_str().unwrap().to_owned()
    }

    fn try_call(
        &self,
        token: &str,
        headers: &str,
        method: &str,
        path: &str,
        body: &Value,
    ) -> Option<(u16, Value)> {
        let body = if body.is_null() {
            String::new()
        } else {
            body.to_string()
        };
        // What a PATCH must be; others are JSON whatever they say.
        let media_type = "application/merge-patch+json";
        let mut stream = TcpStream::connect(self.socket()).ok()?;
        stream.set_read_timeout(Some(PATIENCE)).ok()?;
        // HTTP/1.0, so that the answer is not chunked and ends with the connection.
        write!(
            stream,
            "{method} /v1/{path} HTTP/1.0\r\nHost: localhost\r\nX-Vault-Request: true\r\n\
             X-Vault-Token: {token}\r\n{headers}Content-Type: {media_type}\r\n\
             Content-Length: {}\r\n\r\n{body}",
            body.len(),
        )
        .ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        let (head, body) = answer.split_once("\r\n\r\n")?;
        let status = head.split_whitespace().nth(1)?.parse().ok()?;
        Some((status, serde_json::from_str(body).unwrap_or(Value::Null)))
    }

    fn spawn(&mut self) {
        let directory = self.directory.path();
        let configuration = directory.join("bao.hcl");
        let log = directory.join("bao.log");
        let audit = if self.audited {
            let file = directory.join("audit.log");
            format!(
                "audit \"file\" \"main\" {{\n  options {{\n    file_path = \"{}\"\n  }}\n}}\n",
                file.display()
            )
        } else {
            String::new()
        };
        let tls = self.tls.map(|port| {
            let file = |name: &str| directory.join(name).display().to_string();
            format!(
                "listener \"tcp\" {{\n  address = \"127.0.0.1:{port}\"\n  tls_cert_file = \"{}\"\n  \
                 tls_key_file = \"{}\"\n}}\n",
                file("tls.pem"),
                file("tls-key.pem"),
            )
        });
        std::fs::write(
            &configuration,
            format!(
                "storage \"pebbledb\" {{\n  path = \"{}\"\n}}\n\
                 listener \"tcp\" {{\n  address = \"{}\"\n  tls_disable = true\n}}\n\
                 api_addr = \"{}\"\n{}{}",
                directory.join("data").display(),
                self.socket(),
                self.address(),
                audit,
                tls.unwrap_or_default(),
            ),
        )
        .unwrap();
        let arguments = [
            "server".to_owned(),
            format!("-config={}", configuration.display()),
        ];
        self.child = Some(spawn_bound_to_us(&bao(), &arguments, &log));
        wait_until("OpenBao answers", || {
            self.call("GET", "sys/health", &Value::Null).0 != 0
        });
    }
}

impl Drop for OpenBao {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Starts OpenBao's TLS mode for development, which makes an authority in `directory`
/// (`vault-ca.pem`); `secret/app` holds `fields`, the root token is `root`. It runs until the
/// returned child's standard input closes.
pub(crate) fn start_with_tls(directory: &std::path::Path, fields: &[&str]) -> (Child, String) {
    let address = format!("127.0.0.1:{}", free_port());
    let arguments = [
        "server".to_owned(),
        "-dev-tls".to_owned(),
        "-dev-no-store-token".to_owned(),
        "-dev-root-token-id=root".to_owned(),
        format!("-dev-tls-cert-dir={}", directory.display()),
        format!("-dev-listen-address={address}"),
    ];
    let child = spawn_bound_to_us(&bao(), &arguments, &directory.join("bao.log"));
    let address = format!("https://{address}");
    wait_until("OpenBao takes a secret over TLS", || {
        let put = Command::new(bao())
            .args(["kv", "put", "secret/app"])
            .args(fields)
            .env("BAO_ADDR", &address)
            .env("BAO_CACERT", directory.join("vault-ca.pem"))
            .env("BAO_TOKEN", "root")
            .output();
        put.unwrap().status.success()
    });
    (child, address)
}

/// Polls until `condition` holds.
pub(crate) fn wait_until(what: &str, condition: impl Fn() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < PATIENCE, "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// The `bao` command.
pub(crate) fn bao() -> PathBuf {
    let tools = std::env::var_os("VAULTGRAM_TOOLS").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("target/tools"),
        PathBuf::from,
    );
    let bao = tools.join("bin/bao");
    assert!(
        bao.exists(),
        "{} is missing; run: make tools",
        bao.display()
    );
    bao
}

/// A port that was free a moment ago, as was the next one, where OpenBao's nodes would talk. Below those
/// that the system gives to whoever connects somewhere, so that no connection takes it meanwhile.
pub(crate) fn free_port() -> u16 {
    let free = |port| TcpListener::bind(("127.0.0.1", port)).is_ok();
    loop {
        let port = rand::random_range(10_000..32_000);
        if free(port) && free(port + 1) {
            return port;
        }
    }
}

/// Runs `program` so that it is killed when our end of its shell's standard input closes:
/// on purpose, or because this process is gone, however that came.
pub(crate) fn spawn_bound_to_us(
    program: &std::path::Path,
    arguments: &[String],
    log: &std::path::Path,
) -> Child {
    let log = std::fs::File::options()
        .create(true)
        .append(true)
        .open(log)
        .unwrap();
    Command::new("/bin/sh")
        .args(["-c", r#""$@" & cat >/dev/null; kill -9 $!; wait"#, "sh"])
        .arg(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn()
        .unwrap()
}

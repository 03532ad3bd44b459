//! A real vaultgram that serves secrets of a real OpenBao over HTTPS, to the jobs of a loopback issuer.

use std::net::Ipv4Addr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::certificates::{Authority, Certificate, Request};
use crate::client::{Answer, Client, Trust};
use crate::issuer::{AUDIENCE, Issuer};
use crate::openbao::{OpenBao, free_port, wait_until};

/// What jobs of repository 7 may read, and in their environment only.
pub(crate) const PASSWORD: &str = "pw-7f3a\"<\\&é😀-9c21";
pub(crate) const PRODUCTION: &str = "prod-5b1e0c77";
/// A signing key, and another of the same owner.
pub(crate) const SIGNING: [u8; 32] = [7; 32];
pub(crate) const SIGNING_NEXT: [u8; 32] = [8; 32];

/// For whom tokens are whose sessions last two seconds.
pub(crate) const SHORT: &str = "https://short.test";

/// The servers; they end with this value.
pub(crate) struct Served {
    pub(crate) bao: OpenBao,
    pub(crate) issuer: Issuer,
    pub(crate) folder: TempDir,
    pub(crate) authority: Authority,
    pub(crate) port: u16,
    broker: Option<Child>,
}

impl Served {
    pub(crate) async fn start() -> Self {
        Self::with("", "").await
    }

    /// With more lines of `[https]` and what follows it, and more policies.
    pub(crate) async fn with(more: &str, policies: &str) -> Self {
        let (more, policies) = (more.to_owned(), policies.to_owned());
        let start = move || Self::prepare(&more, &policies).serving();
        tokio::task::spawn_blocking(start).await.unwrap()
    }

    fn prepare(more: &str, policies: &str) -> Self {
        let bao = OpenBao::start();
        bao.put(
            "web/database",
            &json!({"user": "web", "password": PASSWORD}),
        );
        bao.put("web/other", &json!({"k": "v"}));
        bao.put("production/database", &json!({"password": PRODUCTION}));
        bao.put("guarded/key", &json!({"key": "guarded-31c9"}));
        bao.put(
            "vaultgram/signing",
            &json!({
                "deploybot/1": whsec(&SIGNING), "deploybot/2": whsec(&SIGNING_NEXT),
                "stranger/1": whsec(&[9; 32]),
            }),
        );
        let folder = tempfile::tempdir().unwrap();
        let served = Self {
            bao,
            issuer: Issuer::start(),
            authority: Authority::new(folder.path().join("authority"), "jobs' authority"),
            folder,
            port: free_port(),
            broker: None,
        };
        // Of clients' certificates, where they are wanted.
        Authority::new(served.path("clients"), "clients");
        served.install(&served.certificate("first"));
        served.configure(more, policies);
        served
    }

    fn configure(&self, more: &str, policies: &str) {
        let uid = rustix::process::geteuid().as_raw();
        let issuer = self.issuer.address();
        let config = format!(
            "[vault]\naddress = \"{}\"\nauth = \"token\"\n\
             [socket]\npath = \"vaultgram.sock\"\n\
             [groups]\nleads = [\"uid:{uid}\"]\n\
             [issuers.github]\nissuer = \"{issuer}\"\naudience = \"{AUDIENCE}\"\n\
             [issuers.short]\nissuer = \"{issuer}\"\naudience = \"{SHORT}\"\nsession_ttl = \"2s\"\n\
             [signing]\npath = \"secret/vaultgram/signing\"\n\
             [https]\nlisten = \"127.0.0.1:{}\"\ncert_file = \"server.pem\"\nkey_file = \"server-key.pem\"\n\
             {more}",
            self.bao.address(),
            self.port,
        );
        let of_seven = "principal has repository_id && principal.repository_id == \"7\"";
        let policy = format!(
            "@id(\"web\") permit (principal is Job,\n\
             action in [Action::\"read\", Action::\"list\", Action::\"versions\"],\n\
             resource in Path::\"secret/web\") when {{ {of_seven} }};\n\
             @id(\"production\") permit (principal is Job, action == Action::\"read\",\n\
             resource in Path::\"secret/production\") when {{ {of_seven} &&\n\
             principal has environment && principal.environment == \"production\" &&\n\
             principal has ref && principal.ref == \"refs/heads/main\" }};\n\
             @id(\"guarded\") @approvals(\"1\") @approvers(\"leads\") @reason(\"3\")\n\
             permit (principal is Job, action == Action::\"read\",\n\
             resource in Path::\"secret/guarded\") when {{ {of_seven} }};\n\
             @id(\"deploybot\") permit (principal == Job::\"deploybot:deploybot\", action,\n\
             resource in Path::\"secret/web\");\n\
             @id(\"us\") permit (principal == UnixPeer::\"{uid}\", action, resource in Path::\"secret/web\");\n\
             {policies}"
        );
        let token = self.bao.root();
        for (name, text) in [
            ("vaultgram.toml", config.as_str()),
            ("policy.cedar", &policy),
            ("token", token),
        ] {
            std::fs::write(self.path(name), text).unwrap();
            std::fs::set_permissions(self.path(name), PermissionsExt::from_mode(0o600)).unwrap();
        }
    }

    /// A certificate for the server.
    pub(crate) fn certificate(&self, name: &str) -> Certificate {
        let request = Request {
            common_name: "vaultgram",
            addresses: &[Ipv4Addr::LOCALHOST],
            key_usage: "digitalSignature",
            extended_key_usage: "serverAuth",
        };
        self.authority.issue(name, &request)
    }

    /// One for a client, of this authority.
    pub(crate) fn client_certificate(authority: &Authority) -> Certificate {
        let request = Request {
            common_name: "runner",
            addresses: &[],
            key_usage: "digitalSignature",
            extended_key_usage: "clientAuth",
        };
        authority.issue("runner", &request)
    }

    /// Puts a certificate where vaultgram looks for its own, key first.
    pub(crate) fn install(&self, certificate: &Certificate) {
        let key = self.path("server-key.pem");
        std::fs::copy(&certificate.key, &key).unwrap();
        std::fs::set_permissions(&key, PermissionsExt::from_mode(0o600)).unwrap();
        std::fs::copy(&certificate.certificate, self.path("server.pem")).unwrap();
    }

    fn serving(mut self) -> Self {
        self.spawn();
        self
    }

    /// Starts vaultgram, and waits until it serves.
    pub(crate) fn spawn(&mut self) {
        let before = self.log().len();
        let log = std::fs::File::options()
            .create(true)
            .append(true)
            .open(self.path("log"));
        let child = self
            .vaultgram(&["serve"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log.unwrap())
            .spawn();
        self.broker = Some(child.unwrap());
        wait_until("vaultgram serves", || {
            self.log().split_at(before).1.contains("daemon.serving")
        });
    }

    /// `vaultgram` with the configuration at hand.
    pub(crate) fn vaultgram(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_vaultgram"));
        command
            .current_dir(self.folder.path())
            .env_clear()
            .env("VAULTGRAM_CONFIG", self.path("vaultgram.toml"))
            .env("VAULTGRAM_SOCKET", self.path("vaultgram.sock"))
            .env("VAULT_TOKEN_FILE", self.path("token"))
            .env("RUST_LOG", "vaultgram=debug")
            .args(arguments);
        command
    }

    /// Runs `vaultgram`; its exit code and what it says.
    pub(crate) fn run(&self, arguments: &[&str]) -> (i32, String) {
        let ran = self.vaultgram(arguments).output().unwrap();
        let said = String::from_utf8([ran.stdout, ran.stderr].concat()).unwrap();
        (ran.status.code().unwrap(), said)
    }

    /// Ends it in good order; its exit code.
    pub(crate) fn stop(&mut self) -> Option<i32> {
        self.terminate();
        self.ended()
    }

    /// Waits for its end; its exit code.
    pub(crate) fn ended(&mut self) -> Option<i32> {
        self.broker.take().unwrap().wait().unwrap().code()
    }

    /// Sends SIGTERM.
    pub(crate) fn terminate(&self) {
        let pid = rustix::process::Pid::from_child(self.broker.as_ref().unwrap());
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// What vaultgram logged.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    /// What it has counted.
    pub(crate) fn metrics(&self) -> String {
        let socket = self.path("vaultgram.sock");
        let address = "http://localhost/v1/sys/metrics?format=prometheus";
        let mut curl = Command::new("curl");
        curl.args(["--silent", "--unix-socket"]).arg(socket);
        String::from_utf8(curl.arg(address).output().unwrap().stdout).unwrap()
    }

    /// What is on record.
    pub(crate) fn audit(&self) -> Vec<Value> {
        let audit = std::fs::read_to_string(self.path("audit.jsonl")).unwrap();
        let lines = audit.lines().map(serde_json::from_str);
        lines.map(Result::unwrap).collect()
    }

    /// The refused proofs on record: what they were, and why.
    pub(crate) fn refused(&self) -> Vec<(String, String)> {
        let audit = self.audit().into_iter();
        let refused = audit.filter(|entry| entry["event"] == "proof_refused");
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        refused
            .map(|entry| {
                assert_eq!(entry["from"], "127.0.0.1", "{entry}");
                (text(&entry["proof"]), text(&entry["reason"]))
            })
            .collect()
    }

    /// Whether the whole chain of records holds.
    pub(crate) fn verify_audit(&self) {
        let (code, said) = self.run(&["audit", "verify", "audit.jsonl"]);
        assert_eq!(code, 0, "{said}");
    }

    /// Whom clients trust.
    pub(crate) fn trust(&self) -> Trust {
        Trust::new(&self.authority.trust(), None)
    }

    pub(crate) async fn connect(&self) -> Client {
        Client::connect(self.port, &self.trust()).await
    }

    /// Asks once, on a connection of its own.
    pub(crate) async fn ask(&self, what: &str, headers: &[&str], body: &str) -> Answer {
        self.connect().await.ask(what, headers, body).await
    }

    /// The session that a token with these changes is exchanged for.
    pub(crate) async fn session(&self, changes: &Value) -> String {
        self.session_of("github", changes).await
    }

    pub(crate) async fn session_of(&self, role: &str, changes: &Value) -> String {
        let token = self.issuer.token(changes);
        let answer = self.connect().await.sign_in(role, &token).await;
        assert_eq!(answer.status, 200, "{answer:?}; log:\n{}", self.log());
        let token = answer.json()["auth"]["client_token"].clone();
        token.as_str().unwrap().to_owned()
    }

    /// Asks as the bearer of a session.
    pub(crate) async fn ask_as(&self, session: &str, what: &str, body: &str) -> Answer {
        let header = format!("x-vault-token: {session}");
        self.ask(what, &[&header], body).await
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        if let Some(mut broker) = self.broker.take() {
            drop(broker.kill());
            drop(broker.wait());
        }
    }
}

/// A signing key as people keep it.
pub(crate) fn whsec(key: &[u8]) -> String {
    use base64::Engine;
    let text = base64::engine::general_purpose::STANDARD.encode(key);
    format!("whsec_{text}")
}

/// `command`'s exit code, and what it says on both.
pub(crate) fn ran(program: &Path, variables: &[(&str, &str)], arguments: &[&str]) -> (i32, String) {
    let ran = Command::new(program)
        .env_clear()
        .env("PATH", "/usr/local/bin:/usr/bin:/bin")
        .envs(variables.iter().copied())
        .args(arguments)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&[ran.stdout, ran.stderr].concat()).into_owned();
    (ran.status.code().unwrap(), said)
}

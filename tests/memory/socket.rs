//! What goes over the socket is forgotten, however the reading ends.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::task::JoinSet;

use crate::needles::{Needles, value};
use crate::stage::{Setting, Stage};
use crate::{ALONE, SECRETS, Watch, plant, setting};

/// Connections at once.
const CONNECTIONS: usize = 64;
/// Reads on each of them.
const READS: usize = 25;

/// A connection that stays open.
pub(crate) struct Client(UnixStream);

impl Client {
    pub(crate) async fn connect(socket: &Path) -> Self {
        Self(UnixStream::connect(socket).await.unwrap())
    }

    async fn ask(&mut self, path: &str) {
        self.send(&format!("GET {path}"), "").await;
    }

    async fn send(&mut self, what: &str, body: &str) {
        let request = format!(
            "{what} HTTP/1.1\r\nHost: localhost\r\nX-Vault-Request: true\r\n\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        self.0.write_all(request.as_bytes()).await.unwrap();
    }

    /// Reads one answer, which has this status; its head, in small letters.
    pub(crate) async fn read(&mut self, path: &str, status: u16) -> String {
        self.ask(path).await;
        self.answer(path, status).await.0
    }

    /// Invokes an engine; what it says.
    async fn invoke(&mut self, path: &str, body: &Value) -> Value {
        self.send(&format!("POST {path}"), &body.to_string()).await;
        let (_, body) = self.answer(path, 200).await;
        serde_json::from_slice(&body).unwrap()
    }

    /// Its head, in small letters, and its body.
    async fn answer(&mut self, path: &str, status: u16) -> (String, Vec<u8>) {
        let mut answer = vec![];
        let (length, head, start) = loop {
            assert!(
                self.0.read_buf(&mut answer).await.unwrap() > 0,
                "{path}: no answer"
            );
            let Some(end) = answer.windows(4).position(|window| window == b"\r\n\r\n") else {
                continue;
            };
            let head = String::from_utf8(answer[..end].to_vec())
                .unwrap()
                .to_lowercase();
            assert!(
                head.starts_with(&format!("http/1.1 {status}")),
                "{path}: {head}"
            );
            // Chunked as what bao proxy passes on is, it ends with an empty chunk.
            let length = head
                .lines()
                .find_map(|line| line.strip_prefix("content-length: "));
            let length = length.map(|length| end + 4 + length.parse::<usize>().unwrap());
            break (length, head, end + 4);
        };
        let whole = |answer: &[u8]| match length {
            Some(length) => answer.len() == length,
            None => answer.ends_with(b"\r\n0\r\n\r\n"),
        };
        while !whole(&answer) {
            assert!(
                self.0.read_buf(&mut answer).await.unwrap() > 0,
                "{path}: cut short"
            );
        }
        (head, answer.split_off(start))
    }
}

#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(
    debug_assertions,
    ignore = "about the release build: cargo test --release --test memory"
)]
async fn what_the_socket_answered_is_forgotten() {
    let _alone = ALONE.lock().await;
    let mut stage = Stage::build(setting()).await;
    serve_and_look(&mut stage, false).await;
}

#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(
    debug_assertions,
    ignore = "about the release build: cargo test --release --test memory"
)]
async fn what_came_over_tls_is_forgotten() {
    let _alone = ALONE.lock().await;
    let mut stage = Stage::build(setting()).await;
    let plain = stage.bao.address();
    let (address, authority) = tokio::task::block_in_place(|| stage.bao.speak_tls());
    rewrite(&stage, "vaultgram.toml", |text| {
        let ca_cert = format!("{address}\"\nca_cert = \"{}", authority.display());
        text.replace(&plain, &ca_cert)
    });
    serve_and_look(&mut stage, false).await;
}

#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(
    debug_assertions,
    ignore = "about the release build: cargo test --release --test memory"
)]
async fn what_is_kept_is_not_seen_either() {
    let _alone = ALONE.lock().await;
    let mut stage = Stage::build(setting()).await;
    keep_everything(&stage);
    serve_and_look(&mut stage, true).await;
    let log = stage.log();
    assert!(log.contains("memory.kept_in") && log.contains("memfd_secret"));
}

#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(
    debug_assertions,
    ignore = "about the release build: cargo test --release --test memory"
)]
async fn what_is_kept_encrypted_is_not_seen_either() {
    let _alone = ALONE.lock().await;
    let folder = TempDir::new().unwrap();
    let library = folder.path().join("no_secret_memory.so");
    let source = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/support/no_secret_memory.c"
    );
    let mut compiler = Command::new("cc");
    compiler.args(["-shared", "-fPIC", "-o"]).arg(&library);
    assert!(compiler.arg(source).status().unwrap().success());
    let program = folder.path().join("vaultgram");
    let script = format!(
        "#!/bin/sh\nexport LD_PRELOAD='{}'\nexec '{}' \"$@\"\n",
        library.display(),
        env!("CARGO_BIN_EXE_vaultgram")
    );
    std::fs::write(&program, script).unwrap();
    std::fs::set_permissions(&program, PermissionsExt::from_mode(0o755)).unwrap();
    let setting = Setting {
        program,
        ..setting()
    };
    let mut stage = Stage::build(setting).await;
    keep_everything(&stage);
    serve_and_look(&mut stage, true).await;
    let log = stage.log();
    assert!(log.contains("memory.kept_in") && log.contains("encrypted"));
}

/// Has policy let everything be kept.
fn keep_everything(stage: &Stage) {
    rewrite(stage, "policy.cedar", |text| {
        text.replace("@id(", "@cache(\"10m\") @id(")
    });
}

#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(
    debug_assertions,
    ignore = "about the release build: cargo test --release --test memory"
)]
async fn what_an_engine_was_given_and_made_is_forgotten() {
    let _alone = ALONE.lock().await;
    let mut stage = Stage::build(setting()).await;
    tokio::task::block_in_place(|| {
        let kind = json!({"type": "transit"});
        stage.bao.must("POST", "sys/mounts/transit", &kind);
        stage.bao.must("POST", "transit/keys/k", &json!({}));
        let rules = include_str!("../../policies/vault/broker.hcl");
        let more = "path \"transit/*\" { capabilities = [\"update\"] }\n";
        let policy = format!("{rules}{more}");
        stage.bao.policy("vaultgram-broker", &policy);
    });
    rewrite(&stage, "vaultgram.toml", |text| {
        text.replace("[vault]\n", "[vault]\nengines = [\"transit\"]\n")
    });
    rewrite(&stage, "policy.cedar", |text| {
        let uid = rustix::process::getuid().as_raw();
        let who = format!("principal == UnixPeer::\"{uid}\"");
        let what = "action == Action::\"invoke\", resource in Path::\"transit\"";
        format!("{text}permit({who}, {what});\n")
    });
    // In base64, which it goes in and comes back as.
    let texts = [32, 30_000].map(|len| value(len, false).replace('-', "+").replace('_', "/"));
    let mut needles = Needles::default();
    for text in &texts {
        needles.add(&format!("{} signs", text.len()), text);
    }
    stage.start().await;
    let mut watch = Watch::of(&stage, needles);
    let socket = stage.path("vaultgram.sock");
    for text in &texts {
        let length = text.len();
        let mut client = Client::connect(&socket).await;
        let text = json!({"plaintext": text});
        let made = client.invoke("/v1/transit/encrypt/k", &text).await;
        watch.after(&format!("{length} signs encrypted")).await;
        let mut client = Client::connect(&socket).await;
        let sealed = json!({"ciphertext": made["data"]["ciphertext"]});
        let opened = client.invoke("/v1/transit/decrypt/k", &sealed).await;
        assert_eq!(opened["data"], text);
        watch.after(&format!("{length} signs decrypted")).await;
    }
    watch.end();
}

/// Changes a file of the broker's.
fn rewrite(stage: &Stage, file: &str, change: impl FnOnce(String) -> String) {
    let file = stage.path(file);
    let text = std::fs::read_to_string(&file).unwrap();
    let changed = change(text.clone());
    assert_ne!(text, changed);
    std::fs::write(file, changed).unwrap();
}

/// Reads in every way, and looks each time. `kept`: the second of two reads is not Vault's.
async fn serve_and_look(stage: &mut Stage, kept: bool) {
    let mut needles = Needles::default();
    plant(stage, &mut needles);
    stage.start().await;
    let mut watch = Watch::of(stage, needles);
    let socket = stage.path("vaultgram.sock");
    let path = |name: &str| format!("/v1/secret/data/django/{name}");

    let mut client = Client::connect(&socket).await;
    for name in SECRETS {
        client.read(&path(name), 200).await;
        watch.after(&format!("one read of {name}")).await;
    }
    let head = client.read(&path("three"), 200).await;
    assert_eq!(head.contains("x-cache: hit"), kept, "{head}");
    client
        .read("/v1/secret/data/django/three?field=nothing", 404)
        .await;
    watch.after("a field that does not exist").await;

    let mut hasty = Client::connect(&socket).await;
    for _ in 0..40 {
        hasty.ask(&path("thirty")).await;
    }
    // More than the kernel takes: the rest waits in vaultgram.
    tokio::time::sleep(Duration::from_millis(300)).await;
    drop(hasty);
    watch.after("a client that hangs up half-way").await;

    let mut load = JoinSet::new();
    for number in 0..CONNECTIONS {
        let mut client = Client::connect(&socket).await;
        load.spawn(async move {
            for round in 0..READS {
                let name = SECRETS[(number + round) % SECRETS.len()];
                client
                    .read(&format!("/v1/secret/data/django/{name}"), 200)
                    .await;
            }
            client
        });
    }
    let open = load.join_all().await;
    watch.after("64 connections, which stay open").await;
    drop((open, client));
    watch.end();
}

//! What is read over the socket is forgotten, however the reading ends.

use std::path::Path;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::task::JoinSet;

use crate::needles::Needles;
use crate::stage::Stage;
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
        let request =
            format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nX-Vault-Request: true\r\n\r\n");
        self.0.write_all(request.as_bytes()).await.unwrap();
    }

    /// Reads one answer, which has this status; its head, in small letters.
    pub(crate) async fn read(&mut self, path: &str, status: u16) -> String {
        self.ask(path).await;
        let mut answer = vec![];
        let (length, head) = loop {
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
            break (length, head);
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
        head
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
    rewrite(&stage, "policy.cedar", |text| {
        text.replace("@id(", "@cache(\"10m\") @id(")
    });
    serve_and_look(&mut stage, true).await;
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

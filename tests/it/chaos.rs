//! Everything that happens to a Vault, under a steady stream of reads: each is answered rightly or
//! with a clear 503, and two seconds after Vault is back all are answered.

use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::UnixStream;
use tokio::task::JoinSet;

use crate::metrics::metrics;
use crate::setting;
use crate::stage::{PASSWORD, ROLE, Stage};

/// How many read at once, one after the other.
const READERS: usize = 8;
/// Within this after Vault's return all is well again.
const RECOVERY: Duration = Duration::from_secs(2);

/// One answer.
struct Answer {
    asked: Instant,
    status: u16,
    body: String,
}

/// Readers on connections that stay open, and what they were answered.
struct Stream {
    answers: Arc<Mutex<Vec<Answer>>>,
    readers: JoinSet<()>,
}

impl Stream {
    fn start(socket: &Path) -> Self {
        let answers = Arc::default();
        let mut readers = JoinSet::new();
        for _ in 0..READERS {
            readers.spawn(read_on(socket.to_owned(), Arc::clone(&answers)));
        }
        Self { answers, readers }
    }

    /// Waits until every reader was answered with the secret in a row for a while, and checks
    /// everything since the last call.
    async fn settle(&mut self, what: &str, back: Instant) {
        tokio::time::sleep_until((back + RECOVERY + Duration::from_secs(1)).into()).await;
        let answers = std::mem::take(&mut *self.answers.lock().unwrap());
        let mut right = 0;
        for answer in &answers {
            match answer.status {
                200 => {
                    let body: Value = serde_json::from_str(&answer.body).unwrap();
                    assert_eq!(body["data"]["data"]["password"], PASSWORD, "{what}");
                    right += 1;
                }
                503 => {
                    // The last: the clock jumped while a permit was in use.
                    let clear = ["sealed", "cannot be reached", "does not let", "ran out"];
                    assert!(
                        clear.iter().any(|word| answer.body.contains(word)),
                        "{what}: {}",
                        answer.body
                    );
                }
                status => panic!("{what}: {status} {}", answer.body),
            }
        }
        let late: Vec<Duration> = answers
            .iter()
            .filter(|answer| answer.status != 200)
            .filter_map(|answer| answer.asked.checked_duration_since(back + RECOVERY))
            .collect();
        assert!(
            late.is_empty(),
            "{what}: {} refused, the last {:?} late",
            late.len(),
            late.last()
        );
        assert!(right > 50, "{what}: {right} answers");
        assert!(self.readers.try_join_next().is_none(), "a reader ended");
    }
}

async fn read_on(socket: PathBuf, answers: Arc<Mutex<Vec<Answer>>>) {
    let stream = UnixStream::connect(socket).await.unwrap();
    let handshake = hyper::client::conn::http1::handshake(TokioIo::new(stream));
    let (mut sender, connection) = handshake.await.unwrap();
    let connection = tokio::spawn(connection);
    while !connection.is_finished() {
        let request = hyper::Request::get("/v1/secret/data/django/database")
            .header("Host", "localhost")
            .body(Empty::<Bytes>::new());
        let asked = Instant::now();
        let answer = sender.send_request(request.unwrap()).await.unwrap();
        let status = answer.status().as_u16();
        let body = Limited::new(answer.into_body(), 1 << 20).collect();
        let body = body.await.unwrap().to_bytes();
        let body = String::from_utf8(body.to_vec()).unwrap();
        answers.lock().unwrap().push(Answer {
            asked,
            status,
            body,
        });
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_happens_to_vault_reads_are_right_or_clearly_refused() {
    let mut stage = Stage::build(setting()).await;
    stage.bao.kill();
    stage.bao.keep_audit();
    tokio::task::block_in_place(|| {
        stage.bao.restart_sealed();
        stage.bao.unseal();
    });
    stage.start().await;
    let mut stream = Stream::start(&stage.path("vaultgram.sock"));
    stream.settle("calm", Instant::now()).await;

    tokio::task::block_in_place(|| stage.bao.seal());
    tokio::time::sleep(Duration::from_secs(3)).await;
    tokio::task::block_in_place(|| stage.bao.unseal());
    stream.settle("sealed and unsealed", Instant::now()).await;

    stage.bao.kill();
    tokio::time::sleep(Duration::from_secs(4)).await;
    tokio::task::block_in_place(|| {
        stage.bao.restart_sealed();
        stage.bao.unseal();
    });
    stream.settle("killed and restarted", Instant::now()).await;

    tokio::task::block_in_place(|| stage.bao.revoke_tokens_of(ROLE));
    stream.settle("token revoked", Instant::now()).await;

    // The mount's tokens go with it.
    let logins = || logins(&stage);
    let before = logins();
    let role = tokio::task::block_in_place(|| {
        let path = format!("auth/approle/role/{ROLE}");
        let role = stage
            .bao
            .must("GET", &format!("{path}/role-id"), &Value::Null);
        stage.bao.must("DELETE", "sys/auth/approle", &Value::Null);
        role["data"]["role_id"].clone()
    });
    tokio::time::sleep(Duration::from_mins(1)).await;
    tokio::task::block_in_place(|| {
        let path = format!("auth/approle/role/{ROLE}");
        let bao = &stage.bao;
        bao.must("POST", "sys/auth/approle", &json!({"type": "approle"}));
        let settings = json!({"token_policies": ["vaultgram-broker"], "token_ttl": "1h"});
        bao.must("POST", &path, &settings);
        bao.must(
            "POST",
            &format!("{path}/role-id"),
            &json!({"role_id": role}),
        );
        let secret = std::fs::read_to_string(stage.path("secret_id")).unwrap();
        bao.must(
            "POST",
            &format!("{path}/custom-secret-id"),
            &json!({"secret_id": secret}),
        );
    });
    stream
        .settle("auth mount gone for a minute", Instant::now())
        .await;
    let tried = logins() - before;
    assert!((2..=70).contains(&tried), "{tried} logins in a minute");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_is_moved_costs_no_read() {
    let mut stage = Stage::build(setting()).await;
    let (library, moved) = (stage.path("clock.so"), stage.path("moved"));
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/clock.c");
    let mut compiler = Command::new("cc");
    compiler.args(["-shared", "-fPIC", "-o"]).arg(&library);
    assert!(compiler.arg(source).status().unwrap().success());
    let file = std::fs::File::create(&moved).unwrap();
    let move_by = |seconds: i64| file.write_at(&seconds.to_ne_bytes(), 0).unwrap();
    move_by(0);
    let mut command = stage.vaultgram(&["serve"]);
    command
        .env("LD_PRELOAD", &library)
        .env("MOVED_CLOCK", &moved);
    stage.spawn_as(command);
    let socket = stage.path("vaultgram.sock");
    stage.wait("it listens", || socket.exists()).await;
    let mut stream = Stream::start(&socket);
    stream.settle("started", Instant::now()).await;

    let drift = |text: &str| text.contains("vaultgram_vault_clock_drift_seconds");
    for (seconds, wanted) in [(-3600, 3600), (7200, -7200), (0, 0)] {
        move_by(seconds);
        stream.settle("clock moved", Instant::now()).await;
        let metrics = metrics(&stage);
        let line = metrics.lines().rfind(|line| drift(line)).unwrap();
        // Whole seconds of two clocks, read one after the other.
        let near: i64 = line.rsplit_once(' ').unwrap().1.parse().unwrap();
        assert!((near - wanted).abs() <= 2, "{line}");
    }
}

/// How many logins Vault was asked for, says its own audit.
fn logins(stage: &Stage) -> usize {
    let audit = stage.bao.audit();
    audit
        .lines()
        .filter(|line| line.contains(r#""type":"request""#) && line.contains("auth/approle/login"))
        .count()
}

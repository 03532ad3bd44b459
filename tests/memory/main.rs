//! The promise of docs/memory.md: within one second of an answer, nothing of what was in it is
//! left in the process. The real binary, a real OpenBao, the simulated Telegram.
//!
//! What the optimiser leaves where is what counts, so the release build is looked at:
//! `cargo test --locked --release --test memory`, as root.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, and says what it has looked at"
)]

#[path = "../support/bao_proxy.rs"]
mod bao_proxy;
#[path = "../support/certificates.rs"]
mod certificates;
mod chat;
#[path = "../https/client.rs"]
mod client;
mod control;
mod https;
#[path = "../support/issuer.rs"]
mod issuer;
mod needles;
#[path = "../support/openbao.rs"]
mod openbao;
mod snapshot;
mod socket;
#[path = "../support/stage.rs"]
mod stage;

use std::time::Duration;

use needles::{Needles, value};
use serde_json::{Map, Value, json};
use snapshot::Snapshot;
use stage::{Setting, Stage};

/// When the process is looked at, after the last answer. Stopping it, on a busy machine, takes some of the rest.
const MOMENT: Duration = Duration::from_millis(500);

/// One at a time: what is measured is how soon memory is clean, on a machine that is not busy.
static ALONE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// What most of these tests need.
fn setting() -> Setting<'static> {
    Setting {
        program: env!("CARGO_BIN_EXE_vaultgram").into(),
        telegram: "",
        audit: "",
        crowd: vec![],
        log: "vaultgram=debug",
        plain_token: false,
    }
}

/// Secrets of all sizes that Alice and the socket's user may read, by name, under `django/`.
const SECRETS: [&str; 5] = ["small", "odd", "three", "thirty", "forty"];

/// Writes them, with values that nobody has seen before.
fn plant(stage: &Stage, needles: &mut Needles) {
    let mut put = |name: &str, fields: Map<String, Value>| {
        for (field, value) in &fields {
            needles.add(&format!("{name}#{field}"), value.as_str().unwrap());
        }
        stage
            .bao
            .put(&format!("django/{name}"), &Value::Object(fields));
    };
    let one = |value: String| Map::from_iter([("value".to_owned(), json!(value))]);
    put("small", one(value(32, false)));
    put("odd", one(value(32, true)));
    put("three", one(value(3000, true)));
    put("thirty", one(value(30_000, false)));
    let forty = (0..40).map(|n| (format!("field{n}"), json!(value(32, n % 2 == 0))));
    put("forty", forty.collect());
}

/// Looks at a process again and again.
struct Watch {
    pid: u32,
    needles: Needles,
    found: Vec<String>,
}

impl Watch {
    /// Of vaultgram, which has read nothing yet.
    fn of(stage: &Stage, needles: Needles) -> Self {
        let pid = stage.broker.as_ref().unwrap().pid();
        let mut watch = Self {
            pid,
            needles,
            found: vec![],
        };
        watch.look("before anything is read");
        watch
    }

    /// Looks one second after what was just done.
    async fn after(&mut self, what: &str) {
        tokio::time::sleep(MOMENT).await;
        self.look(what);
    }

    fn look(&mut self, what: &str) {
        let snapshot = tokio::task::block_in_place(|| Snapshot::take(self.pid));
        let late = MOMENT + snapshot.stopping;
        assert!(
            late < Duration::from_secs(1),
            "not within a second: {late:?}"
        );
        let found = self.needles.find(&snapshot);
        println!(
            "{what}: {} places in {} MB and the registers of {} threads, stopped in {:?}",
            found.len(),
            snapshot.size() >> 20,
            snapshot.threads,
            snapshot.stopping,
        );
        self.found
            .extend(found.into_iter().map(|line| format!("{what}: {line}")));
    }

    /// The verdict.
    fn end(self) {
        assert!(
            self.found.is_empty(),
            "copies are left:\n{}",
            self.found.join("\n")
        );
    }
}

/// A control: a process that does not forget is seen not to.
#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(
    debug_assertions,
    ignore = "about the release build: cargo test --release --test memory"
)]
async fn copies_are_found_in_a_process_that_keeps_them() {
    let _alone = ALONE.lock().await;
    let stage = Stage::build(setting()).await;
    let mut needles = Needles::default();
    plant(&stage, &mut needles);
    let proxy = bao_proxy::BaoProxy::start(&stage, "").await;
    assert_eq!(
        needles.find(&Snapshot::take(proxy.pid())),
        [""; 0],
        "before"
    );
    let mut client = socket::Client::connect(&proxy.socket()).await;
    for name in SECRETS {
        client
            .read(&format!("/v1/secret/data/django/{name}"), 200)
            .await;
    }
    tokio::time::sleep(MOMENT).await;
    let found = needles.find(&Snapshot::take(proxy.pid()));
    println!("bao proxy: {} places", found.len());
    for name in SECRETS {
        let whole = found.iter().any(|line| line.starts_with(name));
        assert!(whole, "{name} is not found:\n{}", found.join("\n"));
    }
    drop((client, proxy));
}

//! A crowd on the socket: thousands of connections held, hostile ones among them, and callers who
//! must not notice. The real binary, a real OpenBao.
//!
//! A short form runs with the other tests; `make load` holds 10,000 connections and asks 200,000
//! times. As root, since the callers are many users.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, and says what it has measured"
)]

mod callers;
mod hostile;
#[path = "../support/openbao.rs"]
mod openbao;
#[path = "../support/stage.rs"]
mod stage;

use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::thread::{Uid, set_thread_res_uid};
use serde_json::json;
use stage::{Setting, Stage};

/// What everybody reads; kept by vaultgram, so that vaultgram is what is measured.
const SECRET: &str = "/v1/secret/data/django/database";
/// What does not fit into a socket's buffer.
const LARGE: &str = "/v1/secret/data/django/large";
/// Users who hold connections.
const HOLDERS: std::ops::Range<u32> = 60_000..60_020;
/// Users who ask, once in a while each.
const CALLERS: std::ops::Range<u32> = 61_000..61_020;
/// Users who do harm, each in a way of its own.
const HOSTILE: [(u32, hostile::Harm); 4] = [
    (62_000, hostile::slow_head),
    (62_001, hostile::never_reads),
    (62_002, hostile::floods),
    (62_003, hostile::comes_and_goes),
];

/// How much of all that.
struct Size {
    held: usize,
    hostile: usize,
    requests: usize,
    /// A p99 below this is the machine's, whoever else is there.
    noise: Duration,
    /// Requests a second that a user is allowed.
    rate: u32,
}

const SHORT: Size = Size {
    held: 400,
    hostile: 40,
    requests: 8_000,
    noise: Duration::from_millis(250),
    rate: 200,
};
const FULL: Size = Size {
    held: 10_000,
    hostile: 200,
    requests: 200_000,
    noise: Duration::from_millis(1),
    rate: 1000,
};

/// Growth of the process over three quarters of the requests that is not a leak, in kB.
const SLACK: u64 = 16 * 1024;

#[tokio::test(flavor = "multi_thread")]
async fn a_crowd_is_not_noticed() {
    let full = std::env::var("LOAD").is_ok_and(|form| form == "full");
    if !rustix::process::geteuid().is_root() {
        assert!(!full, "run it as root, who alone can be many users");
        return;
    }
    let size = if full { FULL } else { SHORT };
    let files = getrlimit(Resource::Nofile);
    let most = Rlimit {
        current: files.maximum,
        ..files
    };
    setrlimit(Resource::Nofile, most).unwrap();

    let stage = build(&size).await;
    let (socket, broker) = (stage.path("vaultgram.sock"), Process::of(&stage));
    let quarter = size.requests / 4;
    callers::ask(&socket, CALLERS, quarter / 4).await;
    let files = broker.files();
    let alone = callers::ask(&socket, CALLERS, quarter).await;
    println!("alone: {alone}, {} kB", broker.resident());

    let each = size.held / HOLDERS.len();
    let holders: Vec<_> = HOLDERS
        .map(|uid| callers::Holder::start(uid, &socket, each))
        .collect();
    let hostile: Vec<_> = HOSTILE
        .into_iter()
        .map(|(uid, harm)| hostile::Crowd::start(uid, harm, &socket, size.hostile / HOSTILE.len()))
        .collect();
    let mut after_first = 0;
    let mut worst = Duration::ZERO;
    for round in 1..=4 {
        let crowded = callers::ask(&socket, CALLERS, quarter).await;
        let resident = broker.resident();
        println!(
            "round {round} beside {} held and {} hostile: {crowded}, {resident} kB, {} files",
            size.held,
            size.hostile,
            broker.files()
        );
        worst = worst.max(crowded.p99);
        if round == 1 {
            after_first = resident;
        }
    }
    let resident = broker.resident();
    for crowd in hostile {
        println!("{}", crowd.stop());
    }
    for holder in holders {
        holder.stop();
    }
    stage
        .wait("all descriptors are closed", || broker.files() <= files)
        .await;

    assert!(
        worst <= 2 * alone.p99.max(size.noise),
        "p99 {worst:?} beside the crowd, {:?} alone",
        alone.p99
    );
    assert!(
        resident <= after_first + SLACK,
        "memory grows: {after_first} kB, then {resident} kB"
    );
    let log = stage.log();
    for (uid, _) in &HOSTILE[2..] {
        let told = format!("\"who\":\"uid:{uid}\",");
        let times = log
            .lines()
            .filter(|line| line.contains("socket.refused") && line.contains(&told));
        // Once a minute.
        let times = times.count();
        assert!((1..6).contains(&times), "{told}: {times} times");
    }
}

/// OpenBao, and a vaultgram that everybody may use.
async fn build(size: &Size) -> Stage {
    let mut stage = Stage::build(Setting {
        program: env!("CARGO_BIN_EXE_vaultgram").into(),
        telegram: "",
        audit: "",
        crowd: vec![],
        log: "vaultgram=warn,vaultgram::telegram::connection=info",
        plain_token: false,
    })
    .await;
    tokio::task::block_in_place(|| {
        let large = json!({"value": "x".repeat(700_000)});
        stage.bao.put("django/large", &large);
    });
    let config = std::fs::read_to_string(stage.path("vaultgram.toml")).unwrap();
    let socket = format!(
        "[socket]\nmode = \"0666\"\nmax_connections = {}\n",
        size.held * 6 / 5 + 100
    );
    let limits = format!(
        "[limits]\nconnections_per_user = {}\nrate_per_user = {}\nrate = 20000\n",
        size.held / HOLDERS.len() + 20,
        size.rate
    );
    let config = config.replace("[socket]\n", &socket) + &limits;
    std::fs::write(stage.path("vaultgram.toml"), config).unwrap();
    let policy = "@id(\"all\") @cache(\"1h\") permit(principal, action, resource in \
                  Path::\"secret/django\");";
    std::fs::write(stage.path("policy.cedar"), policy).unwrap();
    std::fs::set_permissions(stage.directory.path(), PermissionsExt::from_mode(0o755)).unwrap();
    stage.start().await;
    stage
}

/// Does something as another user, on a thread that is that user for good.
fn as_user<T: Send + 'static>(uid: u32, what: impl FnOnce() -> T + Send + 'static) -> T {
    std::thread::spawn(move || {
        become_user(uid);
        what()
    })
    .join()
    .unwrap()
}

/// Makes this thread another user's.
fn become_user(uid: u32) {
    let uid = Uid::from_raw(uid);
    set_thread_res_uid(uid, uid, uid).unwrap();
}

/// The vaultgram process.
struct Process(u32);

impl Process {
    fn of(stage: &Stage) -> Self {
        Self(stage.broker.as_ref().unwrap().pid())
    }

    /// Its open files.
    fn files(&self) -> usize {
        let files = std::fs::read_dir(format!("/proc/{}/fd", self.0));
        files.unwrap().count()
    }

    /// Its memory, in kB.
    fn resident(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.0)).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:"));
        let number = line.unwrap().split_whitespace().nth(1).unwrap();
        number.parse().unwrap()
    }
}

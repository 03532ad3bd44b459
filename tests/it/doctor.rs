//! `vaultgram doctor`: what is well, what is not, and what to do.

use std::cell::OnceCell;
use std::fs::OpenOptions;
use std::io::ErrorKind;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixListener;
use std::process::Command;
use std::time::Duration;

use rustix::fs::OFlags;
use rustix::process::{Pid, Signal, kill_process};
use telegram_dc::Fault;
use vaultgram::telegram::FileSession;

use crate::setting;
use crate::stage::Stage;

struct Ran {
    code: i32,
    out: String,
    err: String,
}

fn run(mut command: Command) -> Ran {
    let ran = tokio::task::block_in_place(|| command.output().unwrap());
    Ran {
        code: ran.status.code().unwrap(),
        out: String::from_utf8(ran.stdout).unwrap(),
        err: String::from_utf8(ran.stderr).unwrap(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn all_is_well_before_and_while_it_serves() {
    let mut stage = Stage::build(setting()).await;
    let before = run(stage.vaultgram(&["doctor"]));
    assert_eq!(
        (before.code, before.err.as_str()),
        (0, ""),
        "{}",
        before.out
    );
    for expected in [
        "ok    configuration",
        "ok    vault          http://127.0.0.1:",
        "ok    socket         ",
        "ok    telegram       signed in as @vaultgram, listens to 2 people",
        "ok    audit          ",
        "ok    state          ",
    ] {
        assert!(before.out.contains(expected), "{expected}: {}", before.out);
    }
    assert!(
        !stage.path("audit.jsonl").exists(),
        "it makes no file that another user would own"
    );
    stage.start().await;
    let during = run(stage.vaultgram(&["doctor", "--json"]));
    assert_eq!(during.code, 0, "{} {}", during.out, during.err);
    let found: serde_json::Value = serde_json::from_str(&during.out).unwrap();
    let detail = |name: &str| {
        let checks = found["checks"].as_array().unwrap();
        let check = checks.iter().find(|check| check["name"] == name).unwrap();
        check["detail"].as_str().unwrap().to_owned()
    };
    assert!(
        detail("socket").ends_with("answers (health 200)"),
        "{found}"
    );
    assert!(detail("telegram").starts_with("connected"), "{found}");
    for name in ["audit", "state"] {
        assert!(
            detail(name).contains("by the vaultgram that runs"),
            "{found}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn it_does_not_wake_a_vaultgram_that_systemd_listens_for() {
    let stage = Stage::build(setting()).await;
    let systemd = UnixListener::bind(stage.path("vaultgram.sock")).unwrap();
    systemd.set_nonblocking(true).unwrap();
    let ran = run(stage.vaultgram(&["doctor"]));
    assert_eq!(ran.code, 0, "{} {}", ran.out, ran.err);
    assert!(
        ran.out
            .contains("is held by another process, such as systemd"),
        "{}",
        ran.out
    );
    let connected = systemd.accept().map(|_| ()).map_err(|error| error.kind());
    assert_eq!(connected, Err(ErrorKind::WouldBlock));
    // Nobody listens any more: it can be replaced.
    drop(systemd);
    let ran = run(stage.vaultgram(&["doctor"]));
    assert!(
        ran.code == 0 && ran.out.contains("vaultgram.sock can be made"),
        "{}",
        ran.out
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signal_ends_it_at_once_whatever_it_waits_for() {
    let stage = Stage::build(setting()).await;
    let end = async |what: &str, waits: &dyn Fn() -> bool| {
        let mut doctor = stage.vaultgram(&["doctor"]).spawn().unwrap();
        stage.wait(what, waits).await;
        let pid = Pid::from_child(&doctor);
        kill_process(pid, Signal::TERM).unwrap();
        tokio::time::sleep(Duration::from_secs(5)).await;
        let status = doctor.try_wait().unwrap();
        drop(doctor.kill());
        assert_eq!(status.and_then(|status| status.code()), Some(130), "{what}");
    };
    stage.dc.fault("users.getUsers", Fault::Hang, 1);
    let asked = || stage.dc.count("users.getUsers") == 1;
    end("it asks Telegram", &asked).await;

    // Nobody ever writes into it, so that reading it does not end.
    let audit = stage.path("audit.jsonl");
    let made = Command::new("mkfifo").arg(&audit).status().unwrap();
    assert!(made.success());
    let writer = OnceCell::new();
    let read = || {
        // Refused for as long as nobody reads.
        let mut options = OpenOptions::new();
        let nonblocking = OFlags::NONBLOCK.bits().cast_signed();
        let opened = options.write(true).custom_flags(nonblocking).open(&audit);
        opened.is_ok_and(|file| writer.set(file).is_ok())
    };
    end("it reads the audit", &read).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_leaves_a_session_alone_that_another_process_uses() {
    let stage = Stage::build(setting()).await;
    let session = FileSession::open(&stage.path("telegram.session"), stage.key()).unwrap();
    let ran = run(stage.vaultgram(&["doctor"]));
    assert_eq!(ran.code, 69, "{}", ran.out);
    assert!(ran.out.contains("is in use by pid"), "{}", ran.out);
    assert_eq!(stage.dc.count("users.getUsers"), 0);
    drop(session);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_fails_comes_with_advice() {
    let mut stage = Stage::build(setting()).await;
    tokio::task::block_in_place(|| stage.bao.seal());
    stage.dc.refuse(true);
    std::fs::write(stage.path("audit.jsonl"), "not a record\n").unwrap();
    std::fs::write(
        stage.path("state.redb"),
        "not a database, and long enough to be looked at",
    )
    .unwrap();
    let ran = run(stage.vaultgram(&["doctor"]));
    assert_eq!(ran.code, 69, "{}", ran.out);
    assert!(ran.err.contains("4 checks failed"), "{}", ran.err);
    for expected in [
        "is sealed; unseal it",
        "FAIL  telegram",
        "FAIL  audit",
        "FAIL  state",
    ] {
        assert!(ran.out.contains(expected), "{expected}: {}", ran.out);
    }

    stage.bao.kill();
    std::fs::remove_file(stage.path("telegram.session")).unwrap();
    let ran = run(stage.vaultgram(&["doctor"]));
    for expected in [
        "does not answer: ",
        "check VAULT_ADDR",
        "run: vaultgram login",
    ] {
        assert!(ran.out.contains(expected), "{expected}: {}", ran.out);
    }
    std::fs::remove_file(stage.path("secret_id")).unwrap();
    let ran = run(stage.vaultgram(&["doctor"]));
    assert_eq!(ran.code, 69);
    assert!(
        ran.out.contains("FAIL  configuration") && ran.out.contains("secret_id"),
        "{}",
        ran.out
    );
}

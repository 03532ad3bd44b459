//! What local programs get on the Unix socket.

use std::os::unix::net::UnixStream;
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};

use crate::openbao::bao;
use crate::stage::{PASSWORD, Stage};
use crate::{serving, setting};

#[tokio::test(flavor = "multi_thread")]
async fn the_real_bao_and_our_own_client_read_the_same() {
    let stage = serving().await;
    let address = format!("unix://{}", stage.path("vaultgram.sock").display());
    let bao = |arguments: &[&str]| {
        let ran = Command::new(bao())
            .env_clear()
            .env("HOME", stage.directory.path())
            .env("BAO_ADDR", &address)
            .args(arguments)
            .output()
            .unwrap();
        let said = String::from_utf8([ran.stdout, ran.stderr].concat()).unwrap();
        (ran.status.code().unwrap(), said)
    };
    let field = ["kv", "get", "-field=password", "secret/django/database"];
    assert_eq!(bao(&field), (0, PASSWORD.to_owned()));
    let (code, said) = bao(&["kv", "get", "secret/payroll/key"]);
    assert!(code == 2 && said.contains("permission denied"), "{said}");
    let (code, said) = bao(&["kv", "get", "secret/django/nothing"]);
    assert!(code == 2 && said.contains("No value found"), "{said}");

    for (arguments, code, expected) in [
        (&["get", "django/database#password"][..], 0, PASSWORD),
        (
            &["get", "secret/django/database@1", "--json"],
            0,
            "\"username\":\"django\"",
        ),
        (&["get", "payroll/key"], 77, "denied"),
        (&["get", "django/nothing"], 66, "no secret"),
        (
            &["get", "django/database#port"],
            66,
            "it has: password, username",
        ),
        (&["get", "../x"], 64, "relative paths"),
    ] {
        let ran = stage.vaultgram(arguments).output().unwrap();
        let said = String::from_utf8([ran.stdout, ran.stderr].concat()).unwrap();
        assert_eq!(ran.status.code(), Some(code), "{arguments:?}: {said}");
        assert!(said.contains(expected), "{arguments:?}: {said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_socket_has_its_own_rules() {
    let mut stage = Stage::build(setting()).await;
    let add = |name: &str, text: &str| {
        let file = stage.path(name);
        let before = std::fs::read_to_string(&file).unwrap();
        std::fs::write(file, before + text).unwrap();
    };
    add(
        "vaultgram.toml",
        "[sockets.ci]\npath = \"ci.sock\"\nmode = \"0600\"\n\
         [sockets.more]\npath = \"more.sock\"\n",
    );
    add(
        "policy.cedar",
        "@id(\"ci-gets-nothing\") forbid(principal, action, resource)
         when { context has socket && context.socket == \"ci\" };\n",
    );
    stage.start().await;
    for (socket, expected) in [("vaultgram.sock", 0), ("ci.sock", 77), ("more.sock", 0)] {
        let ran = stage
            .vaultgram(&["get", "django/database#password"])
            .env("VAULTGRAM_SOCKET", stage.path(socket))
            .output()
            .unwrap();
        assert_eq!(ran.status.code(), Some(expected), "{socket}: {ran:?}");
    }
    let audit = std::fs::read_to_string(stage.path("audit.jsonl")).unwrap();
    for recorded in ["\"socket\":\"default\"", "\"socket\":\"ci\""] {
        assert!(audit.contains(recorded), "{recorded}: {audit}");
    }
    let doctor = stage.vaultgram(&["doctor"]).output().unwrap();
    let said = String::from_utf8(doctor.stdout).unwrap();
    assert_eq!(
        said.matches(".sock answers (health 200)").count(),
        3,
        "{said}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn running_out_of_files_is_survived() {
    let stage = serving().await;
    let get = || {
        let arguments = ["get", "django/database#password"];
        stage.vaultgram(&arguments).output().unwrap()
    };
    assert_eq!(get().stdout, PASSWORD.as_bytes());
    let pid = stage.broker.as_ref().unwrap().pid();
    let files = std::fs::read_dir(format!("/proc/{pid}/fd"))
        .unwrap()
        .count();
    let few = Rlimit {
        current: Some(files as u64 + 20),
        ..getrlimit(Resource::Nofile)
    };
    let pid = Pid::from_raw(pid.try_into().unwrap());
    let before = prlimit(pid, Resource::Nofile, few).unwrap();
    let start = Instant::now();
    let socket = stage.path("vaultgram.sock");
    let idle: Vec<_> = (0..40).map(|_| UnixStream::connect(&socket)).collect();
    assert_eq!(get().stdout, PASSWORD.as_bytes());
    assert!(start.elapsed() < Duration::from_secs(10));
    assert_eq!(stage.log().matches("socket.accept_failed").count(), 1);
    prlimit(pid, Resource::Nofile, before).unwrap();
    assert_eq!(get().stdout, PASSWORD.as_bytes());
    drop(idle);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_connection_there_may_be_can_be_opened() {
    let mut stage = serving().await;
    stage.broker.take().unwrap().kill();
    let limited = |stage: &Stage, files: &str| {
        let serve = stage.vaultgram(&["serve"]);
        let mut command = Command::new("prlimit");
        command.env_clear();
        for (name, value) in serve.get_envs() {
            command.env(name, value.unwrap());
        }
        command.arg(format!("--nofile={files}"));
        command.arg(serve.get_program()).arg("serve");
        command
    };
    // 256 connections, and what else there is.
    let ran = limited(&stage, "500").output().unwrap();
    let said = String::from_utf8(ran.stderr).unwrap();
    assert_eq!(ran.status.code(), Some(78), "{said}");
    assert!(
        said.contains("max_connections") && said.contains("LimitNOFILE=512"),
        "{said}"
    );

    let command = limited(&stage, "600:5000");
    let socket = stage.path("vaultgram.sock");
    stage.spawn_as(command);
    stage
        .wait("it listens", || UnixStream::connect(&socket).is_ok())
        .await;
    let pid = stage.broker.as_ref().unwrap().pid();
    let limits = std::fs::read_to_string(format!("/proc/{pid}/limits")).unwrap();
    let files = limits
        .lines()
        .find(|line| line.starts_with("Max open files"));
    let files: Vec<_> = files.unwrap().split_whitespace().skip(3).take(2).collect();
    assert_eq!(files, ["5000", "5000"]);
}

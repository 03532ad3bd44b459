//! `vaultgram exec`: real commands, their environment, files, signals and exit codes.

use std::io::{BufRead, Read};
use std::os::unix::process::ExitStatusExt;
use std::process::Child;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;
use tokio::time::Instant;

use crate::Ran;
use crate::served::{PATIENCE, Served, fields, wait_for};

const PASSWORD: &str = "p<\"\\/ü😀& $HOME 'x' %0A\n::add-mask::no\n";

pub(crate) fn send(child: &Child, signal: Signal) {
    let pid = Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
    kill_process(pid, signal).unwrap();
}

/// The next line a command prints.
pub(crate) fn line(out: &mut impl BufRead) -> String {
    let mut line = String::new();
    out.read_line(&mut line).unwrap();
    line.trim_end_matches('\n').to_owned()
}

/// How a command ended, and what it still printed and said.
pub(crate) fn end(mut child: Child) -> (Option<i32>, Option<i32>, String) {
    let start = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        assert!(start.elapsed() < PATIENCE, "it does not end");
        std::thread::sleep(Duration::from_millis(10));
    };
    let mut said = String::new();
    child
        .stderr
        .take()
        .unwrap()
        .read_to_string(&mut said)
        .unwrap();
    (status.code(), status.signal(), said)
}

#[test]
fn a_command_gets_values_as_they_are_and_nothing_of_them_is_seen_elsewhere() {
    let served = Served::start();
    served.put("app/db", &fields());
    let ran = served.run(&[
        "exec",
        "--env",
        "PASSWORD=app/db#password",
        "--env",
        "PORT=app/db#port",
        "--env",
        "JSON=app/db#json",
        "--",
        "/bin/sh",
        "-c",
        "printf %s \"$PASSWORD|$PORT|$JSON\"; tr '\\0' '\\n' </proc/$$/cmdline >&2",
    ]);
    let json = r#"{"empty":"","list":["leaf-secret",12.5,true]}"#;
    assert_eq!(ran.out, format!("{PASSWORD}|5432|{json}"), "{ran:?}");
    assert_eq!(ran.code, 0);
    assert!(!ran.err.contains("p<"), "{ran:?}");

    // Three fields of one secret that belong together.
    assert_eq!(served.reads(), 1);
    let log = served.log();
    assert!(!log.contains("leaf-secret") && !log.contains("p<"), "{log}");

    let twice = [
        "exec",
        "--env",
        "A=app/db#user",
        "--file",
        "B=app/db#password",
        "--",
    ];
    // A variable of before gives way, the others stay; a file can be read again and again, and not
    // be changed; nothing else is inherited.
    let script = "test \"$A\" = ann && test \"$KEPT\" = kept && cat \"$B\" \"$B\" && \
                  ! (echo x >\"$B\") 2>/dev/null && ls -l /proc/self/fd | grep -c vaultgram: >&2";
    let mut command = served.vaultgram(&[&twice[..], &["bash", "-c", script]].concat());
    command.env("A", "before").env("KEPT", "kept");
    let output = command.output().unwrap();
    let (out, err) = (
        String::from_utf8(output.stdout),
        String::from_utf8(output.stderr),
    );
    assert_eq!(out.unwrap(), PASSWORD.repeat(2), "{err:?}");
    assert_eq!(err.unwrap(), "1\n");
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn a_command_gets_all_of_a_secret_and_nothing_else_where_that_is_asked() {
    let served = Served::start();
    served.put("app/db", &json!({"user": "ann", "db-port": 5432}));
    served.put("app/key", &json!({"id": "k1"}));
    let mut command = served.vaultgram(&[
        "exec",
        "--clean-env",
        "--env-from",
        "DB_=app/db",
        "--env-from",
        "app/key",
        "--env",
        "USER_AGAIN=app/db#user",
        "--file",
        "KEY=app/key#id",
        "--",
        "env",
    ]);
    command
        .env("LANG", "C.UTF-8")
        .env("LC_TIME", "C")
        .env("AWS_SECRET_ACCESS_KEY", "hunter2")
        .env("BAO_TOKEN", "hunter2");
    let ran = Ran::from(command.output().unwrap());
    assert_eq!((ran.code, ran.err.as_str()), (0, ""));
    let mut names: Vec<&str> = ran.out.lines().collect();
    names.sort_unstable();
    let file = names
        .iter()
        .position(|line| line.starts_with("KEY=/proc/self/fd/"));
    names.remove(file.unwrap());
    let expected = [
        "DB_DB_PORT=5432",
        "DB_USER=ann",
        "ID=k1",
        "LANG=C.UTF-8",
        "LC_TIME=C",
        "PATH=/usr/local/bin:/usr/bin:/bin",
        "USER_AGAIN=ann",
    ];
    assert_eq!(names, expected);
}

#[test]
fn the_command_takes_the_place_of_vaultgram() {
    let served = Served::start();
    served.put("app/db", &fields());
    let with = ["exec", "--env", "A=app/db#user", "--"];
    let run = |command: &[&str]| served.run(&[&with[..], command].concat());
    for (command, code) in [
        (&["true"][..], 0),
        (&["sh", "-c", "exit 3"], 3),
        (&["sh", "-c", "exit 255"], 255),
        (&["no-such-command"], 127),
        (&["/nowhere/command"], 127),
        (&["/etc/passwd"], 126),
        (&["/"], 126),
    ] {
        let ran = run(command);
        assert_eq!(ran.code, code, "{command:?}: {ran:?}");
        assert_eq!(
            ran.err.contains("cannot be run"),
            code == 126 || code == 127,
            "{ran:?}"
        );
    }
    // A signal ends the command itself: nobody is between.
    let child = served
        .vaultgram(&[&with[..], &["sleep", "600"]].concat())
        .spawn()
        .unwrap();
    let comm = format!("/proc/{}/comm", child.id());
    wait_for(comm.as_ref(), |name| name == "sleep\n");
    // It may allow core dumps again; by itself it has none.
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", child.id())).unwrap();
    let core = limits
        .lines()
        .find(|line| line.starts_with("Max core file size"))
        .unwrap();
    assert_eq!(core.split_whitespace().nth(4), Some("0"), "{core}");
    let own = std::fs::read_to_string("/proc/self/limits").unwrap();
    let own = own
        .lines()
        .find(|line| line.starts_with("Max core file size"))
        .unwrap();
    assert_eq!(
        core.split_whitespace().nth(5),
        own.split_whitespace().nth(5),
        "{core}"
    );
    send(&child, Signal::TERM);
    assert_eq!(end(child).1, Some(15));
    // What a shell expects of a pipe that closes.
    let ran = run(&["sh", "-c", "grep SigIgn /proc/self/status"]);
    let ignored = u64::from_str_radix(ran.out.trim().trim_start_matches("SigIgn:\t"), 16);
    assert_eq!(
        ignored.unwrap() >> (Signal::PIPE.as_raw() - 1) & 1,
        0,
        "{ran:?}"
    );
}

/// Asks for these beside what would be good.
fn does_not_start(served: &Served, arguments: &[&str], code: i32, said: &str) {
    let all = [
        &["exec", "--env", "GOOD=app/db#user"],
        arguments,
        &["--", "touch", "started"],
    ];
    let ran = served.run(&all.concat());
    assert_eq!(ran.code, code, "{arguments:?}: {ran:?}");
    assert!(ran.err.contains(said), "{arguments:?}: {ran:?}");
    assert!(
        !ran.err.contains("a\u{0}b") && !ran.err.contains("xxx"),
        "{ran:?}"
    );
    assert!(!served.path("started").exists(), "{arguments:?}");
}

#[test]
fn nothing_starts_where_not_all_of_a_secret_can_be_given() {
    let served = Served::start();
    served.put("app/db", &json!({"user": "ann", "nul": "a\u{0}b"}));
    served.put("private/db", &json!({"user": "eve"}));
    served.put("app/same", &json!({"good": "x"}));
    served.put("app/path", &json!({"path": "x"}));
    for (arguments, code, said) in [
        (
            &["--env-from", "app/db#user"][..],
            64,
            "--env NAME=PATH#field",
        ),
        (&["--env-from", "A-=app/db"], 64, "[PREFIX=]PATH"),
        (
            &["--env-from", "app/db"],
            65,
            "NUL: no variable can hold a NUL",
        ),
        (
            &["--env-from", "private/db"],
            77,
            "private/db: permission denied",
        ),
        (&["--env-from", "app/same"], 64, "GOOD is given twice"),
        (
            &["--env-from", "app/path"],
            64,
            "secret/app/path#\"path\" cannot go into \"PATH\"",
        ),
        (
            &["--env-from", "X=app/same", "--file", "XGOOD=app/db#user"],
            64,
            "XGOOD is given twice",
        ),
        (
            &["--watch", "--on-change", "HUP", "--env-from", "app/same"],
            64,
            "the environment of a running command cannot change",
        ),
    ] {
        does_not_start(&served, arguments, code, said);
    }
}

#[test]
fn nothing_starts_without_all_of_its_secrets() {
    let served = Served::start();
    served.put(
        "app/db",
        &json!({"user": "ann", "nul": "a\u{0}b", "long": "x".repeat(130 * 1024)}),
    );
    served.put("private/db", &json!({"user": "eve"}));
    let good = "GOOD=app/db#user";
    for (arguments, code, said) in [
        (
            &["--env", "A=app/none#x"][..],
            66,
            "app/none: there is no secret",
        ),
        (&["--env", "A=app/db#none"], 66, "it has: long, nul, user"),
        (
            &["--env", "A=private/db#user"],
            77,
            "private/db: permission denied",
        ),
        (&["--env", "A=app/db"], 64, "NAME=PATH#field"),
        (&["--env", "app/db#user"], 64, "NAME=PATH#field"),
        (
            &["--env", "LD_PRELOAD=app/db#user"],
            64,
            "choose another name",
        ),
        (&["--file", "PATH=app/db#user"], 64, "choose another name"),
        (&["--env", "GOOD=app/db#user"], 64, "GOOD is given twice"),
        (&["--env", "A=app/db#nul"], 65, "use --file"),
        (
            &["--env", "A=app/db#long"],
            126,
            "give large values with --file",
        ),
        (&["--on-change", "HUP"], 64, "--watch"),
        (
            &["--watch", "--on-change", "HUP"],
            64,
            "use --file in place of --env",
        ),
        (&["--watch=0s"], 64, "from 1s to 24h"),
    ] {
        does_not_start(&served, arguments, code, said);
    }
    assert_eq!(
        served.run(&["exec", "--env", good, "touch", "x"]).code,
        64,
        "-- comes first"
    );
    let large = [
        "exec",
        "--file",
        "A=app/db#long",
        "--",
        "sh",
        "-c",
        "wc -c <$A",
    ];
    assert_eq!(served.run(&large).out.trim(), (130 * 1024).to_string());
    let ran = served.run(&["exec", "--json", "--env", "A=app/none#x", "--", "true"]);
    assert!(
        ran.code == 66 && ran.err.starts_with(r#"{"error":{"exit":66,"#),
        "{ran:?}"
    );
}

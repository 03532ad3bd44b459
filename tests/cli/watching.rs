//! `vaultgram exec --watch`: the command is restarted, or gets a signal, when a secret changes.

use std::io::BufReader;
use std::process::Child;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::json;

use crate::exec::{end, line, send};
use crate::served::{Served, wait_for};

/// Runs `script` with what `options` give it, and looks every second whether that has changed.
fn watch(served: &Served, options: &[&str], script: &str) -> Child {
    let mut arguments = vec!["exec", "--watch=1s"];
    arguments.extend(options);
    arguments.extend(["--", "bash", "-c", script]);
    served.vaultgram(&arguments).spawn().unwrap()
}

#[test]
fn a_field_that_is_new_is_given_to_the_command_when_it_is_restarted() {
    let served = Served::start();
    served.put("app/db", &json!({"user": "ann"}));
    let script = "echo \"$DB_USER $DB_NEW\" >>seen; exec sleep 60";
    let child = watch(&served, &["--env-from", "DB_=app/db"], script);
    let seen = served.path("seen");
    wait_for(&seen, |text| text == "ann \n");
    served.put("app/db", &json!({"user": "ann", "new": "x"}));
    wait_for(&seen, |text| text == "ann \nann x\n");
    send(&child, Signal::TERM);
    assert_eq!(end(child).0, Some(143));
}

#[test]
fn a_changed_secret_restarts_the_command() {
    let served = Served::start();
    served.put("app/db", &json!({"user": "ann", "other": "1"}));
    let script = "trap 'echo ended >>out; exit 0' TERM; echo \"$A $(cat $F)\" >>out; \
                  while :; do sleep 0.05; done";
    let mut child = watch(
        &served,
        &["--env", "A=app/db#user", "--file", "F=app/db#user"],
        script,
    );
    let log = served.path("out");
    wait_for(&log, |text| text.contains("ann ann\n"));
    // Looking for a new version reads nothing.
    let reads = served.reads();
    std::thread::sleep(Duration::from_millis(2500));
    assert_eq!(served.reads(), reads);
    // Another field is none of its business.
    served.put("app/db", &json!({"user": "ann", "other": "2"}));
    std::thread::sleep(Duration::from_millis(2500));
    assert!(!wait_for(&log, |_| true).contains("ended"));
    served.put("app/db", &json!({"user": "eve", "other": "2"}));
    wait_for(&log, |text| text.contains("ended\neve eve\n"));
    // A secret that cannot be read for a while: the command goes on.
    served.bao.seal();
    let mut said = BufReader::new(child.stderr.take().unwrap());
    assert_eq!(
        line(&mut said),
        "note: a secret has changed: the command is restarted"
    );
    assert!(line(&mut said).contains("what was read before stays in use"));
    assert_eq!(child.try_wait().unwrap(), None);
    served.bao.unseal();
    served.put("app/db", &json!({"user": "bob"}));
    wait_for(&log, |text| text.contains("ended\nbob bob\n"));
    send(&child, Signal::TERM);
    assert_eq!(
        child.wait().unwrap().code(),
        Some(0),
        "what the command made of the signal"
    );
}

#[test]
fn a_command_that_was_told_to_end_is_not_started_again() {
    let served = Served::start();
    served.put("app/db", &json!({"user": "ann"}));
    let script = "trap 'echo asked >>out; sleep 4; exit 5' TERM; echo $A >>out; \
                  while :; do sleep 0.05; done";
    let child = watch(&served, &["--env", "A=app/db#user"], script);
    let log = served.path("out");
    wait_for(&log, |text| text == "ann\n");
    send(&child, Signal::TERM);
    wait_for(&log, |text| text == "ann\nasked\n");
    served.put("app/db", &json!({"user": "eve"}));
    assert_eq!(end(child).0, Some(5));
    assert_eq!(wait_for(&log, |_| true), "ann\nasked\n");
}

#[test]
fn a_command_that_does_not_end_is_killed_and_started_again() {
    let served = Served::start();
    served.put("app/db", &json!({"user": "ann"}));
    let script = "trap 'echo no >>out' TERM; echo $A >>out; while :; do sleep 0.05; done";
    let child = watch(
        &served,
        &["--grace", "1s", "--env", "A=app/db#user"],
        script,
    );
    let log = served.path("out");
    wait_for(&log, |text| text.contains("ann\n"));
    served.put("app/db", &json!({"user": "eve"}));
    wait_for(&log, |text| text.contains("no\neve\n"));
    send(&child, Signal::TERM);
    wait_for(&log, |text| text.contains("eve\nno\n"));
    send(&child, Signal::USR1);
    assert_eq!(
        end(child).0,
        Some(128 + 10),
        "the signal that ended the command"
    );
}

/// Here versions are denied: the values themselves are compared.
#[test]
fn a_changed_secret_signals_the_command_whose_files_have_it() {
    let served = Served::start();
    served.put(
        "hidden/tls",
        &json!({"key": "one, and much longer than the next"}),
    );
    let script = "trap 'cat $F >>out; echo >>out' USR1; trap 'exit 7' INT; cat $F >>out; echo >>out; \
                  while :; do sleep 0.05; done";
    let child = watch(
        &served,
        &["--on-change", "USR1", "--file", "F=hidden/tls#key"],
        script,
    );
    let log = served.path("out");
    let first = "one, and much longer than the next\n";
    wait_for(&log, |text| text.ends_with(first));
    served.put("hidden/tls", &json!({"key": "two"}));
    wait_for(&log, |text| text.ends_with(&format!("{first}two\n")));
    send(&child, Signal::USR1);
    wait_for(&log, |text| text.ends_with("two\ntwo\n"));
    send(&child, Signal::INT);
    assert_eq!(end(child).0, Some(7));
}

//! `LoadCredential=`, over sockets that systemd made.

use std::time::{Duration, Instant};

use crate::machine::{Machine, PROGRAM, Plan};
use crate::{PASSWORD, can_boot, configure, service, vault};

const SOCKETS: &str = r#"
[socket]
[sockets.ci]
path = "/run/vaultgram/ci.sock"
[credentials]
[credentials.units."app.service"]
password = "secret/app#password"
port = "secret/app#port"
[credentials.units."whole.service"]
app = "secret/app"
[credentials.units."denied.service"]
password = "secret/app#password"
"#;

/// Binds the name that systemd would, asks, and says how much it got.
const FORGER: &str = r#"
import socket, sys
s = socket.socket(socket.AF_UNIX)
s.bind("\0abc123/unit/app.service/password")
s.connect("/run/vaultgram/credentials.sock")
got = b""
try:
    while part := s.recv(1 << 16): got += part
except ConnectionResetError: pass
print("forger", sys.argv[1], "got", len(got), "zeros" if not got.strip(b"\0") else "SOMETHING", flush=True)
"#;

/// A unit that shows its credentials.
fn asking(plan: &Plan, name: &str, ids: &[&str]) {
    let loaded: Vec<String> = ids
        .iter()
        .map(|id| format!("LoadCredential={id}:/run/vaultgram/credentials.sock\n"))
        .collect();
    let loaded = loaded.concat();
    let show: Vec<String> = ids
        .iter()
        .map(|id| format!("echo \"{name} {id}: <$$(cat $$CREDENTIALS_DIRECTORY/{id})>\""))
        .collect();
    let show = show.join("; ");
    plan.unit(
        &format!("{name}.service"),
        &format!("[Service]\nType=oneshot\nUser=daemon\nTimeoutStartSec=60\n{loaded}ExecStart=/bin/sh -c '{show}'"),
    );
}

fn activated(plan: &Plan) {
    for (unit, name, path, mode) in [
        ("vaultgram", "default", "vaultgram", "0600"),
        ("vaultgram-ci", "ci", "ci", "0600"),
        (
            "vaultgram-credentials",
            "credentials",
            "credentials",
            "0600",
        ),
    ] {
        plan.unit(
            &format!("{unit}.socket"),
            &format!(
                "[Socket]\nListenStream=/run/vaultgram/{path}.sock\nSocketMode={mode}\n\
                 FileDescriptorName={name}\nService=vaultgram.service"
            ),
        );
    }
    service(
        plan,
        "vaultgram",
        "Sockets=vaultgram.socket vaultgram-ci.socket vaultgram-credentials.socket",
    );
}

fn refuses(machine: &Machine, unit: &str) {
    let ran = machine.run(&["systemctl", "start", unit]);
    assert!(!ran.status.success(), "{}", machine.journal());
    assert_eq!(machine.show(unit, "Result"), "exit-code");
    assert_eq!(machine.show(unit, "ExecMainStatus"), "243", "CREDENTIALS");
}

#[test]
fn units_start_with_what_is_theirs_and_do_not_start_without() {
    if !can_boot() {
        return;
    }
    let mut bao = vault();
    let plan = Plan::new();
    configure(&plan, &bao, SOCKETS);
    activated(&plan);
    asking(&plan, "app", &["password", "port"]);
    asking(&plan, "whole", &["app"]);
    asking(&plan, "denied", &["password"]);
    asking(&plan, "unnamed", &["password"]);
    plan.file("forger.py", FORGER);
    for (name, user) in [("another-user", "daemon"), ("another-unit", "root")] {
        plan.unit(
            &format!("{name}.service"),
            &format!("[Service]\nType=oneshot\nUser={user}\nExecStart=/usr/bin/python3 /vg/forger.py {name}"),
        );
    }
    let machine = plan.boot();
    for socket in ["vaultgram", "vaultgram-ci", "vaultgram-credentials"] {
        machine.start(&format!("{socket}.socket"));
    }
    assert_eq!(machine.show("vaultgram", "ActiveState"), "inactive");

    // The unit's question starts vaultgram.
    machine.start("app");
    machine.line(&[&format!("app password: <{PASSWORD}>")]);
    machine.line(&["app port: <5432>"]);
    machine.line(&["credentials.handed_over", "app.service", "password"]);
    machine.start("whole");
    machine.line(&["whole app: <{\"password\":", "\"port\":5432}>"]);

    refuses(&machine, "denied");
    machine.line(&[
        "credentials.refused",
        "denied.service",
        "password",
        "no policy permits",
        "docs/systemd.md",
    ]);
    refuses(&machine, "unnamed");
    machine.line(&[
        "credentials.refused",
        "unnamed.service",
        "[credentials.units.",
    ]);
    let audit = machine.said(&["cat", "/var/lib/vaultgram/audit.jsonl"]);
    let denied = audit.lines().find(|line| line.contains("denied.service"));
    assert!(denied.unwrap().contains("not_permitted"), "{audit}");

    // Far too open, so that those who pretend to be systemd get as far as they can.
    let opened = machine.run(&["chmod", "0666", "/run/vaultgram/credentials.sock"]);
    assert!(opened.status.success());
    for (name, why) in [
        ("another-user", "asked for it, and systemd is root"),
        (
            "another-unit",
            "the process that asked is in another-unit.service",
        ),
    ] {
        machine.start(name);
        machine.line(&[&format!("forger {name} got 1048577 zeros")]);
        machine.line(&["credentials.refused", "app.service", why]);
    }

    // The other sockets are systemd's too, and each is the one it is called.
    for path in ["vaultgram", "ci"] {
        let socket = format!("/run/vaultgram/{path}.sock");
        let get = [PROGRAM, "get", "--socket", &socket, "app#password"];
        assert_eq!(machine.said(&get).trim_end(), PASSWORD);
    }

    // Vault is away: a unit waits, and starts when it is back.
    bao.kill();
    machine.wait("the status says so", || {
        machine
            .show("vaultgram", "StatusText")
            .starts_with("Vault: unreachable")
    });
    let waits = |times: usize| {
        machine.said(&["systemctl", "start", "--no-block", "app"]);
        machine.wait("the unit waits", || {
            machine.journal().matches("credentials.waiting").count() == times
        });
        assert_eq!(machine.show("app", "ActiveState"), "activating");
    };
    waits(1);
    bao.restart_sealed();
    bao.unseal();
    machine.wait("it has started", || {
        machine.show("app", "ActiveState") == "inactive"
    });
    assert_eq!(machine.show("app", "Result"), "success");

    // It stops, and a unit that waits is refused rather than given nothing.
    bao.kill();
    let before = machine.journal().matches("credentials.waiting").count();
    waits(before + 1);
    let begun = Instant::now();
    machine.said(&["systemctl", "stop", "vaultgram"]);
    assert!(begun.elapsed() < Duration::from_secs(20));
    machine.wait("it was refused", || {
        machine.show("app", "ActiveState") == "failed"
    });
    assert_eq!(machine.show("app", "ExecMainStatus"), "243");
    // The socket's file is systemd's, and stays.
    machine.said(&["test", "-S", "/run/vaultgram/ci.sock"]);
}

#[test]
fn a_socket_that_is_not_configured_is_fatal() {
    if !can_boot() {
        return;
    }
    let bao = vault();
    let plan = Plan::new();
    configure(
        &plan,
        &bao,
        "[socket]\n[credentials.units.\"x.service\"]\na = \"secret/app\"",
    );
    let cases = [
        (
            "Stream",
            "vaultgram",
            "ci",
            "78",
            "called \"ci\", which is none of the configuration; write into its .socket unit \
             FileDescriptorName=default for [socket]",
        ),
        (
            "Datagram",
            "vaultgram",
            "default",
            "78",
            "of a kind that vaultgram does not serve",
        ),
        (
            "Stream",
            "other",
            "default",
            "73",
            "[socket] path: is /run/vaultgram/vaultgram.sock, and systemd made the socket at \
             /run/vaultgram/other.sock",
        ),
    ];
    for (index, (kind, path, name, ..)) in cases.iter().enumerate() {
        plan.unit(
            &format!("v{index}.socket"),
            &format!(
                "[Socket]\nListen{kind}=/run/vaultgram/{path}.sock\nFileDescriptorName={name}\n\
                 Service=v{index}.service"
            ),
        );
        service(
            &plan,
            &format!("v{index}"),
            &format!("Sockets=v{index}.socket"),
        );
    }
    let machine = plan.boot();
    for (index, (.., status, why)) in cases.iter().enumerate() {
        let unit = format!("v{index}.service");
        let ran = machine.run(&["systemctl", "start", &unit]);
        assert!(!ran.status.success());
        assert_eq!(machine.show(&unit, "ExecMainStatus"), *status);
        machine.line(&[why]);
        machine.said(&["systemctl", "stop", &format!("v{index}.socket")]);
    }
}

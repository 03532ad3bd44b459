//! What systemd is told.

use crate::machine::Plan;
use crate::{can_boot, configure, service, vault};

#[test]
fn systemd_knows_when_it_is_ready_how_it_is_and_when_it_hangs() {
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
    service(
        &plan,
        "vaultgram",
        "RuntimeDirectory=vaultgram\nWatchdogSec=3\nExecReload=/bin/kill -HUP $MAINPID",
    );
    let machine = plan.boot();
    machine.start("vaultgram");
    // Ready is not before its sockets are there.
    machine.said(&["test", "-S", "/run/vaultgram/vaultgram.sock"]);
    let mode = ["stat", "-c", "%a", "/run/vaultgram/credentials.sock"];
    assert_eq!(machine.said(&mode).trim(), "600");
    machine.wait("the status is told", || {
        machine.show("vaultgram", "StatusText") == "Vault: ready"
    });

    machine.said(&["systemctl", "reload", "vaultgram"]);
    machine.wait("it says what came of it", || {
        let status = machine.show("vaultgram", "StatusText");
        status.ends_with("in force")
    });
    assert_eq!(machine.show("vaultgram", "ActiveState"), "active");

    // It lives for longer than it may be silent.
    std::thread::sleep(std::time::Duration::from_secs(4));
    assert_eq!(machine.show("vaultgram", "ActiveState"), "active");
    let pid = machine.show("vaultgram", "MainPID");
    machine.said(&["kill", "-STOP", &pid]);
    machine.wait("it was killed", || {
        machine.show("vaultgram", "Result") == "watchdog"
    });
    machine.said(&["systemctl", "reset-failed", "vaultgram"]);
    machine.start("vaultgram");
    machine.said(&["systemctl", "stop", "vaultgram"]);
    assert_eq!(machine.show("vaultgram", "Result"), "success");
    machine.line(&["daemon.stopped"]);
}

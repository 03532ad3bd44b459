//! The units that vaultgram ships (`systemd/`): closed as far as they say, and it works in them.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::machine::{PROGRAM, Plan};
use crate::{PASSWORD, can_boot, configure, vault};

const UNITS: [&str; 3] = [
    "vaultgram.service",
    "vaultgram.socket",
    "vaultgram-credentials.socket",
];

fn shipped(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("systemd")
        .join(name)
}

fn analyze(arguments: &[&str], files: &[PathBuf]) -> (bool, String) {
    let ran = Command::new("systemd-analyze")
        .args(arguments)
        .args(files)
        .output()
        .unwrap();
    let said = [ran.stdout, ran.stderr].concat();
    (ran.status.success(), String::from_utf8(said).unwrap())
}

#[test]
fn the_service_is_closed_but_for_what_it_needs() {
    let arguments = ["security", "--offline=true", "--no-pager", "--threshold=15"];
    let (closed, said) = analyze(&arguments, &[shipped("vaultgram.service")]);
    assert!(closed, "its score is over 1.5: {said}");
}

#[test]
fn systemd_finds_nothing_wrong_with_the_units() {
    let folder = tempfile::tempdir().unwrap();
    let files = UNITS.map(|unit| {
        let text = std::fs::read_to_string(shipped(unit)).unwrap();
        let file = folder.path().join(unit);
        // Where it is installed there is such a program; here it is another.
        let text = text.replace("/usr/bin/vaultgram", env!("CARGO_BIN_EXE_vaultgram"));
        std::fs::write(&file, text).unwrap();
        file
    });
    let (correct, said) = analyze(&["verify", "--man=no"], &files);
    assert!(correct && said.is_empty(), "{said}");
}

#[test]
fn vaultgram_serves_within_what_its_service_allows() {
    if !can_boot() {
        return;
    }
    let bao = vault();
    let plan = Plan::new();
    configure(
        &plan,
        &bao,
        "[socket]\npath = \"/run/vaultgram/vaultgram.sock\"\n\
         [credentials.units.\"app.service\"]\npassword = \"secret/app#password\"",
    );
    for unit in UNITS {
        let text = std::fs::read_to_string(shipped(unit)).unwrap();
        let text = text
            .replace("/usr/bin/vaultgram", PROGRAM)
            .replace("/etc/vaultgram/", "/vg/")
            .replace("User=vaultgram", "User=daemon")
            .replace("Group=vaultgram", "Group=daemon")
            // Not encrypted: this machine has no key of its own.
            .replace(
                "\n[Install]",
                "\nLoadCredential=vault_token:/vg/token\n[Install]",
            );
        let text = if unit.ends_with(".socket") {
            text.replace("LoadCredential=vault_token:/vg/token\n", "")
        } else {
            text
        };
        plan.unit(unit, &text);
    }
    let machine = plan.boot();
    machine.start("vaultgram-credentials.socket");
    machine.start("vaultgram.socket");
    // Whoever comes first starts it.
    let get = [PROGRAM, "get", "app#password"];
    assert_eq!(machine.said(&get).trim_end(), PASSWORD);
    assert_eq!(machine.show("vaultgram", "ActiveState"), "active");
    let exposed = [
        "systemd-analyze",
        "security",
        "--no-pager",
        "--threshold=15",
        "vaultgram",
    ];
    machine.said(&exposed);
    machine.said(&["systemctl", "restart", "vaultgram"]);
    assert_eq!(machine.said(&get).trim_end(), PASSWORD);
    machine.said(&["systemctl", "stop", "vaultgram*"]);
    assert_eq!(machine.show("vaultgram", "Result"), "success");
}

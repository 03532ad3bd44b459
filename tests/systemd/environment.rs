//! `EnvironmentFile=`, from a file that vaultgram wrote.

use serde_json::json;

use crate::machine::{PROGRAM, Plan};
use crate::{can_boot, configure, service, vault};

/// Prints what it got.
const SHOW: &str = r#"
import json, os
print("got", json.dumps({name: value for name, value in os.environ.items() if name[:2] == "T_"}, sort_keys=True))
"#;

#[test]
fn units_read_the_variables_that_were_written() {
    if !can_boot() {
        return;
    }
    let bao = vault();
    let values = [
        "it's \"x\" # $HOME ${HOME} %h %% ;",
        "#lead",
        ";lead",
        "=",
        "a=b",
        "x'",
        "x\"",
        "a\tb",
        "é😀\u{2028}\u{85}x",
        "~",
        "export A=1",
        "",
    ];
    let named = values.iter().enumerate();
    let fields: serde_json::Map<_, _> = named
        .map(|(number, value)| (format!("t_{number}"), json!(value)))
        .collect();
    bao.put("app", &fields.clone().into());
    let plan = Plan::new();
    let sockets = "[socket]\n[credentials.units.\"x.service\"]\na = \"secret/app\"";
    configure(&plan, &bao, sockets);
    service(&plan, "vaultgram", "RuntimeDirectory=vaultgram");
    plan.file("show.py", SHOW);
    plan.unit(
        "reader.service",
        &format!(
            "[Service]\nType=oneshot\nEnvironmentFile=-/run/app.env\n\
             ExecStartPre=/bin/sh -c 'umask 077; {PROGRAM} get app --format docker >/run/app.env'\n\
             ExecStart=/usr/bin/python3 /vg/show.py"
        ),
    );
    let machine = plan.boot();
    machine.start("vaultgram");
    machine.start("reader");
    let line = machine.line(&["got {"]);
    let got: serde_json::Map<String, serde_json::Value> =
        serde_json::from_str(line.split_once("got ").unwrap().1).unwrap();
    let lower = got
        .into_iter()
        .map(|(name, value)| (name.to_lowercase(), value));
    assert_eq!(lower.collect::<serde_json::Map<_, _>>(), fields);
}

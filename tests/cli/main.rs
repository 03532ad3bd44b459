//! The command line as a person meets it: what it prints, and the code it ends with.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod approvals;
mod audit;
#[path = "../support/certificates.rs"]
mod certificates;
mod ci;
mod config;
#[path = "../support/etcd.rs"]
mod etcd;
mod exec;
mod files;
mod formats;
mod generate;
mod github;
mod help;
mod https;
mod init;
mod monitoring;
mod open;
#[path = "../support/openbao.rs"]
mod openbao;
mod pipelines;
mod render;
mod rules;
#[path = "../support/runner.rs"]
mod runner;
mod served;
mod server;
mod sockets;
mod state;
mod vault_auth;
mod verbs;
mod waiting;
mod watching;

use std::path::Path;
use std::process::{Command, Output};

/// Runs `vaultgram` in `directory` with a clean environment and the given variables.
fn vaultgram(directory: &Path, variables: &[(&str, &str)], arguments: &[&str]) -> Ran {
    let output = Command::new(env!("CARGO_BIN_EXE_vaultgram"))
        .current_dir(directory)
        .env_clear()
        .envs(variables.iter().copied())
        .args(arguments)
        .output()
        .unwrap();
    Ran::from(output)
}

/// What a command printed, and its exit code.
#[derive(Debug)]
struct Ran {
    out: String,
    err: String,
    code: i32,
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        Self {
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
            code: output.status.code().unwrap(),
        }
    }
}

#[test]
fn wrong_usage_is_64() {
    let directory = tempfile::tempdir().unwrap();
    // What a variable says was not typed.
    let variable = [("VAULTGRAM_SOCKET", "/nowhere")];
    let ran = vaultgram(directory.path(), &variable, &["get"]);
    assert!(ran.err.contains("Usage: vaultgram get <PATH"), "{ran:?}");
    for wrong in [&["frobnicate"][..], &[], &["serve", "--frobnicate"]] {
        let ran = vaultgram(directory.path(), &[], wrong);
        assert_eq!((ran.code, ran.out.as_str()), (64, ""), "{wrong:?}: {ran:?}");
        assert!(ran.err.contains("Usage:"), "{ran:?}");
    }
}

#[test]
fn errors_are_json_where_json_is_asked_for() {
    let directory = tempfile::tempdir().unwrap();
    let ran = |arguments: &[&str]| {
        let ran = vaultgram(directory.path(), &[], arguments);
        assert_eq!(ran.out, "", "{arguments:?}");
        let error: serde_json::Value = serde_json::from_str(&ran.err).unwrap();
        assert_eq!(error["error"]["exit"], ran.code, "{arguments:?}: {error}");
        let text = |name| error["error"][name].as_str().unwrap_or_default().to_owned();
        (ran.code, text("what"), text("hint"))
    };
    for (wrong, what, hint) in [
        (
            &["get", "--json"][..],
            "the following required arguments were not provided: <PATH[#field][@version]>",
            "Usage: vaultgram get --json <PATH[#field][@version]>",
        ),
        (
            &["list", "--jsno", "--json"],
            "unexpected argument '--jsno' found",
            "'--json'",
        ),
        (
            &["get", "a@x", "--json"],
            "what follows @ must be a version's number",
            "--help",
        ),
        (&["--json"], "unexpected argument '--json' found", "--help"),
        (
            &["frobnicate", "--json"],
            "unrecognized subcommand 'frobnicate'",
            "--help",
        ),
    ] {
        let (code, said, advice) = ran(wrong);
        assert_eq!(code, 64, "{wrong:?}");
        assert!(
            said.contains(what) && !said.contains("error:"),
            "{wrong:?}: {said}"
        );
        assert!(advice.contains(hint), "{wrong:?}: {advice}");
    }
    // So are those of commands that ask nobody.
    let (code, what, _) = ran(&["session", "show", "--json", "--config", "none.toml"]);
    assert!(code == 78 && what.contains("none.toml"), "{what}");
    assert_eq!(ran(&["audit", "verify", "none.jsonl", "--json"]).0, 66);
    // What is said to a program that is run is not said to us.
    let ran = vaultgram(
        directory.path(),
        &[],
        &["exec", "--frobnicate", "--", "ls", "--json"],
    );
    assert!(ran.code == 64 && ran.err.contains("Usage:"), "{ran:?}");
}

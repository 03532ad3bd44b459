//! The command line as a person meets it: what it prints, and the code it ends with.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod approvals;
mod config;
mod exec;
mod formats;
mod github;
mod help;
mod init;
mod open;
#[path = "../support/openbao.rs"]
mod openbao;
mod render;
mod served;
mod server;
mod sockets;
mod vault_auth;
mod verbs;
mod waiting;

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
    for wrong in [&["frobnicate"][..], &[], &["serve", "--frobnicate"]] {
        let ran = vaultgram(directory.path(), &[], wrong);
        assert_eq!((ran.code, ran.out.as_str()), (64, ""), "{wrong:?}: {ran:?}");
        assert!(ran.err.contains("Usage:"), "{ran:?}");
    }
}

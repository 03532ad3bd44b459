//! Running a client in another language, by other people, on the simulated datacenter.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::disallowed_methods,
    reason = "tests, which read where their tools are"
)]

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::process::Command;

/// The interpreter that has the clients, which `make tools` installs.
fn python() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let tools = std::env::var_os("VAULTGRAM_TOOLS")
        .map_or_else(|| here.join("../../target/tools"), PathBuf::from);
    let python = tools.join("venv/bin/python");
    assert!(
        python.exists(),
        "there is no {}; run: make tools",
        python.display()
    );
    python
}

/// Runs a witness of this directory on a world, told as JSON, until it finds no fault.
pub(crate) async fn testifies(script: &str, world: &str) {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let mut witness = Command::new(python())
        .arg(tests.join(script))
        .stdin(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut stdin = witness.stdin.take().unwrap();
    stdin.write_all(world.as_bytes()).await.unwrap();
    drop(stdin);
    let status = tokio::time::timeout(Duration::from_secs(150), witness.wait())
        .await
        .expect("the witness ends in time")
        .unwrap();
    assert!(
        status.success(),
        "the witness found a fault: {status}; its words are above"
    );
}

//! Running one test of this binary as a process of its own, so that it can be killed or
//! limited.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const DIRECTORY: &str = "VAULTGRAM_TEST_DIRECTORY";

/// The command that runs the ignored test `name` on `directory`, its output readable.
pub(crate) fn command(name: &str, directory: &Path) -> Command {
    // A file over RLIMIT_FSIZE should be an error, not a signal; only a shell can ask for
    // that without unsafe code.
    let mut command = Command::new("sh");
    command
        .args(["-c", r#"trap "" XFSZ; exec "$@""#, "sh"])
        .arg(std::env::current_exe().unwrap())
        .args([name, "--exact", "--ignored", "--nocapture"])
        .env(DIRECTORY, directory)
        .stdout(Stdio::piped());
    command
}

/// In the child: the directory it works on.
#[expect(clippy::disallowed_methods, reason = "how the parent names it")]
pub(crate) fn directory() -> PathBuf {
    std::env::var_os(DIRECTORY).unwrap().into()
}

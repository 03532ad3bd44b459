//! Running one test of this binary as a process of its own, so that it can be killed or
//! limited.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

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

/// Runs the ignored test `name` to its end, which must be a good one.
pub(crate) fn run(name: &str) {
    let dir = tempfile::tempdir().unwrap();
    let mut child = command(name, dir.path()).spawn().unwrap();
    let mut output = String::new();
    child
        .stdout
        .take()
        .unwrap()
        .read_to_string(&mut output)
        .unwrap();
    assert!(child.wait().unwrap().success(), "{output}");
    assert!(output.contains("1 passed"), "{output}");
}

/// In the child: no file may grow beyond `size` bytes, as on a full disk. The limit before.
pub(crate) fn limit_files(size: u64) -> Rlimit {
    let before = getrlimit(Resource::Fsize);
    let limit = Rlimit {
        current: Some(size),
        ..before
    };
    setrlimit(Resource::Fsize, limit).unwrap();
    before
}

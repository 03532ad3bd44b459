//! A real systemd as PID 1 of namespaces of its own, with the units of a test and no others.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// How long anything may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// It runs until this is dropped.
pub(crate) struct Machine {
    child: Child,
    pid: String,
    _directory: TempDir,
}

/// What will be seen as `/vg` inside.
pub(crate) struct Plan {
    directory: TempDir,
}

impl Plan {
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        std::fs::create_dir(directory.path().join("units")).unwrap();
        // For services that are not root.
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(directory.path(), open).unwrap();
        Self { directory }
    }

    /// A file in `/vg`.
    pub(crate) fn file(&self, name: &str, text: &str) {
        std::fs::write(self.directory.path().join(name), text).unwrap();
    }

    /// A unit; `text` begins with its section.
    pub(crate) fn unit(&self, name: &str, text: &str) {
        let text = format!("[Unit]\nDefaultDependencies=no\n{text}\n");
        self.file(&format!("units/{name}"), &text);
    }

    /// Boots it.
    pub(crate) fn boot(self) -> Machine {
        let launcher = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/machine.sh");
        let mut child = Command::new(launcher)
            .arg(self.directory.path())
            .arg(Path::new(env!("CARGO_BIN_EXE_vaultgram")).parent().unwrap())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        output.read_line(&mut line).unwrap();
        let pid = line.trim().strip_prefix("ready ");
        let pid = pid.expect("systemd runs (make tools installs it); see the lines above");
        Machine {
            pid: pid.to_owned(),
            child,
            _directory: self.directory,
        }
    }
}

/// The `vaultgram` binary, inside.
pub(crate) const PROGRAM: &str = "/ro/vaultgram";

impl Machine {
    /// Runs a command as root inside.
    pub(crate) fn run(&self, command: &[&str]) -> Output {
        Command::new("nsenter")
            .args(["-t", &self.pid, "-m", "-p"])
            .args(command)
            .output()
            .unwrap()
    }

    /// What a command that must succeed says.
    pub(crate) fn said(&self, command: &[&str]) -> String {
        let ran = self.run(command);
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        let (out, err) = (text(ran.stdout), text(ran.stderr));
        assert!(
            ran.status.success(),
            "{command:?}: {out}{err}\n{}",
            self.journal()
        );
        out
    }

    /// Starts a unit that must start.
    pub(crate) fn start(&self, unit: &str) {
        self.said(&["systemctl", "start", unit]);
    }

    /// What systemd says of a unit.
    pub(crate) fn show(&self, unit: &str, property: &str) -> String {
        let shown = self.said(&["systemctl", "show", unit, "--value", "-p", property]);
        shown.trim().to_owned()
    }

    /// All messages so far.
    pub(crate) fn journal(&self) -> String {
        let ran = self.run(&["journalctl", "-o", "cat", "--no-pager"]);
        String::from_utf8_lossy(&ran.stdout).into_owned()
    }

    /// Polls until `condition` holds.
    pub(crate) fn wait(&self, what: &str, condition: impl Fn() -> bool) {
        let begun = Instant::now();
        while !condition() {
            assert!(
                begun.elapsed() < PATIENCE,
                "never: {what}\n{}",
                self.journal()
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// The line of the journal that holds all of `words`, which may be about to come.
    pub(crate) fn line(&self, words: &[&str]) -> String {
        let find = || {
            let journal = self.journal();
            let mut lines = journal.lines();
            lines
                .find(|line| words.iter().all(|word| line.contains(word)))
                .map(str::to_owned)
        };
        self.wait(&format!("{words:?}"), || find().is_some());
        find().unwrap()
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        drop(self.child.wait());
    }
}

//! `vaultgram` at a pseudo-terminal, as a person uses it.

use std::fs::File;
use std::io::{Read, Write};
use std::process::{Child, Command};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, tcgetattr};

use crate::stage::PATIENCE;

/// A process and its terminal.
pub(crate) struct Terminal {
    child: Child,
    keyboard: File,
    seen: Arc<Mutex<String>>,
}

impl Terminal {
    /// Starts `command` with a terminal of its own, so that Ctrl-C reaches it and nobody else.
    pub(crate) fn start(command: &Command) -> Self {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let name = ptsname(&master, vec![]).unwrap().into_string().unwrap();
        let slave = || File::options().read(true).write(true).open(&name).unwrap();
        let child = Command::new("setsid")
            .arg("--ctty")
            .arg(command.get_program())
            .args(command.get_args())
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .envs(
                command
                    .get_envs()
                    .filter_map(|(name, value)| Some((name, value?))),
            )
            .stdin(slave())
            .stdout(slave())
            .stderr(slave())
            .spawn()
            .unwrap();
        let seen = Arc::<Mutex<String>>::default();
        let mut screen = File::from(master.try_clone().unwrap());
        let shown = Arc::clone(&seen);
        std::thread::spawn(move || {
            let mut buffer = [0; 1024];
            // It ends with an error when the process closes its terminal.
            while let Ok(read @ 1..) = screen.read(&mut buffer) {
                let text = String::from_utf8_lossy(&buffer[..read]).into_owned();
                shown.lock().unwrap().push_str(&text);
            }
        });
        Self {
            child,
            keyboard: File::from(master),
            seen,
        }
    }

    /// Everything on the screen so far.
    pub(crate) fn screen(&self) -> String {
        self.seen.lock().unwrap().clone()
    }

    /// Waits until the screen shows `text` `times` times.
    pub(crate) fn wait_for(&self, text: &str, times: usize) {
        let start = Instant::now();
        while self.screen().matches(text).count() < times {
            assert!(start.elapsed() < PATIENCE, "no {text:?}: {}", self.screen());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Waits for a question and answers it; whether typing was shown at that time.
    pub(crate) fn answer(&mut self, question: &str, times: usize, answer: &str) -> bool {
        self.wait_for(question, times);
        let modes = tcgetattr(&self.keyboard).unwrap().local_modes;
        self.keyboard.write_all(answer.as_bytes()).unwrap();
        modes.contains(LocalModes::ECHO)
    }

    /// Whether typing is shown now.
    pub(crate) fn echoes(&self) -> bool {
        let modes = tcgetattr(&self.keyboard).unwrap().local_modes;
        modes.contains(LocalModes::ECHO)
    }

    /// Waits for the end; the exit code.
    pub(crate) fn exit(&mut self) -> i32 {
        let start = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code().unwrap();
            }
            assert!(start.elapsed() < PATIENCE, "runs on: {}", self.screen());
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

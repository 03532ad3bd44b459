//! Which program a process runs: its path, and the SHA-256 of its file.

use std::collections::HashMap;
use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use rustix::fs::{CWD, Mode, OFlags, Stat};
use sha2::{Digest, Sha256};

use crate::domain::signs::is_invisible;

/// Largest file that is hashed, in bytes.
const MAX_SIZE: u64 = 256 << 20;
/// The most hashes that are remembered; one more, and it begins anew.
const MAX_HASHES: usize = 256;
/// A file changed more lately than this could change again and keep its times.
const SETTLED: Duration = Duration::from_secs(2);
/// The number of file systems in user space: their owner lets us read one thing and run another.
const FUSE: u64 = 0x6573_5546;

/// The file that a process runs, whatever may be at its path by now.
pub(super) struct Executable {
    file: OwnedFd,
    status: Stat,
}

impl Executable {
    pub(super) fn of(process: &OwnedFd) -> Option<Self> {
        let flags = OFlags::PATH | OFlags::CLOEXEC;
        let file = rustix::fs::openat(process, "exe", flags, Mode::empty()).ok()?;
        let status = rustix::fs::fstat(&file).ok()?;
        Some(Self { file, status })
    }

    /// Its path, if that means this very file to us: a process can live in a mount namespace of
    /// its own making.
    pub(super) fn path(&self, process: &OwnedFd) -> Option<String> {
        let link = rustix::fs::readlinkat(process, "exe", Vec::new()).ok()?;
        let path = link.into_string().ok()?;
        if !path.starts_with('/') || path.contains(is_invisible) {
            return None;
        }
        let named = rustix::fs::stat(&path).ok()?;
        let same = (named.st_dev, named.st_ino) == (self.status.st_dev, self.status.st_ino);
        same.then_some(path)
    }
}

/// One state of one file.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct State {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl State {
    fn of(status: &Metadata) -> Self {
        Self {
            device: status.dev(),
            inode: status.ino(),
            size: status.size(),
            modified: (status.mtime(), status.mtime_nsec()),
            changed: (status.ctime(), status.ctime_nsec()),
        }
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "held beside the times of files, which are the kernel's"
    )]
    fn is_settled(&self) -> bool {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let changed = u64::try_from(self.changed.0).map(Duration::from_secs);
        matches!((now, changed), (Ok(now), Ok(changed)) if now > changed + SETTLED)
    }
}

/// The SHA-256 of executables, each found once.
#[derive(Default)]
pub(super) struct Hashes(Mutex<HashMap<State, String>>);

impl Hashes {
    /// The hash of `executable` in hexadecimal.
    pub(super) fn of(&self, executable: &Executable) -> Option<String> {
        let path = format!("/proc/self/fd/{}", executable.file.as_raw_fd());
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let file = File::from(rustix::fs::openat(CWD, path, flags, Mode::empty()).ok()?);
        let kind = rustix::fs::fstatfs(&file).ok()?.f_type;
        let status = file.metadata().ok()?;
        let state = State::of(&status);
        if u64::try_from(kind) == Ok(FUSE) || !status.is_file() || state.size > MAX_SIZE {
            return None;
        }
        let hashes = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(hash) = hashes().get(&state) {
            return Some(hash.clone());
        }
        let mut hash = Sha256::new();
        io::copy(&mut (&file).take(MAX_SIZE), &mut hash).ok()?;
        if State::of(&file.metadata().ok()?) != state {
            return None;
        }
        let hash = hex::encode(hash.finalize());
        if state.is_settled() {
            let mut hashes = hashes();
            if hashes.len() >= MAX_HASHES {
                hashes.clear();
            }
            hashes.insert(state, hash.clone());
        }
        Some(hash)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::peer::process::tests::Sleeper;

    #[test]
    fn a_program_that_stays_as_it_is_is_hashed_once() {
        let sleeper = Sleeper::start("/bin/sleep");
        let folder = format!("/proc/{}", sleeper.pid());
        let process = rustix::fs::openat(CWD, folder, OFlags::PATH, Mode::empty()).unwrap();
        let executable = Executable::of(&process).unwrap();
        let hashes = Hashes::default();
        let hash = hashes.of(&executable).unwrap();
        let text = std::fs::read("/bin/sleep").unwrap();
        assert_eq!(hash, hex::encode(Sha256::digest(text)));
        for known in hashes.0.lock().unwrap().values_mut() {
            "known".clone_into(known);
        }
        assert_eq!(hashes.of(&executable).unwrap(), "known");
    }
}

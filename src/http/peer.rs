//! Who is at the other end of a connection, as the kernel says it.
//!
//! User and group come from `SO_PEERCRED`, a snapshot the kernel takes at connect. The
//! executable comes from `/proc`, where it must be made sure that the process looked at is the
//! one that connected (ids of processes are reused) and that its path means the same file to
//! us (a process can live in a mount namespace of its own making).
//!
//! The executable narrows what a user's processes may ask; it does not separate two processes
//! of one user, who can trace each other. That is the kernel's border, not ours.

use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::socket::getsockopt;
use nix::sys::socket::sockopt::PeerPidfd;
use rustix::fs::{AtFlags, CWD, Mode, OFlags};
use tokio::net::UnixStream;
use tokio::sync::Semaphore;

use crate::domain::caller::UnixPeer;
use crate::domain::signs::is_invisible;

/// How many connections may be looked up at once. A caller can place its executable on a file
/// system it makes hang; it must not use up the threads others need.
const MAX_LOOKUPS: usize = 16;

/// How long a look-up may take.
const LOOKUP_TIME: Duration = Duration::from_secs(2);

/// Finds out who peers are.
#[derive(Clone)]
pub(super) struct Attestor {
    lookups: Arc<Semaphore>,
}

impl Attestor {
    pub(super) fn new() -> Self {
        Self {
            lookups: Arc::new(Semaphore::new(MAX_LOOKUPS)),
        }
    }

    /// The peer of `stream`. An executable that cannot be made sure of is `None`.
    ///
    /// # Errors
    /// When the kernel gives no credentials; there must then be no connection.
    pub(super) async fn attest(&self, stream: &UnixStream) -> io::Result<UnixPeer> {
        let credentials = stream.peer_cred()?;
        // 0: the process is outside our pid namespace.
        let pid = credentials.pid().unwrap_or(0);
        let uid = credentials.uid();
        let executable = match getsockopt(&stream.as_fd(), PeerPidfd) {
            Ok(pidfd) => self.look_up(pid, uid, Some(pidfd)).await,
            // Kernels before 6.5 cannot pin the process; then /proc alone must do.
            Err(Errno::ENOPROTOOPT) => self.look_up(pid, uid, None).await,
            // The process has ended, and its number may be another's by now.
            Err(_) => None,
        };
        Ok(UnixPeer {
            uid,
            gid: credentials.gid(),
            pid,
            executable,
        })
    }

    async fn look_up(&self, pid: i32, uid: u32, pidfd: Option<OwnedFd>) -> Option<String> {
        let lookup = async {
            let permit = Arc::clone(&self.lookups).acquire_owned().await.ok()?;
            // Not on the task tracker: a look-up that hangs must not hold up a stop.
            let task = tokio::task::spawn_blocking(move || {
                let found = executable(pid, uid, pidfd.as_ref());
                drop(permit);
                found
            });
            task.await.ok().flatten()
        };
        tokio::time::timeout(LOOKUP_TIME, lookup)
            .await
            .ok()
            .flatten()
    }
}

/// The executable of process `pid`, if that is still the process of user `uid` that `pidfd`
/// pins, and if the path means the file that it runs.
fn executable(pid: i32, uid: u32, pidfd: Option<&OwnedFd>) -> Option<String> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    // Once open, it never shows another process, not even one with the same number.
    let process = rustix::fs::openat(CWD, format!("/proc/{pid}"), flags, Mode::empty()).ok()?;
    let started = start_time(&process)?;
    if effective_uid(&process)? != uid {
        return None;
    }
    let link = rustix::fs::readlinkat(&process, "exe", Vec::new()).ok()?;
    let path = link.into_string().ok()?;
    if !path.starts_with('/') || path.contains(is_invisible) {
        return None;
    }
    let runs = rustix::fs::statat(&process, "exe", AtFlags::empty()).ok()?;
    let named = rustix::fs::stat(&path).ok()?;
    if (runs.st_dev, runs.st_ino) != (named.st_dev, named.st_ino) {
        return None;
    }
    let same = match pidfd {
        Some(pidfd) => pinned_pid(pidfd)? == pid,
        None => start_time(&process)? == started,
    };
    same.then_some(path)
}

/// The number of the process a pidfd pins; -1 once it has ended.
fn pinned_pid(pidfd: &OwnedFd) -> Option<i32> {
    let info = fs::read_to_string(format!("/proc/self/fdinfo/{}", pidfd.as_raw_fd())).ok()?;
    let line = info.lines().find_map(|line| line.strip_prefix("Pid:"))?;
    line.trim().parse().ok()
}

/// When the process started, in clock ticks since boot: field 22 of `stat`.
fn start_time(process: &OwnedFd) -> Option<u64> {
    let stat = read(process, "stat")?;
    // Field 2, the name, is in parentheses and can hold spaces and parentheses itself.
    let (_, after_name) = stat.rsplit_once(") ")?;
    after_name.split(' ').nth(19)?.parse().ok()
}

/// The user whose rights the process has.
fn effective_uid(process: &OwnedFd) -> Option<u32> {
    let status = read(process, "status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("Uid:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

fn read(process: &OwnedFd, name: &str) -> Option<String> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    let file = rustix::fs::openat(process, name, flags, Mode::empty()).ok()?;
    io::read_to_string(fs::File::from(file)).ok()
}

#[cfg(test)]
mod tests {
    use std::process::{Child, Command};

    use super::*;

    struct Sleeper(Child);

    impl Sleeper {
        fn start(program: &str) -> Self {
            Self(Command::new(program).arg("1000").spawn().unwrap())
        }

        fn pid(&self) -> i32 {
            self.0.id().try_into().unwrap()
        }
    }

    impl Drop for Sleeper {
        fn drop(&mut self) {
            self.0.kill().unwrap();
            self.0.wait().unwrap();
        }
    }

    fn own_uid() -> u32 {
        rustix::process::geteuid().as_raw()
    }

    fn wait_for_exec(sleeper: &Sleeper, program: &str) -> Option<String> {
        for _ in 0..500 {
            let found = executable(sleeper.pid(), own_uid(), None);
            if found.as_deref() == Some(program) {
                return found;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        None
    }

    #[test]
    fn names_the_program_of_a_process_and_of_no_other_users() {
        let program = fs::canonicalize("/bin/sleep").unwrap();
        let sleeper = Sleeper::start(program.to_str().unwrap());
        assert!(wait_for_exec(&sleeper, program.to_str().unwrap()).is_some());
        assert_eq!(executable(sleeper.pid(), own_uid() + 1, None), None);
    }

    #[test]
    fn a_name_does_not_hide_the_start_time() {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("a) b (c");
        fs::copy("/bin/sleep", &program).unwrap();
        let program = fs::canonicalize(program).unwrap();
        let sleeper = Sleeper::start(program.to_str().unwrap());
        assert!(wait_for_exec(&sleeper, program.to_str().unwrap()).is_some());
        let started = |pid: i32| {
            let flags = OFlags::PATH | OFlags::CLOEXEC;
            let process = rustix::fs::openat(CWD, format!("/proc/{pid}"), flags, Mode::empty());
            start_time(&process.unwrap()).unwrap()
        };
        let own = started(std::process::id().try_into().unwrap());
        assert!(own > 0 && started(sleeper.pid()) >= own);
    }

    #[test]
    fn a_replaced_program_is_not_named() {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("tool");
        fs::copy("/bin/sleep", &program).unwrap();
        let sleeper = Sleeper::start(program.to_str().unwrap());
        assert!(wait_for_exec(&sleeper, program.to_str().unwrap()).is_some());
        fs::remove_file(&program).unwrap();
        assert_eq!(executable(sleeper.pid(), own_uid(), None), None, "deleted");
        fs::copy("/bin/sleep", folder.path().join("tool (deleted)")).unwrap();
        assert_eq!(executable(sleeper.pid(), own_uid(), None), None, "faked");
    }

    #[test]
    fn a_pidfd_of_another_process_is_noticed() {
        let program = fs::canonicalize("/bin/sleep").unwrap();
        let program = program.to_str().unwrap();
        let (mut gone, sleeper) = (
            Command::new("/bin/true").spawn().unwrap(),
            Sleeper::start(program),
        );
        let pidfd = rustix::process::pidfd_open(
            rustix::process::Pid::from_raw(gone.id().try_into().unwrap()).unwrap(),
            rustix::process::PidfdFlags::empty(),
        )
        .unwrap();
        gone.wait().unwrap();
        assert!(wait_for_exec(&sleeper, program).is_some());
        assert_eq!(executable(sleeper.pid(), own_uid(), Some(&pidfd)), None);
    }
}

//! Looking at real processes.

use std::process::{Child, Command};
use std::time::Duration;

use sha2::{Digest, Sha256};

use super::*;

/// A process that does nothing.
pub(in crate::http::peer) struct Sleeper(Child);

impl Sleeper {
    pub(in crate::http::peer) fn start(program: &str) -> Self {
        Self(Command::new(program).arg("1000").spawn().unwrap())
    }

    pub(in crate::http::peer) fn pid(&self) -> i32 {
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

fn executable(pid: i32, uid: u32, pidfd: Option<&OwnedFd>) -> Option<String> {
    examine(UnixPeer::known(uid, 0, pid), pidfd, None)?.executable
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
    let hash = hex::encode(Sha256::digest(fs::read(&program).unwrap()));
    fs::remove_file(&program).unwrap();
    assert_eq!(executable(sleeper.pid(), own_uid(), None), None, "deleted");
    fs::copy("/bin/sleep", folder.path().join("tool (deleted)")).unwrap();
    assert_eq!(executable(sleeper.pid(), own_uid(), None), None, "faked");
    let peer = UnixPeer::known(own_uid(), 0, sleeper.pid());
    let peer = examine(peer, None, Some(&Hashes::default())).unwrap();
    assert_eq!(peer.executable_sha256, Some(hash), "of what it runs");
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

#[test]
fn a_file_that_changes_is_hashed_anew() {
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("tool");
    let hashes = Hashes::default();
    let mut seen = vec![];
    for (round, filler) in [b"a", b"a", b"b"].into_iter().enumerate() {
        if round != 1 {
            let mut text = fs::read("/bin/sleep").unwrap();
            text.extend_from_slice(filler);
            fs::write(&program, text).unwrap();
            fs::set_permissions(
                &program,
                std::os::unix::fs::PermissionsExt::from_mode(0o755),
            )
            .unwrap();
        }
        let sleeper = Sleeper::start(program.to_str().unwrap());
        let path = fs::canonicalize(&program).unwrap();
        assert!(wait_for_exec(&sleeper, path.to_str().unwrap()).is_some());
        let peer = UnixPeer::known(own_uid(), 0, sleeper.pid());
        let found = examine(peer, None, Some(&hashes)).unwrap();
        let hash = hex::encode(Sha256::digest(fs::read(&program).unwrap()));
        assert_eq!(found.executable_sha256.as_deref(), Some(hash.as_str()));
        seen.push(hash);
    }
    assert!(seen[0] == seen[1] && seen[1] != seen[2]);
}

#[test]
fn groups_are_read_with_the_primary_one() {
    let status = "Name:\ta\nUid:\t1\t1\t1\t1\nGroups:\t5 27 1000 \n";
    assert_eq!(groups(status, 7), Some(BTreeSet::from([5, 7, 27, 1000])));
    assert_eq!(groups("Groups:\t \n", 7), Some(BTreeSet::from([7])));
    assert_eq!(groups("Name:\ta\n", 7), None);
    let many: Vec<_> = (0..2000).map(|gid: u32| gid.to_string()).collect();
    assert_eq!(groups(&format!("Groups:\t{}\n", many.join(" ")), 7), None);
}

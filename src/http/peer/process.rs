//! What `/proc` tells of a process, made sure to be the one that connected.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Once;

use rustix::fs::{CWD, Mode, OFlags};

use crate::domain::caller::UnixPeer;
use crate::http::peer::cgroup;
use crate::http::peer::executable::{Executable, Hashes};

/// The most groups that are looked at; a process in more counts as in none that is known.
const MAX_GROUPS: usize = 1024;

/// `peer` with all that can be found out, if its process is still the one that `pidfd` pins, and
/// its user's.
pub(super) fn examine(
    mut peer: UnixPeer,
    pidfd: Option<&OwnedFd>,
    hashes: Option<&Hashes>,
) -> Option<UnixPeer> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    // Once open, it never shows another process, not even one with the same number.
    let folder = format!("/proc/{}", peer.pid);
    let process = rustix::fs::openat(CWD, folder, flags, Mode::empty()).ok()?;
    let started = start_time(&process)?;
    let status = read(&process, "status")?;
    if effective_uid(&status)? != peer.uid {
        return None;
    }
    peer.groups = groups(&status, peer.gid);
    if let Some(executable) = Executable::of(&process) {
        peer.executable = executable.path(&process);
        peer.executable_sha256 = hashes.and_then(|hashes| hashes.of(&executable));
    }
    if let Some(place) = cgroup::place(&read(&process, "cgroup").unwrap_or_default()) {
        peer.unit = place.unit;
        peer.slice = place.slice;
        peer.container = place.container;
        peer.pod = place.pod;
    } else {
        warn_of_namespace();
    }
    let same = match pidfd {
        Some(pidfd) => pinned_pid(pidfd)? == peer.pid,
        None => start_time(&process)? == started,
    };
    same.then_some(peer)
}

fn warn_of_namespace() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        tracing::warn!(
            event = "socket.units_unknown",
            hint = "vaultgram runs in a cgroup namespace of its own, from where units, containers \
                    and pods cannot be told; run it in the host's (docker run --cgroupns host)"
        );
    });
}

/// The number of the process a pidfd pins; -1 once it has ended.
fn pinned_pid(pidfd: &OwnedFd) -> Option<i32> {
    let info = fs::read_to_string(format!("/proc/self/fdinfo/{}", pidfd.as_raw_fd())).ok()?;
    field(&info, "Pid:")?.trim().parse().ok()
}

/// When the process started, in clock ticks since boot: field 22 of `stat`.
fn start_time(process: &OwnedFd) -> Option<u64> {
    let stat = read(process, "stat")?;
    // Field 2, the name, is in parentheses and can hold spaces and parentheses itself.
    let (_, after_name) = stat.rsplit_once(") ")?;
    after_name.split(' ').nth(19)?.parse().ok()
}

/// The user whose rights the process has.
fn effective_uid(status: &str) -> Option<u32> {
    let uids = field(status, "Uid:")?;
    uids.split_whitespace().nth(1)?.parse().ok()
}

/// The groups it is in: the supplementary ones, and `primary`.
fn groups(status: &str, primary: u32) -> Option<BTreeSet<u32>> {
    let others = field(status, "Groups:")?.split_whitespace();
    let mut groups = BTreeSet::from([primary]);
    for group in others {
        groups.insert(group.parse().ok()?);
    }
    (groups.len() <= MAX_GROUPS).then_some(groups)
}

fn field<'t>(text: &'t str, name: &str) -> Option<&'t str> {
    text.lines().find_map(|line| line.strip_prefix(name))
}

fn read(process: &OwnedFd, name: &str) -> Option<String> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    let file = rustix::fs::openat(process, name, flags, Mode::empty()).ok()?;
    io::read_to_string(fs::File::from(file)).ok()
}

#[cfg(test)]
pub(super) mod tests;

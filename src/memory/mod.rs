//! Memory hygiene: what was read is forgotten. Freed memory is wiped, and so are the stacks and
//! registers of threads that wait; the process cannot be dumped; what must be kept is sealed.
//!
//! The promise and its limits: `docs/memory.md`. A test holds it: `tests/memory`.

mod forget;
mod pages;
mod sealed;

pub use sealed::{Kind, Sealed};

use rustix::mm::{MlockAllFlags, mlockall};
use rustix::process::{DumpableBehavior, Resource, getrlimit, set_dumpable_behavior, setrlimit};

/// Wipes every allocation when it is freed, whatever library made it.
#[global_allocator]
static ALLOCATOR: zeroizing_alloc::ZeroAlloc<std::alloc::System> =
    zeroizing_alloc::ZeroAlloc(std::alloc::System);

/// Forbids core dumps: a secret must not be left in one. For every command; where it is not
/// `for_good`, what is run from here may allow them again for itself.
///
/// # Errors
/// When the kernel refuses; the process must not go on to hold secrets.
pub fn forbid_core_dumps(for_good: bool) -> std::io::Result<()> {
    let mut limit = getrlimit(Resource::Core);
    limit.current = Some(0);
    if for_good {
        limit.maximum = Some(0);
    }
    setrlimit(Resource::Core, limit)?;
    Ok(())
}

/// Forbids other processes of the same user to look into this one. Not for short-lived clients:
/// a broker of another user could then not see their executable.
///
/// # Errors
/// When the kernel refuses; the process must not go on to hold secrets.
pub fn forbid_inspection() -> std::io::Result<()> {
    set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    Ok(())
}

/// Memory of this process is not swapped out, where the limit allows it to lock all there may be.
/// With a limit, what is allocated later would fail: then nothing is locked.
///
/// Returns whether it is.
#[must_use]
pub fn lock() -> bool {
    let unlimited = getrlimit(Resource::Memlock).current.is_none();
    if !unlimited && !has_ipc_lock() {
        return false;
    }
    // Pages are locked when they are first touched: a thread's stack is larger than its use.
    let flags = MlockAllFlags::CURRENT | MlockAllFlags::FUTURE | MlockAllFlags::ONFAULT;
    mlockall(flags).is_ok()
}

/// Whether the limit does not concern this process. In a user namespace it does, whatever the
/// capabilities are there.
fn has_ipc_lock() -> bool {
    const CAP_IPC_LOCK: u32 = 14;
    let users = std::fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    if !are_all_users(&users) {
        return false;
    }
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let mask = effective.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask >> CAP_IPC_LOCK & 1 == 1)
}

/// Whether a `uid_map` maps every user to itself, as outside of any user namespace.
fn are_all_users(uid_map: &str) -> bool {
    uid_map.split_whitespace().eq(["0", "0", "4294967295"])
}

/// A runtime whose threads forget what they did whenever they wait. The thread that calls its
/// `block_on` does not: no secret belongs there, nor on the threads for blocking work.
///
/// # Errors
/// When threads cannot be started.
pub fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .on_thread_park(forget::forget)
        // A thread begins with the registers of the one that made it, and may never touch them.
        .on_thread_start(forget::forget)
        .build()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_namespace_is_told_by_whom_it_maps() {
        assert!(are_all_users("         0          0 4294967295\n"));
        for uid_map in [
            "",
            "         0       1000          1\n",
            "         0     100000      65536\n",
            "         0          0      65536\n",
            "         0          1 4294967294\n",
            "         0          0          1\n         1     100000      65536\n",
        ] {
            assert!(!are_all_users(uid_map), "{uid_map}");
        }
    }
}

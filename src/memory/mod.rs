//! Memory hygiene: what was read is forgotten. Freed memory is wiped, and so are the stacks and
//! registers of threads that wait; the process cannot be dumped; what must be kept is sealed.
//!
//! The promise and its limits: `docs/memory.md`. A test holds it: `tests/memory`.

mod pages;
mod sealed;

pub use sealed::{Kind, Sealed};

use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};

/// Wipes every allocation when it is freed, whatever library made it.
#[global_allocator]
static ALLOCATOR: zeroizing_alloc::ZeroAlloc<std::alloc::System> =
    zeroizing_alloc::ZeroAlloc(std::alloc::System);

/// Forbids core dumps: a secret must not be left in one. For every command.
///
/// # Errors
/// When the kernel refuses; the process must not go on to hold secrets.
pub fn forbid_core_dumps() -> std::io::Result<()> {
    setrlimit(
        Resource::Core,
        Rlimit {
            current: Some(0),
            maximum: Some(0),
        },
    )?;
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

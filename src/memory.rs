//! Memory hygiene: freed memory is wiped, the process cannot be dumped.

use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};

/// Wipes every allocation when it is freed, whatever library made it.
#[global_allocator]
static ALLOCATOR: zeroizing_alloc::ZeroAlloc<std::alloc::System> =
    zeroizing_alloc::ZeroAlloc(std::alloc::System);

/// Forbids core dumps and access by other processes of the same user.
///
/// # Errors
/// When the kernel refuses; the process must not go on to hold secrets.
pub fn harden() -> std::io::Result<()> {
    setrlimit(
        Resource::Core,
        Rlimit {
            current: Some(0),
            maximum: Some(0),
        },
    )?;
    set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    Ok(())
}

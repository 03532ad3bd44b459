//! Pages of memory that hold something secret: not swapped, not dumped, wiped when given back.
#![expect(
    unsafe_code,
    reason = "maps memory, and reads and writes what it has mapped; nothing else can"
)]

use std::ffi::c_void;
use std::io;
use std::os::fd::{FromRawFd, OwnedFd};
use std::ptr::{NonNull, null_mut};
use std::slice;

use rustix::fs::ftruncate;
use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mlock, mmap, mmap_anonymous, munmap};
use zeroize::Zeroize;

/// A mapping of its own.
pub(super) struct Pages {
    start: NonNull<u8>,
    len: usize,
}

// SAFETY: the mapping belongs to this value alone, and no thread has a part in it.
unsafe impl Send for Pages {}
// SAFETY: shared, it can only be read.
unsafe impl Sync for Pages {}

impl Pages {
    /// Pages that only this process can read: not even the kernel has them mapped.
    ///
    /// # Errors
    /// Where the kernel has none, or no more of them (`RLIMIT_MEMLOCK`).
    pub(super) fn secret(content: &[u8]) -> io::Result<Self> {
        let close_on_exec = libc::c_uint::try_from(libc::O_CLOEXEC).unwrap_or(0);
        // SAFETY: takes one number and gives a descriptor, or -1.
        let fd = unsafe { libc::syscall(libc::SYS_memfd_secret, close_on_exec) };
        let Some(fd) = i32::try_from(fd).ok().filter(|fd| *fd >= 0) else {
            return Err(io::Error::last_os_error());
        };
        // SAFETY: it was just opened, and nobody else knows it.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        ftruncate(&fd, content.len().max(1) as u64)?;
        let access = ProtFlags::READ | ProtFlags::WRITE;
        let len = content.len().max(1);
        // SAFETY: a new mapping, where the kernel likes it.
        let start = unsafe { mmap(null_mut(), len, access, MapFlags::SHARED, &fd, 0)? };
        Self::filled(start, content)
    }

    /// Ordinary pages, locked where the limit allows it, and in no dump.
    ///
    /// # Errors
    /// Where there is no memory.
    pub(super) fn private(content: &[u8]) -> io::Result<Self> {
        let access = ProtFlags::READ | ProtFlags::WRITE;
        let len = content.len().max(1);
        // SAFETY: a new mapping, where the kernel likes it.
        let start = unsafe { mmap_anonymous(null_mut(), len, access, MapFlags::PRIVATE)? };
        let pages = Self::filled(start, content)?;
        // SAFETY: the mapping just made. Neither is a must; both change nothing of its content.
        let best_effort = unsafe {
            [
                mlock(start, len),
                madvise(start, len, Advice::LinuxDontDump),
            ]
        };
        if best_effort.iter().any(Result::is_err) {
            tracing::debug!(event = "memory.page_not_locked");
        }
        Ok(pages)
    }

    fn filled(start: *mut c_void, content: &[u8]) -> io::Result<Self> {
        let start = NonNull::new(start.cast::<u8>()).ok_or(io::ErrorKind::OutOfMemory)?;
        let len = content.len();
        // SAFETY: `start` is a new mapping of at least `len` bytes, which nobody else knows.
        unsafe { slice::from_raw_parts_mut(start.as_ptr(), len) }.copy_from_slice(content);
        Ok(Self { start, len })
    }

    /// What was put there.
    pub(super) fn bytes(&self) -> &[u8] {
        // SAFETY: mapped and initialised for as long as `self` lives, and written by nobody.
        unsafe { slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        // SAFETY: `self` is the only one that knows the mapping, and goes.
        unsafe { slice::from_raw_parts_mut(self.start.as_ptr(), self.len) }.zeroize();
        // SAFETY: the same mapping, with its length; nothing points into it any more.
        let unmapped = unsafe { munmap(self.start.as_ptr().cast(), self.len.max(1)) };
        if let Err(error) = unmapped {
            tracing::error!(event = "memory.not_unmapped", %error);
        }
    }
}

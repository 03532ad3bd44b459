//! All of a stopped process: its memory, and the registers of its threads.
#![allow(
    unsafe_code,
    reason = "ptrace, which stops the threads and reads their registers, has no safe form"
)]

use std::collections::BTreeSet;
use std::ffi::c_void;
use std::fs;
use std::io;
use std::os::unix::fs::FileExt;
use std::ptr::null_mut;
use std::time::{Duration, Instant};

const PAGE: usize = 4096;
/// General registers.
const NT_PRSTATUS: usize = 1;
/// Everything that `xsave` knows: x87, SSE, AVX and whatever else the processor has.
const NT_X86_XSTATE: usize = 0x202;
/// Mappings that nobody can read through `/proc/PID/mem`: the kernel's own, and secret memory.
const UNREADABLE: [&str; 3] = ["[vvar]", "[vvar_vclock]", "/secretmem (deleted)"];

/// What was read at one place.
pub(crate) struct Part {
    /// The mapping's name, or whose registers these are.
    pub(crate) name: String,
    /// Where in the address space it begins; 0 for registers.
    pub(crate) start: u64,
    pub(crate) bytes: Vec<u8>,
}

/// Everything there was to read, at one moment.
pub(crate) struct Snapshot {
    pub(crate) parts: Vec<Part>,
    pub(crate) threads: usize,
    /// How long it took until nothing moved any more.
    pub(crate) stopping: Duration,
}

impl Snapshot {
    /// Stops every thread of `pid`, reads, and lets them go on.
    pub(crate) fn take(pid: u32) -> Self {
        // Only the thread that stopped them can read, and they go on at the latest with its end.
        std::thread::spawn(move || Self::take_here(pid))
            .join()
            .expect("the process is stopped and read")
    }

    fn take_here(pid: u32) -> Self {
        let began = Instant::now();
        let mut stopped = BTreeSet::new();
        loop {
            let tasks = fs::read_dir(format!("/proc/{pid}/task")).unwrap();
            let names = tasks.map(|task| task.unwrap().file_name().into_string().unwrap());
            let new: Vec<i32> = names
                .map(|name| name.parse().unwrap())
                .filter(|thread| !stopped.contains(thread))
                .collect();
            if new.is_empty() {
                break;
            }
            for thread in new {
                stop(thread);
                stopped.insert(thread);
            }
        }
        let stopping = began.elapsed();
        let mut parts = vec![];
        for thread in &stopped {
            for (set, name) in [(NT_PRSTATUS, "general"), (NT_X86_XSTATE, "extended")] {
                parts.push(Part {
                    name: format!("{name} registers of thread {thread}"),
                    start: 0,
                    bytes: registers(*thread, set),
                });
            }
        }
        read_memory(pid, &mut parts);
        for thread in &stopped {
            ptrace(libc::PTRACE_DETACH, *thread, 0, null_mut()).expect("the thread goes on");
        }
        Self {
            parts,
            threads: stopped.len(),
            stopping,
        }
    }

    /// How many bytes were read.
    pub(crate) fn size(&self) -> usize {
        self.parts.iter().map(|part| part.bytes.len()).sum()
    }
}

fn ptrace(request: libc::c_uint, thread: i32, address: usize, data: *mut c_void) -> io::Result<()> {
    // SAFETY: the requests made here write only to the buffer that `registers` describes.
    let result = unsafe { libc::ptrace(request, thread, address, data) };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

fn stop(thread: i32) {
    ptrace(libc::PTRACE_SEIZE, thread, 0, null_mut()).unwrap_or_else(|error| {
        panic!("cannot look into vaultgram, which lets nobody do so but root: {error}; run as root")
    });
    ptrace(libc::PTRACE_INTERRUPT, thread, 0, null_mut()).unwrap();
    let mut status = 0;
    // SAFETY: writes to `status`.
    let waited = unsafe { libc::waitpid(thread, &raw mut status, libc::__WALL) };
    assert_eq!(waited, thread, "{}", io::Error::last_os_error());
}

fn registers(thread: i32, set: usize) -> Vec<u8> {
    let mut bytes = vec![0; 16 * 1024];
    let mut place = libc::iovec {
        iov_base: bytes.as_mut_ptr().cast(),
        iov_len: bytes.len(),
    };
    let data = (&raw mut place).cast();
    ptrace(libc::PTRACE_GETREGSET, thread, set, data).expect("registers can be read");
    assert!(place.iov_len > 200, "{} bytes of registers", place.iov_len);
    bytes.truncate(place.iov_len);
    bytes
}

/// Every present page of every mapping. What is not present was never written.
fn read_memory(pid: u32, parts: &mut Vec<Part>) {
    let memory = fs::File::open(format!("/proc/{pid}/mem")).unwrap();
    let present = fs::File::open(format!("/proc/{pid}/pagemap")).unwrap();
    let maps = fs::read_to_string(format!("/proc/{pid}/maps")).unwrap();
    for line in maps.lines() {
        let mut words = line.split_whitespace();
        let (range, access) = (words.next().unwrap(), words.next().unwrap());
        let name = words.skip(3).collect::<Vec<_>>().join(" ");
        let (from, to) = range.split_once('-').unwrap();
        let from = u64::from_str_radix(from, 16).unwrap();
        let to = u64::from_str_radix(to, 16).unwrap();
        if name == "[vsyscall]" {
            continue; // Code of the kernel, the same in every process.
        }
        let mut entries = vec![0; usize::try_from((to - from) / PAGE as u64 * 8).unwrap()];
        present
            .read_exact_at(&mut entries, from / PAGE as u64 * 8)
            .unwrap();
        // Bit 63: in memory. Bit 62: swapped out.
        let entries: Vec<bool> = entries
            .chunks_exact(8)
            .map(|bits| bits[7] >> 6 != 0)
            .collect();
        let mut here = (from..to).step_by(PAGE).zip(entries).peekable();
        while let Some((start, first)) = here.next() {
            let mut end = start + PAGE as u64;
            while let Some((page, _)) = here.next_if(|(_, present)| first && *present) {
                end = page + PAGE as u64;
            }
            if !first {
                continue;
            }
            let mut bytes = vec![0; usize::try_from(end - start).unwrap()];
            if let Err(error) = memory.read_exact_at(&mut bytes, start) {
                let expected = UNREADABLE.contains(&name.as_str());
                assert!(expected, "{name} {access} at {start:x}: {error}");
                continue;
            }
            let name = if name.is_empty() { "anonymous" } else { &name };
            parts.push(Part {
                name: format!("{name} {access}"),
                start,
                bytes,
            });
        }
    }
}

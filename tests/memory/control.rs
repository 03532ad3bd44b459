//! The control: what a process leaves behind is found, wherever it leaves it.
#![allow(
    unsafe_code,
    reason = "memory that is freed and not wiped, and certain registers, are not to be had in safe Rust"
)]

use std::arch::asm;
use std::hint::black_box;
use std::io::{Read, Write};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Signal, set_parent_process_death_signal};

use crate::needles::{Needles, value};
use crate::snapshot::Snapshot;

/// What the process is to keep where, and how much of it.
const PLACES: [(&str, usize); 4] = [("heap", 64), ("stack", 64), ("vector", 16), ("general", 8)];

/// How long it may take to get there, on a busy machine.
const PATIENCE: Duration = Duration::from_mins(1);

#[test]
fn copies_are_found_wherever_they_are_left() {
    let mut needles = Needles::default();
    let mut inverted = vec![];
    for (place, len) in PLACES {
        let value = value(len, false);
        needles.add(place, &value);
        inverted.extend(value.bytes().map(|byte| !byte));
    }
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["control::leaves_copies", "--exact", "--ignored"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    assert_eq!(needles.find(&Snapshot::take(child.id())), [""; 0], "before");
    input.write_all(&inverted).unwrap();
    let began = Instant::now();
    let found = loop {
        let found = needles.find(&Snapshot::take(child.id()));
        // The last that it does.
        if found.iter().any(|line| line.starts_with("vector")) || began.elapsed() > PATIENCE {
            break found;
        }
    };
    child.kill().unwrap();
    child.wait().unwrap();
    let all = found.join("\n");
    println!("{all}");
    for (place, len) in PLACES {
        let whole = format!("{place}, raw: {} windows of 8 in ", len - 7);
        let at = found.iter().find_map(|line| line.strip_prefix(&whole));
        let at = at.unwrap_or_else(|| panic!("all of {place} is not found in:\n{all}"));
        match place {
            "vector" => assert!(at.starts_with("extended registers of thread"), "{all}"),
            "general" => assert!(at.starts_with("general registers of thread"), "{all}"),
            _ => assert!(!at.contains("registers"), "{all}"),
        }
    }
}

/// What comes in is inverted, and nothing else is turned back but what is to be found.
#[test]
#[ignore = "the process that is looked at"]
fn leaves_copies() {
    let mut inverted = [0; 64 + 64 + 16 + 8];
    if std::io::stdin().read_exact(&mut inverted).is_err() {
        return;
    }
    set_parent_process_death_signal(Some(Signal::KILL)).unwrap();
    let (heap, rest) = inverted.split_at(64);
    let (stack, rest) = rest.split_at(64);
    let (vector, general) = rest.split_at(16);
    leave_on_heap(heap);
    leave_on_stack(stack);
    hold_in_registers(vector.try_into().unwrap(), general.try_into().unwrap());
}

/// Rust's own allocator wipes here too. What is freed is large, so that nobody takes it again.
fn leave_on_heap(inverted: &[u8]) {
    const LEN: usize = 3000;
    const FROM: usize = 1000;
    assert!(FROM + inverted.len() <= LEN);
    // SAFETY: only what was allocated is written, and none of it after it is freed.
    unsafe {
        let all = libc::malloc(LEN).cast::<u8>();
        assert!(!all.is_null());
        for (at, byte) in inverted.iter().enumerate() {
            all.add(FROM + at).write_volatile(!byte);
        }
        libc::free(all.cast());
    }
}

/// At the far end of a large frame, where nothing called later comes to.
#[inline(never)]
fn leave_on_stack(inverted: &[u8]) {
    let mut frame = [0; 1 << 14];
    for (to, byte) in frame.iter_mut().zip(inverted) {
        *to = !byte;
    }
    black_box(&mut frame);
}

/// Turned back in the registers themselves: they are nowhere in memory.
fn hold_in_registers(vector: [u8; 16], general: [u8; 8]) -> ! {
    // SAFETY: sixteen bytes are read, no memory is written, and it never returns.
    unsafe {
        asm!(
            "not r12",
            "movdqu xmm15, [{vector}]",
            "pcmpeqd xmm14, xmm14",
            "pxor xmm15, xmm14",
            "2:",
            "pause",
            "jmp 2b",
            vector = in(reg) vector.as_ptr(),
            in("r12") u64::from_le_bytes(general),
            options(noreturn, nostack, readonly),
        )
    }
}

//! Wipes what a thread leaves behind before it waits: its registers, and the stack below it.
//!
//! Plaintext passes through both, and a thread that waits keeps them: copying uses registers
//! which nothing overwrites for hours, and calls that have returned leave their frames.
#![expect(
    unsafe_code,
    reason = "one instruction that loads registers; no language has a word for it"
)]

use std::hint::black_box;

/// Deeper than what handles a request reaches below the place where its thread waits.
const STACK: usize = 32 * 1024;

/// Wipes this thread's unused stack, and every register that no caller relies on.
pub(super) fn forget() {
    wipe_stack();
    wipe_registers();
}

/// Not inlined: its frame lies where those that returned before lay.
#[expect(clippy::large_stack_arrays, reason = "its size is its use")]
#[inline(never)]
fn wipe_stack() {
    let mut below = [0_u8; STACK];
    black_box(&mut below);
}

/// What `xrstor` takes for "as after a reset": the header says that nothing is stored, and
/// the control word of SSE, which is read all the same, has its usual value.
#[cfg(target_arch = "x86_64")]
#[repr(C, align(64))]
struct AtReset {
    x87: [u8; 24],
    mxcsr: u32,
    rest: [u8; 548],
}

#[cfg(target_arch = "x86_64")]
static AT_RESET: AtReset = AtReset {
    x87: [0; 24],
    mxcsr: 0x1f80,
    rest: [0; 548],
};

/// x87, SSE, AVX and AVX-512: what copying and arithmetic use.
#[cfg(target_arch = "x86_64")]
const WIPED: u32 = 0b1110_0111;

#[cfg(target_arch = "x86_64")]
fn wipe_registers() {
    if !std::arch::is_x86_feature_detected!("xsave") {
        return;
    }
    // SAFETY: it reads 576 bytes, aligned to 64, and loads registers that are the called function's
    // to change, which `clobber_abi` says; the control words keep their usual values.
    unsafe {
        std::arch::asm!(
            "xrstor64 [{area}]",
            area = in(reg) &raw const AT_RESET,
            in("eax") WIPED,
            in("edx") 0,
            clobber_abi("C"),
            options(nostack, readonly),
        );
    }
}

/// Elsewhere registers are left as they are; docs/memory.md says so.
#[cfg(not(target_arch = "x86_64"))]
fn wipe_registers() {}

#[cfg(test)]
mod tests {
    use super::*;

    /// A calculation in vector registers, whose result is not kept.
    #[test]
    fn arithmetic_goes_on_as_before() {
        let third = black_box(1.0_f64) / 3.0;
        forget();
        let again = black_box(1.0_f64) / 3.0;
        assert_eq!(third.to_bits(), again.to_bits());
        let words: String = black_box(vec!["a"; 1000]).concat();
        forget();
        assert_eq!(words.len(), 1000);
    }

    #[cfg(target_arch = "x86_64")]
    #[test]
    fn vector_registers_are_wiped() {
        let (before, after): (u64, u64);
        let value = 0x5ec2_e75e_c2e7_u64;
        // SAFETY: only registers are touched, and all of them are declared.
        unsafe {
            std::arch::asm!("movq xmm5, {}", "movq {}, xmm5",
                in(reg) value, lateout(reg) before, out("xmm5") _);
        }
        wipe_registers();
        // SAFETY: reads a register.
        unsafe { std::arch::asm!("movq {}, xmm5", out(reg) after) };
        assert_eq!((before, after), (value, 0));
    }

    #[test]
    fn the_stack_below_is_wiped() {
        #[inline(never)]
        fn leave() -> *const u8 {
            let frame = [0xa7_u8; 8192];
            black_box(&frame).as_ptr()
        }
        let place = leave();
        forget();
        // SAFETY: below this frame, but part of this thread's stack, which stays mapped.
        let found = (0..8192).filter(|at| unsafe { place.add(*at).read_volatile() } == 0xa7);
        assert!(
            found.count() < 64,
            "a few registers saved there since, at most"
        );
    }
}

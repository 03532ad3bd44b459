//! Random bytes from the system.

/// An array of random bytes.
pub(crate) fn bytes<const N: usize>() -> [u8; N] {
    let mut out = [0; N];
    if let Err(error) = getrandom::fill(&mut out) {
        // Zeros make a client notice at once; a simulator needs no better answer.
        tracing::error!(%error, "the system gives no random bytes");
    }
    out
}

/// A random number that is not zero.
pub(crate) fn id() -> i64 {
    i64::from_le_bytes(bytes()) | 1
}

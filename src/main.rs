//! The `vaultgram` binary.

fn main() {}

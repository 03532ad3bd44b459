//! Jobs on HTTPS: the compiled `vaultgram` as a process, a real OpenBao, a loopback issuer.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, and says what it has measured"
)]

mod approvals;
#[path = "../support/certificates.rs"]
mod certificates;
mod client;
mod crowd;
mod forged;
mod hostile;
#[path = "../support/issuer.rs"]
mod issuer;
mod jobs;
#[path = "../support/openbao.rs"]
mod openbao;
mod served;
mod signed;
mod tls;

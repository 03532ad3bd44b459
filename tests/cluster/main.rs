//! What stands on etcd, on a real one: its users and certificates as `policies/etcd` lays them out.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test fails by panicking"
)]

#[path = "../support/certificates.rs"]
mod certificates;
#[path = "../support/etcd.rs"]
mod etcd;
mod nodes;
#[path = "../support/openbao.rs"]
mod openbao;

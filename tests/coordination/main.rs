//! The coordination stores: one contract for all, and what concerns a file on disk, or etcd.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

#[path = "../support/certificates.rs"]
mod certificates;
mod client;
mod contract;
mod crash;
mod deliveries;
#[path = "../support/etcd.rs"]
mod etcd;
mod local;
#[path = "../support/openbao.rs"]
mod openbao;
mod replicas;
mod signs;

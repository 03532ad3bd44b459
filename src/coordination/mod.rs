//! State that outlives the process: claims, and small values such as pending deletions.
//!
//! [`local`] keeps it in one file, for one replica; [`etcd`] in etcd, for several. What every store
//! must do is written as tests, in `tests/coordination/contract.rs`.

mod database;
pub mod etcd;
pub mod local;

pub use database::OpenError;
pub use local::LocalStore;

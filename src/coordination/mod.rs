//! State that outlives the process: claims, and small values such as pending deletions.
//!
//! [`local`] keeps it in one file, for one replica; [`etcd`] in etcd, for several. What every store
//! must do is written as tests, in `tests/coordination/contract.rs`.

mod database;
pub mod etcd;
mod kept;
pub mod key;
pub mod local;
mod state_file;

pub use database::OpenError;
pub use kept::{Kept, Mark, What};
pub use local::LocalStore;
pub use state_file::StateFile;

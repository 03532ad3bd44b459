//! The store that replicas share, in etcd.

mod client;
mod failure;
mod kv;
mod node;
mod nodes;
mod settings;
mod times;
mod watching;

pub use settings::{Reach, Tls};

//! State that several replicas share, in etcd.

mod client;
mod failure;
pub mod kv;
mod node;
mod nodes;
mod settings;
mod times;
mod watching;

pub use client::EtcdClient;
pub use settings::{Reach, Tls};

//! State that several replicas share, in etcd: [`store`] is the protocol, over what [`kv`] says that it
//! needs of etcd, and [`EtcdClient`] is the real one.

mod client;
mod examine;
mod failure;
pub mod kv;
mod node;
mod nodes;
mod settings;
pub mod store;
mod times;
mod watching;

pub use client::EtcdClient;
pub use examine::{Examined, NodeFacts};
pub use settings::{Reach, Tls};
pub use store::{AtRest, EtcdStore};

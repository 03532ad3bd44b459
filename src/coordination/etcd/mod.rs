//! State that several replicas share, in etcd: [`store`] is the protocol, over what [`kv`] says that it
//! needs of etcd.

pub mod kv;
pub mod store;

pub use store::EtcdStore;

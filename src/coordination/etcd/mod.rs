//! State that several replicas share, in etcd.

pub mod kv;

//! `MTProto` 2.0 seen from the server: encryption, containers, gzip, salts and the
//! rules that a session's messages keep.

pub(crate) mod container;
pub(crate) mod crypto;
pub(crate) mod gzip;
pub(crate) mod packet;
pub(crate) mod salts;
pub(crate) mod session;

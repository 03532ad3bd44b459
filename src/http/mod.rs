//! The Unix socket front end: Vault's API, to local processes the kernel vouches for.
//!
//! [`bind()`] makes the socket (as long as the process may set its owner), [`Listener::serve`]
//! answers on it. A caller is what `SO_PEERCRED` says of the connection; tokens are ignored.

mod ask;
mod bind;
mod body;
mod capabilities;
mod error;
mod leases;
mod metadata;
mod peer;
mod query;
mod read;
mod reply;
mod route;
mod socket;
mod stalled_write;
mod system;
mod vault_api;
mod wrapping;
mod write;

pub use bind::{BindError, bind};
pub use socket::{Listener, Settings, Timeouts};

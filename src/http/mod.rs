//! The Unix socket front end: Vault's API, for reading and for engines, to local processes the kernel vouches for.
//!
//! [`bind()`] makes a socket (as long as the process may set its owner), [`Listener::serve`]
//! answers on it. A caller is what the kernel says of the connection ([`Attestor`]); tokens are
//! ignored.

mod bind;
mod body;
mod error;
mod leases;
mod limits;
mod peer;
mod query;
mod reply;
mod socket;
mod stream;
mod target;
mod vault_api;

pub use bind::{BindError, bind};
pub use limits::Limits;
pub use peer::Attestor;
pub use socket::{Listener, Settings, Timeouts};

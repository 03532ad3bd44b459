//! The Unix socket front end: Vault's API, for reading and for engines, to local processes the kernel vouches for.
//!
//! [`bind()`] makes a socket (as long as the process may set its owner), or [`adopt`] takes over one
//! that systemd made; [`Listener::serve`] answers on it, [`Listener::serve_credentials`] as systemd's
//! `LoadCredential=` wants it. A caller is what the kernel says of the connection ([`Attestor`]); tokens are
//! ignored.

mod bind;
mod body;
mod credentials;
mod error;
mod leases;
mod peer;
mod query;
mod reply;
mod socket;
mod stalled_write;
mod target;
mod vault_api;

pub use bind::{BindError, adopt, bind};
pub use peer::Attestor;
pub use socket::{Listener, Settings, Timeouts};

//! Vault's API: on Unix sockets, to local processes the kernel vouches for, and over HTTPS, to jobs that
//! prove who they are. [`Scrape`] tells metrics to whoever connects.
//!
//! [`bind()`] makes a socket (as long as the process may set its owner), or [`adopt`] takes over one
//! that systemd made; [`Listener::serve`] answers on it, [`Listener::serve_credentials`] as systemd's
//! `LoadCredential=` wants it. A caller is what the kernel says of the connection ([`Attestor`]); tokens are
//! ignored. [`Https`] does the same for jobs, whose word is checked first ([`Identity`]).

mod approvals;
mod ask;
mod bind;
mod body;
mod capabilities;
mod cluster;
mod connection;
mod credentials;
mod error;
mod health;
mod https;
mod leases;
mod limits;
mod metadata;
mod metrics;
mod network;
mod peer;
mod query;
mod read;
mod reply;
mod rotate;
mod route;
mod scrape;
mod socket;
mod stream;
mod system;
mod tls;
mod validity;
mod vault_api;
mod wrapping;
mod write;

pub use bind::{BindError, adopt, bind, is_listened_at};
pub use connection::Timeouts;
pub use https::{Https, Identity, Settings as HttpsSettings};
pub use limits::Limits;
pub use peer::Attestor;
pub use scrape::{SCRAPERS, Scrape};
pub use socket::{Listener, Settings};
pub use tls::{TlsFiles, certificate_ends};
pub use vault_api::VaultApi;

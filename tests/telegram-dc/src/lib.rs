//! A simulated Telegram datacenter that speaks `MTProto` 2.0 over TCP on loopback.
//!
//! Clients cannot tell it from Telegram in what it simulates; the README says what it
//! does not. A test starts one, adds people, gives the client under test a key that is
//! signed in already, and then acts as the people:
//!
//! ```
//! use std::time::Duration;
//! use telegram_dc::{Chat, Datacenter, Options, User};
//!
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let dc = Datacenter::start(Options::default()).await?;
//! let broker = dc.add_user(User::new(5000, "Broker").username("broker"));
//! let alice = dc.add_user(User::new(1001, "Alice"));
//! // For the client's session: `DcOption { id, ipv4, auth_key: Some(key), .. }`.
//! let (key, id, address) = (dc.provision_key(broker), dc.id(), dc.address());
//!
//! dc.send(alice, Chat::User(broker), "/get_secret db/password")?;
//! let patience = Duration::from_millis(10);
//! let answer = dc.wait_for(alice, Chat::User(broker), patience, |m| !m.out).await;
//! assert!(answer.is_none(), "no client is connected in this example");
//! # Ok(()) }
//! # tokio::runtime::Runtime::new().unwrap().block_on(run()).unwrap();
//! ```

mod absence;
mod bots;
mod clock;
mod connection;
mod content;
mod control;
mod datacenter;
mod devices;
mod faults;
mod framing;
mod keyexchange;
mod logins;
mod model;
mod mtproto;
mod people;
mod random;
mod rpc;
mod shared;
mod srp;
mod tl;
mod world;

pub use bots::CallbackAnswer;
pub use content::{Button, Document};
pub use control::{Fault, UNKNOWN_METHOD};
pub use datacenter::{Datacenter, Options};
pub use devices::{Authorization, DeviceInfo};
pub use faults::Revocation;
pub use model::{
    ANONYMOUS_ADMIN, Announce, Chat, Draft, Event, Form, Message, Refusal, SERVICE_USER, Sender,
    Sent, User,
};

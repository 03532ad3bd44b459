//! What all connections of a datacenter share.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};

use crate::clock::Clock;
use crate::control::{Control, lock};
use crate::keyexchange::RsaKey;
use crate::mtproto::salts::Salts;
use crate::world::World;

/// The datacenter, without the tasks that serve it.
pub(crate) struct Shared {
    pub(crate) dc_id: i32,
    pub(crate) address: SocketAddr,
    pub(crate) clock: Arc<Clock>,
    pub(crate) salts: Salts,
    pub(crate) control: Control,
    pub(crate) rsa: RsaKey,
    world: Mutex<World>,
}

impl Shared {
    pub(crate) fn new(dc_id: i32, address: SocketAddr) -> Self {
        let clock = Arc::new(Clock::default());
        Self {
            dc_id,
            address,
            world: Mutex::new(World::new(Arc::clone(&clock))),
            clock,
            salts: Salts::default(),
            control: Control::default(),
            rsa: RsaKey::built_in(),
        }
    }

    /// The world, until the guard is dropped.
    pub(crate) fn world(&self) -> MutexGuard<'_, World> {
        lock(&self.world)
    }
}

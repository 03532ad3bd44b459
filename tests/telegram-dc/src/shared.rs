//! What all connections of a datacenter share, most of it with every datacenter of its world.

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
    pub(crate) salts: Arc<Salts>,
    pub(crate) control: Arc<Control>,
    pub(crate) rsa: RsaKey,
    world: Arc<Mutex<World>>,
}

impl Shared {
    pub(crate) fn new(dc_id: i32, address: SocketAddr) -> Self {
        let clock = Arc::new(Clock::default());
        let mut world = World::new(Arc::clone(&clock));
        world.datacenters.push((dc_id, address));
        Self {
            dc_id,
            address,
            world: Arc::new(Mutex::new(world)),
            clock,
            salts: Arc::default(),
            control: Arc::default(),
            rsa: RsaKey::built_in(),
        }
    }

    /// Another datacenter of the same world.
    pub(crate) fn beside(&self, dc_id: i32, address: SocketAddr) -> Self {
        self.world().datacenters.push((dc_id, address));
        Self {
            dc_id,
            address,
            world: Arc::clone(&self.world),
            clock: Arc::clone(&self.clock),
            salts: Arc::clone(&self.salts),
            control: Arc::clone(&self.control),
            rsa: RsaKey::built_in(),
        }
    }

    /// The world, until the guard is dropped.
    pub(crate) fn world(&self) -> MutexGuard<'_, World> {
        lock(&self.world)
    }
}

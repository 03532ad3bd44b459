//! A simulated etcd, replicas that can be frozen and killed, and what must hold whatever they go through.
//! All of it in virtual time, and the same each time.

mod history;
mod link;
mod record;
mod replica;
mod server;
mod world;

use std::sync::{Arc, Mutex};

use time::OffsetDateTime;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::Settings;
use crate::broker::ports::{Clock, Random};

pub(super) use self::history::{Event, Step, run};
pub(super) use self::link::Fault;
pub(super) use self::replica::Replica;
pub(super) use self::server::Server;

/// The time of day, by tokio's clock.
pub(super) struct SimClock {
    start: Instant,
    /// By how much it is wrong, in milliseconds.
    wrong: Mutex<i64>,
}

impl SimClock {
    pub(super) fn new(start: Instant) -> Self {
        let wrong = Mutex::new(0);
        Self { start, wrong }
    }

    pub(super) fn shift(&self, wrong: i64) {
        *self.wrong.lock().unwrap() = wrong;
    }
}

impl Clock for SimClock {
    fn now(&self) -> OffsetDateTime {
        let begin = OffsetDateTime::from_unix_timestamp(1_800_000_000).unwrap();
        let wrong = time::Duration::milliseconds(*self.wrong.lock().unwrap());
        begin + self.start.elapsed() + wrong
    }
}

/// Numbers that are the same each time: splitmix64.
pub(super) struct SimRandom(Mutex<u64>);

impl SimRandom {
    pub(super) fn new(seed: u64) -> Self {
        Self(Mutex::new(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15)))
    }
}

impl Random for SimRandom {
    fn fill(&self, bytes: &mut [u8]) {
        let mut state = self.0.lock().unwrap();
        for chunk in bytes.chunks_mut(8) {
            *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
            let mut z = *state;
            z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            let z = (z ^ (z >> 31)).to_be_bytes();
            chunk.copy_from_slice(&z[..chunk.len()]);
        }
    }
}

/// Some replicas that are members, and nothing else.
pub(super) struct Company {
    pub(super) server: Arc<Server>,
    pub(super) replicas: Vec<Replica>,
    /// Ends leases.
    _running: JoinSet<()>,
}

/// `count` replicas with the usual settings.
pub(super) async fn company(count: u64) -> Company {
    let server = Arc::new(Server::new());
    let mut running = JoinSet::new();
    let running_server = Arc::clone(&server);
    running.spawn(async move { running_server.run().await });
    let start = |seed| Replica::start(&server, Instant::now(), seed, &Settings::default());
    let replicas: Vec<_> = (1..=count).map(start).collect();
    for replica in &replicas {
        replica.joined().await;
    }
    // So that each knows of the others.
    tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    Company {
        server,
        replicas,
        _running: running,
    }
}

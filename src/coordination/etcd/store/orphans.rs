//! Claims in our name of which nobody was told, as who claimed went away or etcd answered late. They
//! would be held until this process ends.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::sleep;
use tracing::debug;

use super::EtcdStore;

/// Between two tries.
const PAUSE: Duration = Duration::from_millis(500);
/// Most that are looked after; the watch tells again of those that are left out.
const MOST: usize = 4096;

/// The keys of what may be such claims.
#[derive(Default)]
pub(super) struct Orphans {
    keys: Mutex<BTreeSet<String>>,
    came: Notify,
}

impl Orphans {
    pub(super) fn push(&self, key: &str) {
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        if keys.len() < MOST {
            keys.insert(key.to_owned());
            self.came.notify_one();
        }
    }

    fn pop(&self) -> Option<String> {
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        keys.pop_first()
    }
}

impl EtcdStore {
    /// Gives up what nobody was told of. Never returns.
    pub(super) async fn release_orphans(&self) {
        loop {
            self.orphans.came.notified().await;
            while let Some(key) = self.orphans.pop() {
                // In an earlier term is anybody's by now.
                if self.membership.current().is_none() {
                    continue;
                }
                if let Err(error) = self.release(&key).await {
                    debug!(event = "coordination.not_released", key, %error);
                    self.orphans.push(&key);
                    sleep(PAUSE).await;
                }
            }
        }
    }
}

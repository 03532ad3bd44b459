//! When to look for what processes that have ended left behind.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use crate::broker::ports::Coordination;

/// How often it is looked without being told: an end that falls between two waits is told to
/// nobody.
const LOOK_EVERY: Duration = Duration::from_mins(1);

/// Waits for something to inherit.
pub struct Heir {
    coordination: Arc<dyn Coordination>,
    /// There were others once.
    shared: bool,
    /// How many ends were told of when it was last looked.
    told: u64,
    next: Instant,
}

impl Heir {
    /// One that waits for what there is in `coordination`.
    #[must_use]
    pub fn new(coordination: &Arc<dyn Coordination>) -> Self {
        Self {
            coordination: Arc::clone(coordination),
            shared: false,
            told: coordination.bereavements(),
            next: Instant::now() + LOOK_EVERY,
        }
    }

    /// Returns when there may be something to inherit, also what came up since it last returned: whoever
    /// looked meanwhile may have looked too early. May be cancelled at any time.
    pub async fn wait(&mut self) {
        loop {
            self.shared |= !self.coordination.alone();
            let told = self.coordination.bereavements();
            if told != self.told {
                self.told = told;
                self.shared = true;
                return;
            }
            tokio::select! {
                () = self.coordination.bereaved() => {}
                () = sleep_until(self.next) => {
                    self.next = Instant::now() + LOOK_EVERY;
                    if self.shared {
                        return;
                    }
                }
            }
        }
    }
}

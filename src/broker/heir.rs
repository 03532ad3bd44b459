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
    next: Instant,
}

impl Heir {
    /// One that waits for what there is in `coordination`.
    #[must_use]
    pub fn new(coordination: &Arc<dyn Coordination>) -> Self {
        Self {
            coordination: Arc::clone(coordination),
            shared: false,
            next: Instant::now() + LOOK_EVERY,
        }
    }

    /// Returns when there may be something to inherit. May be cancelled at any time.
    pub async fn wait(&mut self) {
        loop {
            self.shared |= !self.coordination.alone();
            tokio::select! {
                () = self.coordination.bereaved() => {
                    self.shared = true;
                    return;
                }
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

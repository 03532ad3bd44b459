//! Turns: what no two replicas may do at once, because each looks before it writes. Within a process
//! a mutex sees to that.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout_at};
use tokio_util::task::TaskTracker;

use crate::broker::ports::{Claim, Coordination};
use crate::broker::{ApprovalError, Broker, BrokerError};

/// The longest that a turn is kept, should it not be given back: longer than starting a pipeline takes.
const LONGEST: time::Duration = time::Duration::minutes(2);
/// How long one is waited for.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often it is looked for one that this very process still gives back.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Somebody's turn; dropped, it is the next one's.
pub(super) struct Turn {
    coordination: Arc<dyn Coordination>,
    key: String,
}

impl Broker {
    /// Waits for the turn at `name` of all replicas; there is none to wait for where there are no
    /// others.
    pub(super) async fn turn(&self, name: &str) -> Result<Option<Turn>, BrokerError> {
        if !self.has_company() {
            return Ok(None);
        }
        let key = format!("turns/{name}");
        let deadline = Instant::now() + PATIENCE;
        loop {
            let until = self.now() + LONGEST;
            let claiming = self.ports.coordination.claim(&key, until);
            match timeout_at(deadline, claiming)
                .await
                .unwrap_or(Ok(Claim::Taken))?
            {
                Claim::Ours | Claim::Abandoned => {
                    let coordination = Arc::clone(&self.ports.coordination);
                    return Ok(Some(Turn { coordination, key }));
                }
                Claim::Taken | Claim::Done if Instant::now() < deadline => {
                    sleep(LOOK_EVERY).await;
                }
                Claim::Taken | Claim::Done => return Err(ApprovalError::Busy.into()),
            }
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let (coordination, key) = (Arc::clone(&self.coordination), self.key.clone());
        TaskTracker::new().spawn(async move {
            if let Err(error) = coordination.delete(&key).await {
                tracing::warn!(event = "broker.turn_not_given_back", key, %error);
            }
        });
    }
}

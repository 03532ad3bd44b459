//! Other replicas, where there are any.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use tokio::time::timeout;

use crate::broker::Broker;
use crate::broker::ports::{Cluster, ClusterView};
use crate::domain::RequestId;

/// Longest that a look may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// What this replica tells the others of its work, and how it asks for theirs.
#[derive(Default)]
pub(super) struct Company {
    cluster: OnceLock<Arc<dyn Cluster>>,
    answered: AtomicU64,
    last: Mutex<Option<RequestId>>,
}

/// The messages that this process answered.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Answers {
    /// How many.
    pub count: u64,
    /// The last one.
    pub last: Option<RequestId>,
}

impl Company {
    /// `id` was answered.
    pub(super) fn answered(&self, id: &RequestId) {
        self.answered.fetch_add(1, Ordering::Relaxed);
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        *last = Some(id.clone());
    }
}

impl Broker {
    /// This process is one of several. Only the first call counts.
    pub fn join(&self, cluster: Arc<dyn Cluster>) {
        self.company.cluster.get_or_init(|| cluster);
    }

    /// Who else is there; `None` for who is always alone.
    pub async fn cluster(&self) -> Option<ClusterView> {
        let cluster = self.company.cluster.get()?;
        // Who does not answer is not there.
        let view = timeout(PATIENCE, cluster.view()).await;
        Some(view.unwrap_or_default())
    }

    /// The messages that this process answered.
    #[must_use]
    pub fn answers(&self) -> Answers {
        let last = &self.company.last;
        Answers {
            count: self.company.answered.load(Ordering::Relaxed),
            last: last.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        }
    }
}

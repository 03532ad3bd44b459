//! What webhooks tell: of which runs something changed. Whoever looks at GitHub looks there first.

use super::followed::place_of;
use crate::broker::Broker;
use crate::broker::ports::CoordinationError;
use crate::broker::ports::pipelines::{Repository, RunId};

/// Where it is kept.
const HEARD: &str = "pipelines/heard/";
/// Most that wait to be looked at; of more, the next look finds out by itself.
const MAX_HEARD: usize = 1000;

/// That something of a run changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Heard {
    key: String,
    value: Vec<u8>,
    pub(super) repository: Repository,
    pub(super) run: RunId,
}

impl Broker {
    /// Whether the pipelines of `repository` are served.
    #[must_use]
    pub fn serves_pipelines_of(&self, repository: &Repository) -> bool {
        let served = self.ports.pipelines.as_ref();
        served.is_some_and(|served| served.repositories.contains(repository))
    }

    /// Has what changed of a run be looked at soon, whichever replica does that.
    ///
    /// # Errors
    /// When the state store fails.
    pub async fn hear_of_run(
        &self,
        repository: &Repository,
        run: RunId,
    ) -> Result<(), CoordinationError> {
        let coordination = &self.ports.coordination;
        if coordination.list(HEARD).await?.len() < MAX_HEARD {
            // Another value each time: what is told while somebody looks, is looked at again.
            let value = self.number().to_be_bytes();
            let key = format!("{HEARD}{repository}/{run}");
            coordination.put(&key, &value).await?;
        }
        self.watching.news.notify_one();
        Ok(())
    }

    /// What was told and not looked at.
    pub(super) async fn heard(&self) -> Result<Vec<Heard>, CoordinationError> {
        let found = self.ports.coordination.list(HEARD).await?.into_iter();
        let read = found.filter_map(|(key, value)| {
            let (repository, run) = place_of(key.strip_prefix(HEARD)?)?;
            Some(Heard {
                key,
                value,
                repository,
                run,
            })
        });
        Ok(read.collect())
    }

    /// It was looked at.
    pub(super) async fn heard_out(&self, heard: &Heard) -> Result<(), CoordinationError> {
        let (key, value) = (&heard.key, &heard.value);
        let gone = self.ports.coordination.swap(key, Some(value), None);
        gone.await.map(drop)
    }
}

//! Runs that are told of: in which chat, what is to stand there, and what does.

use serde::{Deserialize, Serialize};

use crate::broker::Broker;
use crate::broker::ports::CoordinationError;
use crate::broker::ports::pipelines::{Repository, RunId};

/// Where they are kept.
const FOLLOWED: &str = "pipelines/followed/";
/// Most of them that have not ended: each is looked at again and again.
const MAX_FOLLOWED: usize = 300;

/// A run that is told of in a chat, in one message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Followed {
    /// The chat, in bot-API notation.
    pub chat: i64,
    /// What the message is to say; nothing yet, while [`Followed::revision`] is 0.
    pub text: String,
    /// How often that changed.
    pub revision: u64,
    /// What stands in the chat.
    pub place: Place,
    /// When the run last changed, by our clock, in unix seconds.
    pub(super) changed: i64,
    /// When something of it last changed, by GitHub's.
    pub(super) updated: i64,
    /// It ended.
    pub(super) over: bool,
    pub(super) repository: String,
    pub(super) run: u64,
}

/// A message that is kept up to date, in one chat.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// Its number, where that is known.
    pub message: Option<i32>,
    /// The revision that it shows; none while it is posted, which the end of a process can cut off.
    pub revision: Option<u64>,
    /// Telegram does not let us write there.
    #[serde(default)]
    pub refused: bool,
}

impl Followed {
    /// Names it: `acme/shop/1001`.
    #[must_use]
    pub fn name(&self) -> String {
        format!("{}/{}", self.repository, self.run)
    }

    /// Whether the chat shows something else than it is to.
    #[must_use]
    pub fn is_stale(&self) -> bool {
        self.revision > 0 && self.place.revision < Some(self.revision)
    }

    /// The run.
    pub(super) fn run(&self) -> Option<(Repository, RunId)> {
        let repository = Repository::new(&self.repository).ok()?;
        Some((repository, RunId::new(self.run)?))
    }

    pub(super) fn key(&self) -> String {
        format!("{FOLLOWED}{}/{}", self.chat, self.name())
    }
}

impl Broker {
    /// Has a run told of in `chat` from now on; once more, where it was told to its end.
    pub(in crate::broker) async fn follow_run(
        &self,
        chat: i64,
        repository: &Repository,
        run: RunId,
    ) -> Result<(), CoordinationError> {
        let all = self.followed().await?;
        let mut new = Followed {
            chat,
            text: String::new(),
            revision: 0,
            place: Place::default(),
            changed: self.now().unix_timestamp(),
            updated: 0,
            over: false,
            repository: repository.to_string(),
            run: run.get(),
        };
        let known = all.iter().find(|it| it.key() == new.key());
        if known.is_none() && all.iter().filter(|it| !it.over).count() >= MAX_FOLLOWED {
            tracing::warn!(event = "broker.run_not_followed", %repository, run = run.get());
            return Ok(());
        }
        if let Some(known) = known {
            new = Followed {
                over: false,
                changed: new.changed,
                ..known.clone()
            };
        }
        // Where it was changed meanwhile, somebody looks at it just now.
        self.change_followed(known, Some(&new)).await?;
        self.watching.news.notify_one();
        Ok(())
    }

    /// The runs that are told of.
    ///
    /// # Errors
    /// When the state store fails.
    pub async fn followed(&self) -> Result<Vec<Followed>, CoordinationError> {
        let found = self.ports.coordination.list(FOLLOWED).await?.into_iter();
        let read = found.filter_map(|(_, value)| serde_json::from_slice(&value).ok());
        Ok(read.collect())
    }

    /// Puts down what stands in the chat of `followed`; whether nobody changed it meanwhile.
    ///
    /// # Errors
    /// When the state store fails.
    pub async fn shown(
        &self,
        followed: &Followed,
        place: Place,
    ) -> Result<bool, CoordinationError> {
        let new = Followed {
            place,
            ..followed.clone()
        };
        self.change_followed(Some(followed), Some(&new)).await
    }

    pub(super) async fn change_followed(
        &self,
        old: Option<&Followed>,
        new: Option<&Followed>,
    ) -> Result<bool, CoordinationError> {
        let Some(key) = new.or(old).map(Followed::key) else {
            return Ok(true);
        };
        let text = |it: &Followed| {
            serde_json::to_vec(it).map_err(|error| CoordinationError(error.to_string()))
        };
        let (old, new) = (old.map(text).transpose()?, new.map(text).transpose()?);
        let swapped = self
            .ports
            .coordination
            .swap(&key, old.as_deref(), new.as_deref());
        swapped.await
    }
}

/// The run that `acme/shop/1001` names.
pub(super) fn place_of(name: &str) -> Option<(Repository, RunId)> {
    let (repository, run) = name.rsplit_once('/')?;
    let repository = Repository::new(repository).ok()?;
    Some((repository, RunId::new(run.parse().ok()?)?))
}

//! Pipelines that are watched: whose runs are told in which chats as they go on.
//!
//! A watch is one value in the state store, and so is each run that is told of ([`followed`]). One replica
//! at a time looks at GitHub ([`look`]) and puts down what is to be shown; who shows it compares that with
//! what stands in the chat. A webhook only says where to look ([`heard`]), so that a delivery which is late,
//! out of order or lost does no harm.

mod followed;
mod heard;
mod look;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tokio::sync::Notify;

pub use self::followed::{Followed, Place};
pub use self::look::{Looker, RunStanding};
use crate::broker::ports::CoordinationError;
use crate::broker::ports::pipelines::{GitRef, RunFilter};
use crate::broker::{Broker, BrokerError, Outcome, RunError};
use crate::domain::caller::{ChatKind, TelegramUser};
use crate::domain::{
    Action, AuditEvent, Caller, Decision, Permit, PipelineAction, Request, RequestId, SecretPath,
    Target,
};

/// Where they are kept.
const WATCHES: &str = "pipelines/watches/";
/// Most of one chat: more, nobody reads.
const MAX_IN_CHAT: usize = 20;
/// Most of all: each is looked at again and again.
const MAX_WATCHES: usize = 200;

/// That the runs of a pipeline are told in a chat.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Watch {
    /// The chat, in bot-API notation.
    pub chat: i64,
    /// Who wanted it, and goes on being asked about: their account's number.
    pub by: i64,
    /// It is a group.
    group: bool,
    /// The path of a workflow or of a repository, its mount included.
    pub path: String,
    /// The branch, where it is about one.
    pub branch: Option<String>,
    /// The newest run that was seen.
    seen: u64,
}

/// Wakes who looks, and who shows.
#[derive(Default)]
pub(super) struct Watching {
    news: Notify,
}

impl Watch {
    fn key(&self) -> String {
        let branch = self.branch.as_deref().unwrap_or_default();
        let digest = Sha256::digest(format!("{}\0{branch}", self.path));
        let name: String = digest
            .iter()
            .take(8)
            .map(|it| format!("{it:02x}"))
            .collect();
        format!("{WATCHES}{}/{name}", self.chat)
    }

    /// Who wanted it, asking for the same again.
    fn request(&self, target: Target) -> Request {
        let chat = if self.group {
            ChatKind::Group
        } else {
            ChatKind::Private
        };
        Request {
            id: RequestId::Connection(0),
            caller: Caller::Telegram(TelegramUser { id: self.by, chat }),
            action: Action::Pipeline(PipelineAction::Watch),
            target,
        }
    }
}

impl Broker {
    /// Returns when there may be something new to look at or to show, that is, in this process.
    pub async fn pipelines_stirred(&self) {
        self.watching.news.notified().await;
    }

    /// Has the runs of what `permit` is for told in the chat that it was asked in.
    pub(super) async fn watch(
        &self,
        permit: &Permit,
    ) -> Result<(AuditEvent, Outcome), BrokerError> {
        let mut watch = wanted(permit)?;
        let served = self.served()?;
        let (repository, workflow) = served.place(&permit.target().path)?;
        let branch = watch.branch.as_deref().map(GitRef::new).transpose();
        let filter = RunFilter {
            workflow,
            branch: branch.map_err(|_| RunError::NoDispatch)?,
            limit: 1,
            ..RunFilter::default()
        };
        let newest = served.port.runs(&repository, &filter).await;
        let newest = newest.map_err(RunError::from)?;
        watch.seen = newest.first().map_or(0, |run| run.id.get());
        let all = self.watches().await?;
        let new = all.iter().all(|it| it.key() != watch.key());
        let here = all.iter().filter(|it| it.chat == watch.chat).count();
        if new && (here >= MAX_IN_CHAT || all.len() >= MAX_WATCHES) {
            return Err(RunError::TooManyWatches.into());
        }
        let value = serde_json::to_vec(&watch).map_err(|e| CoordinationError(e.to_string()))?;
        self.ports.coordination.put(&watch.key(), &value).await?;
        self.watching.news.notify_one();
        Ok((AuditEvent::Done, Outcome::Watching(true)))
    }

    /// Ends what [`Broker::watch`] began; runs that are told of already, are to their end.
    pub(super) async fn unwatch(
        &self,
        permit: &Permit,
    ) -> Result<(AuditEvent, Outcome), BrokerError> {
        let key = wanted(permit)?.key();
        let found = self.ports.coordination.get(&key).await?;
        found.ok_or(RunError::NotWatched)?;
        self.ports.coordination.delete(&key).await?;
        Ok((AuditEvent::Done, Outcome::Watching(false)))
    }

    /// What is watched in `chat`, as far as `user` may have it watched.
    ///
    /// # Errors
    /// When the state store fails.
    pub async fn watched_in(
        &self,
        chat: i64,
        user: &TelegramUser,
    ) -> Result<Vec<Watch>, BrokerError> {
        let mut shown = vec![];
        for watch in self
            .watches()
            .await?
            .into_iter()
            .filter(|it| it.chat == chat)
        {
            let asked = Watch {
                by: user.id,
                group: user.chat == ChatKind::Group,
                ..watch.clone()
            };
            if self.lets(&asked).await? {
                shown.push(watch);
            }
        }
        Ok(shown)
    }

    async fn watches(&self) -> Result<Vec<Watch>, CoordinationError> {
        let found = self.ports.coordination.list(WATCHES).await?.into_iter();
        let read = found.filter_map(|(_, value)| serde_json::from_slice(&value).ok());
        Ok(read.collect())
    }

    /// Whether policy does not refuse `watch` now. What it wanted agreed to was, when it began.
    async fn lets(&self, watch: &Watch) -> Result<bool, BrokerError> {
        let Some(target) = self.target_of(watch) else {
            return Ok(false);
        };
        let decision = self.judge_alone(&watch.request(target), None).await?;
        Ok(!matches!(decision, Decision::Deny(_)))
    }

    fn target_of(&self, watch: &Watch) -> Option<Target> {
        let (mount, path) = self.rules.mounts.split(&watch.path)?;
        Some(Target {
            path: SecretPath::new(mount, path).ok()?,
            field: watch.branch.clone(),
            version: None,
        })
    }
}

/// What is to be watched, and where: in the chat that it is asked in.
fn wanted(permit: &Permit) -> Result<Watch, RunError> {
    let request = permit.request();
    let (RequestId::Message { chat, .. }, Caller::Telegram(user)) = (&request.id, &request.caller)
    else {
        return Err(RunError::NoChat);
    };
    Ok(Watch {
        chat: *chat,
        by: user.id,
        group: user.chat == ChatKind::Group,
        path: request.target.path.to_string(),
        branch: request.target.field.clone(),
        seen: 0,
    })
}

//! Commands whose message we delete, until they are answered. After a crash Telegram can no
//! longer tell us of them, and their writers would never hear what became of them.

use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt, future, stream};
use grammers_session::types::PeerId;
use serde::{Deserialize, Serialize};
use tokio::time::{sleep, timeout};
use tracing::{info, warn};

use super::answer::Answered;
use super::backoff::Backoff;
use super::handler::Handler;
use super::outbox::input_peer;
use super::reply::{Part, Reply, random_id};
use crate::broker::Heir;
use crate::broker::ports::{Claim, Coordination};
use crate::domain::RequestId;

/// Where they are kept.
const PREFIX: &str = "unanswered/";
/// How long a value may stand in a chat while the state store is away, so that its writer hears what
/// became of it, whichever replica is left.
const INSIST_FOR: Duration = Duration::from_secs(15);
/// How many that were left are answered at once.
const AT_ONCE: usize = 16;

/// A command that somebody waits for the answer of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Waiting {
    chat: i64,
    message: i32,
    /// Who wrote it, and how to address them: the session is not saved that often.
    user: i64,
    hash: i64,
}

impl Waiting {
    /// The command's name.
    fn request_id(self) -> RequestId {
        RequestId::Message {
            chat: self.chat,
            message: self.message,
        }
    }
}

/// Keeps them.
pub(super) struct Unanswered(pub(super) Arc<dyn Coordination>);

impl Unanswered {
    /// As [`Unanswered::add`], tried for a while: what is deleted before it is known here is lost to
    /// other replicas, which may never see the message.
    pub(super) async fn insist(&self, id: &RequestId, user: i64, hash: i64) {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(1));
        let insisting = async {
            while !self.add(id, user, hash).await {
                sleep(backoff.next()).await;
            }
        };
        // Deleting the message matters more.
        timeout(INSIST_FOR, insisting).await.ok();
    }

    /// `user`, who has this access hash, waits for the answer to `id`; whether that is known now.
    pub(super) async fn add(&self, id: &RequestId, user: i64, hash: i64) -> bool {
        let RequestId::Message { chat, message } = *id else {
            return true;
        };
        let waiting = Waiting {
            chat,
            message,
            user,
            hash,
        };
        let value = serde_json::to_vec(&waiting).unwrap_or_default();
        let put = self.0.put(&key(id), &value).await;
        if let Err(error) = &put {
            // Deleting the message matters more.
            warn!(event = "telegram.unanswered.unwritable", %error);
        }
        put.is_ok()
    }

    /// Nobody waits for the answer to `id` any more.
    pub(super) async fn done(&self, id: &RequestId) {
        if let Err(error) = self.0.delete(&key(id)).await {
            // After a restart its claim says that it is done.
            warn!(event = "telegram.unanswered.unwritable", %error);
        }
    }

    /// What processes that ended left.
    pub(super) async fn left(&self) -> Vec<Waiting> {
        let found = self.0.inherit(PREFIX).await.unwrap_or_else(|error| {
            warn!(event = "telegram.unanswered.unreadable", %error);
            vec![]
        });
        let values = found.into_iter();
        values
            .filter_map(|(_, value)| serde_json::from_slice(&value).ok())
            .collect()
    }
}

impl Handler {
    /// Tells those whom a process that ended left without an answer that it was interrupted, for as
    /// long as it is polled; first those in `left`.
    pub(super) async fn answer_inherited(&self, mut left: Vec<Waiting>) {
        let mut heir = Heir::new(&self.unanswered.0);
        loop {
            let answering = stream::iter(left).map(|waiting| self.answer_left(waiting));
            let open = answering.buffer_unordered(AT_ONCE);
            let open: Vec<_> = open.filter_map(future::ready).collect().await;
            heir.wait().await;
            left = self.unanswered.left().await;
            left.extend(open);
        }
    }

    /// Returns what is to be looked at again.
    async fn answer_left(&self, waiting: Waiting) -> Option<Waiting> {
        let id = waiting.request_id();
        if !self.rules.allowed.contains(&waiting.user) {
            self.unanswered.done(&id).await;
            return None;
        }
        match self.broker.claim(&id).await {
            Ok(Claim::Done) => self.unanswered.done(&id).await,
            Ok(Claim::Ours | Claim::Abandoned) => self.answer_one_left(waiting, &id).await,
            // It may end, too.
            Ok(Claim::Taken) => return Some(waiting),
            Err(error) => {
                warn!(event = "telegram.unanswered.unreadable", %error);
                return Some(waiting);
            }
        }
        None
    }

    async fn answer_one_left(&self, Waiting { user, hash, .. }: Waiting, id: &RequestId) {
        let Some(peer) = PeerId::user(user) else {
            return;
        };
        let peer = input_peer(peer, self.session.access_hash(peer).unwrap_or(hash));
        // Under the answer's own random id: should it have arrived, this does not.
        let random_id = random_id(id, Part::Answer);
        let sending = self
            .outbox
            .send(peer, Reply::interrupted(), None, random_id);
        let sent = sending.await.result;
        if let Err(error) = &sent {
            warn!(event = "telegram.reply_failed", request = %id, %error);
        }
        let answered = Answered::of(&sent);
        info!(event = "telegram.left_unanswered", user, request = %id, answered = answered.name());
        if self.finish(id, answered).await {
            self.unanswered.done(id).await;
        }
    }
}

fn key(id: &RequestId) -> String {
    format!("{PREFIX}{id}")
}

//! Commands whose message we delete, until they are answered. After a crash Telegram can no
//! longer tell us of them, and their writers would never hear what became of them.

use std::sync::Arc;

use futures_util::{StreamExt, stream};
use grammers_session::types::PeerId;
use serde::{Deserialize, Serialize};
use tracing::{info, warn};

use super::answer::Answered;
use super::handler::Handler;
use super::outbox::input_peer;
use super::reply::{Part, Reply, random_id};
use crate::broker::Heir;
use crate::broker::ports::{Claim, Coordination};
use crate::domain::RequestId;

/// Where they are kept.
const PREFIX: &str = "unanswered/";
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
    /// `user`, who has this access hash, waits for the answer to `id`.
    pub(super) async fn add(&self, id: &RequestId, user: i64, hash: i64) {
        let RequestId::Message { chat, message } = *id else {
            return;
        };
        let waiting = Waiting {
            chat,
            message,
            user,
            hash,
        };
        let value = serde_json::to_vec(&waiting).unwrap_or_default();
        if let Err(error) = self.0.put(&key(id), &value).await {
            // Deleting the message matters more.
            warn!(event = "telegram.unanswered.unwritable", %error);
        }
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
            let answering = stream::iter(left);
            answering
                .for_each_concurrent(AT_ONCE, |waiting| self.answer_left(waiting))
                .await;
            heir.wait().await;
            left = self.unanswered.left().await;
        }
    }

    async fn answer_left(&self, waiting: Waiting) {
        let id = waiting.request_id();
        if !self.rules.allowed.contains(&waiting.user) {
            self.unanswered.done(&id).await;
            return;
        }
        match self.broker.claim(&id).await {
            Ok(Claim::Taken) => self.unanswered.done(&id).await,
            Ok(Claim::Ours | Claim::Abandoned) => self.answer_one_left(waiting, &id).await,
            // The next start looks again.
            Err(error) => warn!(event = "telegram.unanswered.unreadable", %error),
        }
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

//! Deleting sent secrets again, for both sides, also across a crash.
//!
//! Before a secret is sent, the intent to delete it is stored: the chat and the time, not
//! the message's id, which nobody knows yet. While the process lives, the id is kept in memory
//! and the intent is removed after the deletion. After a crash an intent is left over, whether
//! or not its message was sent, and the message is found in the chat's history by its mark
//! and spoiler; all such messages of ours are secrets that have to go, so finding one too
//! many does no harm. One write before and one after, and no moment at which a crash leaves a
//! secret standing.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::join_all;
use grammers_session::types::PeerId;
use grammers_tl_types as tl;
use grammers_tl_types::enums::messages::Messages;
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, sleep_until};
use tracing::{debug, info, warn};

use super::backoff::Backoff;
use super::call::{CallError, Gate, Link};
use super::outbox::{Sent, input_peer};
use super::reply::SECRET_MARK;
use super::session::FileSession;
use crate::broker::ports::{Clock, Coordination, CoordinationError};
use crate::domain::RequestId;

/// Where intents are kept.
const PREFIX: &str = "deletions/";
/// Messages Telegram deletes in one call.
const BATCH: usize = 100;
/// How long to gather a batch: a call for each message would halve the rate of replies.
const GATHER: Duration = Duration::from_millis(250);
/// Messages of history in one call.
const PAGE: i32 = 100;
/// How far our clock and Telegram's may differ, in seconds.
const CLOCK_SLACK: i64 = 60;
/// How long to wait with a chat that cannot be searched, such as one the user has blocked.
const SEARCH_AGAIN: Duration = Duration::from_mins(1);
/// How long one deletion is tried before it goes back into the queue.
const TRY_FOR: Duration = Duration::from_mins(1);

/// A stored intent, as it is found after a crash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Stored {
    /// The private chat's user.
    user: i64,
    /// How to address it.
    hash: i64,
    /// When the secret was about to be sent, in unix seconds.
    since: i64,
}

/// An intent to delete a message that is about to be sent.
pub(super) struct Intent {
    key: String,
    stored: Stored,
}

/// What is to be done when its time has come.
enum Due {
    /// Delete this message, then remove the intents when nobody else needs them.
    Message { id: i32, keys: Arc<Vec<String>> },
    /// Look through the history of a chat.
    Search { stored: Stored, keys: Vec<String> },
}

/// The schedule of deletions.
pub(super) struct Deletions {
    link: Arc<Link>,
    session: Arc<FileSession>,
    coordination: Arc<dyn Coordination>,
    clock: Arc<dyn Clock>,
    delete_after: Duration,
    queue: Mutex<Queue>,
    wake: Notify,
    gate: Gate,
}

/// By due time; the number keeps apart what is due at the same instant.
#[derive(Default)]
struct Queue {
    due: BTreeMap<(Instant, u64), Due>,
    next: u64,
}

impl Deletions {
    pub(super) fn new(
        link: Arc<Link>,
        session: Arc<FileSession>,
        coordination: Arc<dyn Coordination>,
        clock: Arc<dyn Clock>,
        delete_after: Duration,
    ) -> Self {
        Self {
            link,
            session,
            coordination,
            clock,
            delete_after,
            queue: Mutex::default(),
            wake: Notify::new(),
            gate: Gate::new(),
        }
    }

    /// Stores the intent to delete the answer to `request`. Without it nothing may be sent.
    pub(super) async fn intend(
        &self,
        request: &RequestId,
        peer: &tl::enums::InputPeer,
    ) -> Result<Intent, CoordinationError> {
        let (user, hash) = match peer {
            tl::enums::InputPeer::User(user) => (user.user_id, user.access_hash),
            tl::enums::InputPeer::UserFromMessage(user) => (user.user_id, 0),
            tl::enums::InputPeer::Empty
            | tl::enums::InputPeer::PeerSelf
            | tl::enums::InputPeer::Chat(_)
            | tl::enums::InputPeer::Channel(_)
            | tl::enums::InputPeer::ChannelFromMessage(_) => {
                return Err(CoordinationError("a secret goes to a person only".into()));
            }
        };
        let since = self.clock.now().unix_timestamp();
        let stored = Stored { user, hash, since };
        let key = format!("{PREFIX}{request}");
        let value = serde_json::to_vec(&stored).map_err(|e| CoordinationError(e.to_string()))?;
        self.coordination.put(&key, &value).await?;
        Ok(Intent { key, stored })
    }

    /// The message of `intent` was sent, or may have been: its time runs from now.
    pub(super) fn sent(&self, intent: Intent, sent: Sent) {
        let keys = vec![intent.key];
        let due = match sent {
            Sent::Id(id) => Due::Message {
                id,
                keys: Arc::new(keys),
            },
            Sent::Earlier => Due::Search {
                stored: intent.stored,
                keys,
            },
        };
        self.push(self.delete_after, due);
    }

    /// Deletes what is due, for as long as it is polled.
    pub(super) async fn run(&self) {
        self.restore().await;
        let mut backoff = Backoff::new(Duration::from_millis(500), Duration::from_mins(1));
        loop {
            self.until_due().await;
            let (batch, searches) = self.take_due();
            let deleted = self.delete(batch).await;
            for (stored, keys) in searches {
                self.search(stored, keys).await;
            }
            if deleted {
                backoff.reset();
            } else {
                sleep(backoff.next()).await;
            }
        }
    }

    /// Takes up what an earlier process left over.
    async fn restore(&self) {
        let mut backoff = Backoff::new(Duration::from_millis(500), Duration::from_mins(1));
        let found = loop {
            match self.coordination.list(PREFIX).await {
                Ok(found) => break found,
                Err(error) => warn!(event = "telegram.deletions.unreadable", %error),
            }
            sleep(backoff.next()).await;
        };
        // One search for each chat, from the oldest intent on.
        let mut chats: HashMap<i64, (Stored, Vec<String>)> = HashMap::new();
        for (key, value) in found {
            let Ok(stored) = serde_json::from_slice::<Stored>(&value) else {
                warn!(event = "telegram.deletions.unreadable", key);
                continue;
            };
            let (oldest, keys) = chats.entry(stored.user).or_insert_with(|| (stored, vec![]));
            oldest.since = oldest.since.min(stored.since);
            keys.push(key);
        }
        if !chats.is_empty() {
            info!(event = "telegram.deletions.restored", chats = chats.len());
        }
        for (stored, keys) in chats.into_values() {
            self.push(Duration::ZERO, Due::Search { stored, keys });
        }
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, after: Duration, due: Due) {
        let mut queue = self.queue();
        let number = queue.next;
        queue.next += 1;
        queue.due.insert((Instant::now() + after, number), due);
        drop(queue);
        self.wake.notify_one();
    }

    /// Waits for the first deletion, and a little more for those right behind it.
    async fn until_due(&self) {
        loop {
            let first = self.queue().due.keys().next().map(|(at, _)| *at);
            match first {
                Some(at) if at <= Instant::now() => break,
                Some(at) => tokio::select! {
                    () = sleep_until(at) => break,
                    () = self.wake.notified() => {}
                },
                None => self.wake.notified().await,
            }
        }
        sleep(GATHER).await;
    }

    #[expect(
        clippy::type_complexity,
        reason = "the two kinds of due work, used once"
    )]
    fn take_due(&self) -> (Vec<(i32, Arc<Vec<String>>)>, Vec<(Stored, Vec<String>)>) {
        let now = Instant::now();
        let (mut batch, mut searches) = (vec![], vec![]);
        let mut queue = self.queue();
        while batch.len() < BATCH
            && let Some(entry) = queue.due.first_entry()
            && entry.key().0 <= now
        {
            match entry.remove() {
                Due::Message { id, keys } => batch.push((id, keys)),
                Due::Search { stored, keys } => searches.push((stored, keys)),
            }
        }
        (batch, searches)
    }

    /// Deletes for both sides. Ids are of the account, so one call can cover many chats.
    async fn delete(&self, batch: Vec<(i32, Arc<Vec<String>>)>) -> bool {
        if batch.is_empty() {
            return true;
        }
        let request = tl::functions::messages::DeleteMessages {
            revoke: true,
            id: batch.iter().map(|(id, _)| *id).collect(),
        };
        let deadline = Instant::now() + TRY_FOR;
        match self.link.persist(&request, &self.gate, deadline).await {
            Ok(_) => {
                debug!(event = "telegram.deleted", count = batch.len());
                let done = batch
                    .into_iter()
                    .filter_map(|(_, keys)| Arc::into_inner(keys));
                self.remove(&done.flatten().collect::<Vec<_>>()).await;
                true
            }
            Err(error) => {
                warn!(event = "telegram.delete_failed", %error, count = batch.len());
                for (id, keys) in batch {
                    self.push(Duration::ZERO, Due::Message { id, keys });
                }
                false
            }
        }
    }

    async fn search(&self, stored: Stored, keys: Vec<String>) {
        let found = match self.find(stored).await {
            Ok(found) => found,
            // Nothing is given up: the intent stays, and this process or the next comes back.
            Err(error) => {
                warn!(event = "telegram.deletions.search_failed", %error, user = stored.user);
                self.push(SEARCH_AGAIN, Due::Search { stored, keys });
                return;
            }
        };
        if found.is_empty() {
            self.remove(&keys).await;
            return;
        }
        let keys = Arc::new(keys);
        let now = self.clock.now().unix_timestamp();
        for (id, date) in found {
            // What is not due yet waits as long as it would have.
            let age = Duration::from_secs(u64::try_from(now - date).unwrap_or_default());
            let after = self.delete_after.saturating_sub(age);
            let keys = Arc::clone(&keys);
            self.push(after, Due::Message { id, keys });
        }
    }

    /// The secrets we sent into a chat since then: ids and dates.
    async fn find(&self, stored: Stored) -> Result<Vec<(i32, i64)>, CallError> {
        let user = PeerId::user(stored.user)
            .ok_or_else(|| CallError::Refused("not a user id".to_owned()))?;
        let oldest = stored.since - CLOCK_SLACK;
        // Whoever was addressed by a message in a group is known by now.
        let hash = self.session.access_hash(user).unwrap_or(stored.hash);
        let mut found = vec![];
        let mut request = tl::functions::messages::GetHistory {
            peer: input_peer(user, hash),
            offset_id: 0,
            offset_date: 0,
            add_offset: 0,
            limit: PAGE,
            max_id: 0,
            min_id: 0,
            hash: 0,
        };
        loop {
            let deadline = Instant::now() + TRY_FOR;
            let page = self.link.persist(&request, &self.gate, deadline).await?;
            let messages = match page {
                Messages::Messages(all) => all.messages,
                Messages::Slice(part) => part.messages,
                Messages::ChannelMessages(part) => part.messages,
                Messages::NotModified(_) => vec![],
            };
            let mut last = None;
            for message in &messages {
                last = Some(message.id());
                let tl::enums::Message::Message(message) = message else {
                    continue;
                };
                if i64::from(message.date) < oldest {
                    return Ok(found);
                }
                if is_our_secret(message) {
                    found.push((message.id, message.date.into()));
                }
            }
            match last {
                Some(id) if id != request.offset_id => request.offset_id = id,
                _ => return Ok(found),
            }
        }
    }

    /// Removes intents. One that cannot be removed is looked into again at the next start.
    async fn remove(&self, keys: &[String]) {
        let results = join_all(keys.iter().map(|key| self.coordination.delete(key))).await;
        if let Some(error) = results.into_iter().find_map(Result::err) {
            warn!(event = "telegram.deletions.unwritable", %error);
        }
    }
}

fn is_our_secret(message: &tl::types::Message) -> bool {
    let hidden = message.entities.iter().flatten();
    message.out
        && message.message.starts_with(SECRET_MARK)
        && hidden
            .into_iter()
            .any(|entity| matches!(entity, tl::enums::MessageEntity::Spoiler(_)))
}

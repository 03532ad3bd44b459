//! Deleting sent secrets again, for both sides, also across a crash.
//!
//! Before a secret is sent, the intent to delete it is stored: the chat and the time, not
//! the message's id, which nobody knows yet. While the process lives, the id is kept in memory
//! and the intent is removed after the deletion. After a crash an intent is left over, whether
//! or not its message was sent, and the message is found again ([`search`]) by its mark and by
//! what carries the secret; all such messages of ours are secrets that have to go, so finding one
//! too many does no harm. One write before and one after, and no moment at which a crash leaves a
//! secret standing.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use grammers_session::types::PeerId;
use grammers_tl_types as tl;
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep};
use tracing::{debug, info, warn};

use super::backoff::Backoff;
use super::call::{CallError, Gate, Link};
use super::outbox::{Sending, Sent};
use super::schedule::Schedule;
use super::search::{self, Found, Wanted};
use super::session::FileSession;
use crate::broker::Heir;
use crate::broker::ports::{Clock, Coordination, CoordinationError};
use crate::domain::RequestId;

/// Where intents are kept.
const PREFIX: &str = "deletions/";
/// Messages Telegram deletes in one call.
const BATCH: usize = 100;
/// How long to gather a batch: a call for each message would halve the rate of replies.
const GATHER: Duration = Duration::from_millis(250);
/// The longest pause between tries to inherit what is to be deleted: without etcd they cost nothing.
pub(super) const INHERIT_AGAIN: Duration = Duration::from_secs(2);
/// How long to wait with a chat that cannot be searched, such as one the user has blocked.
const SEARCH_AGAIN: Duration = Duration::from_mins(1);
/// How long to wait with a message whose deletion is refused: the first time, and at most.
const REFUSED_AGAIN: [Duration; 2] = [Duration::from_secs(2), Duration::from_mins(10)];
/// How long a message may still arrive after we gave it up.
const ON_ITS_WAY: Duration = Duration::from_secs(10);
/// Chats of Telegram's numbering beyond this are channels, whose messages count for themselves.
const CHANNELS: i64 = -1_000_000_000_000;
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
    /// How long it is to stand, in seconds, where that is less than usual.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    lasts: Option<u64>,
    /// The newest message of the account's own numbering then, 0 where none was known. A bot
    /// cannot read a chat's history, but it can look at messages by number.
    #[serde(default)]
    newest: i32,
}

impl Stored {
    fn delete_after(&self, usual: Duration) -> Duration {
        self.lasts
            .map_or(usual, |lasts| usual.min(Duration::from_secs(lasts)))
    }
}

/// An intent to delete a message that is about to be sent.
pub(super) struct Intent {
    key: String,
    stored: Stored,
}

/// A message to delete.
struct Message {
    id: i32,
    /// Whose chat it is in.
    user: i64,
    /// The intents to remove once no other message needs them.
    keys: Arc<Vec<String>>,
    /// How long to wait when its deletion is refused.
    refused: Backoff,
}

impl Message {
    fn new(id: i32, user: i64, keys: Arc<Vec<String>>) -> Self {
        let [first, longest] = REFUSED_AGAIN;
        Self {
            id,
            user,
            keys,
            refused: Backoff::new(first, longest),
        }
    }
}

/// A chat to look through.
struct Search {
    /// The earliest intent, with the shortest time to stand.
    first: Stored,
    /// When the last secret was about to be sent, in unix seconds.
    until: i64,
    /// The intents that ask for it.
    keys: Vec<String>,
}

impl Search {
    fn new(stored: Stored, key: String) -> Self {
        Self {
            first: stored,
            until: stored.since,
            keys: vec![key],
        }
    }

    /// Looks for the secret of another intent too.
    fn widen(&mut self, stored: Stored, key: String) {
        let first = &mut self.first;
        first.since = first.since.min(stored.since);
        first.newest = first.newest.min(stored.newest);
        first.lasts = first.lasts.into_iter().chain(stored.lasts).min();
        self.until = self.until.max(stored.since);
        self.keys.push(key);
    }
}

/// The schedule of deletions.
pub(super) struct Deletions {
    link: Arc<Link>,
    session: Arc<FileSession>,
    coordination: Arc<dyn Coordination>,
    clock: Arc<dyn Clock>,
    delete_after: Duration,
    messages: Schedule<Message>,
    messages_gate: Gate,
    searches: Schedule<Search>,
    searches_gate: Gate,
    /// The newest message of the account's own numbering that is known.
    newest: AtomicI32,
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
            messages: Schedule::new(),
            messages_gate: Gate::new(),
            searches: Schedule::new(),
            searches_gate: Gate::new(),
            newest: AtomicI32::new(0),
        }
    }

    /// Stores the intent to delete the answer to `request`. Without it nothing may be sent.
    pub(super) async fn intend(
        &self,
        request: &RequestId,
        peer: &tl::enums::InputPeer,
        lasts: Option<Duration>,
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
        if let RequestId::Message { chat, message } = request
            && *chat > CHANNELS
        {
            self.newest.fetch_max(*message, Ordering::Relaxed);
        }
        let since = self.clock.now().unix_timestamp();
        let stored = Stored {
            user,
            hash,
            since,
            lasts: lasts.map(|lasts| lasts.as_secs()),
            newest: self.newest.load(Ordering::Relaxed),
        };
        let key = format!("{PREFIX}{request}");
        let value = serde_json::to_vec(&stored).map_err(|e| CoordinationError(e.to_string()))?;
        self.coordination.put(&key, &value).await?;
        Ok(Intent { key, stored })
    }

    /// The message of `intent` was sent, or may have been: its time runs from the first try that
    /// may have arrived.
    pub(super) fn sent(&self, intent: Intent, sending: &Sending) {
        let Intent { key, stored } = intent;
        let since = sending.unclear.unwrap_or_else(Instant::now);
        let delete_after = stored.delete_after(self.delete_after);
        let left = delete_after.saturating_sub(since.elapsed());
        if let Ok(Sent::Id(id)) = sending.result {
            self.newest.fetch_max(id, Ordering::Relaxed);
        }
        match (&sending.result, sending.unclear) {
            (Ok(Sent::Id(id)), None) => {
                let message = Message::new(*id, stored.user, Arc::new(vec![key]));
                self.messages.add(left, message);
            }
            // It is found with its date, and stands for the rest of its time.
            (Ok(_), _) => self.searches.add(left, Search::new(stored, key)),
            // An error does not prove that no try arrived, and the last may be on its way.
            (Err(_), _) => {
                let left = left.max(delete_after.min(ON_ITS_WAY));
                self.searches.add(left, Search::new(stored, key));
            }
        }
    }

    /// How many secrets, or chats to search for them, wait for their time.
    pub(super) fn pending(&self) -> usize {
        self.messages.len() + self.searches.len()
    }

    /// Deletes what is due, for as long as it is polled.
    pub(super) async fn run(&self) {
        tokio::join!(
            self.keep_inheriting(),
            self.keep_deleting(),
            self.keep_searching()
        );
    }

    async fn keep_inheriting(&self) {
        let mut heir = Heir::new(&self.coordination);
        loop {
            self.restore().await;
            heir.wait().await;
        }
    }

    async fn keep_deleting(&self) {
        let mut backoff = Backoff::new(Duration::from_millis(500), Duration::from_mins(1));
        loop {
            self.messages.due().await;
            sleep(GATHER).await;
            loop {
                let batch = self.messages.take(BATCH);
                if batch.is_empty() {
                    break;
                }
                if self.delete(batch).await {
                    backoff.reset();
                } else {
                    sleep(backoff.next()).await;
                }
            }
        }
    }

    async fn keep_searching(&self) {
        loop {
            self.searches.due().await;
            for search in self.searches.take(1) {
                self.search(search).await;
            }
        }
    }

    /// Takes up what processes that ended left over.
    async fn restore(&self) {
        let mut backoff = Backoff::new(Duration::from_millis(500), INHERIT_AGAIN);
        let found = loop {
            match self.coordination.inherit(PREFIX).await {
                Ok(found) => break found,
                Err(error) => warn!(event = "telegram.deletions.unreadable", %error),
            }
            sleep(backoff.next()).await;
        };
        // One search for each chat, from the oldest intent to the newest.
        let mut chats: HashMap<i64, Search> = HashMap::new();
        for (key, value) in found {
            let Ok(stored) = serde_json::from_slice::<Stored>(&value) else {
                warn!(event = "telegram.deletions.unreadable", key);
                continue;
            };
            match chats.entry(stored.user) {
                Entry::Occupied(chat) => chat.into_mut().widen(stored, key),
                Entry::Vacant(chat) => {
                    chat.insert(Search::new(stored, key));
                }
            }
        }
        if !chats.is_empty() {
            info!(event = "telegram.deletions.restored", chats = chats.len());
        }
        for search in chats.into_values() {
            self.searches.add(Duration::ZERO, search);
        }
    }

    /// Deletes for both sides. Ids are of the account, so one call can cover many chats. Whether
    /// the next batch may go at once.
    async fn delete(&self, batch: Vec<Message>) -> bool {
        match self.try_delete(&batch).await {
            Ok(()) => self.deleted(batch).await,
            // One that is refused must not keep the others standing.
            Err(CallError::Refused(_)) if batch.len() > 1 => {
                for message in batch {
                    let one = vec![message];
                    match self.try_delete(&one).await {
                        Ok(()) => self.deleted(one).await,
                        Err(error) => {
                            self.put_back(one, &error);
                        }
                    }
                }
            }
            Err(error) => return self.put_back(batch, &error),
        }
        true
    }

    async fn try_delete(&self, batch: &[Message]) -> Result<(), CallError> {
        let request = tl::functions::messages::DeleteMessages {
            revoke: true,
            id: batch.iter().map(|message| message.id).collect(),
        };
        let deadline = Instant::now() + TRY_FOR;
        let gate = &self.messages_gate;
        self.link.persist(&request, gate, deadline).await.map(drop)
    }

    async fn deleted(&self, batch: Vec<Message>) {
        debug!(event = "telegram.deleted", count = batch.len());
        let done = batch
            .into_iter()
            .filter_map(|message| Arc::into_inner(message.keys));
        self.remove(&done.flatten().collect::<Vec<_>>()).await;
    }

    /// Has them tried again: what is refused later, and nothing else waits for that. Whether the
    /// next batch may go at once.
    fn put_back(&self, batch: Vec<Message>, error: &CallError) -> bool {
        let user = batch.first().map(|message| message.user);
        warn!(event = "telegram.delete_failed", %error, count = batch.len(), user);
        let refused = matches!(error, CallError::Refused(_));
        for mut message in batch {
            let after = if refused {
                message.refused.next()
            } else {
                Duration::ZERO
            };
            self.messages.add(after, message);
        }
        refused
    }

    async fn search(&self, search: Search) {
        let found = match self.find(&search).await {
            Ok(found) => found,
            // Nothing is given up: the intent stays, and this process or the next comes back.
            Err(error) => {
                warn!(event = "telegram.deletions.search_failed", %error, user = search.first.user);
                self.searches.add(SEARCH_AGAIN, search);
                return;
            }
        };
        let Search { first, keys, .. } = search;
        if found.is_empty() {
            self.remove(&keys).await;
            return;
        }
        let keys = Arc::new(keys);
        let now = self.clock.now().unix_timestamp();
        for Found { id, date } in found {
            // What is not due yet waits as long as it would have.
            let age = Duration::from_secs(u64::try_from(now - date).unwrap_or_default());
            let after = first.delete_after(self.delete_after).saturating_sub(age);
            let message = Message::new(id, first.user, Arc::clone(&keys));
            self.messages.add(after, message);
        }
    }

    /// The secrets we sent into a chat since then.
    async fn find(&self, search: &Search) -> Result<Vec<Found>, CallError> {
        let first = search.first;
        let user = PeerId::user(first.user)
            .ok_or_else(|| CallError::Refused("not a user id".to_owned()))?;
        let wanted = Wanted {
            user,
            // Whoever was addressed by a message in a group is known by now.
            hash: self.session.access_hash(user).unwrap_or(first.hash),
            since: first.since,
            until: search.until,
            after: first.newest,
        };
        search::secrets(&self.link, &self.searches_gate, &wanted).await
    }

    /// Removes intents. One that cannot be removed is looked into again at the next start.
    async fn remove(&self, keys: &[String]) {
        let results = join_all(keys.iter().map(|key| self.coordination.delete(key))).await;
        if let Some(error) = results.into_iter().find_map(Result::err) {
            warn!(event = "telegram.deletions.unwritable", %error);
        }
    }
}

//! Deleting the messages in which people sent us values, for everybody in the chat, at once and
//! also across a crash.
//!
//! The intent is stored before the deletion is tried and removed when the message is gone, or
//! when Telegram says that we may not. Unlike a message of ours ([`super::deletion`]), one that
//! was received has a known id, so nothing is ever searched for.

use std::sync::Arc;
use std::time::Duration;

use grammers_session::types::{PeerId, PeerKind};
use grammers_tl_types as tl;
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep, timeout};
use tracing::{debug, info, warn};

use super::backoff::Backoff;
use super::call::{CallError, Gate, Link};
use super::deletion::INHERIT_AGAIN;
use super::schedule::Schedule;
use super::session::FileSession;
use crate::broker::Heir;
use crate::broker::ports::Coordination;
use crate::domain::RequestId;

/// Where intents are kept.
const PREFIX: &str = "withdrawals/";
/// How long it may take to store an intent.
const STORE_WITHIN: Duration = Duration::from_secs(2);
/// How long the answer waits for the deletion; after that it says that the message stands.
const AT_ONCE: Duration = Duration::from_secs(10);
/// How long one later try may take.
const TRY_FOR: Duration = Duration::from_mins(1);

/// What became of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Withdrawn {
    /// It is gone.
    Gone,
    /// We may not delete it.
    NotAllowed,
    /// It is tried again and again.
    NotYet,
}

/// A message to delete, as it is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Stored {
    message: i32,
    /// The supergroup's id and access hash; elsewhere messages are numbered by account.
    channel: Option<(i64, i64)>,
}

/// Deletes messages that hold values.
pub(super) struct Withdrawals {
    link: Arc<Link>,
    session: Arc<FileSession>,
    coordination: Arc<dyn Coordination>,
    later: Schedule<(String, Stored)>,
    gate: Gate,
}

impl Withdrawals {
    pub(super) fn new(
        link: &Arc<Link>,
        session: &Arc<FileSession>,
        coordination: &Arc<dyn Coordination>,
    ) -> Self {
        Self {
            link: Arc::clone(link),
            session: Arc::clone(session),
            coordination: Arc::clone(coordination),
            later: Schedule::new(),
            gate: Gate::new(),
        }
    }

    /// Deletes the message `message` of `chat`, which is the request `id`.
    pub(super) async fn withdraw(&self, chat: PeerId, message: i32, id: &RequestId) -> Withdrawn {
        let hash = || self.session.access_hash(chat).unwrap_or_default();
        let channel = match chat.kind() {
            PeerKind::User | PeerKind::Chat => None,
            PeerKind::Channel => chat.bare_id().map(|id| (id, hash())),
        };
        let stored = Stored { message, channel };
        let key = format!("{PREFIX}{id}");
        let value = serde_json::to_vec(&stored).unwrap_or_default();
        // Deleting it matters more than remembering to.
        match timeout(STORE_WITHIN, self.coordination.put(&key, &value)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => warn!(event = "telegram.withdrawals.unwritable", %error),
            Err(_) => warn!(
                event = "telegram.withdrawals.unwritable",
                error = "time-out"
            ),
        }
        let withdrawn = self.delete(&key, stored, AT_ONCE).await;
        if withdrawn == Withdrawn::NotYet {
            self.later.add(Duration::ZERO, (key, stored));
        }
        withdrawn
    }

    /// Deletes what could not be deleted at once, or by a process that ended, for as long as it is
    /// polled.
    pub(super) async fn run(&self) {
        tokio::join!(self.keep_inheriting(), self.keep_deleting());
    }

    async fn keep_inheriting(&self) {
        let mut heir = Heir::new(&self.coordination);
        loop {
            self.inherit().await;
            heir.wait().await;
        }
    }

    async fn inherit(&self) {
        let mut backoff = Backoff::new(Duration::from_millis(500), INHERIT_AGAIN);
        let found = loop {
            match self.coordination.inherit(PREFIX).await {
                Ok(found) => break found,
                Err(error) => warn!(event = "telegram.withdrawals.unreadable", %error),
            }
            sleep(backoff.next()).await;
        };
        if !found.is_empty() {
            info!(event = "telegram.withdrawals.restored", count = found.len());
        }
        for (key, value) in found {
            if let Ok(stored) = serde_json::from_slice(&value) {
                self.later.add(Duration::ZERO, (key, stored));
            } else {
                warn!(event = "telegram.withdrawals.unreadable", key);
            }
        }
    }

    async fn keep_deleting(&self) {
        let mut backoff = Backoff::new(Duration::from_millis(500), Duration::from_mins(1));
        loop {
            self.later.due().await;
            for (key, stored) in self.later.take(1) {
                if self.delete(&key, stored, TRY_FOR).await == Withdrawn::NotYet {
                    self.later.add(backoff.next(), (key, stored));
                } else {
                    backoff.reset();
                }
            }
        }
    }

    async fn delete(&self, key: &str, stored: Stored, patience: Duration) -> Withdrawn {
        let (deadline, gate) = (Instant::now() + patience, &self.gate);
        let id = vec![stored.message];
        let result = if let Some((channel_id, access_hash)) = stored.channel {
            let channel = tl::types::InputChannel {
                channel_id,
                access_hash,
            };
            let request = tl::functions::channels::DeleteMessages {
                channel: channel.into(),
                id,
            };
            self.link.persist(&request, gate, deadline).await
        } else {
            let request = tl::functions::messages::DeleteMessages { revoke: true, id };
            self.link.persist(&request, gate, deadline).await
        };
        let withdrawn = match result {
            Ok(_) => Withdrawn::Gone,
            Err(CallError::Refused(reason)) => {
                warn!(event = "telegram.withdrawal_refused", reason);
                Withdrawn::NotAllowed
            }
            Err(
                error @ (CallError::Disconnected
                | CallError::Flood(_)
                | CallError::Server(_)
                | CallError::SignedOut(_)),
            ) => {
                warn!(event = "telegram.withdrawal_failed", %error);
                return Withdrawn::NotYet;
            }
        };
        debug!(event = "telegram.withdrawn", ?withdrawn);
        if let Err(error) = self.coordination.delete(key).await {
            // Looked into again at the next start, where it does no harm.
            warn!(event = "telegram.withdrawals.unwritable", %error);
        }
        withdrawn
    }
}

//! The second net under secrets: Telegram itself empties the chats that hold them, should we be
//! gone for good. Once for each chat, and never in the way of an answer.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use grammers_tl_types as tl;
use tokio::time::Instant;
use tracing::{debug, info};

use super::call::{CallError, Gate, Link};
use crate::broker::ports::Coordination;

/// Where our account's chats are kept that have it, with the time that was set.
const PREFIX: &str = "history_ttl/";
/// How long it is tried; the next secret tries again.
const TRY_FOR: Duration = Duration::from_secs(10);
/// What Telegram says when it was set to that already.
const SAME: &str = "CHAT_NOT_MODIFIED";

/// Sets chats to delete their messages after a while.
pub(super) struct SecondNet {
    me: i64,
    link: Arc<Link>,
    coordination: Arc<dyn Coordination>,
    gate: Gate,
    /// Seconds; `None`: leave chats as they are.
    period: Option<i32>,
    /// Chats that have it, or get it now.
    seen: Mutex<HashSet<i64>>,
}

impl SecondNet {
    pub(super) fn new(
        me: i64,
        link: Arc<Link>,
        coordination: Arc<dyn Coordination>,
        period: Option<i32>,
    ) -> Self {
        Self {
            me,
            link,
            coordination,
            gate: Gate::new(),
            period,
            seen: Mutex::default(),
        }
    }

    /// Has Telegram empty the chat with `user`, unless that was done before. Who is refused, as
    /// bots are, is refused once for each chat and process: rights can change.
    pub(super) async fn spread(&self, user: i64, peer: tl::enums::InputPeer) {
        let Some(period) = self.period else {
            return;
        };
        if self.seen().insert(user) && !self.ensure(user, peer, period).await {
            self.seen().remove(&user);
        }
    }

    fn seen(&self) -> std::sync::MutexGuard<'_, HashSet<i64>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether that is settled for this process, one way or the other.
    async fn ensure(&self, user: i64, peer: tl::enums::InputPeer, period: i32) -> bool {
        let (key, value) = (format!("{PREFIX}{}/{user}", self.me), period.to_string());
        let known = self.coordination.list(&key).await.unwrap_or_default();
        let same = |(name, set): &(String, Vec<u8>)| *name == key && *set == value.as_bytes();
        if known.iter().any(same) {
            return true;
        }
        let request = tl::functions::messages::SetHistoryTtl { peer, period };
        let deadline = Instant::now() + TRY_FOR;
        match self.link.persist(&request, &self.gate, deadline).await {
            Ok(_) => info!(event = "telegram.history_ttl", user, seconds = period),
            Err(CallError::Refused(reason)) if reason == SAME => {}
            Err(error @ CallError::Refused(_)) => {
                debug!(event = "telegram.history_ttl_refused", user, %error);
                return true;
            }
            Err(error) => {
                debug!(event = "telegram.history_ttl_failed", user, %error);
                return false;
            }
        }
        if let Err(error) = self.coordination.put(&key, value.as_bytes()).await {
            debug!(event = "telegram.history_ttl_forgotten", user, %error);
        }
        true
    }
}

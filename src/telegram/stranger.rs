//! What strangers get: nothing, or one fixed sentence, and that seldom.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use tracing::{debug, warn};

use super::answer::Answered;
use super::handler::Handler;
use super::incoming::Incoming;
use super::progress::Batch;
use super::reply::{Part, Reply, random_id};
use crate::broker::ports::CoordinationError;
use crate::domain::RequestId;

/// What to answer to somebody who is not on the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StrangerReply {
    /// Nothing.
    Silent,
    /// Always this, whatever they wrote.
    Sentence(String),
}

/// One answer to a stranger in this time.
const PER_USER: Duration = Duration::from_hours(1);
/// And one to any stranger in this time.
const PER_ANYONE: Duration = Duration::from_secs(2);
/// Strangers remembered.
const MAX_REMEMBERED: usize = 10_000;

/// Limits answers to strangers: anybody can write to a Telegram account, and each answer
/// counts against the account's own limits.
#[derive(Debug, Default)]
pub(super) struct Limiter {
    last: Option<Instant>,
    answered: HashMap<i64, Instant>,
}

impl Limiter {
    /// Whether `user` may be answered at `now`; if so, that counts as the answer.
    pub(super) fn take(&mut self, user: i64, now: Instant) -> bool {
        let recent = |at: &Instant, limit| now.saturating_duration_since(*at) < limit;
        if self.last.as_ref().is_some_and(|at| recent(at, PER_ANYONE)) {
            return false;
        }
        if self
            .answered
            .get(&user)
            .is_some_and(|at| recent(at, PER_USER))
        {
            return false;
        }
        if self.answered.len() >= MAX_REMEMBERED {
            self.answered.retain(|_, at| recent(at, PER_USER));
        }
        // At one answer in two seconds an hour has room for 1,800, so there is room now.
        self.answered.insert(user, now);
        self.last = Some(now);
        true
    }
}

impl Handler {
    /// One sentence at most; whether anything they name exists is not even looked up.
    pub(super) fn accept_stranger(self: &Arc<Self>, user: i64, message: Incoming, batch: &Batch) {
        let StrangerReply::Sentence(sentence) = &self.settings.stranger_reply else {
            return;
        };
        let mut limiter = self
            .strangers
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if !limiter.take(user, Instant::now()) {
            return;
        }
        drop(limiter);
        let Some(id) = message.request_id() else {
            return;
        };
        let reply = Reply::plain(sentence);
        let handler = Arc::clone(self);
        self.spawn(batch, async move {
            if !handler.may_answer_stranger(user, &id).await {
                return;
            }
            let outbox = &handler.outbox;
            if let Some(peer) = outbox.sender(&message).await {
                let sent = outbox
                    .send(peer, reply, None, random_id(&id, Part::Answer))
                    .await;
                debug!(
                    event = "telegram.stranger",
                    user,
                    answered = sent.result.is_ok()
                );
                handler.finish(&id, Answered::of(&sent.result)).await;
            }
        });
    }

    /// Whether a stranger's message is this process's to answer. Each process has limits of its own;
    /// that of each stranger holds for all processes together.
    async fn may_answer_stranger(&self, user: i64, id: &RequestId) -> bool {
        let may = async {
            if self.broker.hold(id).await?.ours().is_none() {
                return Ok(false);
            }
            if !self.broker.has_company() {
                return Ok(true);
            }
            let name = format!("strangers/{user}");
            self.broker.first(&name, self.clock.now() + PER_USER).await
        };
        may.await.unwrap_or_else(|error: CoordinationError| {
            warn!(event = "telegram.claim_failed", request = %id, %error);
            false
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn once_an_hour_each_and_seldom_for_all() {
        let mut limiter = Limiter::default();
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        assert!(limiter.take(1, at(0)));
        assert!(!limiter.take(1, at(3)));
        assert!(!limiter.take(2, at(1)), "another, but too soon");
        assert!(limiter.take(2, at(3)));
        assert!(!limiter.take(1, at(3599)));
        assert!(limiter.take(1, at(3600)));
    }

    #[test]
    fn remembers_no_more_than_it_must() {
        let mut limiter = Limiter::default();
        let start = Instant::now();
        let taken = (0..100_000u32)
            .filter(|n| limiter.take(i64::from(*n), start + PER_ANYONE * *n))
            .count();
        assert_eq!(taken, 100_000);
        assert!(limiter.answered.len() <= MAX_REMEMBERED);
    }
}

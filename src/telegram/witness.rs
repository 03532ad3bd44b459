//! The witness: the audit's head, posted to a chat now and then and when we stop. Nobody who can
//! write the audit's file can change what stands there.

use std::sync::Arc;
use std::time::Duration;

use grammers_session::types::PeerId;
use metrics::counter;
use tokio::sync::Mutex;
use tokio::time::{sleep, timeout};
use tracing::{debug, error, warn};

use super::handler::Handler;
use super::outbox::input_peer;
use super::reply::Reply;
use crate::broker::ports::{AuditHead, Head};
use crate::telemetry::metrics::WITNESS_FAILED;

/// How long a stop may wait for the last one.
const LAST: Duration = Duration::from_secs(5);

/// What is posted, and where.
pub struct Witness {
    /// Tells the head.
    pub audit: Arc<dyn AuditHead>,
    /// The chat's number, as bots and clients show it: groups have negative ones.
    pub chat: i64,
    /// How often.
    pub every: Duration,
}

/// The witness at work.
pub(super) struct Posting {
    witness: Witness,
    handler: Arc<Handler>,
    /// The last one that arrived; locked while one is on its way.
    posted: Mutex<Option<Head>>,
}

impl Posting {
    pub(super) fn new(witness: Witness, handler: Arc<Handler>) -> Self {
        Self {
            witness,
            handler,
            posted: Mutex::new(None),
        }
    }

    /// Posts at once and then now and then, for as long as it is polled.
    pub(super) async fn run(&self) {
        loop {
            self.post().await;
            sleep(self.witness.every).await;
        }
    }

    /// Posts once more, if that can be done soon.
    pub(super) async fn last(&self) {
        if timeout(LAST, self.post()).await.is_err() {
            counter!(WITNESS_FAILED).increment(1);
            warn!(
                event = "audit.head_not_posted",
                error = "Telegram did not take it before the stop"
            );
        }
    }

    /// Posts the head, unless it stands there already.
    async fn post(&self) {
        let mut posted = self.posted.lock().await;
        let head = match self.witness.audit.head().await {
            Ok(Some(head)) => head,
            Ok(None) => return,
            Err(error) => {
                warn!(event = "audit.head_not_posted", %error);
                return;
            }
        };
        if posted.as_ref().is_some_and(|last| last.hash == head.hash) {
            return;
        }
        let Some(chat) = PeerId::from_bot_api_dialog_id(self.witness.chat) else {
            error!(
                event = "audit.head_not_posted",
                error = "[audit] witness_chat is no chat's number"
            );
            return;
        };
        let hash = self.access_hash(chat).await;
        let reply = Reply::plain(head.line.clone());
        let peer = input_peer(chat, hash);
        let sending = self
            .handler
            .outbox
            .send(peer, reply, None, random_id(&head));
        match sending.await.result {
            Ok(_) => {
                debug!(event = "audit.head_posted", seq = head.seq);
                *posted = Some(head);
            }
            Err(error) => {
                counter!(WITNESS_FAILED).increment(1);
                warn!(
                    event = "audit.head_not_posted",
                    chat = self.witness.chat,
                    %error,
                    hint = "the account must be a member who may write there"
                );
            }
        }
    }

    /// The chat's access hash. One that is not known yet is among the latest chats, or needs none, as
    /// small groups do.
    async fn access_hash(&self, chat: PeerId) -> i64 {
        let session = &self.handler.session;
        if let Some(hash) = session.access_hash(chat) {
            return hash;
        }
        if let Err(error) = self.handler.link.dialogs(session).await {
            debug!(event = "audit.witness_chat_unknown", %error);
        }
        session.access_hash(chat).unwrap_or(0)
    }
}

/// The same for the same head, so that it stands there once.
fn random_id(head: &Head) -> i64 {
    let digits = head.hash.get(..16).unwrap_or_default();
    u64::from_str_radix(digits, 16).map_or(0, u64::cast_signed)
}

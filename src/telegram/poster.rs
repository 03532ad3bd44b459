//! Messages that are kept up to date: each posted once in a chat, found again, edited.

use std::sync::Arc;
use std::time::Duration;

use grammers_session::types::PeerId;
use grammers_tl_types as tl;
use sha2::{Digest, Sha256};
use tokio::time::{Instant, timeout};
use tracing::{debug, warn};

use super::buttons;
use super::call::{CallError, Gate, Link};
use super::outbox::{Outbox, Sent, input_peer};
use super::press::SAME;
use super::reply::Reply;
use super::search;
use super::session::FileSession;
use crate::broker::{Broker, Place};

/// How long one message may take, before the others have their turn.
const TRY_FOR: Duration = Duration::from_secs(20);
/// Supergroups and channels are numbered downwards from here, small groups above.
const CHANNELS: i64 = -1_000_000_000_000;

/// Which message it is.
pub(super) struct Which<'a> {
    /// What makes it another than all others of the chat.
    pub(super) name: &'a str,
    /// What its text begins with, and no other's.
    pub(super) mark: &'a str,
}

/// Posts and edits.
pub(super) struct Poster {
    link: Arc<Link>,
    session: Arc<FileSession>,
    /// Of its own: when Telegram wants these to wait, answers need not.
    outbox: Outbox,
    edits: Gate,
}

impl Poster {
    pub(super) fn new(link: &Arc<Link>, session: &Arc<FileSession>, broker: &Arc<Broker>) -> Self {
        Self {
            link: Arc::clone(link),
            session: Arc::clone(session),
            outbox: Outbox::new(Arc::clone(link), Arc::clone(session), Arc::clone(broker)),
            edits: Gate::new(),
        }
    }

    /// Has the message `which` in `chat`, which is `place` by now, say what `make` makes, as of `revision`.
    pub(super) async fn show(
        &self,
        which: &Which<'_>,
        chat: i64,
        place: Place,
        revision: u64,
        make: impl Fn() -> Reply,
    ) -> Result<Place, CallError> {
        let name = which.name;
        let shown = |message| Place {
            message,
            revision: Some(revision),
            refused: false,
        };
        let peer = peer_of(&self.session, chat);
        let Some(peer) = peer else {
            return Ok(refused(revision));
        };
        if let Some(message) = place.message {
            match self.edit(&peer, message, make()).await {
                Ok(()) => return Ok(shown(Some(message))),
                // It was deleted, or is too old to be changed: a new one says how things are.
                Err(CallError::Refused(reason)) => {
                    debug!(event = "telegram.card_lost", card = name, reason);
                }
                Err(error) => return Err(error),
            }
        }
        let purpose = match place.revision {
            None => "card".to_owned(),
            Some(_) => format!("card-{revision}"),
        };
        let sent = self
            .post(&peer, make(), random_id(name, &purpose, chat))
            .await;
        let message = match sent {
            Ok(Sent::Id(message)) if revision == 1 || place.revision.is_some() => {
                return Ok(shown(Some(message)));
            }
            // It may have been sent before, and then says what was so then.
            Ok(Sent::Id(message)) => Some(message),
            Ok(Sent::Earlier | Sent::Notice) => self.find(&peer, which.mark).await?,
            Err(CallError::Refused(reason)) => {
                warn!(
                    event = "telegram.card_refused",
                    card = name,
                    chat,
                    reason,
                    hint = "is vaultgram's account a member that may write there?"
                );
                return Ok(refused(revision));
            }
            Err(error) => return Err(error),
        };
        if let Some(message) = message {
            match self.edit(&peer, message, make()).await {
                Ok(()) | Err(CallError::Refused(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(shown(message))
    }

    /// Writes `text` once; whoever cannot be written to has been told as far as that goes.
    pub(super) async fn write(
        &self,
        name: &str,
        purpose: &str,
        chat: i64,
        text: String,
    ) -> Result<(), CallError> {
        let Some(peer) = peer_of(&self.session, chat) else {
            return Ok(());
        };
        let random_id = random_id(name, purpose, chat);
        match self.post(&peer, Reply::plain(text), random_id).await {
            Ok(_) => Ok(()),
            Err(CallError::Refused(reason)) => {
                warn!(
                    event = "telegram.notice_refused",
                    card = name,
                    chat,
                    purpose,
                    reason
                );
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    async fn post(
        &self,
        peer: &tl::enums::InputPeer,
        reply: Reply,
        random_id: i64,
    ) -> Result<Sent, CallError> {
        // What is cut off here is tried again under the same random id.
        let sending = self.outbox.send(peer.clone(), reply, None, random_id);
        match timeout(TRY_FOR, sending).await {
            Ok(sending) => sending.result,
            Err(_) => match self.outbox.flood_wait() {
                Duration::ZERO => Err(CallError::Disconnected),
                wait => Err(CallError::Flood(wait)),
            },
        }
    }

    async fn edit(
        &self,
        peer: &tl::enums::InputPeer,
        message: i32,
        reply: Reply,
    ) -> Result<(), CallError> {
        let reply_markup = buttons::under(&reply);
        let request = tl::functions::messages::EditMessage {
            no_webpage: true,
            invert_media: false,
            peer: peer.clone(),
            id: message,
            message: Some(reply.text),
            media: None,
            reply_markup,
            entities: None,
            schedule_date: None,
            schedule_repeat_period: None,
            quick_reply_shortcut_id: None,
            rich_message: None,
        };
        let deadline = Instant::now() + TRY_FOR;
        match self.link.persist(&request, &self.edits, deadline).await {
            Ok(_) => Ok(()),
            Err(CallError::Refused(reason)) if reason == SAME => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// The newest message that begins with `mark` in a chat, among its last ones. A bot cannot look: then there is
    /// none, and the next change is posted anew.
    async fn find(
        &self,
        peer: &tl::enums::InputPeer,
        mark: &str,
    ) -> Result<Option<i32>, CallError> {
        let request = tl::functions::messages::GetHistory {
            peer: peer.clone(),
            offset_id: 0,
            offset_date: 0,
            add_offset: 0,
            limit: search::PAGE,
            max_id: 0,
            min_id: 0,
            hash: 0,
        };
        let deadline = Instant::now() + TRY_FOR;
        let page = match self.link.persist(&request, &self.edits, deadline).await {
            Ok(page) => search::list(page),
            Err(CallError::Refused(_)) => return Ok(None),
            Err(error) => return Err(error),
        };
        Ok(page.into_iter().find_map(|message| match message {
            tl::enums::Message::Message(it) if it.out && it.message.starts_with(mark) => {
                Some(it.id)
            }
            tl::enums::Message::Message(_)
            | tl::enums::Message::Service(_)
            | tl::enums::Message::Empty(_) => None,
        }))
    }
}

/// How to address a chat, in bot-API notation; `None` for a number that no chat has. Contacts, small
/// groups, and anybody for a bot, can be named without a hash.
fn peer_of(session: &FileSession, chat: i64) -> Option<tl::enums::InputPeer> {
    let id = if chat > 0 {
        PeerId::user(chat)?
    } else if chat > CHANNELS {
        PeerId::chat(-chat)?
    } else {
        PeerId::channel(CHANNELS - chat)?
    };
    Some(input_peer(id, session.access_hash(id).unwrap_or(0)))
}

fn refused(revision: u64) -> Place {
    Place {
        message: None,
        revision: Some(revision),
        refused: true,
    }
}

/// The number by which Telegram recognises a message sent twice.
fn random_id(name: &str, purpose: &str, chat: i64) -> i64 {
    let digest = Sha256::digest(format!("vaultgram card v1\0{name}\0{purpose}\0{chat}"));
    let mut bytes = [0; 8];
    let pairs = bytes.iter_mut().zip(digest);
    pairs.for_each(|(to, from)| *to = from);
    // 0 means "none" to Telegram.
    i64::from_le_bytes(bytes) | 1
}

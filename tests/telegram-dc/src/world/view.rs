//! Messages as one account sees them, for clients and for tests.

use grammers_tl_types::{enums, types};

use super::reactions::reactions;
use super::store::Stored;
use super::{Owner, Place, World};
use crate::content;
use crate::model::{Chat, Message, Sender};
use crate::tl;

impl World {
    /// A message by its number in a box.
    pub(crate) fn stored(&self, owner: Owner, id: i32) -> Option<&Stored> {
        self.store.get(self.mailbox(owner)?.get(id)?)
    }

    /// The message as a test sees it; `None` for notes about a chat.
    pub(crate) fn message(&self, owner: Owner, id: i32, viewer: i64) -> Option<Message> {
        let stored = self
            .stored(owner, id)
            .filter(|stored| stored.action.is_none())?;
        Some(Message {
            id,
            chat: stored.place.seen_by(viewer),
            from: stored.shown,
            date: stored.date,
            text: stored.text.clone(),
            entities: stored.entities.clone(),
            out: stored.author == viewer,
            edited: stored.edited,
            reply_to: self.reply_in(stored, owner),
            forwarded_from: stored.forwarded_from,
            via_bot: stored.via_bot,
            document: stored.document.clone(),
            buttons: content::buttons(stored.markup.as_ref()),
            noforwards: stored.noforwards,
            silent: stored.silent,
            ttl_period: stored.ttl_period,
            reactions: stored
                .reactions
                .iter()
                .map(|one| (one.by, one.emoji.clone()))
                .collect(),
        })
    }

    /// The message as a client is sent it.
    pub(crate) fn tl_message(&self, owner: Owner, id: i32, viewer: i64) -> Option<enums::Message> {
        let key = self.mailbox(owner)?.get(id)?;
        let stored = self.store.get(key)?;
        let peer = peer(stored.place.seen_by(viewer));
        let from_id = from_id(stored);
        let out = stored.author == viewer;
        if let Some(action) = stored.action.clone() {
            let note = tl::service(id, peer, stored.date, action);
            return Some(
                types::MessageService {
                    out,
                    from_id,
                    ..note
                }
                .into(),
            );
        }
        let text = stored.text.clone();
        let document = self.tl_document(key, stored, viewer);
        let message = types::Message {
            out,
            from_id,
            post: stored.post,
            fwd_from: forward(stored),
            via_bot_id: stored.via_bot,
            reply_to: self.reply_in(stored, owner).map(|id| tl::reply(id).into()),
            entities: (!stored.entities.is_empty()).then(|| stored.entities.clone()),
            edit_date: stored.edited,
            media: document.map(tl::document_media),
            reply_markup: stored.markup.clone(),
            noforwards: stored.noforwards,
            silent: stored.silent,
            ttl_period: stored.ttl_period,
            reactions: (!stored.reactions.is_empty()).then(|| reactions(stored, viewer)),
            ..tl::message(id, peer, stored.date, text)
        };
        Some(message.into())
    }

    /// The number of the message it answers, in the same box.
    pub(crate) fn reply_in(&self, stored: &Stored, owner: Owner) -> Option<i32> {
        self.store.get(stored.reply_to?)?.id_in(owner)
    }
}

/// A chat as TL has it.
pub(crate) fn peer(chat: Chat) -> enums::Peer {
    match chat {
        Chat::User(user_id) => types::PeerUser { user_id }.into(),
        Chat::Group(chat_id) => types::PeerChat { chat_id }.into(),
        Chat::Channel(channel_id) => types::PeerChannel { channel_id }.into(),
    }
}

/// The header of a forwarded message.
pub(crate) fn forward(stored: &Stored) -> Option<enums::MessageFwdHeader> {
    let from_id = Some(peer(Chat::User(stored.forwarded_from?)));
    Some(
        types::MessageFwdHeader {
            from_id,
            ..tl::forward(stored.date)
        }
        .into(),
    )
}

/// In private chats, and for posts of a channel, the sender goes without saying.
fn from_id(stored: &Stored) -> Option<enums::Peer> {
    match (stored.place, stored.shown) {
        (Place::Private { .. }, _) => None,
        (Place::Group(_) | Place::Channel(_), _) if stored.post => None,
        (Place::Group(_) | Place::Channel(_), Sender::User(id)) => Some(peer(Chat::User(id))),
        (Place::Group(_) | Place::Channel(_), Sender::Channel(id)) => Some(peer(Chat::Channel(id))),
    }
}

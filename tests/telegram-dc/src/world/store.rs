//! The messages themselves, each kept once however many boxes it is in.

use std::collections::HashMap;

use grammers_tl_types::enums::{MessageAction, MessageEntity, ReplyMarkup};

use super::reactions::Reacted;
use crate::content::Document;
use crate::model::{Chat, Sender};

/// The server's own number for a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct MessageKey(pub(crate) u64);

/// Whose box a copy is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Owner {
    Account(i64),
    Channel(i64),
}

/// Where a message was sent, without a point of view.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Place {
    Private { from: i64, to: i64 },
    Group(i64),
    Channel(i64),
}

impl Place {
    /// The chat that `viewer` sees it in.
    pub(crate) fn seen_by(self, viewer: i64) -> Chat {
        match self {
            Self::Private { from, to } => Chat::User(if viewer == from { to } else { from }),
            Self::Group(id) => Chat::Group(id),
            Self::Channel(id) => Chat::Channel(id),
        }
    }
}

/// A message without a point of view.
pub(crate) struct Stored {
    pub(crate) place: Place,
    /// The account that sent it.
    pub(crate) author: i64,
    /// Who it is shown to be from.
    pub(crate) shown: Sender,
    pub(crate) date: i32,
    pub(crate) text: String,
    pub(crate) entities: Vec<MessageEntity>,
    pub(crate) edited: Option<i32>,
    pub(crate) reply_to: Option<MessageKey>,
    pub(crate) forwarded_from: Option<i64>,
    pub(crate) via_bot: Option<i64>,
    /// A channel's own post, as opposed to a message in a group.
    pub(crate) post: bool,
    /// A note about the chat instead of a text.
    pub(crate) action: Option<MessageAction>,
    pub(crate) document: Option<Document>,
    /// Its buttons; only bots have them.
    pub(crate) markup: Option<ReplyMarkup>,
    pub(crate) noforwards: bool,
    pub(crate) silent: bool,
    /// How many seconds after its date it deletes itself.
    pub(crate) ttl_period: Option<i32>,
    pub(crate) reactions: Vec<Reacted>,
    /// Its number in each box.
    pub(crate) copies: Vec<(Owner, i32)>,
}

impl Stored {
    /// A message that says nothing yet.
    pub(crate) fn empty(place: Place, author: i64, date: i32) -> Self {
        Self {
            place,
            author,
            shown: Sender::User(author),
            date,
            text: String::new(),
            entities: Vec::new(),
            edited: None,
            reply_to: None,
            forwarded_from: None,
            via_bot: None,
            post: false,
            action: None,
            document: None,
            markup: None,
            noforwards: false,
            silent: false,
            ttl_period: None,
            reactions: Vec::new(),
            copies: Vec::new(),
        }
    }

    /// Whether it is text and nothing that the short forms of updates have no room for.
    pub(crate) fn is_plain(&self) -> bool {
        self.action.is_none()
            && self.document.is_none()
            && self.markup.is_none()
            && !self.noforwards
    }

    /// Its number in one box.
    pub(crate) fn id_in(&self, owner: Owner) -> Option<i32> {
        self.copies
            .iter()
            .find(|(one, _)| *one == owner)
            .map(|(_, id)| *id)
    }
}

/// All messages.
#[derive(Default)]
pub(crate) struct Store {
    messages: HashMap<MessageKey, Stored>,
    last: u64,
}

impl Store {
    pub(crate) fn add(&mut self, message: Stored) -> MessageKey {
        self.last += 1;
        let key = MessageKey(self.last);
        self.messages.insert(key, message);
        key
    }

    pub(crate) fn get(&self, key: MessageKey) -> Option<&Stored> {
        self.messages.get(&key)
    }

    pub(crate) fn get_mut(&mut self, key: MessageKey) -> Option<&mut Stored> {
        self.messages.get_mut(&key)
    }

    /// A box no longer has its copy; without copies the message goes.
    pub(crate) fn forget_copy(&mut self, key: MessageKey, owner: Owner) {
        if let Some(message) = self.messages.get_mut(&key) {
            message.copies.retain(|(one, _)| *one != owner);
            if message.copies.is_empty() {
                self.messages.remove(&key);
            }
        }
    }
}

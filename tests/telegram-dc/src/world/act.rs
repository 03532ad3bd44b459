//! What can be done in the world: send, edit, delete, and make groups.

use std::collections::HashSet;

use grammers_tl_types::enums::MessageAction;
use grammers_tl_types::types::{MessageActionChannelCreate, MessageActionChatCreate};

use super::store::{MessageKey, Stored};
use super::{Channel, Group, Mailbox, Owner, Place, World, owner_of};
use crate::model::{ANONYMOUS_ADMIN, Announce, Chat, Draft, Refusal, SERVICE_USER, Sender, Sent};

/// The longest text, in UTF-16 units.
const MAX_TEXT: usize = 4096;

/// The longest caption of those without Telegram Premium.
const MAX_CAPTION: usize = 1024;

impl World {
    /// Sends a message; `origin` is the connection that is told by the answer instead.
    pub(crate) fn send(
        &mut self,
        author: i64,
        chat: Chat,
        draft: Draft,
        origin: Option<u64>,
    ) -> Result<Sent, Refusal> {
        check(&draft.text, draft.document.is_some())?;
        let place = self.place(author, chat)?;
        self.check_started(place)?;
        let reply_to = draft
            .reply_to
            .map(|id| {
                self.find(author, chat, id)
                    .ok_or(Refusal::bad("MESSAGE_ID_INVALID"))
            })
            .transpose()?;
        let age = i32::try_from(draft.age.as_secs()).unwrap_or(i32::MAX);
        let date = self.clock.unix().saturating_sub(age);
        let bot = self.is_bot(author);
        let message = Stored {
            shown: self.shown(author, place, draft.sent_as),
            text: draft.text,
            entities: draft.entities,
            reply_to,
            forwarded_from: draft.forwarded_from,
            via_bot: draft.via_bot,
            post: self.is_broadcast(place),
            document: draft.document,
            // What only bots may ask for is dropped silently.
            markup: draft.markup.filter(|_| bot),
            noforwards: draft.noforwards && bot,
            silent: draft.silent,
            ttl_period: self.period(place),
            ..Stored::empty(place, author, date)
        };
        Ok(self.file(message, origin, draft.form))
    }

    /// Changes the text of a message, by its number as the author sees it.
    pub(crate) fn edit(
        &mut self,
        author: i64,
        chat: Chat,
        id: i32,
        draft: Draft,
        origin: Option<u64>,
    ) -> Result<(), Refusal> {
        let now = self.clock.unix();
        let markup = draft.markup.filter(|_| self.is_bot(author));
        let key = self
            .find(author, chat, id)
            .ok_or(Refusal::bad("MESSAGE_ID_INVALID"))?;
        let message = self
            .store
            .get_mut(key)
            .ok_or(Refusal::bad("MESSAGE_ID_INVALID"))?;
        if message.author != author || message.action.is_some() {
            return Err(Refusal::forbidden("MESSAGE_AUTHOR_REQUIRED"));
        }
        check(&draft.text, message.document.is_some())?;
        if message.text == draft.text
            && message.entities == draft.entities
            && message.markup == markup
        {
            return Err(Refusal::bad("MESSAGE_NOT_MODIFIED"));
        }
        message.text = draft.text;
        message.entities = draft.entities;
        message.markup = markup;
        message.edited = Some(now);
        for (owner, id) in message.copies.clone() {
            if let Some(mailbox) = self.mailbox_mut(owner) {
                mailbox.edited(id);
            }
            self.deliver(owner, origin, None);
        }
        Ok(())
    }

    /// Deletes messages, for everybody or for `actor` alone. Unknown numbers are passed over.
    pub(crate) fn delete(
        &mut self,
        actor: i64,
        channel: Option<i64>,
        ids: &[i32],
        revoke: bool,
        origin: Option<u64>,
    ) -> usize {
        let own = channel.map_or(Owner::Account(actor), Owner::Channel);
        let keys: Vec<MessageKey> = ids
            .iter()
            .filter_map(|id| self.mailbox(own)?.get(*id))
            .collect();
        self.take_out(&keys, (!revoke).then_some(own), origin);
        keys.len()
    }

    /// Takes messages out of one box, or of all that they are in, and tells their owners.
    pub(super) fn take_out(
        &mut self,
        keys: &[MessageKey],
        only: Option<Owner>,
        origin: Option<u64>,
    ) {
        let mut by_box: Vec<(Owner, Chat, Vec<i32>)> = Vec::new();
        let messages = keys.iter().filter_map(|key| self.store.get(*key));
        for message in messages {
            let copies = message.copies.iter();
            for &(owner, id) in copies.filter(|(one, _)| only.is_none_or(|only| only == *one)) {
                // The members of a channel see it alike.
                let viewer = if let Owner::Account(account) = owner {
                    account
                } else {
                    message.author
                };
                let chat = message.place.seen_by(viewer);
                match by_box
                    .iter_mut()
                    .find(|(one, of, _)| *one == owner && *of == chat)
                {
                    Some((_, _, ids)) => ids.push(id),
                    None => by_box.push((owner, chat, vec![id])),
                }
            }
        }
        for (owner, chat, ids) in by_box {
            self.remove(owner, chat, &ids);
            self.deliver(owner, origin, None);
        }
    }

    /// Adds a basic group, and the note that says so.
    pub(crate) fn add_group(&mut self, id: i64, title: &str, members: &[i64]) {
        let created = self.clock.unix();
        let group = Group {
            title: title.to_owned(),
            members: members.to_vec(),
            created,
        };
        self.groups.insert(id, group);
        let action = MessageActionChatCreate {
            title: title.to_owned(),
            users: members.to_vec(),
        };
        let creator = members.first().copied();
        self.note(creator, Place::Group(id), action.into(), None);
    }

    /// Adds a supergroup or a channel, and the note that says so.
    pub(crate) fn add_channel(&mut self, id: i64, title: &str, members: &[i64], broadcast: bool) {
        let creator = members.first().copied().unwrap_or(SERVICE_USER);
        let channel = Channel {
            title: title.to_owned(),
            creator,
            members: members.iter().copied().collect::<HashSet<_>>(),
            broadcast,
            created: self.clock.unix(),
            changed: self.clock.unix(),
            announce: Announce::default(),
            mailbox: Mailbox::new(),
        };
        self.channels.insert(id, channel);
        let action = MessageActionChannelCreate {
            title: title.to_owned(),
        };
        self.note(Some(creator), Place::Channel(id), action.into(), None);
    }

    /// The message behind a number, if it is in that chat.
    pub(crate) fn find(&self, viewer: i64, chat: Chat, id: i32) -> Option<MessageKey> {
        let key = self.mailbox(owner_of(chat, viewer))?.get(id)?;
        (self.store.get(key)?.place.seen_by(viewer) == chat).then_some(key)
    }

    /// Whether an account may read a chat, and write to it.
    pub(crate) fn place(&self, author: i64, chat: Chat) -> Result<Place, Refusal> {
        // These two write anywhere, without being members.
        let everywhere = matches!(author, SERVICE_USER | ANONYMOUS_ADMIN);
        self.account(author)?;
        match chat {
            Chat::User(to) if self.accounts.contains_key(&to) => {
                Ok(Place::Private { from: author, to })
            }
            Chat::User(_) => Err(Refusal::bad("PEER_ID_INVALID")),
            Chat::Group(id) => match self.groups.get(&id) {
                None => Err(Refusal::bad("PEER_ID_INVALID")),
                Some(group) if everywhere || group.members.contains(&author) => {
                    Ok(Place::Group(id))
                }
                Some(_) => Err(Refusal::forbidden("CHAT_WRITE_FORBIDDEN")),
            },
            Chat::Channel(id) => match self.channels.get(&id) {
                None => Err(Refusal::bad("CHANNEL_INVALID")),
                Some(channel) if channel.broadcast && channel.creator != author => {
                    Err(Refusal::forbidden("CHAT_ADMIN_REQUIRED"))
                }
                Some(channel) if everywhere || channel.members.contains(&author) => {
                    Ok(Place::Channel(id))
                }
                Some(_) => Err(Refusal::bad("CHANNEL_PRIVATE")),
            },
        }
    }

    /// A bot writes to nobody who has not written to it, nor to another bot.
    fn check_started(&mut self, place: Place) -> Result<(), Refusal> {
        let Place::Private { from, to } = place else {
            return Ok(());
        };
        if self.is_bot(from) {
            let started = self.account(from)?.started_by.contains(&to);
            return match (from == to, self.is_bot(to), started) {
                (false, true, _) => Err(Refusal::bad("USER_IS_BOT")),
                (false, false, false) => Err(Refusal::bad("PEER_ID_INVALID")),
                (true, _, _) | (false, false, true) => Ok(()),
            };
        }
        if self.is_bot(to) {
            self.account_mut(to)?.started_by.insert(from);
        }
        Ok(())
    }

    fn shown(&self, author: i64, place: Place, sent_as: Option<i64>) -> Sender {
        match (sent_as, place) {
            (Some(channel), _) => Sender::Channel(channel),
            (None, Place::Channel(id)) if self.is_broadcast(place) => Sender::Channel(id),
            (None, Place::Private { .. } | Place::Group(_) | Place::Channel(_)) => {
                Sender::User(author)
            }
        }
    }

    fn is_broadcast(&self, place: Place) -> bool {
        let Place::Channel(id) = place else {
            return false;
        };
        self.channels
            .get(&id)
            .is_some_and(|channel| channel.broadcast)
    }

    /// Puts a note about a chat into it, such as that it was made.
    pub(super) fn note(
        &mut self,
        author: Option<i64>,
        place: Place,
        action: MessageAction,
        origin: Option<u64>,
    ) {
        let author = author.unwrap_or(SERVICE_USER);
        let message = Stored {
            post: self.is_broadcast(place),
            action: Some(action),
            ..Stored::empty(place, author, self.clock.unix())
        };
        self.file(message, origin, None);
    }

    /// Puts a message into every box it belongs to, and tells their owners.
    fn file(
        &mut self,
        message: Stored,
        origin: Option<u64>,
        form: Option<crate::model::Form>,
    ) -> Sent {
        let (place, date) = (message.place, message.date);
        let owners = self.owners(place);
        let key = self.store.add(message);
        if let Some(message) = self.store.get(key) {
            self.lifetimes.note(key, message);
        }
        let mut sent = Sent {
            date,
            shared: None,
            own: Vec::new(),
        };
        for owner in owners {
            let viewer = if let Owner::Account(account) = owner {
                account
            } else {
                0
            };
            let Some(mailbox) = self.mailbox_mut(owner) else {
                continue;
            };
            let (id, forgotten) = mailbox.add(place.seen_by(viewer), key);
            if let Some(forgotten) = forgotten {
                self.store.forget_copy(forgotten, owner);
            }
            if let Some(message) = self.store.get_mut(key) {
                message.copies.push((owner, id));
            }
            match owner {
                Owner::Account(account) => sent.own.push((account, id)),
                Owner::Channel(_) => sent.shared = Some(id),
            }
        }
        let copies = self
            .store
            .get(key)
            .map(|message| message.copies.clone())
            .unwrap_or_default();
        for (owner, _) in copies {
            self.deliver(owner, origin, form);
        }
        sent
    }

    pub(super) fn owners(&self, place: Place) -> Vec<Owner> {
        match place {
            Place::Private { from, to } if from == to => vec![Owner::Account(from)],
            Place::Private { from, to } => vec![Owner::Account(from), Owner::Account(to)],
            Place::Group(id) => {
                let members = self.groups.get(&id).map(|group| group.members.as_slice());
                members
                    .unwrap_or_default()
                    .iter()
                    .map(|id| Owner::Account(*id))
                    .collect()
            }
            Place::Channel(id) => vec![Owner::Channel(id)],
        }
    }

    fn remove(&mut self, owner: Owner, chat: Chat, ids: &[i32]) {
        let Some(mailbox) = self.mailbox_mut(owner) else {
            return;
        };
        let keys: Vec<MessageKey> = ids.iter().filter_map(|id| mailbox.get(*id)).collect();
        mailbox.remove(chat, ids);
        for key in keys {
            self.store.forget_copy(key, owner);
        }
    }
}

/// Checks a text's length, or a caption's.
fn check(text: &str, caption: bool) -> Result<(), Refusal> {
    let length = text.encode_utf16().count();
    if caption {
        return if length > MAX_CAPTION {
            Err(Refusal::bad("MEDIA_CAPTION_TOO_LONG"))
        } else {
            Ok(())
        };
    }
    if text.trim().is_empty() {
        return Err(Refusal::bad("MESSAGE_EMPTY"));
    }
    if length > MAX_TEXT {
        return Err(Refusal::bad("MESSAGE_TOO_LONG"));
    }
    Ok(())
}

//! Who is mentioned in an answer, and how they are described to one account.

use std::collections::BTreeSet;

use grammers_tl_types::{enums, types};
use sha2::{Digest, Sha256};

use super::store::Stored;
use super::{Place, World};
use crate::model::{Chat, Sender};
use crate::tl;

/// Users and chats that an answer has to describe.
#[derive(Debug, Clone, Default)]
pub(crate) struct Peers {
    pub(crate) users: BTreeSet<i64>,
    pub(crate) chats: BTreeSet<Chat>,
}

impl Peers {
    /// Adds a chat, or the user that it is with.
    pub(crate) fn add(&mut self, chat: Chat) {
        match chat {
            Chat::User(id) => {
                self.users.insert(id);
            }
            Chat::Group(_) | Chat::Channel(_) => {
                self.chats.insert(chat);
            }
        }
    }

    /// All of them as chats.
    pub(crate) fn all(&self) -> impl Iterator<Item = Chat> + '_ {
        self.users
            .iter()
            .map(|id| Chat::User(*id))
            .chain(self.chats.iter().copied())
    }

    /// Adds everybody that a message mentions.
    pub(crate) fn add_message(&mut self, stored: &Stored) {
        match stored.place {
            Place::Private { from, to } => self.users.extend([from, to]),
            Place::Group(id) => self.add(Chat::Group(id)),
            Place::Channel(id) => self.add(Chat::Channel(id)),
        }
        match stored.shown {
            Sender::User(id) => self.add(Chat::User(id)),
            Sender::Channel(id) => self.add(Chat::Channel(id)),
        }
        self.users.extend(stored.forwarded_from);
        self.users.extend(stored.via_bot);
    }
}

impl World {
    /// The number with which `viewer` proves to have been told about a user.
    pub(crate) fn user_hash(&self, viewer: i64, user: i64) -> i64 {
        self.access_hash(viewer, b'u', user)
    }

    /// The same for a supergroup or channel.
    pub(crate) fn channel_hash(&self, viewer: i64, channel: i64) -> i64 {
        self.access_hash(viewer, b'c', channel)
    }

    pub(super) fn access_hash(&self, viewer: i64, kind: u8, id: i64) -> i64 {
        let hash = Sha256::new()
            .chain_update(self.secret)
            .chain_update([kind])
            .chain_update(viewer.to_le_bytes())
            .chain_update(id.to_le_bytes())
            .finalize();
        hash.first_chunk()
            .map_or(1, |head| i64::from_le_bytes(*head))
    }

    /// Describes a user to `viewer`.
    pub(crate) fn tl_user(&self, viewer: i64, id: i64) -> Option<enums::User> {
        let account = self.accounts.get(&id)?;
        let hash = self.user_hash(viewer, id);
        let bot = account.user.bot_token.is_some();
        let user = types::User {
            is_self: id == viewer,
            bot,
            bot_info_version: bot.then_some(1),
            bot_nochats: false,
            username: account.user.username.clone(),
            phone: account.user.phone.clone().filter(|_| id == viewer),
            status: Some(enums::UserStatus::Empty),
            ..tl::user(id, hash, account.user.name.clone())
        };
        Some(user.into())
    }

    /// Describes a group or channel to `viewer`.
    pub(crate) fn tl_chat(&self, viewer: i64, chat: Chat) -> Option<enums::Chat> {
        match chat {
            Chat::User(_) => None,
            Chat::Group(id) => {
                let group = self.groups.get(&id)?;
                let count = i32::try_from(group.members.len()).unwrap_or(i32::MAX);
                let chat = types::Chat {
                    creator: group.members.first() == Some(&viewer),
                    left: !group.members.contains(&viewer),
                    ..tl::chat(id, group.title.clone(), count, group.created)
                };
                Some(chat.into())
            }
            Chat::Channel(id) => {
                let channel = self.channels.get(&id)?;
                let hash = self.channel_hash(viewer, id);
                let chat = types::Channel {
                    creator: channel.creator == viewer,
                    left: !channel.members.contains(&viewer),
                    broadcast: channel.broadcast,
                    megagroup: !channel.broadcast,
                    ..tl::channel(id, hash, channel.title.clone(), channel.created)
                };
                Some(chat.into())
            }
        }
    }

    /// Describes everybody, and remembers that the key has been told.
    pub(crate) fn introduce(
        &mut self,
        key: i64,
        viewer: i64,
        peers: &Peers,
    ) -> (Vec<enums::User>, Vec<enums::Chat>) {
        if let Some(device) = self.keys.get_mut(key) {
            device.introduced.extend(peers.all());
        }
        let users = peers
            .users
            .iter()
            .filter_map(|id| self.tl_user(viewer, *id))
            .collect();
        let chats = peers
            .chats
            .iter()
            .filter_map(|chat| self.tl_chat(viewer, *chat))
            .collect();
        (users, chats)
    }
}

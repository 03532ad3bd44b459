//! From what a client writes for a peer to the peer, with its access hash checked.

use grammers_tl_types::{enums, types};

use super::{Answer, Context};
use crate::model::{Chat, Refusal, Sender};

impl Context<'_> {
    /// The chat that an `InputPeer` means.
    pub(super) fn chat(&self, peer: &enums::InputPeer) -> Answer<Chat> {
        let invalid = || Refusal::bad("PEER_ID_INVALID");
        match peer {
            enums::InputPeer::PeerSelf => Ok(Chat::User(self.account)),
            enums::InputPeer::Chat(chat) if self.world.groups.contains_key(&chat.chat_id) => {
                Ok(Chat::Group(chat.chat_id))
            }
            enums::InputPeer::Empty | enums::InputPeer::Chat(_) => Err(invalid()),
            enums::InputPeer::User(user) => {
                let id = self
                    .checked_user(user.user_id, user.access_hash)
                    .ok_or_else(invalid)?;
                Ok(Chat::User(id))
            }
            enums::InputPeer::Channel(channel) => self
                .checked_channel(channel.channel_id, channel.access_hash)
                .map(Chat::Channel),
            enums::InputPeer::UserFromMessage(from) => {
                let chat = self.chat(&from.peer)?;
                let sender = self.sender_in(chat, from.msg_id).ok_or_else(invalid)?;
                if sender == Sender::User(from.user_id) {
                    Ok(Chat::User(from.user_id))
                } else {
                    Err(invalid())
                }
            }
            enums::InputPeer::ChannelFromMessage(_) => Err(Refusal::bad("CHANNEL_INVALID")),
        }
    }

    /// The user that an `InputUser` means.
    pub(super) fn user(&self, user: &enums::InputUser) -> Answer<i64> {
        let invalid = || Refusal::bad("USER_ID_INVALID");
        match user {
            enums::InputUser::Empty => Err(invalid()),
            enums::InputUser::UserSelf => Ok(self.account),
            enums::InputUser::User(user) => self
                .checked_user(user.user_id, user.access_hash)
                .ok_or_else(invalid),
            enums::InputUser::FromMessage(from) => {
                let chat = self.chat(&from.peer)?;
                match self.sender_in(chat, from.msg_id) {
                    Some(Sender::User(id)) if id == from.user_id => Ok(id),
                    Some(Sender::User(_) | Sender::Channel(_)) | None => Err(invalid()),
                }
            }
        }
    }

    /// The channel that an `InputChannel` means.
    pub(super) fn channel(&self, channel: &enums::InputChannel) -> Answer<i64> {
        match channel {
            enums::InputChannel::Channel(types::InputChannel {
                channel_id,
                access_hash,
            }) => self.checked_channel(*channel_id, *access_hash),
            enums::InputChannel::Empty | enums::InputChannel::FromMessage(_) => {
                Err(Refusal::bad("CHANNEL_INVALID"))
            }
        }
    }

    fn checked_user(&self, id: i64, hash: i64) -> Option<i64> {
        let known = self.world.accounts.contains_key(&id)
            && (id == self.account
                || hash == self.world.user_hash(self.account, id)
                || (hash == 0 && self.is_bot()));
        known.then_some(id)
    }

    fn checked_channel(&self, id: i64, hash: i64) -> Answer<i64> {
        let channel = self.world.channels.get(&id).filter(|_| {
            hash == self.world.channel_hash(self.account, id) || (hash == 0 && self.is_bot())
        });
        match channel {
            None => Err(Refusal::bad("CHANNEL_INVALID")),
            Some(channel) if channel.members.contains(&self.account) => Ok(id),
            Some(_) => Err(Refusal::bad("CHANNEL_PRIVATE")),
        }
    }

    /// Bots need no access hash.
    pub(super) fn is_bot(&self) -> bool {
        self.world.is_bot(self.account)
    }

    fn sender_in(&self, chat: Chat, id: i32) -> Option<Sender> {
        let key = self.world.find(self.account, chat, id)?;
        self.world.store.get(key).map(|message| message.shown)
    }
}

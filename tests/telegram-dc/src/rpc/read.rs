//! `messages.*` that read: single messages, history, how far one has read.

use grammers_tl_types::functions::messages::{GetHistory, GetMessages, ReadHistory};
use grammers_tl_types::{enums, types};

use super::{Answer, Context};
use crate::model::Chat;
use crate::world::{Owner, Peers};

/// The most messages in one answer.
const MAX_LIMIT: usize = 100;

pub(super) fn get_messages(
    context: &mut Context<'_>,
    request: GetMessages,
) -> Answer<enums::messages::Messages> {
    let mut peers = Peers::default();
    let owner = Owner::Account(context.account);
    let messages = context.by_number(owner, &request.id, &mut peers);
    let (users, chats) = context.introduce(&peers);
    Ok(types::messages::Messages {
        messages,
        topics: Vec::new(),
        chats,
        users,
    }
    .into())
}

pub(super) fn get_history(
    context: &mut Context<'_>,
    request: GetHistory,
) -> Answer<enums::messages::Messages> {
    let chat = context.chat(&request.peer)?;
    let owner = context.owner(chat);
    let ids = context.page(chat, owner, &request);
    let mut peers = Peers::default();
    peers.add(chat);
    let messages = context.collect(owner, &ids, &mut peers);
    let (users, chats) = context.introduce(&peers);
    let count = context
        .world
        .mailbox(owner)
        .map_or(0, |mailbox| mailbox.len(chat));
    let all = messages.len() == count;
    let count = i32::try_from(count).unwrap_or(i32::MAX);
    let topics = Vec::new();
    Ok(match owner {
        Owner::Channel(_) => {
            let pts = context.pts(owner);
            channel_messages(pts, count, messages, chats, users).into()
        }
        Owner::Account(_) if all => types::messages::Messages {
            messages,
            topics,
            chats,
            users,
        }
        .into(),
        Owner::Account(_) => {
            let slice = types::messages::MessagesSlice {
                inexact: false,
                count,
                next_rate: None,
                offset_id_offset: None,
                search_flood: None,
                messages,
                topics,
                chats,
                users,
            };
            slice.into()
        }
    })
}

pub(super) fn read_history(
    context: &mut Context<'_>,
    request: ReadHistory,
) -> Answer<enums::messages::AffectedMessages> {
    let chat = context.chat(&request.peer)?;
    context.mark_read(chat, request.max_id)?;
    Ok(context.affected(Owner::Account(context.account), 0))
}

/// The messages of a channel, which come with its `pts`.
pub(super) fn channel_messages(
    pts: i32,
    count: i32,
    messages: Vec<enums::Message>,
    chats: Vec<enums::Chat>,
    users: Vec<enums::User>,
) -> types::messages::ChannelMessages {
    types::messages::ChannelMessages {
        inexact: false,
        pts,
        count,
        offset_id_offset: None,
        messages,
        topics: Vec::new(),
        chats,
        users,
    }
}

impl Context<'_> {
    /// Messages of a box, and everybody they mention.
    pub(super) fn collect(
        &self,
        owner: Owner,
        ids: &[i32],
        peers: &mut Peers,
    ) -> Vec<enums::Message> {
        for id in ids {
            if let Some(stored) = self.world.stored(owner, *id) {
                peers.add_message(stored);
            }
        }
        ids.iter()
            .filter_map(|id| self.world.tl_message(owner, *id, self.account))
            .collect()
    }

    /// Messages asked for by number; the missing ones are said to be empty.
    pub(super) fn by_number(
        &self,
        owner: Owner,
        asked: &[enums::InputMessage],
        peers: &mut Peers,
    ) -> Vec<enums::Message> {
        let ids = asked
            .iter()
            .take(MAX_LIMIT)
            .filter_map(|asked| match asked {
                enums::InputMessage::Id(message) => Some(message.id),
                enums::InputMessage::ReplyTo(message) => {
                    let stored = self.world.stored(owner, message.id)?;
                    self.world.reply_in(stored, owner)
                }
                enums::InputMessage::Pinned | enums::InputMessage::CallbackQuery(_) => None,
            });
        let one = |id| match self.collect(owner, &[id], peers).pop() {
            Some(message) => message,
            None => types::MessageEmpty { id, peer_id: None }.into(),
        };
        ids.map(one).collect()
    }

    /// The numbers of one page of history, newest first.
    fn page(&self, chat: Chat, owner: Owner, request: &GetHistory) -> Vec<i32> {
        let Some(mailbox) = self.world.mailbox(owner) else {
            return Vec::new();
        };
        let limit = usize::try_from(request.limit).unwrap_or(0).min(MAX_LIMIT);
        let before = if request.offset_id > 0 {
            request.offset_id
        } else {
            i32::MAX
        };
        // The date counts only where no message is named.
        let dated = request.offset_id == 0 && request.offset_date > 0;
        let before_date = if dated { request.offset_date } else { i32::MAX };
        let in_time = |id: &i32| {
            before_date == i32::MAX
                || self
                    .world
                    .stored(owner, *id)
                    .is_some_and(|stored| stored.date < before_date)
        };
        let in_range = |id: &i32| {
            *id > request.min_id && (request.max_id == 0 || *id < request.max_id) && in_time(id)
        };
        // A negative offset reaches back up to newer messages.
        let ahead = usize::try_from(-request.add_offset.min(0))
            .unwrap_or(0)
            .min(MAX_LIMIT);
        let skip = usize::try_from(request.add_offset.max(0)).unwrap_or(0);
        let mut newer: Vec<i32> = match before {
            i32::MAX => Vec::new(),
            from => mailbox.oldest(chat, from).take(ahead).collect(),
        };
        newer.reverse();
        let older = mailbox.newest(chat, before).skip(skip);
        newer
            .into_iter()
            .chain(older)
            .filter(in_range)
            .take(limit)
            .collect()
    }

    /// Notes how far the account has read a chat.
    pub(super) fn mark_read(&mut self, chat: Chat, max_id: i32) -> Answer<()> {
        let top = if max_id > 0 { max_id } else { i32::MAX };
        let read = &mut self.world.account_mut(self.account)?.read;
        let mark = read.entry(chat).or_default();
        *mark = (*mark).max(top);
        Ok(())
    }
}

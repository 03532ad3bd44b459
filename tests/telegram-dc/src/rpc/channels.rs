//! Groups and channels: `channels.*`, and their part of `messages.*`.

use grammers_tl_types::functions::channels::{
    DeleteMessages, GetChannels, GetFullChannel, GetMessages, ReadHistory,
};
use grammers_tl_types::functions::messages::{GetChats, GetFullChat};
use grammers_tl_types::{enums, types};

use super::read::channel_messages;
use super::{Answer, Context};
use crate::model::{Chat, Refusal};
use crate::tl;
use crate::world::{Owner, Peers};

pub(super) fn get_chats(
    context: &mut Context<'_>,
    request: GetChats,
) -> Answer<enums::messages::Chats> {
    let chats = request.id.iter().map(|id| Chat::Group(*id));
    let chats = chats
        .filter_map(|chat| context.world.tl_chat(context.account, chat))
        .collect();
    Ok(types::messages::Chats { chats }.into())
}

pub(super) fn get_channels(
    context: &mut Context<'_>,
    request: GetChannels,
) -> Answer<enums::messages::Chats> {
    let mut chats = Vec::new();
    for channel in &request.id {
        let chat = Chat::Channel(context.channel(channel)?);
        chats.extend(context.world.tl_chat(context.account, chat));
    }
    Ok(types::messages::Chats { chats }.into())
}

pub(super) fn get_full_chat(
    context: &mut Context<'_>,
    request: GetFullChat,
) -> Answer<enums::messages::ChatFull> {
    let group = context.world.groups.get(&request.chat_id);
    let group = group.ok_or_else(|| Refusal::bad("CHAT_ID_INVALID"))?;
    let creator = group.members.first().copied().unwrap_or(0);
    let participants = group.members.iter().map(|id| match *id {
        id if id == creator => types::ChatParticipantCreator {
            user_id: id,
            rank: None,
        }
        .into(),
        user_id => {
            let (inviter_id, date) = (creator, group.created);
            types::ChatParticipant {
                user_id,
                inviter_id,
                date,
                rank: None,
            }
            .into()
        }
    });
    let participants = types::ChatParticipants {
        chat_id: request.chat_id,
        participants: participants.collect(),
        version: 1,
    };
    let mut peers = Peers::default();
    peers.users.extend(&group.members);
    peers.add(Chat::Group(request.chat_id));
    let (users, chats) = context.introduce(&peers);
    let full_chat = tl::chat_full(request.chat_id, participants.into()).into();
    Ok(types::messages::ChatFull {
        full_chat,
        chats,
        users,
    }
    .into())
}

pub(super) fn get_full_channel(
    context: &mut Context<'_>,
    request: GetFullChannel,
) -> Answer<enums::messages::ChatFull> {
    let id = context.channel(&request.channel)?;
    let pts = context.pts(Owner::Channel(id));
    let members = context
        .world
        .channels
        .get(&id)
        .map_or(0, |channel| channel.members.len());
    let mut peers = Peers::default();
    peers.add(Chat::Channel(id));
    let (users, chats) = context.introduce(&peers);
    let count = i32::try_from(members).unwrap_or(i32::MAX);
    let full_chat = tl::channel_full(id, pts, count).into();
    Ok(types::messages::ChatFull {
        full_chat,
        chats,
        users,
    }
    .into())
}

pub(super) fn delete_messages(
    context: &mut Context<'_>,
    request: DeleteMessages,
) -> Answer<enums::messages::AffectedMessages> {
    let id = context.channel(&request.channel)?;
    let creator = context
        .world
        .channels
        .get(&id)
        .map(|channel| channel.creator);
    let owner = Owner::Channel(id);
    let mine = |id: &i32| {
        context
            .world
            .stored(owner, *id)
            .is_none_or(|stored| stored.author == context.account)
    };
    if creator != Some(context.account) && !request.id.iter().all(mine) {
        return Err(Refusal::forbidden("MESSAGE_DELETE_FORBIDDEN"));
    }
    let origin = Some(context.link);
    let count = context
        .world
        .delete(context.account, Some(id), &request.id, true, origin);
    Ok(context.affected(owner, count))
}

pub(super) fn get_messages(
    context: &mut Context<'_>,
    request: GetMessages,
) -> Answer<enums::messages::Messages> {
    let id = context.channel(&request.channel)?;
    let owner = Owner::Channel(id);
    let mut peers = Peers::default();
    peers.add(Chat::Channel(id));
    let messages = context.by_number(owner, &request.id, &mut peers);
    let (users, chats) = context.introduce(&peers);
    let count = i32::try_from(messages.len()).unwrap_or(i32::MAX);
    let pts = context.pts(owner);
    Ok(channel_messages(pts, count, messages, chats, users).into())
}

pub(super) fn read_history(context: &mut Context<'_>, request: ReadHistory) -> Answer<bool> {
    let id = context.channel(&request.channel)?;
    context.mark_read(Chat::Channel(id), request.max_id)?;
    Ok(true)
}

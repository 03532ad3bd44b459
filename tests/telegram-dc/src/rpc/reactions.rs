//! `messages.*` about reactions.

use grammers_tl_types::enums;
use grammers_tl_types::functions::messages::{GetMessagesReactions, SendReaction};

use super::{Answer, Context};
use crate::model::{Chat, Refusal};
use crate::world::Peers;

/// The most messages that can be asked about at once.
const MAX_LIMIT: usize = 100;

pub(super) fn send(context: &mut Context<'_>, request: SendReaction) -> Answer<enums::Updates> {
    let chat = context.chat(&request.peer)?;
    let mut asked = request.reaction.unwrap_or_default().into_iter();
    let emoji = match (asked.next(), asked.next()) {
        (None, _) | (Some(enums::Reaction::Empty), None) => None,
        (Some(enums::Reaction::Emoji(emoji)), None) => Some(emoji.emoticon),
        (Some(enums::Reaction::CustomEmoji(_)), None) => {
            return Err(Refusal::forbidden("PREMIUM_ACCOUNT_REQUIRED"));
        }
        (Some(_), _) => return Err(Refusal::bad("REACTION_INVALID")),
    };
    let (account, origin) = (context.account, Some(context.link));
    context
        .world
        .react(account, chat, request.msg_id, emoji, origin)?;
    Ok(updates(context, chat, &[request.msg_id]))
}

pub(super) fn get(
    context: &mut Context<'_>,
    request: GetMessagesReactions,
) -> Answer<enums::Updates> {
    let chat = context.chat(&request.peer)?;
    Ok(updates(context, chat, &request.id))
}

fn updates(context: &mut Context<'_>, chat: Chat, ids: &[i32]) -> enums::Updates {
    let mut peers = Peers::default();
    let mut updates = Vec::new();
    for id in ids.iter().take(MAX_LIMIT) {
        // A number out of another chat is passed over.
        let known = context.world.find(context.account, chat, *id).is_some();
        let update = context.world.reactions_update(context.account, chat, *id);
        if let Some((update, mentioned)) = update.filter(|_| known) {
            peers.users.extend(mentioned.users);
            peers.chats.extend(mentioned.chats);
            updates.push(update);
        }
    }
    context.updates(updates, &peers)
}

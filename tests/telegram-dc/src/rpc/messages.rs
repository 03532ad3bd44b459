//! `messages.*` that write: send, edit, delete, and small courtesies.

use grammers_tl_types::functions::messages::{
    DeleteMessages, EditMessage, SendMessage, SetHistoryTtl, SetTyping,
};
use grammers_tl_types::{enums, types};

use super::{Answer, Context, bots};
use crate::model::{Chat, Draft, Form, Refusal};
use crate::tl;
use crate::world::{Done, Owner, Peers, peer};

pub(super) fn send(context: &mut Context<'_>, request: SendMessage) -> Answer<enums::Updates> {
    let random_id = request.random_id;
    post(context, &request.peer.clone(), random_id, |context| {
        Ok(Draft {
            text: request.message,
            entities: request.entities.unwrap_or_default(),
            reply_to: reply_to(request.reply_to.as_ref()),
            noforwards: request.noforwards,
            silent: request.silent,
            markup: bots::markup(context, request.reply_markup)?,
            ..Draft::default()
        })
    })
}

/// Sends what `draft` says, unless its `random_id` was sent before.
pub(super) fn post(
    context: &mut Context<'_>,
    to: &enums::InputPeer,
    random_id: i64,
    draft: impl FnOnce(&Context<'_>) -> Answer<Draft>,
) -> Answer<enums::Updates> {
    let chat = context.chat(to)?;
    if random_id == 0 {
        return Err(Refusal::bad("RANDOM_ID_EMPTY"));
    }
    if let Some(done) = context.world.account(context.account)?.done(random_id) {
        return sent(context, done, random_id);
    }
    let draft = draft(context)?;
    let result = context
        .world
        .send(context.account, chat, draft, Some(context.link))?;
    let id = result
        .id_for(context.account)
        .ok_or_else(|| Refusal::bad("PEER_ID_INVALID"))?;
    let pts = context.pts(context.owner(chat));
    let done = Done { chat, id, pts };
    context
        .world
        .account_mut(context.account)?
        .remember(random_id, done);
    sent(context, done, random_id)
}

/// The number of the message that is answered.
pub(super) fn reply_to(reply: Option<&enums::InputReplyTo>) -> Option<i32> {
    match reply {
        Some(enums::InputReplyTo::Message(reply)) => Some(reply.reply_to_msg_id),
        Some(_) | None => None,
    }
}

/// The answer to a send, the same each time.
fn sent(context: &mut Context<'_>, done: Done, random_id: i64) -> Answer<enums::Updates> {
    let Done { chat, id, pts } = done;
    let owner = context.owner(chat);
    let invalid = || Refusal::bad("MESSAGE_ID_INVALID");
    let stored = context.world.stored(owner, id).ok_or_else(invalid)?;
    let long = context.world.account(context.account)?.form == Form::Long;
    if stored.has_short_answer() && !long {
        let entities = (!stored.entities.is_empty()).then(|| stored.entities.clone());
        let short = tl::short_sent(id, pts, stored.date);
        let ttl_period = stored.ttl_period;
        let short = types::UpdateShortSentMessage {
            entities,
            ttl_period,
            ..short
        };
        return Ok(short.into());
    }
    let mut peers = Peers::default();
    peers.add_message(stored);
    let message = context
        .world
        .tl_message(owner, id, context.account)
        .ok_or_else(invalid)?;
    let new = if let Owner::Channel(_) = owner {
        types::UpdateNewChannelMessage {
            message,
            pts,
            pts_count: 1,
        }
        .into()
    } else {
        types::UpdateNewMessage {
            message,
            pts,
            pts_count: 1,
        }
        .into()
    };
    let numbered = types::UpdateMessageId { id, random_id }.into();
    Ok(context.updates(vec![numbered, new], &peers))
}

pub(super) fn edit(context: &mut Context<'_>, request: EditMessage) -> Answer<enums::Updates> {
    let chat = context.chat(&request.peer)?;
    let stored = context.world.stored(context.owner(chat), request.id);
    let (text, entities) = match (request.message, stored) {
        (Some(text), _) => (text, request.entities.unwrap_or_default()),
        // Without a text it is the buttons that change.
        (None, Some(stored)) => (stored.text.clone(), stored.entities.clone()),
        (None, None) => return Err(Refusal::bad("MESSAGE_ID_INVALID")),
    };
    let draft = Draft {
        text,
        entities,
        markup: bots::markup(context, request.reply_markup)?,
        ..Draft::default()
    };
    let id = request.id;
    context
        .world
        .edit(context.account, chat, id, draft, Some(context.link))?;
    let owner = context.owner(chat);
    let (update, peers) = context
        .world
        .latest(owner, context.account)
        .ok_or(Refusal::bad("MESSAGE_ID_INVALID"))?;
    Ok(context.updates(vec![update], &peers))
}

pub(super) fn delete(
    context: &mut Context<'_>,
    request: DeleteMessages,
) -> Answer<enums::messages::AffectedMessages> {
    let origin = Some(context.link);
    let count = context
        .world
        .delete(context.account, None, &request.id, request.revoke, origin);
    Ok(context.affected(Owner::Account(context.account), count))
}

pub(super) fn set_typing(context: &mut Context<'_>, request: SetTyping) -> Answer<bool> {
    context.chat(&request.peer)?;
    Ok(true)
}

pub(super) fn set_history_ttl(
    context: &mut Context<'_>,
    request: SetHistoryTtl,
) -> Answer<enums::Updates> {
    let chat = context.chat(&request.peer)?;
    let (account, origin) = (context.account, Some(context.link));
    context
        .world
        .set_period(account, chat, request.period, origin)?;
    let latest = context.world.latest(context.owner(chat), account);
    let (note, peers) = latest.ok_or_else(|| Refusal::bad("MESSAGE_ID_INVALID"))?;
    let told = types::UpdatePeerHistoryTtl {
        peer: peer(chat),
        ttl_period: Some(request.period).filter(|period| *period > 0),
    };
    Ok(context.updates(vec![told.into(), note], &peers))
}

impl Context<'_> {
    /// The box in which the account finds a chat.
    pub(super) fn owner(&self, chat: Chat) -> Owner {
        crate::world::owner_of(chat, self.account)
    }

    /// Updates with everybody they mention.
    pub(super) fn updates(&mut self, updates: Vec<enums::Update>, peers: &Peers) -> enums::Updates {
        let (users, chats) = self.introduce(peers);
        let date = self.shared.clock.unix();
        types::Updates {
            updates,
            users,
            chats,
            date,
            seq: 0,
        }
        .into()
    }

    /// How far an answer moved a box.
    pub(super) fn affected(&self, owner: Owner, count: usize) -> enums::messages::AffectedMessages {
        let pts_count = i32::try_from(count).unwrap_or(i32::MAX);
        types::messages::AffectedMessages {
            pts: self.pts(owner),
            pts_count,
        }
        .into()
    }
}

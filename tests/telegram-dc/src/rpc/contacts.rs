//! `contacts.*`: finding people by name.

use grammers_tl_types::functions::contacts::{GetContacts, ResolveUsername};
use grammers_tl_types::{enums, types};

use super::{Answer, Context};
use crate::model::{Chat, Refusal};
use crate::world::{Peers, peer};

pub(super) fn resolve_username(
    context: &mut Context<'_>,
    request: ResolveUsername,
) -> Answer<enums::contacts::ResolvedPeer> {
    let found = context.world.by_username(&request.username);
    let chat = Chat::User(found.ok_or_else(|| Refusal::bad("USERNAME_NOT_OCCUPIED"))?);
    let mut peers = Peers::default();
    peers.add(chat);
    let (users, chats) = context.introduce(&peers);
    Ok(types::contacts::ResolvedPeer {
        peer: peer(chat),
        chats,
        users,
    }
    .into())
}

/// Nobody has contacts here.
pub(super) fn get_contacts(
    _: &mut Context<'_>,
    _: GetContacts,
) -> Answer<enums::contacts::Contacts> {
    let (contacts, users) = (Vec::new(), Vec::new());
    Ok(types::contacts::Contacts {
        contacts,
        saved_count: 0,
        users,
    }
    .into())
}

//! Reactions to messages: they move no `pts`.

use std::collections::BTreeMap;

use grammers_tl_types::{enums, types};

use super::store::Stored;
use super::{Owner, Peers, Place, World, owner_of, peer};
use crate::model::{Chat, Refusal};

/// What one account thinks of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reacted {
    pub(crate) by: i64,
    pub(crate) emoji: String,
    pub(crate) date: i32,
}

impl World {
    /// Reacts to a message, or takes the reaction back, by its number as `actor` sees it.
    pub(crate) fn react(
        &mut self,
        actor: i64,
        chat: Chat,
        id: i32,
        emoji: Option<String>,
        origin: Option<u64>,
    ) -> Result<(), Refusal> {
        self.account(actor)?;
        let invalid = || Refusal::bad("MESSAGE_ID_INVALID");
        // A letter is no emoji; which of the others Telegram knows is not checked.
        if emoji
            .as_ref()
            .is_some_and(|emoji| emoji.is_empty() || emoji.is_ascii())
        {
            return Err(Refusal::bad("REACTION_INVALID"));
        }
        let key = self.find(actor, chat, id).ok_or_else(invalid)?;
        let seen = self
            .store
            .get(key)
            .filter(|stored| self.sees(actor, stored));
        let place = seen
            .filter(|stored| stored.action.is_none())
            .ok_or_else(invalid)?
            .place;
        let date = self.clock.unix();
        let message = self.store.get_mut(key).ok_or_else(invalid)?;
        let before = message.reactions.iter().find(|one| one.by == actor);
        if before.map(|one| &one.emoji) == emoji.as_ref() {
            return Err(Refusal::bad("MESSAGE_NOT_MODIFIED"));
        }
        message.reactions.retain(|one| one.by != actor);
        message.reactions.extend(emoji.map(|emoji| Reacted {
            by: actor,
            emoji,
            date,
        }));
        for viewer in self.audience(place) {
            let chat = place.seen_by(viewer);
            let id = self
                .store
                .get(key)
                .and_then(|stored| stored.id_in(owner_of(chat, viewer)));
            // Bots hear of reactions only as admins, which is not simulated.
            if let Some(id) = id.filter(|_| !self.is_bot(viewer))
                && let Some((update, peers)) = self.reactions_update(viewer, chat, id)
            {
                self.push_unnumbered(viewer, &update, &peers, origin);
            }
        }
        Ok(())
    }

    /// What `viewer` is told about the reactions to a message, and everybody in it.
    pub(crate) fn reactions_update(
        &self,
        viewer: i64,
        chat: Chat,
        id: i32,
    ) -> Option<(enums::Update, Peers)> {
        let stored = self.stored(owner_of(chat, viewer), id)?;
        let mut peers = Peers::default();
        peers.add(chat);
        peers
            .users
            .extend(stored.reactions.iter().map(|one| one.by));
        let update = types::UpdateMessageReactions {
            peer: peer(chat),
            msg_id: id,
            top_msg_id: None,
            saved_peer_id: None,
            reactions: reactions(stored, viewer),
        };
        Some((update.into(), peers))
    }

    /// Everybody who reads a chat.
    pub(super) fn audience(&self, place: Place) -> Vec<i64> {
        let owners = self.owners(place);
        owners
            .into_iter()
            .flat_map(|owner| match owner {
                Owner::Account(id) => vec![id],
                Owner::Channel(id) => {
                    let channel = self.channels.get(&id);
                    channel
                        .map(|one| one.members.iter().copied().collect())
                        .unwrap_or_default()
                }
            })
            .collect()
    }
}

/// The reactions to a message, counted, as `viewer` sees them.
pub(crate) fn reactions(stored: &Stored, viewer: i64) -> enums::MessageReactions {
    let mut counts: BTreeMap<&str, (i32, bool)> = BTreeMap::new();
    for one in &stored.reactions {
        let (count, own) = counts.entry(&one.emoji).or_default();
        *count += 1;
        *own |= one.by == viewer;
    }
    let reaction = |emoji: &str| -> enums::Reaction {
        let emoticon = emoji.to_owned();
        types::ReactionEmoji { emoticon }.into()
    };
    let results = counts.into_iter().map(|(emoji, (count, own))| {
        types::ReactionCount {
            chosen_order: own.then_some(0),
            reaction: reaction(emoji),
            count,
        }
        .into()
    });
    let recent = stored.reactions.iter().map(|one| {
        types::MessagePeerReaction {
            big: false,
            unread: false,
            my: one.by == viewer,
            peer_id: peer(Chat::User(one.by)),
            date: one.date,
            reaction: reaction(&one.emoji),
        }
        .into()
    });
    types::MessageReactions {
        min: false,
        can_see_list: true,
        reactions_as_tags: false,
        results: results.collect(),
        recent_reactions: Some(recent.collect()),
        top_reactors: None,
    }
    .into()
}

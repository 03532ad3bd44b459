//! Telling clients and subscribers about the latest change of a box.

use grammers_tl_types::{Serializable, enums, types};

use super::mailbox::{Change, What};
use super::store::Stored;
use super::view::forward;
use super::{Outgoing, Owner, Peers, Place, World};
use crate::model::{Announce, Chat, Event, Form, Sender};
use crate::tl;

impl World {
    /// Pushes the newest change of a box to everybody who sees it, except over `origin`.
    pub(crate) fn deliver(&mut self, owner: Owner, origin: Option<u64>, form: Option<Form>) {
        let Some(change) = self
            .mailbox(owner)
            .and_then(|mailbox| mailbox.latest().cloned())
        else {
            return;
        };
        let viewers: Vec<i64> = match owner {
            Owner::Account(id) => vec![id],
            Owner::Channel(id) => {
                let Some(channel) = self.channels.get_mut(&id) else {
                    return;
                };
                channel.changed = self.clock.unix();
                channel.members.iter().copied().collect()
            }
        };
        self.subscribers.retain(|one| !one.is_closed());
        for viewer in viewers {
            self.push(owner, &change, viewer, origin, form);
            if !self.subscribers.is_empty()
                && let Some(event) = self.event(owner, &change, viewer)
            {
                self.publish(&event);
            }
        }
    }

    /// The update that tells `viewer` about a change; `None` if its message is gone.
    pub(crate) fn update(
        &self,
        owner: Owner,
        change: &Change,
        viewer: i64,
    ) -> Option<enums::Update> {
        let (pts, pts_count) = (change.pts, change.count);
        Some(match (&change.what, owner) {
            (What::New(id), Owner::Account(_)) => {
                let message = self.tl_message(owner, *id, viewer)?;
                types::UpdateNewMessage {
                    message,
                    pts,
                    pts_count,
                }
                .into()
            }
            (What::New(id), Owner::Channel(_)) => {
                let message = self.tl_message(owner, *id, viewer)?;
                types::UpdateNewChannelMessage {
                    message,
                    pts,
                    pts_count,
                }
                .into()
            }
            (What::Edited(id), Owner::Account(_)) => {
                let message = self.tl_message(owner, *id, viewer)?;
                types::UpdateEditMessage {
                    message,
                    pts,
                    pts_count,
                }
                .into()
            }
            (What::Edited(id), Owner::Channel(_)) => {
                let message = self.tl_message(owner, *id, viewer)?;
                types::UpdateEditChannelMessage {
                    message,
                    pts,
                    pts_count,
                }
                .into()
            }
            (What::Deleted(ids), Owner::Account(_)) => types::UpdateDeleteMessages {
                messages: ids.clone(),
                pts,
                pts_count,
            }
            .into(),
            (What::Deleted(ids), Owner::Channel(channel_id)) => {
                let messages = ids.clone();
                types::UpdateDeleteChannelMessages {
                    channel_id,
                    messages,
                    pts,
                    pts_count,
                }
                .into()
            }
        })
    }

    /// The update that tells `viewer` about the newest change, and everybody it mentions.
    pub(crate) fn latest(&self, owner: Owner, viewer: i64) -> Option<(enums::Update, Peers)> {
        let change = self.mailbox(owner)?.latest()?;
        Some((
            self.update(owner, change, viewer)?,
            self.mentioned(owner, change),
        ))
    }

    /// Everybody that a change mentions.
    pub(crate) fn mentioned(&self, owner: Owner, change: &Change) -> Peers {
        let mut peers = Peers::default();
        if let What::New(id) | What::Edited(id) = change.what
            && let Some(stored) = self.stored(owner, id)
        {
            peers.add_message(stored);
        }
        peers
    }

    fn push(
        &mut self,
        owner: Owner,
        change: &Change,
        viewer: i64,
        origin: Option<u64>,
        form: Option<Form>,
    ) {
        let Some(account) = self.accounts.get(&viewer) else {
            return;
        };
        let form = form.unwrap_or(account.form);
        let links: Vec<u64> = account
            .links
            .iter()
            .copied()
            .filter(|link| Some(*link) != origin)
            .collect();
        if links.is_empty() {
            return;
        }
        if let Some(update) = self.announcement(owner, change) {
            let mut peers = Peers::default();
            if let Owner::Channel(id) = owner {
                peers.add(Chat::Channel(id));
            }
            self.push_unnumbered(viewer, &update, &peers, origin);
            return;
        }
        let peers = self.mentioned(owner, change);
        for link in links {
            let Some(key) = self.links.get(link).and_then(|connection| connection.key) else {
                continue;
            };
            let short = match form {
                Form::Long => None,
                Form::Realistic if !self.knows(key, viewer, &peers) => None,
                Form::Realistic | Form::Short => self.short(owner, change, viewer),
            };
            let bytes = match short {
                Some(short) => short.to_bytes(),
                None => match self.update(owner, change, viewer) {
                    Some(update) => self.long(key, viewer, &peers, update).to_bytes(),
                    None => continue,
                },
            };
            if let Some(connection) = self.links.get_mut(link) {
                connection.last_update = Some(bytes.clone());
                connection.link.send(Outgoing::Push(bytes));
            }
        }
    }

    /// What members are told instead of a change, where they are told only that there is one.
    fn announcement(&self, owner: Owner, change: &Change) -> Option<enums::Update> {
        let Owner::Channel(channel_id) = owner else {
            return None;
        };
        let pts = match self.channels.get(&channel_id)?.announce {
            Announce::Messages => return None,
            Announce::TooLong => None,
            Announce::TooLongWithPts => Some(change.pts),
        };
        Some(types::UpdateChannelTooLong { channel_id, pts }.into())
    }

    /// An update with everybody it mentions.
    pub(crate) fn long(
        &mut self,
        key: i64,
        viewer: i64,
        peers: &Peers,
        update: enums::Update,
    ) -> enums::Updates {
        let (users, chats) = self.introduce(key, viewer, peers);
        let date = self.clock.unix();
        types::Updates {
            updates: vec![update],
            users,
            chats,
            date,
            seq: 0,
        }
        .into()
    }

    fn knows(&self, key: i64, viewer: i64, peers: &Peers) -> bool {
        self.keys.get(key).is_some_and(|device| {
            peers
                .all()
                .all(|one| one == Chat::User(viewer) || device.introduced.contains(&one))
        })
    }

    /// The short form of a new text, if it has one.
    fn short(&self, owner: Owner, change: &Change, viewer: i64) -> Option<enums::Updates> {
        let What::New(id) = change.what else {
            return None;
        };
        let stored = self.stored(owner, id).filter(|stored| stored.is_plain())?;
        let out = stored.author == viewer;
        let fwd_from = forward(stored);
        let reply_to = self.reply_in(stored, owner).map(|id| tl::reply(id).into());
        let entities = (!stored.entities.is_empty()).then(|| stored.entities.clone());
        let (via_bot_id, text) = (stored.via_bot, stored.text.clone());
        let ttl_period = stored.ttl_period;
        match (stored.place, stored.shown) {
            (Place::Private { from, to }, _) => {
                let other = if viewer == from { to } else { from };
                let short = tl::short_message(id, other, text, stored.date, change.pts);
                let short = types::UpdateShortMessage {
                    out,
                    fwd_from,
                    via_bot_id,
                    reply_to,
                    entities,
                    ttl_period,
                    ..short
                };
                Some(short.into())
            }
            (Place::Group(chat), Sender::User(from)) => {
                let short = tl::short_chat_message(id, from, chat, text, stored.date, change.pts);
                let short = types::UpdateShortChatMessage {
                    out,
                    fwd_from,
                    via_bot_id,
                    reply_to,
                    entities,
                    ttl_period,
                    ..short
                };
                Some(short.into())
            }
            (Place::Group(_), Sender::Channel(_)) | (Place::Channel(_), _) => None,
        }
    }

    fn event(&self, owner: Owner, change: &Change, account: i64) -> Option<Event> {
        Some(match &change.what {
            What::New(id) => Event::New {
                account,
                message: self.message(owner, *id, account)?,
            },
            What::Edited(id) => Event::Edited {
                account,
                message: self.message(owner, *id, account)?,
            },
            What::Deleted(ids) => Event::Deleted {
                account,
                channel: if let Owner::Channel(id) = owner {
                    Some(id)
                } else {
                    None
                },
                ids: ids.clone(),
            },
        })
    }
}

impl Stored {
    /// Whether its sender may be told by the short answer.
    pub(crate) fn has_short_answer(&self) -> bool {
        self.is_plain() && matches!(self.place, Place::Private { .. } | Place::Group(_))
    }
}

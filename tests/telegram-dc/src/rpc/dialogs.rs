//! The list of chats.

use grammers_tl_types::functions::messages::{GetDialogs, GetPeerDialogs};
use grammers_tl_types::{enums, types};

use super::{Answer, Context};
use crate::model::Chat;
use crate::tl;
use crate::world::{Mailbox, Owner, Peers, peer};

/// The most chats in one answer.
const MAX_LIMIT: usize = 100;

pub(super) fn get_dialogs(
    context: &mut Context<'_>,
    request: GetDialogs,
) -> Answer<enums::messages::Dialogs> {
    let all = context.all_chats();
    let after = if request.offset_peer == enums::InputPeer::Empty {
        0
    } else {
        let last = context.chat(&request.offset_peer)?;
        all.iter()
            .position(|(chat, _)| *chat == last)
            .map_or(0, |position| position + 1)
    };
    let limit = usize::try_from(request.limit)
        .unwrap_or(0)
        .clamp(1, MAX_LIMIT);
    let page: Vec<_> = all.iter().skip(after).take(limit).copied().collect();
    let (dialogs, messages, chats, users) = context.describe(&page);
    Ok(if page.len() == all.len() {
        types::messages::Dialogs {
            dialogs,
            messages,
            chats,
            users,
        }
        .into()
    } else {
        let count = i32::try_from(all.len()).unwrap_or(i32::MAX);
        types::messages::DialogsSlice {
            count,
            dialogs,
            messages,
            chats,
            users,
        }
        .into()
    })
}

pub(super) fn get_peer_dialogs(
    context: &mut Context<'_>,
    request: GetPeerDialogs,
) -> Answer<enums::messages::PeerDialogs> {
    let mut page = Vec::new();
    for asked in &request.peers {
        if let enums::InputDialogPeer::Peer(asked) = asked {
            let chat = context.chat(&asked.peer)?;
            let mailbox = context.world.mailbox(context.owner(chat));
            let top = mailbox.and_then(|mailbox| mailbox.newest(chat, i32::MAX).next());
            page.push((chat, top.unwrap_or(0)));
        }
    }
    let (dialogs, messages, chats, users) = context.describe(&page);
    let state = context.world.state(context.account).into();
    Ok(types::messages::PeerDialogs {
        dialogs,
        messages,
        chats,
        users,
        state,
    }
    .into())
}

type Description = (
    Vec<enums::Dialog>,
    Vec<enums::Message>,
    Vec<enums::Chat>,
    Vec<enums::User>,
);

impl Context<'_> {
    /// Every chat with its newest message, the latest first.
    fn all_chats(&self) -> Vec<(Chat, i32)> {
        let own = self.world.mailbox(Owner::Account(self.account));
        let mut all: Vec<(Chat, i32)> = own.into_iter().flat_map(Mailbox::tops).collect();
        for (id, channel) in &self.world.channels {
            if channel.members.contains(&self.account) {
                all.extend(
                    channel
                        .mailbox
                        .tops()
                        .map(|(_, top)| (Chat::Channel(*id), top)),
                );
            }
        }
        let date = |chat: Chat, top: i32| {
            self.world
                .stored(self.owner(chat), top)
                .map_or(0, |stored| stored.date)
        };
        all.sort_by_key(|(chat, top)| std::cmp::Reverse((date(*chat, *top), *top, *chat)));
        all
    }

    fn describe(&mut self, page: &[(Chat, i32)]) -> Description {
        let mut peers = Peers::default();
        let (mut dialogs, mut messages) = (Vec::new(), Vec::new());
        for &(chat, top) in page {
            peers.add(chat);
            let owner = self.owner(chat);
            messages.extend(self.collect(owner, &[top], &mut peers));
            dialogs.push(self.dialog(chat, top).into());
        }
        let (users, chats) = self.introduce(&peers);
        (dialogs, messages, chats, users)
    }

    fn dialog(&self, chat: Chat, top: i32) -> types::Dialog {
        let owner = self.owner(chat);
        let account = self.world.accounts.get(&self.account);
        let read = account
            .and_then(|account| account.read.get(&chat))
            .copied()
            .unwrap_or(0);
        let incoming = |id: &i32| {
            self.world
                .stored(owner, *id)
                .is_some_and(|stored| stored.author != self.account)
        };
        // Counted up to a bound: nobody reads the exact number of thousands.
        let unread = self.world.mailbox(owner).map_or(0, |mailbox| {
            mailbox
                .oldest(chat, read.saturating_add(1))
                .take(MAX_LIMIT)
                .filter(incoming)
                .count()
        });
        let pts = if let Owner::Channel(_) = owner {
            Some(self.pts(owner))
        } else {
            None
        };
        types::Dialog {
            read_inbox_max_id: read.min(top),
            read_outbox_max_id: top,
            unread_count: i32::try_from(unread).unwrap_or(i32::MAX),
            pts,
            ..tl::dialog(peer(chat), top)
        }
    }
}

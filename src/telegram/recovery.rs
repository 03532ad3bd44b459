//! After an absence that was too long for Telegram: the messages that came meanwhile, out of
//! the chats themselves.
//!
//! Telegram then gives only a newer starting point (`differenceTooLong`), or a channel's last
//! messages (`channelDifferenceTooLong`). What lies between is read from the histories, back
//! to the moment we know everything of. A message read twice is harmless, for it is claimed.
//!
//! Bots may read neither chats nor histories; what a bot missed is lost, and the log says so.

use std::collections::VecDeque;
use std::time::Duration;

use grammers_session::types::{PeerId, PeerKind, UpdatesState};
use grammers_tl_types as tl;
use grammers_tl_types::enums::messages::Messages;
use tracing::{info, warn};

use super::call::{CallError, Pool};
use super::dialogs::Dialogs;
use super::incoming::{Incoming, peer_id, remember};
use super::outbox::input_peer;
use super::session::FileSession;

/// Messages of a history in one call; Telegram gives no more.
const PAGE: i32 = 100;
/// Pages of one history read at most: a person who wrote more meanwhile did not write commands.
const MAX_PAGES: usize = 20;

/// Tries again at the list of chats, before the whole recovery is given up.
const TRIES: u32 = 4;
/// What the server says to a bot that asks for it.
const NOT_FOR_BOTS: &str = "BOT_METHOD_INVALID";

/// What is still to be read.
pub(super) struct Recovery {
    /// Where we stopped: here the next process begins, should this one end meanwhile.
    place: UpdatesState,
    /// The account's chats, where its own counter was too old.
    dialogs: Option<Dialogs>,
    /// Histories, each with the id before which it goes on and the pages already read.
    chats: VecDeque<(PeerId, i32, usize)>,
    /// How often the list of chats may still be refused.
    tries_left: u32,
}

impl Recovery {
    /// Of what came after `place`; nothing yet.
    pub(super) fn since(place: UpdatesState) -> Self {
        Self {
            place,
            dialogs: None,
            chats: VecDeque::new(),
            tries_left: TRIES,
        }
    }

    /// All private chats and small groups, which share the account's counter.
    pub(super) fn add_account(&mut self) {
        self.dialogs = Some(Dialogs::new());
    }

    /// One channel, before its message `before`; 0 is its end.
    pub(super) fn add_channel(&mut self, channel: PeerId, before: i32) {
        self.chats.push_back((channel, before, 0));
    }

    /// Where we stopped.
    pub(super) fn place(&self) -> &UpdatesState {
        &self.place
    }

    /// The next messages, possibly none; `None` when all are read. May be cancelled.
    pub(super) async fn step(
        &mut self,
        pool: &Pool,
        session: &FileSession,
        limit: Duration,
    ) -> Result<Option<Vec<Incoming>>, CallError> {
        let result = if let Some(dialogs) = &mut self.dialogs {
            let page = dialogs.page(pool, session, limit).await;
            page.map(|page| {
                self.take(page);
                vec![]
            })
        } else if let Some(chat) = self.chats.front().copied() {
            self.history(pool, session, limit, chat).await
        } else {
            info!(event = "telegram.recovery.done");
            return Ok(None);
        };
        match result {
            Ok(messages) => Ok(Some(messages)),
            Err(CallError::Refused(reason)) => self.refused(reason).map(|()| Some(vec![])),
            Err(error) => Err(error),
        }
    }

    /// The server says no, or something that we cannot read. A chat is left out for it; the list
    /// of all chats is worth more tries.
    fn refused(&mut self, reason: String) -> Result<(), CallError> {
        if self.dialogs.is_none() {
            let chat = self.chats.pop_front().map(|(chat, ..)| chat.bare_id());
            warn!(event = "telegram.recovery.chat_lost", chat, reason);
            return Ok(());
        }
        let never = reason == NOT_FOR_BOTS;
        if !never && self.tries_left > 0 {
            self.tries_left -= 1;
            return Err(CallError::Server(reason));
        }
        warn!(
            event = "telegram.recovery.chats_lost",
            reason,
            hint = "what was written before this moment in chats not yet read is not answered"
        );
        self.dialogs = None;
        Ok(())
    }

    /// Takes up the chats of a page in which something was written since.
    fn take(&mut self, page: Option<super::dialogs::Page>) {
        let Some(page) = page else {
            self.dialogs = None;
            return;
        };
        let mut older = false;
        for dialog in &page.dialogs {
            // Where nobody knows the date, the history tells.
            if page.date(dialog).is_some_and(|date| date < self.place.date) {
                older |= !dialog.pinned;
                continue;
            }
            if let Some(id) = peer_id(&dialog.peer)
                && matches!(id.kind(), PeerKind::User | PeerKind::Chat)
            {
                self.chats.push_back((id, 0, 0));
            }
        }
        if older && let Some(dialogs) = &mut self.dialogs {
            dialogs.end();
        }
    }

    async fn history(
        &mut self,
        pool: &Pool,
        session: &FileSession,
        limit: Duration,
        (chat, before, pages): (PeerId, i32, usize),
    ) -> Result<Vec<Incoming>, CallError> {
        let request = tl::functions::messages::GetHistory {
            peer: input_peer(chat, session.access_hash(chat).unwrap_or(0)),
            offset_id: before,
            offset_date: 0,
            add_offset: 0,
            limit: PAGE,
            max_id: 0,
            min_id: 0,
            hash: 0,
        };
        let (messages, users, chats) = match pool.invoke(&request, limit).await? {
            Messages::Messages(all) => (all.messages, all.users, all.chats),
            Messages::Slice(part) => (part.messages, part.users, part.chats),
            Messages::ChannelMessages(part) => (part.messages, part.users, part.chats),
            Messages::NotModified(_) => (vec![], vec![], vec![]),
        };
        remember(session, &users, &chats);
        let last = messages.last().map(tl::enums::Message::id);
        let since = self.place.date;
        let all_new = messages.iter().all(|message| is_new(message, since));
        self.chats.pop_front();
        match last {
            Some(id) if all_new && id != before && pages + 1 < MAX_PAGES => {
                self.chats.push_front((chat, id, pages + 1));
            }
            Some(id) if all_new && id != before => {
                warn!(
                    event = "telegram.recovery.cut",
                    chat = chat.bare_id(),
                    pages = MAX_PAGES,
                    hint = "what was written there before these is not answered"
                );
            }
            Some(_) | None => {}
        }
        let channel = matches!(chat.kind(), PeerKind::Channel);
        // What was edited further back is not looked for.
        let news = messages
            .into_iter()
            .filter(|message| is_news(message, since));
        Ok(news
            .rev()
            .filter_map(|message| Incoming::of_message(message, channel, None))
            .collect())
    }
}

/// Whether a message was written or edited since then, in unix seconds.
pub(super) fn is_news(message: &tl::enums::Message, since: i32) -> bool {
    is_new(message, since)
        || matches!(message, tl::enums::Message::Message(m) if m.edit_date >= Some(since))
}

fn is_new(message: &tl::enums::Message, since: i32) -> bool {
    match message {
        tl::enums::Message::Message(m) => m.date >= since,
        tl::enums::Message::Service(m) => m.date >= since,
        tl::enums::Message::Empty(_) => true,
    }
}

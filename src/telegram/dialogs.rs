//! The account's chats, a page at a time, the latest first.

use std::time::Duration;

use grammers_tl_types as tl;
use tracing::warn;

use super::call::{CallError, Pool};
use super::incoming::{peer_id, remember};
use super::outbox::input_peer;
use super::session::FileSession;

/// Chats asked for at once; Telegram gives no more.
const PAGE: i32 = 100;
/// Pages read at most: an account with more chats than these is not one for secrets.
pub(super) const MAX_PAGES: usize = 20;

/// Reads pages until there are no more.
pub(super) struct Dialogs {
    next: Option<tl::functions::messages::GetDialogs>,
    pages_left: usize,
}

/// Chats, and the newest message of each.
pub(super) struct Page {
    pub(super) dialogs: Vec<tl::types::Dialog>,
    messages: Vec<tl::enums::Message>,
}

impl Dialogs {
    pub(super) fn new() -> Self {
        Self {
            next: Some(tl::functions::messages::GetDialogs {
                exclude_pinned: false,
                folder_id: None,
                offset_date: 0,
                offset_id: 0,
                offset_peer: tl::enums::InputPeer::Empty,
                limit: PAGE,
                hash: 0,
            }),
            pages_left: MAX_PAGES,
        }
    }

    /// No more pages are wanted.
    pub(super) fn end(&mut self) {
        self.next = None;
    }

    /// The next page, if there is one; whoever is in it is remembered. May be cancelled.
    pub(super) async fn page(
        &mut self,
        pool: &Pool,
        session: &FileSession,
        limit: Duration,
    ) -> Result<Option<Page>, CallError> {
        let Some(request) = &self.next else {
            return Ok(None);
        };
        let (dialogs, messages, users, chats, more) = match pool.invoke(request, limit).await? {
            tl::enums::messages::Dialogs::Dialogs(all) => {
                (all.dialogs, all.messages, all.users, all.chats, false)
            }
            tl::enums::messages::Dialogs::Slice(part) => {
                (part.dialogs, part.messages, part.users, part.chats, true)
            }
            tl::enums::messages::Dialogs::NotModified(_) => return Ok(None),
        };
        remember(session, &users, &chats);
        let dialogs = dialogs.into_iter().filter_map(|dialog| match dialog {
            tl::enums::Dialog::Dialog(dialog) => Some(dialog),
            tl::enums::Dialog::Folder(_) | tl::enums::Dialog::Community(_) => None,
        });
        let page = Page {
            dialogs: dialogs.collect(),
            messages,
        };
        self.pages_left -= 1;
        if more && self.pages_left == 0 {
            warn!(event = "telegram.dialogs.cut", pages = MAX_PAGES);
        }
        let more = more && self.pages_left > 0;
        let after = page.dialogs.last().filter(|_| more);
        self.next = after.and_then(|last| {
            let id = peer_id(&last.peer)?;
            let next = tl::functions::messages::GetDialogs {
                // Pinned chats came first, whatever the offset.
                exclude_pinned: true,
                offset_date: page.date(last)?,
                offset_id: last.top_message,
                offset_peer: input_peer(id, session.access_hash(id).unwrap_or(0)),
                ..request.clone()
            };
            (next != *request).then_some(next)
        });
        Ok(Some(page))
    }
}

impl Page {
    /// When the newest message of `dialog` was sent, in unix seconds.
    pub(super) fn date(&self, dialog: &tl::types::Dialog) -> Option<i32> {
        self.messages.iter().find_map(|message| {
            let (id, peer, date) = match message {
                tl::enums::Message::Message(m) => (m.id, Some(&m.peer_id), m.date),
                tl::enums::Message::Service(m) => (m.id, Some(&m.peer_id), m.date),
                tl::enums::Message::Empty(_) => return None,
            };
            (id == dialog.top_message && peer == Some(&dialog.peer)).then_some(date)
        })
    }
}

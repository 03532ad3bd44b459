//! What an update says of a new or edited message or a pressed button, and of those who appear in it.

use grammers_session::types::{PeerId, PeerInfo, PeerKind};
use grammers_session::updates::{MessageBox, State};
use grammers_tl_types as tl;
use zeroize::Zeroizing;

use super::admission::Envelope;
use super::buttons::Press;
use super::session::FileSession;
use crate::domain::RequestId;
use crate::domain::caller::ChatKind;

/// Something that happened, as far as we care.
pub(super) enum Event {
    /// A new message, or an edited one.
    Message(Incoming),
    /// A button of ours was pressed.
    Press(Press),
}

impl Event {
    /// Reads an update; `None` for what we do not care about.
    pub(super) fn read(update: tl::enums::Update, state: &State) -> Option<Self> {
        let tl::enums::Update::BotCallbackQuery(press) = update else {
            return Incoming::read(update, state).map(Self::Message);
        };
        Some(Self::Press(Press {
            query: press.query_id,
            user: press.user_id,
            chat: peer_id(&press.peer)?,
            message: press.msg_id,
            data: press.data?,
        }))
    }
}

/// A message. No `Debug`: the text is its writer's.
pub(super) struct Incoming {
    /// Its chat.
    pub(super) chat: PeerId,
    /// Its id there.
    pub(super) id: i32,
    /// When it was last edited, in unix seconds.
    pub(super) edited_at: Option<i32>,
    /// Everything else Telegram says of it.
    pub(super) envelope: Envelope,
    /// What it says, which can be a value.
    pub(super) text: Zeroizing<String>,
    /// The writer's client, or the writer, formatted part of it: signs such as `**` may be gone.
    pub(super) formatted: bool,
    /// The message it answers, in the same chat.
    pub(super) answers: Option<i32>,
    /// The account's update counter just before it, where it counts there.
    pub(super) pts_before: Option<i32>,
}

impl Incoming {
    /// The request's name; `None` in a chat without a number, which does not happen.
    pub(super) fn request_id(&self) -> Option<RequestId> {
        Some(RequestId::Message {
            chat: self.chat.bot_api_dialog_id()?,
            message: self.id,
        })
    }

    /// Reads a new or edited message out of an update; `None` for any other update.
    fn read(update: tl::enums::Update, state: &State) -> Option<Self> {
        use tl::enums::Update;
        let (message, count, channel, edited) = if let Update::NewMessage(new) = update {
            (new.message, new.pts_count, false, false)
        } else if let Update::NewChannelMessage(new) = update {
            (new.message, new.pts_count, true, false)
        } else if let Update::EditMessage(edit) = update {
            (edit.message, edit.pts_count, false, true)
        } else if let Update::EditChannelMessage(edit) = update {
            (edit.message, edit.pts_count, true, true)
        } else {
            return None;
        };
        let pts_before = match state.message_box {
            Some(MessageBox::Common { pts }) => Some(pts - count.max(1)),
            Some(MessageBox::Secondary { .. } | MessageBox::Channel { .. }) | None => None,
        };
        let mut message = Self::of_message(message, channel, pts_before)?;
        message.envelope.edited |= edited;
        Some(message)
    }

    /// A message, wherever it was found; `channel` says that its chat counts for itself.
    pub(super) fn of_message(
        message: tl::enums::Message,
        channel: bool,
        pts_before: Option<i32>,
    ) -> Option<Self> {
        let tl::enums::Message::Message(message) = message else {
            return None;
        };
        let chat = peer_id(&message.peer_id)?;
        // Without a sender, the other side of a private chat is it.
        let sender = match message.from_id.as_ref().unwrap_or(&message.peer_id) {
            tl::enums::Peer::User(user) => Some(user.user_id),
            tl::enums::Peer::Chat(_) | tl::enums::Peer::Channel(_) => None,
        };
        let kind = match chat.kind() {
            PeerKind::User => Some(ChatKind::Private),
            PeerKind::Chat => Some(ChatKind::Group),
            PeerKind::Channel => (channel && !message.post).then_some(ChatKind::Group),
        };
        Some(Self {
            chat,
            id: message.id,
            edited_at: message.edit_date,
            envelope: Envelope {
                sender,
                chat: kind,
                date: message.date.into(),
                outgoing: message.out,
                edited: message.edit_date.is_some(),
                forwarded: message.fwd_from.is_some(),
                automatic: message.via_bot_id.is_some()
                    || message.via_business_bot_id.is_some()
                    || message.guestchat_via_from.is_some()
                    || message.offline,
            },
            answers: message.reply_to.as_ref().and_then(answered),
            formatted: message.entities.iter().flatten().any(is_formatting),
            text: Zeroizing::new(message.message),
            pts_before,
        })
    }
}

/// Which message of the same chat is answered.
fn answered(to: &tl::enums::MessageReplyHeader) -> Option<i32> {
    match to {
        tl::enums::MessageReplyHeader::Header(header) if header.reply_to_peer_id.is_none() => {
            header.reply_to_msg_id
        }
        tl::enums::MessageReplyHeader::Header(_)
        | tl::enums::MessageReplyHeader::MessageReplyStoryHeader(_) => None,
    }
}

/// What clients make of signs like `**`, which they then leave out; not what servers mark by
/// themselves, such as links and commands.
fn is_formatting(entity: &tl::enums::MessageEntity) -> bool {
    use tl::enums::MessageEntity as E;
    matches!(
        entity,
        E::Bold(_)
            | E::Italic(_)
            | E::Underline(_)
            | E::Strike(_)
            | E::Spoiler(_)
            | E::Code(_)
            | E::Pre(_)
            | E::TextUrl(_)
            | E::Blockquote(_)
    )
}

/// As grammers does it, but without its panic on an id out of range.
pub(super) fn peer_id(peer: &tl::enums::Peer) -> Option<PeerId> {
    match peer {
        tl::enums::Peer::User(user) => PeerId::user(user.user_id),
        tl::enums::Peer::Chat(chat) => PeerId::chat(chat.chat_id),
        tl::enums::Peer::Channel(channel) => PeerId::channel(channel.channel_id),
    }
}

/// Remembers how to address those who appear in an answer.
pub(super) fn remember(
    session: &FileSession,
    users: &[tl::enums::User],
    chats: &[tl::enums::Chat],
) {
    if users.is_empty() && chats.is_empty() {
        return;
    }
    let users = users
        .iter()
        .filter(|user| PeerId::user(user.id()).is_some())
        .map(PeerInfo::from);
    session.remember(users.chain(chats.iter().map(PeerInfo::from)));
}

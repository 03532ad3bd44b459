//! Updates in order and without gaps, and what they say of a new message.

use std::time::Duration;

use grammers_session::types::{PeerId, PeerInfo, PeerKind, UpdatesState};
use grammers_session::updates::{MessageBox, MessageBoxes, State, UpdatesLike};
use grammers_tl_types as tl;
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout_at};
use tracing::{debug, warn};

use super::admission::Envelope;
use super::backoff::Backoff;
use super::buttons::Press;
use super::call::{CallError, Link, Pool};
use super::recovery::Recovery;
use super::session::FileSession;
use crate::domain::RequestId;
use crate::domain::caller::ChatKind;

/// Channel updates asked for at once, as user accounts may.
const CHANNEL_LIMIT: i32 = 100;

/// The account that Telegram itself writes from.
const TELEGRAM: i64 = 777_000;

/// Something that happened, as far as we care.
pub(super) enum Event {
    /// A new message.
    Message(Incoming),
    /// A button of ours was pressed.
    Press(Press),
}

impl Event {
    /// Reads an update; `None` for what we do not care about.
    fn read(update: tl::enums::Update, state: &State) -> Option<Self> {
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

/// A new message. No `Debug`: the text is its writer's.
pub(super) struct Incoming {
    /// Its chat.
    pub(super) chat: PeerId,
    /// Its id there.
    pub(super) id: i32,
    /// Everything else Telegram says of it.
    pub(super) envelope: Envelope,
    /// What it says.
    pub(super) text: String,
    /// The writer's client, or the writer, formatted part of it: signs such as `**` may be gone.
    pub(super) formatted: bool,
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

    /// Reads a new message out of an update; `None` for any other update.
    fn read(update: tl::enums::Update, state: &State) -> Option<Self> {
        let (message, count, channel) = if let tl::enums::Update::NewMessage(new) = update {
            (new.message, new.pts_count, false)
        } else if let tl::enums::Update::NewChannelMessage(new) = update {
            (new.message, new.pts_count, true)
        } else {
            return None;
        };
        let pts_before = match state.message_box {
            Some(MessageBox::Common { pts }) => Some(pts - count.max(1)),
            Some(MessageBox::Secondary { .. } | MessageBox::Channel { .. }) | None => None,
        };
        Self::of_message(message, channel, pts_before)
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
            formatted: message.entities.iter().flatten().any(is_formatting),
            text: message.message,
            pts_before,
        })
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

/// Turns what the connection delivers into new messages. grammers' own receiver sleeps and
/// calls without limits, and does not fetch what channels missed; this one does not.
pub(super) struct Receiver<'a> {
    boxes: MessageBoxes,
    updates: mpsc::Receiver<UpdatesLike>,
    pool: Pool,
    session: &'a FileSession,
    link: &'a Link,
    request_timeout: Duration,
    backoff: Backoff,
    /// What is read from the histories before anything else.
    recovery: Option<Recovery>,
}

impl<'a> Receiver<'a> {
    /// Begins at `place`, where we stopped: everything since is fetched first, of the account
    /// and of every group.
    pub(super) fn new(
        pool: Pool,
        updates: mpsc::Receiver<UpdatesLike>,
        session: &'a FileSession,
        link: &'a Link,
        place: UpdatesState,
        request_timeout: Duration,
    ) -> Self {
        Self {
            boxes: MessageBoxes::load(place),
            updates,
            pool,
            session,
            link,
            request_timeout,
            backoff: Backoff::new(Duration::from_millis(200), Duration::from_secs(30)),
            recovery: None,
        }
    }

    /// How far we are.
    pub(super) fn read_until(&self) -> UpdatesState {
        match &self.recovery {
            Some(recovery) => recovery.place().clone(),
            None => self.boxes.session_state(),
        }
    }

    /// The next new messages, possibly none. May be cancelled at any time.
    ///
    /// # Errors
    /// When this connection is of no more use, or the session is not accepted.
    pub(super) async fn next(&mut self) -> Result<Vec<Event>, CallError> {
        if let Some(recovery) = &mut self.recovery {
            let step = recovery.step(&self.pool, self.session, self.request_timeout);
            return match step.await {
                Ok(Some(messages)) => {
                    self.backoff.reset();
                    Ok(messages.into_iter().map(Event::Message).collect())
                }
                Ok(None) => {
                    self.recovery = None;
                    Ok(vec![])
                }
                Err(error) => self.wait_out(error).await,
            };
        }
        let deadline = self.boxes.check_deadlines();
        if let Some(request) = self.boxes.get_difference() {
            return match self.pool.invoke(&request, self.request_timeout).await {
                Ok(difference) => Ok(self.apply(difference)),
                Err(error) => self.wait_out(error).await,
            };
        }
        if let Some(request) = self.boxes.get_channel_difference() {
            return self.channel_difference(request).await;
        }
        let Ok(received) = timeout_at(deadline.into(), self.updates.recv()).await else {
            return Ok(vec![]);
        };
        match received {
            // What is missing is fetched by the next connection.
            None | Some(UpdatesLike::ConnectionClosed) => Err(CallError::Disconnected),
            Some(updates) => Ok(match self.boxes.process_updates(updates) {
                Ok(batch) => self.messages(batch),
                Err(_gap) => vec![],
            }),
        }
    }

    fn apply(&mut self, difference: tl::enums::updates::Difference) -> Vec<Event> {
        self.backoff.reset();
        let before = self.boxes.session_state();
        let too_long = matches!(difference, tl::enums::updates::Difference::TooLong(_));
        let batch = self.boxes.apply_difference(difference);
        if too_long {
            // The server only gave a newer starting point; what came after it is fetched from
            // there, and what was before it is read from the chats.
            warn!(event = "telegram.updates.too_long");
            self.boxes = MessageBoxes::load(self.boxes.session_state());
            self.recovery_since(before).add_account();
        }
        self.messages(batch)
    }

    fn recovery_since(&mut self, place: UpdatesState) -> &mut Recovery {
        self.recovery.get_or_insert_with(|| Recovery::since(place))
    }

    /// A channel's last messages are part of the answer, which grammers drops; what was before
    /// them is read from its history.
    fn apply_too_long(
        &mut self,
        channel: PeerId,
        difference: tl::types::updates::ChannelDifferenceTooLong,
    ) -> Vec<Event> {
        warn!(
            event = "telegram.channel.too_long",
            channel = channel.bare_id()
        );
        let before = self.boxes.session_state();
        let messages = difference.messages.iter().cloned();
        let found = messages
            .rev()
            .filter_map(|message| Incoming::of_message(message, true, None))
            .filter(|message| message.envelope.date >= before.date.into())
            .map(Event::Message)
            .collect();
        let oldest = difference.messages.iter().map(tl::enums::Message::id).min();
        self.recovery_since(before)
            .add_channel(channel, oldest.unwrap_or(0));
        let batch = self.boxes.apply_channel_difference(difference.into());
        self.messages(batch);
        found
    }

    async fn channel_difference(
        &mut self,
        mut request: tl::functions::updates::GetChannelDifference,
    ) -> Result<Vec<Event>, CallError> {
        use tl::enums::updates::ChannelDifference;

        use grammers_session::updates::PrematureEndReason::{Banned, TemporaryServerIssues};
        let tl::enums::InputChannel::Channel(channel) = &mut request.channel else {
            self.boxes.end_channel_difference(Banned);
            return Ok(vec![]);
        };
        let id = PeerId::channel(channel.channel_id);
        let known = id.and_then(|id| Some((id, self.session.access_hash(id)?)));
        let Some((id, hash)) = known else {
            debug!(
                event = "telegram.channel.unknown",
                channel = channel.channel_id
            );
            self.boxes.end_channel_difference(Banned);
            return Ok(vec![]);
        };
        channel.access_hash = hash;
        request.limit = CHANNEL_LIMIT;
        match self.pool.invoke(&request, self.request_timeout).await {
            // grammers panics without the number.
            Ok(ChannelDifference::TooLong(difference)) if !matches!(&difference.dialog, tl::enums::Dialog::Dialog(d) if d.pts.is_some()) =>
            {
                self.boxes.end_channel_difference(TemporaryServerIssues);
                Ok(vec![])
            }
            Ok(ChannelDifference::TooLong(difference)) => {
                self.backoff.reset();
                Ok(self.apply_too_long(id, difference))
            }
            Ok(difference) => {
                self.backoff.reset();
                let batch = self.boxes.apply_channel_difference(difference);
                Ok(self.messages(batch))
            }
            Err(CallError::Server(reason)) => {
                debug!(event = "telegram.channel.trouble", reason);
                self.boxes.end_channel_difference(TemporaryServerIssues);
                Ok(vec![])
            }
            Err(CallError::Refused(reason)) => {
                debug!(event = "telegram.channel.left", reason);
                self.boxes.end_channel_difference(Banned);
                Ok(vec![])
            }
            Err(error) => self.wait_out(error).await,
        }
    }

    /// Never at full speed against an error: a revoked session can be asked thousands of
    /// times a second.
    async fn wait_out(&mut self, error: CallError) -> Result<Vec<Event>, CallError> {
        match &error {
            CallError::Flood(wait) => sleep(*wait).await,
            CallError::Server(reason) => {
                warn!(event = "telegram.updates.trouble", reason);
                sleep(self.backoff.next()).await;
            }
            CallError::Refused(reason) => {
                // Our place is not one the server knows: begin anew from now.
                warn!(event = "telegram.updates.reset", reason);
                sleep(self.backoff.next()).await;
                let request = tl::functions::updates::GetState {};
                let tl::enums::updates::State::State(state) =
                    self.pool.invoke(&request, self.request_timeout).await?;
                self.boxes = MessageBoxes::new();
                self.boxes.set_state(state);
            }
            CallError::Disconnected | CallError::SignedOut(_) => return Err(error),
        }
        Ok(vec![])
    }

    fn messages(
        &self,
        (updates, users, chats): grammers_session::updates::UpdateAndPeers,
    ) -> Vec<Event> {
        remember(self.session, &users, &chats);
        if updates.iter().any(|(update, _)| is_about_devices(update)) {
            self.link.new_device.notify_one();
        }
        updates
            .into_iter()
            .filter_map(|(update, state)| Event::read(update, &state))
            .collect()
    }
}

/// Whether somebody may have signed in: Telegram says so twice, and in words.
fn is_about_devices(update: &tl::enums::Update) -> bool {
    if let tl::enums::Update::NewMessage(new) = update
        && let tl::enums::Message::Message(message) = &new.message
    {
        return matches!(&message.peer_id, tl::enums::Peer::User(user) if user.user_id == TELEGRAM);
    }
    matches!(
        update,
        tl::enums::Update::NewAuthorization(_) | tl::enums::Update::ServiceNotification(_)
    )
}

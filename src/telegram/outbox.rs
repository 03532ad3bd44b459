//! Sending messages: each once, however often it has to be tried.

use std::sync::Arc;
use std::time::Duration;

use grammers_session::types::{PeerAuth, PeerId, PeerRef};
use grammers_tl_types as tl;
use grammers_tl_types::enums::updates::Difference;
use tokio::time::Instant;
use tracing::debug;

use super::call::{ALREADY_SENT, CallError, Gate, Link};
use super::incoming::{Incoming, remember};
use super::reply::{Document, Reply};
use super::session::FileSession;
use crate::domain::caller::ChatKind;

/// How long a reply is tried: through a reconnect and through flood waits of some minutes.
const TRY_FOR: Duration = Duration::from_mins(10);

/// Bytes in one part of a file: as many as Telegram takes. Ours are a few parts long at most, as
/// Vault's answers are capped.
const PART: usize = 512 * 1024;

/// Sends messages.
pub(super) struct Outbox {
    link: Arc<Link>,
    session: Arc<FileSession>,
    gate: Gate,
    uploads_gate: Gate,
    /// One look-up of an unknown sender at a time; the next may find it done.
    lookup: tokio::sync::Mutex<()>,
}

/// What came of sending a message.
pub(super) struct Sending {
    /// The last word on it.
    pub(super) result: Result<Sent, CallError>,
    /// When the first try began of which nobody knows whether it arrived; it may have, then,
    /// whatever came of the later ones.
    pub(super) unclear: Option<Instant>,
}

/// What is known of a message that was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sent {
    /// It arrived under this id.
    Id(i32),
    /// It arrived at an earlier try whose answer was lost, so under an id we do not know.
    Earlier,
}

impl Outbox {
    pub(super) fn new(link: Arc<Link>, session: Arc<FileSession>) -> Self {
        Self {
            link,
            session,
            gate: Gate::new(),
            uploads_gate: Gate::new(),
            lookup: tokio::sync::Mutex::new(()),
        }
    }

    /// Sends `reply`. `random_id` makes all tries one message.
    pub(super) async fn send(
        &self,
        peer: tl::enums::InputPeer,
        reply: Reply,
        reply_to: Option<i32>,
        random_id: i64,
    ) -> Sending {
        let deadline = Instant::now() + TRY_FOR;
        let mut unclear = None;
        let noforwards = reply.secret && !reply.to_copy;
        let reply_to = reply_to.map(in_reply_to);
        let entities = (!reply.entities.is_empty()).then_some(reply.entities);
        let result = match reply.document {
            None => {
                let request = tl::functions::messages::SendMessage {
                    no_webpage: true,
                    silent: false,
                    background: false,
                    clear_draft: false,
                    noforwards,
                    update_stickersets_order: false,
                    invert_media: false,
                    allow_paid_floodskip: false,
                    peer,
                    reply_to,
                    message: reply.text,
                    random_id,
                    reply_markup: None,
                    entities,
                    schedule_date: None,
                    schedule_repeat_period: None,
                    send_as: None,
                    quick_reply_shortcut: None,
                    effect: None,
                    allow_paid_stars: None,
                    suggested_post: None,
                    rich_message: None,
                };
                let trying = self
                    .link
                    .persist_noting(&request, &self.gate, deadline, &mut unclear);
                trying.await
            }
            Some(document) => match self.upload(document, random_id, deadline).await {
                Ok(media) => {
                    let request = tl::functions::messages::SendMedia {
                        silent: false,
                        background: false,
                        clear_draft: false,
                        noforwards,
                        update_stickersets_order: false,
                        invert_media: false,
                        allow_paid_floodskip: false,
                        peer,
                        reply_to,
                        media,
                        message: reply.text,
                        random_id,
                        reply_markup: None,
                        entities,
                        schedule_date: None,
                        schedule_repeat_period: None,
                        send_as: None,
                        quick_reply_shortcut: None,
                        effect: None,
                        allow_paid_stars: None,
                        suggested_post: None,
                    };
                    let trying =
                        self.link
                            .persist_noting(&request, &self.gate, deadline, &mut unclear);
                    trying.await
                }
                Err(error) => Err(error),
            },
        };
        let result = match result {
            Ok(updates) => Ok(sent_id(&updates, random_id).map_or(Sent::Earlier, Sent::Id)),
            Err(CallError::Refused(reason)) if reason == ALREADY_SENT => Ok(Sent::Earlier),
            Err(error) => Err(error),
        };
        Sending { result, unclear }
    }

    /// Uploads a file in parts, each of which may arrive twice: the same number and the same
    /// place make it the same part.
    async fn upload(
        &self,
        document: Document,
        file_id: i64,
        deadline: Instant,
    ) -> Result<tl::enums::InputMedia, CallError> {
        let mut parts = 0;
        for bytes in document.bytes.chunks(PART) {
            let request = tl::functions::upload::SaveFilePart {
                file_id,
                file_part: parts,
                bytes: bytes.to_vec(),
            };
            let gate = &self.uploads_gate;
            if !self.link.persist(&request, gate, deadline).await? {
                return Err(CallError::Refused("a part of a file".to_owned()));
            }
            parts += 1;
        }
        let file_name = document.name;
        let file = tl::types::InputFile {
            id: file_id,
            parts,
            name: file_name.clone(),
            md5_checksum: String::new(),
        };
        Ok(tl::types::InputMediaUploadedDocument {
            nosound_video: false,
            // Else Telegram guesses from the content what it is.
            force_file: true,
            spoiler: false,
            file: file.into(),
            thumb: None,
            mime_type: "application/octet-stream".to_owned(),
            attributes: vec![tl::types::DocumentAttributeFilename { file_name }.into()],
            stickers: None,
            video_cover: None,
            video_timestamp: None,
            ttl_seconds: None,
        }
        .into())
    }

    /// How to address the chat of `message`; `None` for a group we know nothing of.
    pub(super) fn chat(&self, message: &Incoming) -> Option<tl::enums::InputPeer> {
        let hash = self.session.access_hash(message.chat);
        hash.map(|hash| input_peer(message.chat, hash))
    }

    /// How to address the sender of `message` in private. A short update names its sender by
    /// number only; the account's difference from just before it tells the rest.
    pub(super) async fn sender(&self, message: &Incoming) -> Option<tl::enums::InputPeer> {
        let user = message.envelope.sender?;
        let id = PeerId::user(user)?;
        if let Some(hash) = self.session.access_hash(id) {
            return Some(input_peer(id, hash));
        }
        let _one_at_a_time = self.lookup.lock().await;
        if self.session.access_hash(id).is_none()
            && let Some(pts) = message.pts_before
        {
            self.look_up(pts, message.envelope.date).await;
        }
        if let Some(hash) = self.session.access_hash(id) {
            return Some(input_peer(id, hash));
        }
        match message.envelope.chat {
            // In a group, a member can be named by a message.
            Some(ChatKind::Group) => Some(
                tl::types::InputPeerUserFromMessage {
                    peer: self.chat(message)?,
                    msg_id: message.id,
                    user_id: user,
                }
                .into(),
            ),
            // Contacts, and anybody for a bot, can be named without more.
            Some(ChatKind::Private) | None => Some(input_peer(id, 0)),
        }
    }

    async fn look_up(&self, pts: i32, date: i64) {
        let request = tl::functions::updates::GetDifference {
            pts,
            pts_limit: None,
            pts_total_limit: None,
            date: i32::try_from(date).unwrap_or(1).max(1),
            qts: self.session.read_until().qts,
            qts_limit: None,
        };
        let difference = match self.link.invoke(&request).await {
            Ok(difference) => difference,
            Err(error) => {
                debug!(event = "telegram.sender.unknown", %error);
                return;
            }
        };
        match difference {
            Difference::Difference(all) => remember(&self.session, &all.users, &all.chats),
            Difference::Slice(part) => remember(&self.session, &part.users, &part.chats),
            Difference::Empty(_) | Difference::TooLong(_) => {}
        }
    }
}

/// A peer in calls.
pub(super) fn input_peer(id: PeerId, hash: i64) -> tl::enums::InputPeer {
    let auth = PeerAuth::from_hash(hash);
    tl::enums::InputPeer::from(PeerRef { id, auth })
}

fn in_reply_to(message: i32) -> tl::enums::InputReplyTo {
    tl::types::InputReplyToMessage {
        reply_to_msg_id: message,
        top_msg_id: None,
        reply_to_peer_id: None,
        quote_text: None,
        quote_entities: None,
        quote_offset: None,
        monoforum_peer_id: None,
        todo_item_id: None,
        poll_option: None,
    }
    .into()
}

/// The id the server gave the message, from the short or the long form of its answer.
fn sent_id(updates: &tl::enums::Updates, random_id: i64) -> Option<i32> {
    use tl::enums::Updates;
    let list = match updates {
        Updates::UpdateShortSentMessage(sent) => return Some(sent.id),
        Updates::Updates(long) => &long.updates,
        Updates::Combined(long) => &long.updates,
        Updates::TooLong
        | Updates::UpdateShortMessage(_)
        | Updates::UpdateShortChatMessage(_)
        | Updates::UpdateShort(_) => return None,
    };
    list.iter().find_map(|update| {
        if let tl::enums::Update::MessageId(given) = update
            && given.random_id == random_id
        {
            Some(given.id)
        } else {
            None
        }
    })
}

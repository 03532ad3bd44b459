//! What is sent, as calls: a message of text, or a file with a caption.

use grammers_tl_types as tl;
use tokio::time::Instant;

use super::buttons;
use super::call::{CallError, Gate, Link};
use super::reply::{Document, Reply};

/// Bytes in one part of a file: as many as Telegram takes. Ours are a few parts long at most, as
/// Vault's answers are capped.
const PART: usize = 512 * 1024;

/// A message that can be sent again and stays one.
pub(super) enum Outgoing {
    /// Text.
    Text(Box<tl::functions::messages::SendMessage>),
    /// A file, and the message that will carry it.
    File(Document, Box<tl::functions::messages::SendMedia>),
}

impl Outgoing {
    pub(super) fn new(
        peer: tl::enums::InputPeer,
        reply: Reply,
        reply_to: Option<i32>,
        random_id: i64,
    ) -> Self {
        // What can only be used when it is copied or saved is not protected from that.
        let silent = reply.silent;
        let noforwards = reply.secret && !reply.to_copy;
        let reply_to = reply_to.map(in_reply_to);
        let reply_markup = buttons::under(&reply);
        let entities = (!reply.entities.is_empty()).then_some(reply.entities);
        match reply.document {
            None => Self::Text(Box::new(tl::functions::messages::SendMessage {
                no_webpage: true,
                silent,
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
                reply_markup,
                entities,
                schedule_date: None,
                schedule_repeat_period: None,
                send_as: None,
                quick_reply_shortcut: None,
                effect: None,
                allow_paid_stars: None,
                suggested_post: None,
                rich_message: None,
            })),
            Some(document) => {
                let request = tl::functions::messages::SendMedia {
                    silent,
                    background: false,
                    clear_draft: false,
                    noforwards,
                    update_stickersets_order: false,
                    invert_media: false,
                    allow_paid_floodskip: false,
                    peer,
                    reply_to,
                    media: tl::enums::InputMedia::Empty,
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
                Self::File(document, Box::new(request))
            }
        }
    }

    /// Addresses it to `peer`.
    pub(super) fn address(&mut self, peer: tl::enums::InputPeer) {
        match self {
            Self::Text(request) => request.peer = peer,
            Self::File(_, request) => request.peer = peer,
        }
    }

    /// What makes all tries one message.
    pub(super) fn random_id(&self) -> i64 {
        match self {
            Self::Text(request) => request.random_id,
            Self::File(_, request) => request.random_id,
        }
    }
}

/// Uploads a file in parts, each of which may arrive twice: the same number and the same place
/// make it the same part.
pub(super) async fn upload(
    link: &Link,
    gate: &Gate,
    document: &Document,
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
        if !link.persist(&request, gate, deadline).await? {
            return Err(CallError::Refused("a part of a file".to_owned()));
        }
        parts += 1;
    }
    let file_name = document.name.clone();
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

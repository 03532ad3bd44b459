//! Building and reading TL objects.

mod config;
mod document;
mod message;
mod people;

pub(crate) use config::{config, dc_option, password};
pub(crate) use document::{document, document_media};
pub(crate) use message::{
    forward, message, reply, service, short_chat_message, short_message, short_sent,
};
pub(crate) use people::{channel, channel_full, chat, chat_full, dialog, user, user_full};

use grammers_tl_types::deserialize::{Cursor, Deserializable, Result};

/// Everything that is left in the buffer: the inner request of a wrapper.
pub(crate) struct Rest(pub(crate) Vec<u8>);

impl Deserializable for Rest {
    fn deserialize(buf: &mut Cursor<'_>) -> Result<Self> {
        let mut rest = Vec::new();
        buf.read_to_end(&mut rest)?;
        Ok(Self(rest))
    }
}

/// The constructor id that a TL object starts with.
pub(crate) fn constructor(body: &[u8]) -> Option<u32> {
    body.first_chunk().map(|id| u32::from_le_bytes(*id))
}

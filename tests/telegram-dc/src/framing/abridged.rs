//! The Abridged transport: the length in words, in one byte where it suffices.

use super::{FrameError, MAX_PACKET};

/// The byte that opens a connection of this transport.
pub(super) const TAG: u8 = 0xef;

/// From this many words on the length takes three more bytes.
const LONG: u8 = 0x7f;

/// The first packet in `buffer` and how many bytes it takes.
pub(super) fn unpack(buffer: &[u8]) -> Result<Option<(Vec<u8>, usize)>, FrameError> {
    let Some((&first, rest)) = buffer.split_first() else {
        return Ok(None);
    };
    // The top bit asks for a quick acknowledgement, which clients may be refused.
    let (words, head, rest) = match first & LONG {
        LONG => {
            let Some((&[low, mid, high], rest)) = rest.split_first_chunk::<3>() else {
                return Ok(None);
            };
            (u32::from_le_bytes([low, mid, high, 0]), 4, rest)
        }
        words => (u32::from(words), 1, rest),
    };
    let length = words as usize * 4;
    if length == 0 || length > MAX_PACKET {
        return Err(FrameError::BadLength(i64::from(words) * 4));
    }
    Ok(rest
        .get(..length)
        .map(|payload| (payload.to_vec(), head + length)))
}

/// Appends `payload`, whose length is a multiple of four.
pub(super) fn pack(payload: &[u8], out: &mut Vec<u8>) {
    let words = payload.len() / 4;
    match u8::try_from(words) {
        Ok(words) if words < LONG => out.push(words),
        _ => {
            let [low, mid, high, ..] = words.to_le_bytes();
            out.extend([LONG, low, mid, high]);
        }
    }
    out.extend(payload);
}

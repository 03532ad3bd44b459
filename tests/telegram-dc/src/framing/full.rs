//! The Full transport: length, number, payload, CRC-32.

use super::{FrameError, MAX_PACKET};

/// Length, number and checksum.
pub(super) const OVERHEAD: usize = 12;

/// The first packet in `buffer` and how many bytes it takes.
pub(super) fn unpack(buffer: &[u8], due: u32) -> Result<Option<(Vec<u8>, usize)>, FrameError> {
    let Some(head) = buffer.first_chunk::<4>() else {
        return Ok(None);
    };
    let length = u32::from_le_bytes(*head) as usize;
    if !(OVERHEAD..=MAX_PACKET).contains(&length) {
        return Err(FrameError::BadLength(i64::from(u32::from_le_bytes(*head))));
    }
    let Some((covered, checksum)) = buffer.get(..length).and_then(<[u8]>::split_last_chunk::<4>)
    else {
        return Ok(None);
    };
    if crc32fast::hash(covered) != u32::from_le_bytes(*checksum) {
        return Err(FrameError::BadChecksum);
    }
    let Some((number, payload)) = covered.get(4..).and_then(<[u8]>::split_first_chunk::<4>) else {
        return Ok(None);
    };
    let got = u32::from_le_bytes(*number);
    if got != due {
        return Err(FrameError::BadSequence { expected: due, got });
    }
    Ok(Some((payload.to_vec(), length)))
}

/// Appends `payload` as packet `number`.
pub(super) fn pack(payload: &[u8], number: u32, out: &mut Vec<u8>) {
    let start = out.len();
    let length = u32::try_from(payload.len().saturating_add(OVERHEAD)).unwrap_or(u32::MAX);
    out.extend(length.to_le_bytes());
    out.extend(number.to_le_bytes());
    out.extend(payload);
    let checksum = crc32fast::hash(out.get(start..).unwrap_or_default());
    out.extend(checksum.to_le_bytes());
}

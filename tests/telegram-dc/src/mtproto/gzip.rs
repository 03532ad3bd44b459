//! `gzip_packed`, which holds a compressed object.

use std::io::{Read, Write};

use flate2::{Compression, read::GzDecoder, write::GzEncoder};
use grammers_tl_types::{Deserializable, Serializable};

/// The constructor id of `gzip_packed`.
pub(crate) const ID: u32 = 0x3072_cfa1;

/// Answers of this size and more are packed.
const THRESHOLD: usize = 1024;

/// The largest object that is unpacked: a bomb is refused.
const MAX_UNPACKED: u64 = 8 * 1024 * 1024;

/// The object in a `gzip_packed`; `None` if there is none or it is too large.
pub(crate) fn unpack(object: &[u8]) -> Option<Vec<u8>> {
    let packed = Vec::<u8>::from_bytes(object.get(4..)?).ok()?;
    let mut out = Vec::new();
    GzDecoder::new(packed.as_slice())
        .take(MAX_UNPACKED + 1)
        .read_to_end(&mut out)
        .ok()?;
    (u64::try_from(out.len()).ok()? <= MAX_UNPACKED).then_some(out)
}

/// The object, packed if it is large and that makes it smaller.
pub(crate) fn pack(object: Vec<u8>) -> Vec<u8> {
    if object.len() < THRESHOLD {
        return object;
    }
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    let packed = encoder.write_all(&object).and_then(|()| encoder.finish());
    match packed {
        Ok(packed) if packed.len() + 8 < object.len() => {
            let mut out = ID.to_le_bytes().to_vec();
            packed.as_slice().serialize(&mut out);
            out
        }
        _ => object,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_objects_are_packed_and_small_ones_left() {
        let large = vec![7; 5000];
        let packed = pack(large.clone());
        assert!(
            packed.len() < 200 && packed.len().is_multiple_of(4),
            "{}",
            packed.len()
        );
        assert_eq!(unpack(&packed), Some(large));
        assert_eq!(pack(vec![7; 100]), vec![7; 100]);
    }

    #[test]
    fn a_bomb_and_garbage_are_refused() {
        let bomb = pack(vec![0; 9 * 1024 * 1024]);
        assert!(bomb.len() < 100_000);
        assert_eq!(unpack(&bomb), None);
        assert_eq!(unpack(&[1, 2, 3]), None);
    }
}

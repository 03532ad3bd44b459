//! Clients that encrypt to none but Telegram's own RSA key, for which nobody else has the other half.

use std::path::Path;

/// The fingerprint of Telegram's key.
pub(crate) const TELEGRAM: i64 = -3_414_540_481_677_951_611;

/// How many random bytes grammers draws at once for its second message; they begin with the new
/// nonce.
const DRAWN: usize = 32 + 224;

/// The new nonce that followed `nonce` among the random bytes of a client, as `overhear.c` wrote
/// them.
pub(crate) fn new_nonce(file: &Path, nonce: [u8; 16]) -> Option<[u8; 32]> {
    let bytes = std::fs::read(file).ok()?;
    let mut rest = bytes.as_slice();
    let mut found = false;
    while let Some((size, after)) = rest.split_first_chunk() {
        let size = usize::try_from(u64::from_ne_bytes(*size)).ok()?;
        let (drawn, after) = after.split_at_checked(size)?;
        if found && size == DRAWN {
            return drawn.first_chunk().copied();
        }
        found |= drawn == nonce;
        rest = after;
    }
    None
}

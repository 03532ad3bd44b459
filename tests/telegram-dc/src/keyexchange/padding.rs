//! The two ways in which clients pad what they encrypt with RSA.

use grammers_crypto::aes;
use sha1::Sha1;
use sha2::{Digest, Sha256};

/// Undoes `RSA_PAD`: the data with its random tail, if that is what it is.
pub(super) fn undo_rsa_pad(block: &[u8; 256]) -> Option<Vec<u8>> {
    let (masked_key, encrypted) = block.split_first_chunk::<32>()?;
    let mask = Sha256::digest(encrypted);
    let mut key = *masked_key;
    for (byte, mask) in key.iter_mut().zip(mask) {
        *byte ^= mask;
    }
    let mut plain = encrypted.to_vec();
    aes::ige_decrypt(&mut plain, &key, &[0; 32]);
    let (reversed, hash) = plain.split_last_chunk::<32>()?;
    let data: Vec<u8> = reversed.iter().rev().copied().collect();
    let expected = Sha256::new()
        .chain_update(key)
        .chain_update(&data)
        .finalize();
    (*hash == *expected).then_some(data)
}

/// Undoes the padding before `RSA_PAD`: a hash, the data, a random tail.
///
/// Where the data ends only its reader knows: `length` says how much of it there is.
pub(super) fn undo_old(
    block: &[u8; 256],
    length: impl Fn(&[u8]) -> Option<usize>,
) -> Option<Vec<u8>> {
    let [0, rest @ ..] = block else { return None };
    let (hash, padded) = rest.split_first_chunk::<20>()?;
    let data = padded.get(..length(padded)?)?;
    (*hash == *Sha1::digest(data)).then(|| data.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_old_padding_is_undone_and_its_hash_checked() {
        let data = [3; 100];
        let mut block = [9; 256];
        block[0] = 0;
        block[1..21].copy_from_slice(&Sha1::digest(data));
        block[21..121].copy_from_slice(&data);
        assert_eq!(undo_old(&block, |_| Some(100)), Some(data.to_vec()));
        block[30] ^= 1;
        assert_eq!(undo_old(&block, |_| Some(100)), None);
        assert_eq!(undo_rsa_pad(&block), None);
    }

    #[test]
    fn the_new_padding_is_undone() {
        // As the client does it: reverse, append the hash, encrypt, mask the key.
        let (key, data) = ([5; 32], [3; 192]);
        let mut plain: Vec<u8> = data.iter().rev().copied().collect();
        plain.extend(
            Sha256::new()
                .chain_update(key)
                .chain_update(data)
                .finalize(),
        );
        aes::ige_encrypt(&mut plain, &key, &[0; 32]);
        let mut block = [0; 256];
        for (i, byte) in Sha256::digest(&plain).into_iter().enumerate() {
            block[i] = byte ^ key[i];
        }
        block[32..].copy_from_slice(&plain);
        assert_eq!(undo_rsa_pad(&block), Some(data.to_vec()));
    }
}

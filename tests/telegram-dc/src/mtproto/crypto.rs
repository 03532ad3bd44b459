//! Encryption with an auth key: the server's half of `MTProto` 2.0.

use grammers_crypto::aes;
use sha1::Sha1;
use sha2::{Digest, Sha256};

/// Where key material for what clients send lies; the server's lies eight bytes on.
const FROM_CLIENT: usize = 0;
const FROM_SERVER: usize = 8;

/// An auth key, 2048 bits that client and server share.
pub(crate) struct AuthKey {
    data: [u8; 256],
    id: i64,
}

impl AuthKey {
    pub(crate) fn new(data: [u8; 256]) -> Self {
        let hash = Sha1::digest(data);
        let id = hash
            .last_chunk()
            .map_or(0, |tail| i64::from_le_bytes(*tail));
        Self { data, id }
    }

    /// The number that packets name the key by.
    pub(crate) fn id(&self) -> i64 {
        self.id
    }

    /// Opens what a client sent after the key id; `None` if it was not made with this key.
    pub(crate) fn open(&self, sealed: &[u8]) -> Option<Vec<u8>> {
        let (msg_key, ciphertext) = sealed.split_first_chunk::<16>()?;
        if ciphertext.is_empty() || !ciphertext.len().is_multiple_of(16) {
            return None;
        }
        let mut plain = ciphertext.to_vec();
        let (key, iv) = self.derive(msg_key, FROM_CLIENT);
        aes::ige_decrypt(&mut plain, &key, &iv);
        (self.msg_key(&plain, FROM_CLIENT) == *msg_key).then_some(plain)
    }

    /// Seals a packet for the client: key id, message key, ciphertext.
    pub(crate) fn seal(&self, mut plain: Vec<u8>) -> Vec<u8> {
        self.seal_from(&mut plain, FROM_SERVER)
    }

    fn seal_from(&self, plain: &mut Vec<u8>, side: usize) -> Vec<u8> {
        // At least 12 bytes of padding, up to a multiple of 16.
        let padding = 12 + (16 - (plain.len() + 12) % 16) % 16;
        plain.extend(crate::random::bytes::<32>().iter().take(padding));
        let msg_key = self.msg_key(plain, side);
        let (key, iv) = self.derive(&msg_key, side);
        aes::ige_encrypt(plain, &key, &iv);
        let mut out = Vec::with_capacity(24 + plain.len());
        out.extend(self.id.to_le_bytes());
        out.extend(msg_key);
        out.append(plain);
        out
    }

    fn msg_key(&self, plain: &[u8], side: usize) -> [u8; 16] {
        let large = Sha256::new()
            .chain_update(self.span(88 + side, 32))
            .chain_update(plain)
            .finalize();
        span(&large, 8)
    }

    /// The AES key and initialisation vector of one message.
    fn derive(&self, msg_key: &[u8; 16], side: usize) -> ([u8; 32], [u8; 32]) {
        let a = Sha256::new()
            .chain_update(msg_key)
            .chain_update(self.span(side, 36))
            .finalize();
        let b = Sha256::new()
            .chain_update(self.span(40 + side, 36))
            .chain_update(msg_key)
            .finalize();
        (weave(&a, &b), weave(&b, &a))
    }

    fn span(&self, start: usize, length: usize) -> &[u8] {
        self.data.get(start..start + length).unwrap_or_default()
    }
}

/// Bytes 0–7 and 24–31 of the one, 8–23 of the other.
fn weave(outer: &[u8], inner: &[u8]) -> [u8; 32] {
    let mut out: [u8; 32] = span(outer, 0);
    let middle: [u8; 16] = span(inner, 8);
    out[8..24].copy_from_slice(&middle);
    out
}

/// `N` bytes of `data` from `start`; zeros if it is too short, which no hash is.
fn span<const N: usize>(data: &[u8], start: usize) -> [u8; N] {
    data.get(start..)
        .and_then(<[u8]>::first_chunk)
        .copied()
        .unwrap_or([0; N])
}

#[cfg(test)]
mod tests {
    use grammers_crypto::{AuthKey as ClientKey, DequeBuffer, decrypt_data_v2, encrypt_data_v2};

    use super::*;

    fn bytes() -> [u8; 256] {
        std::array::from_fn(|i| u8::try_from(i * 7 % 256).unwrap_or_default())
    }

    #[test]
    fn opens_what_the_client_seals() {
        let mut buffer = DequeBuffer::with_capacity(64, 64);
        buffer.extend([5; 48]);
        encrypt_data_v2(&mut buffer, &ClientKey::from_bytes(bytes()));

        let key = AuthKey::new(bytes());
        let sealed = buffer.as_ref();
        assert_eq!(sealed[..8], key.id().to_le_bytes());
        let plain = key.open(&sealed[8..]).unwrap();
        assert_eq!(plain[..48], [5; 48]);
    }

    #[test]
    fn the_client_opens_what_is_sealed() {
        let mut sealed = AuthKey::new(bytes()).seal(vec![9; 44]);
        let plain = decrypt_data_v2(&mut sealed, &ClientKey::from_bytes(bytes())).unwrap();
        assert_eq!(plain[..44], [9; 44]);
        assert!(
            (44 + 12..=44 + 28).contains(&plain.len()),
            "12 to 27 bytes of padding"
        );
    }

    #[test]
    fn a_changed_packet_does_not_open() {
        let key = AuthKey::new(bytes());
        let mut plain = vec![1; 32];
        let mut sealed = key.seal_from(&mut plain, FROM_CLIENT);
        assert!(key.open(&sealed[8..]).is_some());
        sealed[40] ^= 1;
        assert!(key.open(&sealed[8..]).is_none());
        assert!(key.open(&[]).is_none());
        assert!(key.open(&[0; 17]).is_none());
    }
}

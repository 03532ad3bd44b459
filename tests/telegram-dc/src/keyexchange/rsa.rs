//! The datacenter's RSA key, which clients encrypt the start of a key exchange to.
//!
//! It is the same in every datacenter and protects nothing: no client but a test's
//! is told to trust it.

use grammers_tl_types::Serializable;
use num_bigint::BigUint;
use sha1::{Digest, Sha1};

const MODULUS: &str = concat!(
    "ecefeacc5aa7beaf0d1d6e19359f1f6f6612655d10d0f333c91998cdd7dbf851",
    "d4fb91b7e2a3c0608af05846b35b6cf3a35d45ec5ebc05eb5270e52fd3e8434f",
    "4da07e1b55dcf9855fdd80670412b8f1e81ba39cfc0d6b7f1f4fb12a014ab7af",
    "fb3c3f2cd38b1f54a8dc4f2b291d6d8c72b0b506c7314050a94700341d95f5d1",
    "1f70b07d403426f03c3330a66425d0e73524bd8526d95ed2ab2daf9fcbd1c8fc",
    "219f7eb93d86212e8eb0f95c599b3035ebad707b2ee0cbb6a62016d7f179915c",
    "fd43eff7fe4be6383d1de8ad2443e12a11fb333b311c29783d21f683891deae3",
    "7321890427d7f99624a66d82634bbf8ba965e53d26a74e324b699108bde23811",
);
const PRIVATE_EXPONENT: &str = concat!(
    "343bf0177d24ddf4d97f53765b4be93235de785a3c0ad492e612ae8d32b95bd5",
    "2e8f0760f2a60713418e1ae7fb427c9279c16658e5c9adc46338604e5af9295d",
    "a24f6f7db740300227503dae7847685e6c3d2ba4c02c75366140c05df24af693",
    "e55f32ce3f14bca37d56945d7f82ed53b9351bb392d658c76f8a279155b469ac",
    "741a6a05104d3bb22a2ae6f14da39806c025293c195417c6d2c54f7e949d7078",
    "53e09d9eb862926aa6f2f001f7fd44068c1262e911d2a36ee5e2ccf6e39ac48a",
    "b97f1733597c17a47ed3b332c298127d2b23a209da1d456407c9586789098a50",
    "4977c210531e14e14214e762bc3aef1efddd812b9016236f59f65c957a471901",
);
const PUBLIC_EXPONENT: [u8; 3] = [1, 0, 1];

/// An RSA key of 2048 bits.
pub(crate) struct RsaKey {
    modulus: BigUint,
    private_exponent: BigUint,
}

impl RsaKey {
    /// The datacenter's key.
    pub(crate) fn built_in() -> Self {
        let number = |hex: &str| BigUint::parse_bytes(hex.as_bytes(), 16).unwrap_or_default();
        Self {
            modulus: number(MODULUS),
            private_exponent: number(PRIVATE_EXPONENT),
        }
    }

    /// What clients name the key by.
    pub(crate) fn fingerprint(&self) -> i64 {
        let mut public = self.modulus.to_bytes_be().as_slice().to_bytes();
        PUBLIC_EXPONENT.as_slice().serialize(&mut public);
        Sha1::digest(public)
            .last_chunk()
            .map_or(0, |tail| i64::from_le_bytes(*tail))
    }

    /// Undoes the encryption, not the padding.
    pub(crate) fn decrypt(&self, ciphertext: &[u8]) -> [u8; 256] {
        let number = BigUint::from_bytes_be(ciphertext) % &self.modulus;
        super::group::pad(&number.modpow(&self.private_exponent, &self.modulus))
    }

    /// The public half as PKCS#1 PEM.
    pub(crate) fn public_pem(&self) -> String {
        let mut modulus = vec![0];
        modulus.extend(self.modulus.to_bytes_be());
        let numbers = [der(0x02, &modulus), der(0x02, &PUBLIC_EXPONENT)].concat();
        let encoded = base64(&der(0x30, &numbers));
        let mut pem = String::from("-----BEGIN RSA PUBLIC KEY-----\n");
        for line in encoded.as_bytes().chunks(64) {
            pem.push_str(&String::from_utf8_lossy(line));
            pem.push('\n');
        }
        pem.push_str("-----END RSA PUBLIC KEY-----\n");
        pem
    }
}

/// An element of DER with a length of up to two bytes.
fn der(tag: u8, content: &[u8]) -> Vec<u8> {
    let [high, low] = u16::try_from(content.len())
        .unwrap_or(u16::MAX)
        .to_be_bytes();
    let mut out = vec![tag];
    match (high, low) {
        (0, 0..=127) => out.push(low),
        (0, _) => out.extend([0x81, low]),
        (_, _) => out.extend([0x82, high, low]),
    }
    out.extend(content);
    out
}

fn base64(data: &[u8]) -> String {
    let digit = |value: u32| match u8::try_from(value & 63).unwrap_or(0) {
        value @ 0..26 => char::from(b'A' + value),
        value @ 26..52 => char::from(b'a' + value - 26),
        value @ 52..62 => char::from(b'0' + value - 52),
        62 => '+',
        _ => '/',
    };
    let mut out = String::new();
    for chunk in data.chunks(3) {
        let value = chunk
            .iter()
            .fold(0, |value, byte| value << 8 | u32::from(*byte));
        let value = value << (8 * (3 - chunk.len()));
        for place in 0..4 {
            let padding = place > chunk.len();
            out.push(if padding {
                '='
            } else {
                digit(value >> (18 - 6 * place))
            });
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_decrypts_what_its_public_half_encrypts() {
        let key = RsaKey::built_in();
        let message = [7; 200];
        let e = BigUint::from_bytes_be(&PUBLIC_EXPONENT);
        let sealed = BigUint::from_bytes_be(&message).modpow(&e, &key.modulus);
        assert_eq!(key.decrypt(&sealed.to_bytes_be())[56..], message);
    }

    #[test]
    fn pem_is_pem() {
        assert_eq!(base64(b"any carnal pleas"), "YW55IGNhcm5hbCBwbGVhcw==");
        assert_eq!(
            base64(b"any carnal pleasure"),
            "YW55IGNhcm5hbCBwbGVhc3VyZQ=="
        );
        let pem = RsaKey::built_in().public_pem();
        assert!(
            pem.starts_with("-----BEGIN RSA PUBLIC KEY-----\nMIIBCgKCAQEA"),
            "{pem}"
        );
    }
}

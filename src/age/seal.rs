//! Sealed answers: armored age files that only their requester can open.

use std::io::Write;
use std::str::FromStr;

use age::armor::{ArmoredWriter, Format};
use age::x25519::Recipient;

use crate::broker::ports::{KeyError, Sealer};
use crate::domain::SecretValue;

/// Longest public key that is looked at, in bytes; one is 62.
const MAX_KEY: usize = 128;

/// The points of low order, in every form that X25519 takes (RFC 7748: a bit is ignored, and
/// numbers are reduced). They are nobody's keys: a secret shared with them is zero, and age
/// panics. <https://cr.yp.to/ecdh.html#validate> lists them.
const LOW_ORDER: [&str; 14] = [
    "age1qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqq5cu47z",
    "age1qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqzqqsuwj9m",
    "age1qyqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqj7vrya",
    "age1qyqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqzqqk67yly",
    "age1ur4h5lpmgxu2u9jku0a0r87ydtdqnr0tnsetrlvxvgz3vh6fhqqqzyt4v9",
    "age1ur4h5lpmgxu2u9jku0a0r87ydtdqnr0tnsetrlvxvgz3vh6fhzqqxqejhu",
    "age1t7wft09r2zxzfvwsk92eeql0tvzyghxytqwgapkcyf8dm5ylz9ts6wm9s8",
    "age1t7wft09r2zxzfvwsk92eeql0tvzyghxytqwgapkcyf8dm5ylz8ts72fzt7",
    "age1anlllllllllllllllllllllllllllllllllllllllllllllllals4n2t7m",
    "age1anllllllllllllllllllllllllllllllllllllllllllllllllls3hcv9z",
    "age1ahlllllllllllllllllllllllllllllllllllllllllllllllalsn46ayy",
    "age1ahlllllllllllllllllllllllllllllllllllllllllllllllllsh3g6la",
    "age1amlllllllllllllllllllllllllllllllllllllllllllllllalselrwrv",
    "age1amlllllllllllllllllllllllllllllllllllllllllllllllllsam3fc4",
];

/// Encrypts with age to X25519 keys.
#[derive(Debug, Clone, Copy, Default)]
pub struct AgeSealer;

impl Sealer for AgeSealer {
    fn check(&self, key: &str) -> Result<String, KeyError> {
        recipient(key).map(|recipient| recipient.to_string())
    }

    fn seal(&self, plaintext: &SecretValue, keys: &[String]) -> Result<String, KeyError> {
        let recipients: Vec<_> = keys
            .iter()
            .map(|key| recipient(key))
            .collect::<Result<_, _>>()?;
        let recipients = recipients
            .iter()
            .map(|recipient| recipient as &dyn age::Recipient);
        let encryptor =
            age::Encryptor::with_recipients(recipients).map_err(|_no_recipients| KeyError)?;
        #[expect(clippy::disallowed_methods, reason = "this is what gets encrypted")]
        let plaintext = plaintext.expose_secret();
        let mut text = vec![];
        let written = || -> std::io::Result<()> {
            let armor = ArmoredWriter::wrap_output(&mut text, Format::AsciiArmor)?;
            let mut writer = encryptor.wrap_output(armor)?;
            writer.write_all(plaintext)?;
            writer.finish()?.finish()?;
            Ok(())
        };
        // Writing to memory does not fail, and armor is ASCII.
        written().map_err(|_| KeyError)?;
        String::from_utf8(text).map_err(|_| KeyError)
    }
}

/// Whether answers can be sealed to `key`.
#[must_use]
pub fn is_public_key(key: &str) -> bool {
    recipient(key).is_ok()
}

fn recipient(key: &str) -> Result<Recipient, KeyError> {
    let key = key.trim();
    if key.len() > MAX_KEY {
        return Err(KeyError);
    }
    let recipient = Recipient::from_str(key).map_err(|_| KeyError)?;
    if LOW_ORDER.contains(&recipient.to_string().as_str()) {
        return Err(KeyError);
    }
    Ok(recipient)
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use age::x25519::Identity;

    use super::*;

    #[test]
    fn any_of_the_keys_opens_it_and_no_other() {
        let (one, two, other) = (
            Identity::generate(),
            Identity::generate(),
            Identity::generate(),
        );
        let keys = [one.to_public().to_string(), two.to_public().to_string()];
        let text = AgeSealer
            .seal(&SecretValue::new(b"\"hunter2\"".to_vec()), &keys)
            .unwrap();
        assert!(text.starts_with("-----BEGIN AGE ENCRYPTED FILE-----"));
        let open = |identity: &Identity| {
            let armored = age::armor::ArmoredReader::new(text.as_bytes());
            let decryptor = age::Decryptor::new(armored).unwrap();
            let mut reader = decryptor
                .decrypt(std::iter::once(identity as &dyn age::Identity))
                .ok()?;
            let mut plaintext = String::new();
            reader.read_to_string(&mut plaintext).unwrap();
            Some(plaintext)
        };
        assert_eq!(open(&one).as_deref(), Some("\"hunter2\""));
        assert_eq!(open(&two).as_deref(), Some("\"hunter2\""));
        assert_eq!(open(&other), None);
    }

    #[test]
    fn a_key_is_checked_and_brought_to_its_one_notation() {
        let key = Identity::generate().to_public().to_string();
        assert_eq!(AgeSealer.check(&format!(" {key}\n")), Ok(key.clone()));
        let private = "AGE-SECRET-KEY-1QQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQ";
        for wrong in [
            "",
            "age1",
            "age1notakey",
            private,
            &key.replace("age1", "age2"),
        ] {
            assert_eq!(AgeSealer.check(wrong), Err(KeyError), "{wrong}");
        }
        let plaintext = SecretValue::new(vec![]);
        assert_eq!(AgeSealer.seal(&plaintext, &[]), Err(KeyError));
    }

    #[test]
    fn points_of_low_order_are_refused() {
        for key in LOW_ORDER {
            assert_eq!(AgeSealer.check(key), Err(KeyError), "{key}");
            let capitals = key.to_uppercase();
            assert_eq!(AgeSealer.check(&capitals), Err(KeyError), "{capitals}");
            // It is a key for age, and this is what it would do.
            let recipient = Recipient::from_str(key).unwrap();
            let sealed = std::panic::catch_unwind(|| {
                let recipient = &recipient as &dyn age::Recipient;
                let encryptor = age::Encryptor::with_recipients(std::iter::once(recipient));
                encryptor.unwrap().wrap_output(vec![]).is_ok()
            });
            assert!(sealed.is_err(), "{key}");
        }
    }
}

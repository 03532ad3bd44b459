//! Opening sealed answers, as they come out of a chat.

use std::io::Read;

use age::armor::ArmoredReader;
use age::{DecryptError, Decryptor};
use thiserror::Error;
use zeroize::Zeroizing;

use super::Identities;
use crate::domain::SecretValue;
use crate::domain::signs::is_invisible;

/// Largest sealed answer that is read, in bytes; Vault's secrets are far smaller.
pub const MAX_SEALED: usize = 8 << 20;

/// How age files begin that are not armored.
const BINARY: &[u8] = b"age-encryption.org/";
/// The middle of the lines around armor. A chat may change the dashes beside it.
const BEGIN: &str = "BEGIN AGE ENCRYPTED FILE";
const END: &str = "END AGE ENCRYPTED FILE";
/// Signs in a line of armor.
const LINE: usize = 64;

/// Why a sealed answer does not open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum OpenError {
    /// Nothing in it looks sealed.
    #[error("this holds no sealed answer")]
    NotSealed,
    /// It is encrypted to other keys.
    #[error("this is not sealed to your key")]
    OtherKey,
    /// It was changed, or a part is missing.
    #[error("the sealed answer is damaged")]
    Damaged,
    /// Over [`MAX_SEALED`].
    #[error("this is larger than any sealed answer (at most {} MiB)", MAX_SEALED >> 20)]
    TooLarge,
}

/// Decrypts the first sealed answer in `input`: an age file, or armored text with whatever
/// surrounds it in a chat.
///
/// # Errors
/// See [`OpenError`].
pub fn open(input: &[u8], identities: &Identities) -> Result<SecretValue, OpenError> {
    if input.len() > MAX_SEALED {
        return Err(OpenError::TooLarge);
    }
    let decryptor = decryptor(input)?;
    let keys = identities.iter();
    let why = |error| {
        if matches!(error, DecryptError::NoMatchingKeys) {
            OpenError::OtherKey
        } else {
            OpenError::Damaged
        }
    };
    let mut reader = decryptor.decrypt(keys).map_err(why)?;
    // In full from the beginning, so that it does not move.
    let mut plaintext = Zeroizing::new(Vec::with_capacity(input.len()));
    let read = reader.read_to_end(&mut plaintext);
    read.map_err(|_| OpenError::Damaged)?;
    Ok(SecretValue::new(std::mem::take(&mut *plaintext)))
}

/// Reads the head of an age file.
pub(super) fn decryptor(input: &[u8]) -> Result<Decryptor<impl Read>, OpenError> {
    let file = if input.starts_with(BINARY) {
        input.to_vec()
    } else {
        armored(input)?.into_bytes()
    };
    let reader = ArmoredReader::new(std::io::Cursor::new(file));
    Decryptor::new(reader).map_err(|_| OpenError::Damaged)
}

/// Whether `input` is an age file, armored or not.
pub(super) fn is_sealed(input: &[u8]) -> bool {
    input.starts_with(BINARY) || armored(input) != Err(OpenError::NotSealed)
}

/// The first armored file in a text, with its lines as they were. Chats quote, indent and wrap.
fn armored(input: &[u8]) -> Result<String, OpenError> {
    let text = std::str::from_utf8(input).map_err(|_| OpenError::NotSealed)?;
    let (_, rest) = text.split_once(BEGIN).ok_or(OpenError::NotSealed)?;
    let (middle, _) = rest.split_once(END).ok_or(OpenError::Damaged)?;
    let is_dash = |c: char| matches!(c, '-' | '\u{2010}'..='\u{2015}');
    let kept = |c: &char| !(c.is_whitespace() || *c == '>' || is_invisible(*c));
    let signs: Vec<char> = middle
        .trim_matches(|c: char| is_dash(c) || c.is_whitespace() || c == '>')
        .chars()
        .filter(kept)
        .collect();
    let is_base64 = |c: &char| c.is_ascii_alphanumeric() || "+/=".contains(*c);
    if !signs.iter().all(is_base64) {
        return Err(OpenError::Damaged);
    }
    let mut file = format!("-----{BEGIN}-----\n");
    for line in signs.chunks(LINE) {
        file.extend(line);
        file.push('\n');
    }
    file.push_str("-----");
    file.push_str(END);
    file.push_str("-----\n");
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::age::{AgeSealer, Identities, NewIdentity};
    use crate::broker::ports::Sealer;

    fn sealed_to(key: &NewIdentity, value: &str) -> String {
        let plaintext = SecretValue::new(value.as_bytes().to_vec());
        AgeSealer
            .seal(&plaintext, std::slice::from_ref(&key.public))
            .unwrap()
    }

    fn identities(key: &NewIdentity) -> Identities {
        #[expect(clippy::disallowed_methods, reason = "a key made for this test")]
        Identities::read(key.file.expose_secret(), || panic!("no passphrase")).unwrap()
    }

    fn opened(input: &str, key: &NewIdentity) -> Result<String, OpenError> {
        #[expect(clippy::disallowed_methods, reason = "a value made for this test")]
        open(input.as_bytes(), &identities(key))
            .map(|value| String::from_utf8(value.expose_secret().to_vec()).unwrap())
    }

    #[test]
    fn opens_what_a_chat_made_of_it() {
        let key = NewIdentity::generate();
        let value = format!("\"{}\"", "hunter2".repeat(40));
        let text = sealed_to(&key, &value);
        let quoted = format!("> {}\r\n", text.trim_end().replace('\n', "\r\n> "));
        for input in [
            text.clone(),
            text.replace('\n', "\r\n"),
            text.replace('\n', " "),
            text.replace('\n', ""),
            text.replace('\n', "\u{a0}\n  "),
            text.replace("-----", "\u{2014}-\u{2014}"),
            quoted,
            format!("vault, [21.11.2026 11:03]\n🔑 secret/a (version 3)\n{text}\nDeleted in 60 s."),
            format!("{text}\n{text}"),
        ] {
            assert_eq!(opened(&input, &key), Ok(value.clone()), "{input}");
        }
    }

    #[test]
    fn says_what_is_wrong() {
        let (key, other) = (NewIdentity::generate(), NewIdentity::generate());
        let text = sealed_to(&key, "\"hunter2\"");
        assert_eq!(opened(&text, &other), Err(OpenError::OtherKey));
        let lines: Vec<&str> = text.lines().collect();
        let cut = [&lines[..2], &lines[3..]].concat().join("\n");
        let begun = lines[..3].join("\n");
        let strange = text.replacen('\n', "\n?", 1);
        // The last sign of the last line of content.
        let body = lines[lines.len() - 2].trim_end_matches('=');
        let end = if body.ends_with('A') { 'B' } else { 'A' };
        let (_, kept) = body.split_at(1);
        let changed = text.replace(body, &format!("{end}{kept}"));
        for damaged in [cut, begun, strange, changed] {
            assert_eq!(opened(&damaged, &key), Err(OpenError::Damaged), "{damaged}");
        }
        for other in ["", "hello", "age1qqq"] {
            assert_eq!(opened(other, &key), Err(OpenError::NotSealed));
        }
        let large = vec![b'-'; MAX_SEALED + 1];
        let result = open(&large, &identities(&key)).map(drop);
        assert_eq!(result, Err(OpenError::TooLarge));
    }
}

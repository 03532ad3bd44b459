//! Heads that stand in a chat, where nobody who can write the audit can change them.
//!
//! A line for people and programs: `audit head SEQ HASH TIME chain:ID [KEY:SIGNATURE]`. The chain's
//! id is the hash of its first record. Earlier versions named no chain.

use std::fmt;

use serde_json::Value;

use crate::audit::key::{PublicKey, SigningKey, Statement};
use crate::audit::record::Link;

/// What a line begins with.
const BEGIN: &str = "audit head ";
/// What stands before a chain's id.
const CHAIN: &str = "chain";
/// What a signature of one is for.
const WHY: &str = "witness";
/// Largest export that is read, in bytes.
pub const MAX_CHAT: u64 = 256 << 20;

/// A head as it was posted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Posted {
    /// The record.
    pub seq: u64,
    /// Its hash.
    pub hash: String,
    /// When it was posted, as written.
    pub time: String,
    /// The hash of the first record of the chain that it is of, where the line says it.
    pub chain: Option<String>,
    /// The key's short name, and the signature.
    signature: Option<(String, String)>,
}

impl Posted {
    /// The head at `link` of `chain`, signed where there is a key.
    pub(super) fn new(
        link: &Link,
        time: String,
        chain: Option<&str>,
        key: Option<&SigningKey>,
    ) -> Self {
        let signature = key.zip(chain).map(|(key, chain)| {
            let statement = Statement {
                why: WHY,
                chain,
                seq: link.seq,
                hash: &link.hash,
                time: &time,
            };
            (key.public().id(), key.sign(&statement))
        });
        Self {
            seq: link.seq,
            hash: link.hash.clone(),
            chain: chain.map(str::to_owned),
            time,
            signature,
        }
    }

    /// Whether one of `keys` signed it, for the chain `chain`.
    pub(super) fn is_signed(&self, chain: &str, keys: &[PublicKey]) -> bool {
        let Some((id, signature)) = &self.signature else {
            return false;
        };
        let statement = Statement {
            why: WHY,
            chain,
            seq: self.seq,
            hash: &self.hash,
            time: &self.time,
        };
        keys.iter()
            .any(|key| key.id() == *id && key.verifies(&statement, signature))
    }

    /// Whether its signature, sound or not, has the name of one of `keys`.
    pub(super) fn names_one_of(&self, keys: &[PublicKey]) -> bool {
        let named = self.signature.as_ref().map(|(id, _)| id);
        keys.iter().any(|key| Some(&key.id()) == named)
    }

    /// Reads what follows [`BEGIN`].
    fn read(text: &str) -> Option<Self> {
        let mut words = text.split_whitespace();
        let seq = words.next()?.parse().ok().filter(|seq| *seq > 0)?;
        let hash = read_hash(words.next()?)?;
        let time = words.next()?.to_owned();
        let mut rest = words.map_while(|word| word.split_once(':')).peekable();
        let chain = match rest.next_if(|(name, _)| *name == CHAIN) {
            Some((_, id)) => Some(read_hash(id)?),
            None => None,
        };
        let signature = rest.next();
        Some(Self {
            seq,
            hash,
            time,
            chain,
            signature: signature.map(|(id, text)| (id.to_owned(), text.to_owned())),
        })
    }
}

/// A hash in hexadecimal.
fn read_hash(text: &str) -> Option<String> {
    let is_hash = text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_hash.then(|| text.to_ascii_lowercase())
}

impl fmt::Display for Posted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{BEGIN}{} {} {}", self.seq, self.hash, self.time)?;
        if let Some(chain) = &self.chain {
            write!(f, " {CHAIN}:{chain}")?;
        }
        match &self.signature {
            Some((id, signature)) => write!(f, " {id}:{signature}"),
            None => Ok(()),
        }
    }
}

/// The heads in a chat: Telegram Desktop's export in JSON, or its text, copied.
#[must_use]
pub fn read_chat(text: &str) -> Vec<Posted> {
    let mut found = vec![];
    match serde_json::from_str::<Value>(text) {
        Ok(export) => {
            let messages = export.get("messages").and_then(Value::as_array);
            for message in messages.into_iter().flatten() {
                let text = message.get("text").map(joined).unwrap_or_default();
                found.extend(in_text(&text));
            }
        }
        Err(_) => found.extend(in_text(text)),
    }
    found
}

/// The text of a message, which the export cuts where it sees links, numbers or marks.
fn joined(text: &Value) -> String {
    match text {
        Value::String(text) => text.clone(),
        Value::Array(parts) => parts
            .iter()
            .map(|part| part.get("text").map_or_else(|| joined(part), joined))
            .collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => String::new(),
    }
}

fn in_text(text: &str) -> impl Iterator<Item = Posted> {
    text.split(BEGIN).skip(1).filter_map(Posted::read)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link() -> Link {
        Link {
            seq: 812,
            hash: "ab".repeat(32),
        }
    }

    #[test]
    fn a_head_is_found_again_in_text_and_export() {
        let key = SigningKey::read(SigningKey::generate().unwrap().as_bytes()).unwrap();
        let (chain, other) = ("c1".repeat(32), "d2".repeat(32));
        let of = |chain, key| Posted::new(&link(), "T".into(), chain, key);
        let (signed, plain) = (of(Some(&chain), Some(&key)), of(Some(&chain), None));
        // As they were posted before chains were named.
        let without = |posted: &Posted| Posted {
            chain: None,
            ..posted.clone()
        };
        let (signed_before, plain_before) = (without(&signed), without(&plain));
        assert_eq!(
            plain.to_string(),
            format!("audit head 812 {} T chain:{chain}", "ab".repeat(32))
        );
        assert!(!plain_before.to_string().contains("chain"));
        for posted in [&signed, &plain, &signed_before, &plain_before] {
            let line = posted.to_string();
            assert_eq!(
                read_chat(&format!("Broker, [x]\n{line}\nmore")),
                std::slice::from_ref(posted)
            );
            let export = serde_json::json!({"messages": [
                {"text": "hello"},
                {"text": line},
                {"text": ["audit head ", {"type": "phone", "text": "812"}, line.strip_prefix("audit head 812").unwrap()]},
            ]});
            assert_eq!(
                read_chat(&export.to_string()),
                [posted.clone(), posted.clone()]
            );
        }
        let keys = [key.public().clone()];
        for signed in [&signed, &signed_before] {
            assert!(signed.is_signed(&chain, &keys));
            assert!(!signed.is_signed(&other, &keys) && !signed.is_signed(&chain, &[]));
        }
        assert!(!plain.is_signed(&chain, &keys));
    }

    #[test]
    fn what_is_no_head_is_passed_over() {
        for text in [
            "",
            "audit head",
            "audit head x y z",
            "audit head 1 abc T",
            &format!("audit head 0 {} T", "0".repeat(64)),
            &format!("audit head 1 {} T chain:abc", "ab".repeat(32)),
            "{",
            "[]",
        ] {
            assert_eq!(read_chat(text), [], "{text}");
        }
    }
}

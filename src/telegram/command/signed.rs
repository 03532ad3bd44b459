//! Commands that a job signs: which words prove whose they are, what of the text is signed, and what it
//! asks for.

use super::approval::asked;
use super::{MAX_LENGTH, Mistake, Word, Words, called, is_space, split_word};
use crate::domain::{Action, Delivery, Mounts, Target};

/// Begins the word that tells a signed command from others.
const MARK: &str = "sig=v1,";

/// Longest id that is said again, in bytes.
const MAX_ID: usize = 64;

/// A command, and the words after it that prove whose it is.
#[derive(Debug, PartialEq, Eq)]
pub struct SignedText<'t> {
    /// What is signed: all that stands before the proof, and the space before that.
    pub content: &'t str,
    /// `id=`
    pub id: &'t str,
    /// `ts=`
    pub timestamp: &'t str,
    /// `sig=`
    pub signature: &'t str,
    /// `key=`
    pub key: &'t str,
}

/// What a job asks for.
#[derive(Debug, PartialEq, Eq)]
pub enum JobCommand {
    /// Hand over a secret.
    Read(Target, Delivery),
    /// Ask that this be approved, for this reason.
    Request(Target, Delivery, String),
}

impl<'t> SignedText<'t> {
    /// The id, as far as it can be said again.
    #[must_use]
    pub fn name(&self) -> &'t str {
        let known = |sign: u8| sign.is_ascii_alphanumeric() || b"-_.".contains(&sign);
        let plain = self.id.len() <= MAX_ID && self.id.bytes().all(known);
        if plain { self.id } else { "?" }
    }
}

impl JobCommand {
    /// Reads what is signed. What would be shown as plaintext is a mistake.
    ///
    /// # Errors
    /// Says what is wrong, and what to write instead.
    pub fn read(content: &str, mounts: &Mounts) -> Result<Self, Mistake> {
        let (name, argument) = split_word(content);
        let name = name.split('@').next().unwrap_or(name);
        let word = Word::read(name.strip_prefix('/').unwrap_or_default());
        let command = if word == Word::RequestSecret {
            let read = Action::Read(Delivery::Wrapped);
            let (action, target, reason) = asked(word, read, argument, mounts)?;
            let delivery = action.delivery().unwrap_or(Delivery::Wrapped);
            Self::Request(target, delivery, reason)
        } else {
            let (path, delivery) = Words(argument).one_or_two(word)?;
            let delivery = delivery.map(|name| Delivery::named(name).ok_or(Mistake::Delivery));
            let target = mounts.parse(path)?;
            Self::Read(target, delivery.unwrap_or(Ok(Delivery::Wrapped))?)
        };
        match command.delivery() {
            Delivery::Wrapped | Delivery::Sealed => Ok(command),
            Delivery::Message | Delivery::Socket => Err(Mistake::PlainToJob),
        }
    }

    fn delivery(&self) -> Delivery {
        match self {
            Self::Read(_, delivery) | Self::Request(_, delivery, _) => *delivery,
        }
    }
}

/// Reads a message that carries a signature. `None` where it is none, or not for us; an error where
/// the words of the proof are not the last ones, in their order. `username` is our own.
#[must_use]
pub fn parse_signed<'t>(
    text: &'t str,
    username: Option<&str>,
) -> Option<Result<SignedText<'t>, &'static str>> {
    let text = text.trim_matches(is_space);
    let (word, argument) = called(text, username)?;
    let asks = matches!(word, Word::GetSecret | Word::RequestSecret);
    let mut words = argument.split(is_space);
    if !asks || !words.any(|word| word.starts_with(MARK)) {
        return None;
    }
    let long = text.encode_utf16().nth(MAX_LENGTH).is_some();
    let parts = parts(text).filter(|_| !long);
    Some(parts.ok_or(
        "a signed command ends with id=ID ts=TIME sig=v1,BASE64 key=OWNER/KEYID, in this order",
    ))
}

fn parts(text: &str) -> Option<SignedText<'_>> {
    let mut content = text;
    let mut last = |name: &str| {
        let (before, word) = content.rsplit_once(' ')?;
        content = before;
        word.strip_prefix(name)
    };
    let key = last("key=")?;
    let signature = last("sig=")?;
    let timestamp = last("ts=")?;
    let id = last("id=")?;
    Some(SignedText {
        content,
        id,
        timestamp,
        signature,
        key,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROOF: &str = "id=m1 ts=1800000000 sig=v1,AAAA= key=acme/k1";

    fn mounts() -> Mounts {
        Mounts::new(vec!["secret".to_owned()]).unwrap()
    }

    #[test]
    fn a_proof_is_the_last_four_words() {
        let text = format!(" /get_secret a/b sealed {PROOF}\n");
        let signed = parse_signed(&text, None).unwrap().unwrap();
        let expected = SignedText {
            content: "/get_secret a/b sealed",
            id: "m1",
            timestamp: "1800000000",
            signature: "v1,AAAA=",
            key: "acme/k1",
        };
        assert_eq!(signed, expected);
        // Every sign before the proof is signed.
        let text = format!("/get_secret@vault_bot  a\nb  {PROOF}");
        let signed = parse_signed(&text, Some("vault_bot")).unwrap().unwrap();
        assert_eq!(signed.content, "/get_secret@vault_bot  a\nb ");
    }

    #[test]
    fn words_out_of_order_prove_nothing() {
        for text in [
            "/get_secret a ts=1 id=m1 sig=v1,AAAA key=a/b",
            "/get_secret a id=m1 ts=1 key=a/b sig=v1,AAAA",
            "/get_secret a id=m1 ts=1 sig=v1,AAAA",
            "/get_secret a id=m1 sig=v1,AAAA key=a/b",
            "/get_secret a id=m1 ts=1 sig=v1,AAAA key=a/b x",
            "/get_secret a id=m1 ts=1 sig=v1,AAAA\nkey=a/b",
            "/get_secret sig=v1,AAAA",
        ] {
            assert!(parse_signed(text, None).unwrap().is_err(), "{text}");
        }
        let long = format!("/get_secret {} {PROOF}", "a".repeat(MAX_LENGTH));
        assert!(parse_signed(&long, None).unwrap().is_err());
    }

    #[test]
    fn what_people_write_is_not_taken_for_signed() {
        for text in [
            "/get_secret a",
            "/get_secret a sig=v2,AAAA",
            "/put_secret a id=1 ts=2 sig=v1,AAAA key=a/b",
            "get_secret a id=m1 ts=1 sig=v1,AAAA key=a/b",
            "/get_secret@other_bot a id=m1 ts=1 sig=v1,AAAA key=a/b",
            "look: /get_secret a id=m1 ts=1 sig=v1,AAAA key=a/b",
        ] {
            assert_eq!(parse_signed(text, Some("vault_bot")), None, "{text}");
        }
    }

    #[test]
    fn a_job_reads_or_requests_and_never_in_plain() {
        let read = |text| JobCommand::read(text, &mounts());
        let target = mounts().parse("a/b#c").unwrap();
        for (text, delivery) in [
            ("/get_secret a/b#c", Delivery::Wrapped),
            ("/get_secret@vault_bot a/b#c wrapped", Delivery::Wrapped),
            ("/get_secret a/b#c sealed ", Delivery::Sealed),
        ] {
            assert_eq!(read(text), Ok(JobCommand::Read(target.clone(), delivery)));
        }
        let asked = |delivery| JobCommand::Request(target.clone(), delivery, "why not".to_owned());
        let text = "/request_secret a/b#c why not";
        assert_eq!(read(text), Ok(asked(Delivery::Wrapped)));
        let text = "/request_secret a/b#c sealed why not";
        assert_eq!(read(text), Ok(asked(Delivery::Sealed)));
        for text in [
            "/get_secret a/b message",
            "/get_secret a/b socket",
            "/request_secret a/b message why",
        ] {
            assert_eq!(read(text), Err(Mistake::PlainToJob), "{text}");
        }
        for (text, mistake) in [
            ("/get_secret", Mistake::Missing(Word::GetSecret)),
            ("/get_secret a mail", Mistake::Delivery),
            ("/get_secret a sealed b", Mistake::Extra(Word::GetSecret)),
            ("/request_secret", Mistake::Missing(Word::RequestSecret)),
        ] {
            assert_eq!(read(text), Err(mistake), "{text}");
        }
    }
}

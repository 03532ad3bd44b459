//! Commands as people write them: from a message's text to one typed command, or to what is
//! wrong with it and what to write instead. Pure, so that a fuzz target can call it.

mod approval;
mod mistake;
mod pipeline;
#[cfg(test)]
mod tests;
mod values;
mod word;

use std::time::Duration;

pub use self::approval::{Affair, parse_reply};
pub use self::mistake::{Mistake, ValueMistake};
pub use self::word::Word;
use crate::broker::PipelineWish;
use crate::domain::caller::ChatKind;
use crate::domain::recipe::normalise_code;
use crate::domain::{ApprovalId, Delivery, Field, Mounts, Recipe, Target, span};

/// Longest message that is read, in UTF-16 code units: what Telegram's own apps can send.
pub const MAX_LENGTH: usize = 4096;

/// What somebody wants. No `Debug`: it can hold values.
pub enum Command {
    /// Say hello.
    Start,
    /// Say what can be asked.
    Help,
    /// Say how things are.
    Status,
    /// Hand over a secret.
    Read(Target, Delivery),
    /// Name what lies in a folder.
    List(Target),
    /// Tell a secret's versions.
    Versions(Target),
    /// Write a new version that holds these fields only.
    Put(Target, Vec<Field>),
    /// Write a new version in which these fields are changed.
    Patch(Target, Vec<Field>),
    /// Delete a version.
    Delete(Target),
    /// Undo a deletion.
    Undelete(Target),
    /// Replace one field by a random value.
    Rotate(Target, Recipe),
    /// Remove a version for good.
    Destroy(Target),
    /// Have an engine do something with these parameters.
    Invoke(Target, Delivery, Vec<Field>),
    /// Name one's leases.
    Leases,
    /// Tell what is watched in this chat.
    Watches,
    /// Keep the lease of this code for so long.
    KeepLease(String, Duration),
    /// End the lease of this code.
    RevokeLease(String),
    /// Hand over the broker's own Telegram keys.
    GetKeys,
    /// Register a public key, which is not checked yet.
    RegisterKey(String),
    /// Name one's public keys.
    Keys,
    /// Forget a public key.
    ForgetKey(KeyName),
    /// Something about a pipeline.
    Pipeline(PipelineWish),
    /// Something about a request for approval.
    Approval(Affair),
    /// Go on with what was asked about under this code.
    Confirm(String),
    /// Let go of what was asked about under this code.
    Cancel(String),
}

/// How somebody names one of their public keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyName {
    /// Its place in `/keys`, from 1.
    Number(usize),
    /// The key itself.
    Key(String),
}

/// A message that is a command for us.
pub struct Parsed {
    /// Which command.
    pub word: Word,
    /// What is to be done, or what is wrong with the text.
    pub command: Result<Command, Mistake>,
    /// It holds what nobody may read, or may hold that: it must not stay in the chat.
    pub sensitive: bool,
}

/// Begins every private age key.
const PRIVATE_KEY: &[u8] = b"AGE-SECRET-KEY-";
/// Signs after that from which on it is part of a key, and not talk of one.
const PART_OF_A_KEY: usize = 20;

/// Reads a message. `None` when it is no command for us: talk, a command for another bot
/// (`/help@other_bot`), or in a group one that we do not know. In a private chat, talk that holds
/// a private key concerns us too. `username` is our own.
#[must_use]
pub fn parse(
    text: &str,
    username: Option<&str>,
    chat: ChatKind,
    mounts: &Mounts,
) -> Option<Parsed> {
    let text = text.trim_matches(is_space);
    let called = called(text, username);
    let word = called.map_or(Word::Unknown, |(word, _)| word);
    // A private key can be a value like any other, where values are meant to be.
    if !word.carries_values()
        && holds_private_key(text)
        && (called.is_some() || chat == ChatKind::Private)
    {
        return Some(Parsed {
            word,
            command: Err(Mistake::PrivateKey),
            sensitive: true,
        });
    }
    let (_, argument) = called?;
    let misspelt = matches!(word, Word::LikePut | Word::LikePatch);
    // A misspelt word without a value may be another bot's.
    let foreign = word == Word::Unknown || misspelt && !argument.contains('=');
    if chat == ChatKind::Group && foreign {
        return None;
    }
    let command = if text.encode_utf16().nth(MAX_LENGTH).is_some() {
        Err(Mistake::TooLong)
    } else {
        read(word, argument, mounts)
    };
    // What looks like a value, in what nobody can make sense of, may be one.
    let guessed = chat == ChatKind::Private && command.is_err() && argument.contains('=');
    let code = word == Word::Approve && approval::may_hold_code(argument);
    Some(Parsed {
        word,
        command,
        sensitive: word.carries_values() || guessed || code,
    })
}

/// The command in `text` and what follows it; `None` where there is none, or one for another bot.
fn called<'a>(text: &'a str, username: Option<&str>) -> Option<(Word, &'a str)> {
    let (name, argument) = split_word(text);
    let name = name.strip_prefix('/')?;
    let name = match name.split_once('@') {
        Some((name, to)) if username.is_some_and(|me| me.eq_ignore_ascii_case(to)) => name,
        Some(_) => return None,
        None => name,
    };
    Some((Word::read(name), argument))
}

fn holds_private_key(text: &str) -> bool {
    let mut parts = text.as_bytes().windows(PRIVATE_KEY.len() + PART_OF_A_KEY);
    parts.any(|part| {
        let (beginning, rest) = part.split_at(PRIVATE_KEY.len());
        let is_key = |sign: &u8| sign.is_ascii_alphanumeric() || *sign == b'-';
        beginning.eq_ignore_ascii_case(PRIVATE_KEY) && rest.iter().all(is_key)
    })
}

fn read(word: Word, argument: &str, mounts: &Mounts) -> Result<Command, Mistake> {
    let words = Words(argument);
    Ok(match word {
        // What follows these is not looked at: clients and links append things to /start.
        Word::Start => Command::Start,
        Word::Help => Command::Help,
        Word::Status => Command::Status,
        Word::Keys => Command::Keys,
        Word::GetKeys => Command::GetKeys,
        Word::GetSecret => {
            let (path, delivery) = words.one_or_two(word)?;
            let delivery = delivery.map(|name| Delivery::named(name).ok_or(Mistake::Delivery));
            let target = mounts.parse(path)?;
            Command::Read(target, delivery.unwrap_or(Ok(Delivery::Message))?)
        }
        Word::List => {
            let (path, more) = split_word(argument);
            if !more.is_empty() {
                return Err(Mistake::Extra(word));
            }
            Command::List(mounts.parse_folder(path)?)
        }
        Word::Versions => Command::Versions(secret(word, words.one(word)?, mounts)?),
        Word::PutSecret | Word::PatchSecret => {
            let (path, values) = split_word(argument);
            if path.is_empty() {
                return Err(Mistake::Missing(word));
            }
            let target = secret(word, path, mounts)?;
            let fields = values::fields(values)?;
            if fields.is_empty() {
                return Err(Mistake::NoValue(word));
            }
            if word == Word::PutSecret {
                Command::Put(target, fields)
            } else {
                Command::Patch(target, fields)
            }
        }
        Word::DeleteSecret => Command::Delete(version(word, words.one(word)?, mounts)?),
        Word::Undelete => Command::Undelete(version(word, words.one(word)?, mounts)?),
        Word::Rotate => {
            let (path, recipe) = words.one_or_two(word)?;
            let recipe = recipe.map(|name| Recipe::named(name).ok_or(Mistake::Recipe));
            let target = mounts.parse(path)?;
            match (&target.field, target.version) {
                (None, _) => return Err(Mistake::NoField),
                (_, Some(_)) => return Err(Mistake::Version(word)),
                (Some(_), None) => {
                    Command::Rotate(target, recipe.unwrap_or(Ok(Recipe::default()))?)
                }
            }
        }
        Word::DestroySecret => {
            let target = version(word, words.one(word)?, mounts)?;
            if target.version.is_none() {
                return Err(Mistake::NoVersion);
            }
            Command::Destroy(target)
        }
        Word::Invoke => invocation(argument, mounts)?,
        Word::Leases => Command::Leases,
        Word::Watch if argument.trim().is_empty() => Command::Watches,
        Word::KeepLease => {
            let (code, time) = words.one_or_two(word)?;
            let time = time.and_then(span::read).ok_or(Mistake::Time)?;
            Command::KeepLease(normalise_code(code), time)
        }
        Word::RevokeLease => Command::RevokeLease(normalise_code(words.one(word)?)),
        Word::RegisterKey => Command::RegisterKey(words.one(word)?.to_owned()),
        Word::ForgetKey => {
            let name = words.one(word)?;
            Command::ForgetKey(match name.parse() {
                Ok(number) => KeyName::Number(number),
                Err(_) => KeyName::Key(name.to_owned()),
            })
        }
        Word::Confirm => Command::Confirm(normalise_code(words.one(word)?)),
        // A request's name is longer than the code of a question.
        Word::Cancel => match ApprovalId::read(words.one(word)?) {
            Some(id) => Command::Approval(Affair::Cancel(id)),
            None => Command::Cancel(normalise_code(words.one(word)?)),
        },
        Word::Run
        | Word::Runs
        | Word::Rerun
        | Word::CancelRun
        | Word::ApproveRun
        | Word::DenyRun
        | Word::Watch
        | Word::Unwatch => Command::Pipeline(pipeline::read(word, argument)?),
        Word::Requests => Command::Approval(Affair::Mine),
        Word::RequestSecret => Command::Approval(approval::request(argument, mounts)?),
        Word::BreakGlass => Command::Approval(approval::break_glass(argument, mounts)?),
        Word::Request => Command::Approval(approval::about(argument, mounts)?),
        Word::AdminList => Command::Approval(approval::list(argument)?),
        Word::Extend => Command::Approval(approval::extend(argument)?),
        Word::Approve => Command::Approval(approval::approve(argument)?),
        Word::Deny => Command::Approval(approval::deny(argument)?),
        Word::Revoke => Command::Approval(approval::revoke(argument)?),
        Word::Reviewed => Command::Approval(approval::reviewed(argument)?),
        Word::LikePut => return Err(Mistake::Misspelt(Word::PutSecret)),
        Word::LikePatch => return Err(Mistake::Misspelt(Word::PatchSecret)),
        Word::Unknown => return Err(Mistake::Unknown),
    })
}

/// A path of an engine, how to hand its answer over, and parameters.
fn invocation(argument: &str, mounts: &Mounts) -> Result<Command, Mistake> {
    let (path, rest) = split_word(argument);
    if path.is_empty() {
        return Err(Mistake::Missing(Word::Invoke));
    }
    let target = mounts.parse(path)?;
    if target.version.is_some() {
        return Err(Mistake::Version(Word::Invoke));
    }
    let (first, others) = split_word(rest);
    let (delivery, values) = match Delivery::named(first) {
        Some(delivery) => (delivery, others),
        None => (Delivery::Message, rest),
    };
    Ok(Command::Invoke(target, delivery, values::fields(values)?))
}

/// A secret as a whole.
fn secret(word: Word, path: &str, mounts: &Mounts) -> Result<Target, Mistake> {
    let target = version(word, path, mounts)?;
    if target.version.is_some() {
        return Err(Mistake::Version(word));
    }
    Ok(target)
}

/// A secret as a whole, or one of its versions.
fn version(word: Word, path: &str, mounts: &Mounts) -> Result<Target, Mistake> {
    let target = mounts.parse(path)?;
    if target.field.is_some() {
        return Err(Mistake::Field(word));
    }
    Ok(target)
}

/// What follows a command's name.
struct Words<'a>(&'a str);

impl<'a> Words<'a> {
    fn one(&self, word: Word) -> Result<&'a str, Mistake> {
        match self.one_or_two(word)? {
            (one, None) => Ok(one),
            (_, Some(_)) => Err(Mistake::Extra(word)),
        }
    }

    fn one_or_two(&self, word: Word) -> Result<(&'a str, Option<&'a str>), Mistake> {
        let (first, rest) = split_word(self.0);
        let (second, rest) = split_word(rest);
        if first.is_empty() {
            return Err(Mistake::Missing(word));
        }
        if !rest.is_empty() {
            return Err(Mistake::Extra(word));
        }
        Ok((first, (!second.is_empty()).then_some(second)))
    }
}

/// The first word, and what follows it.
fn split_word(text: &str) -> (&str, &str) {
    match text.split_once(is_space) {
        Some((word, rest)) => (word, rest.trim_start_matches(is_space)),
        None => (text, ""),
    }
}

/// What lies between words. Not what only looks like a space: that is refused where it matters.
fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\n' | '\t' | '\r')
}

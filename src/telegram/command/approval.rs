//! What people want of requests for approval: by a command, or by a reply to a request's card.

use zeroize::Zeroizing;

use super::{Mistake, Parsed, Word, is_space, parse, split_word};
use crate::broker::Filter;
use crate::domain::caller::ChatKind;
use crate::domain::{
    Action, ApprovalId, Delivery, Mounts, PipelineAction, Recipe, SecretValue, Target,
};

/// What somebody wants of requests for approval. No `Debug`: it can hold a code.
pub enum Affair {
    /// Ask that this be approved, for this reason.
    Ask(Action, Target, String),
    /// Tell of this one.
    Show(ApprovalId),
    /// Name those of whoever asks.
    Mine,
    /// Name those that they may know of.
    List(Filter),
    /// Want this one no more.
    Cancel(ApprovalId),
    /// Ask that what was granted last longer, for this reason.
    Extend(ApprovalId, String),
    /// Vote for it, with the code of an authenticator.
    Approve(ApprovalId, Option<SecretValue>),
    /// Vote against it, for this reason.
    Deny(ApprovalId, String),
    /// Take back what was granted.
    Revoke(ApprovalId),
    /// Take a secret at once, for this reason.
    BreakGlass(Target, Delivery, String),
    /// Say what was found who looked at broken glass.
    Review(ApprovalId, String),
}

/// What can be requested by name; those that can be handed over in several ways, as a message.
pub(super) const ACTIONS: [(&str, Action); 18] = [
    ("read", Action::Read(Delivery::Message)),
    ("list", Action::List),
    ("versions", Action::Versions),
    ("put", Action::Put { over: None }),
    ("patch", Action::Patch { over: None }),
    ("delete", Action::Delete),
    ("undelete", Action::Undelete),
    ("destroy", Action::Destroy),
    (
        "rotate",
        Action::Rotate {
            recipe: Recipe::Password,
            over: None,
        },
    ),
    ("invoke", Action::Invoke(Delivery::Message)),
    ("run", Action::Pipeline(PipelineAction::Run)),
    ("runs", Action::Pipeline(PipelineAction::Runs)),
    ("rerun", Action::Pipeline(PipelineAction::Rerun)),
    ("cancel_run", Action::Pipeline(PipelineAction::Cancel)),
    (
        "approve_deployment",
        Action::Pipeline(PipelineAction::Approve),
    ),
    ("deny_deployment", Action::Pipeline(PipelineAction::Deny)),
    ("watch", Action::Pipeline(PipelineAction::Watch)),
    ("unwatch", Action::Pipeline(PipelineAction::Unwatch)),
];

/// `/request_secret PATH [delivery] reason`
pub(super) fn request(argument: &str, mounts: &Mounts) -> Result<Affair, Mistake> {
    let read = Action::Read(Delivery::Message);
    let (action, target, reason) = asked(Word::RequestSecret, read, argument, mounts)?;
    Ok(Affair::Ask(action, target, reason))
}

/// `/break_glass PATH [delivery] reason`
pub(super) fn break_glass(argument: &str, mounts: &Mounts) -> Result<Affair, Mistake> {
    let read = Action::Read(Delivery::Message);
    let (action, target, reason) = asked(Word::BreakGlass, read, argument, mounts)?;
    let delivery = action.delivery().unwrap_or(Delivery::Message);
    Ok(Affair::BreakGlass(target, delivery, reason))
}

/// `/request ID`, `/request status ID`, `/request ACTION PATH [delivery] reason`
pub(super) fn about(argument: &str, mounts: &Mounts) -> Result<Affair, Mistake> {
    let (first, rest) = split_word(argument);
    if rest.is_empty() || first == "status" {
        let argument = if rest.is_empty() { argument } else { rest };
        return alone(Word::Request, argument).map(Affair::Show);
    }
    let known = ACTIONS.iter().find(|(name, _)| *name == first);
    let (_, action) = known.ok_or(Mistake::NoAction)?;
    let (action, target, reason) = asked(Word::RequestSecret, *action, rest, mounts)?;
    Ok(Affair::Ask(action, target, reason))
}

/// `/admin_list`, `/admin_list pending`, `/admin_list all`
pub(super) fn list(argument: &str) -> Result<Affair, Mistake> {
    match argument {
        "" | "pending" => Ok(Affair::List(Filter::Pending)),
        "all" => Ok(Affair::List(Filter::All)),
        _ => Err(Mistake::NoList),
    }
}

/// `/extend ID reason`
pub(super) fn extend(argument: &str) -> Result<Affair, Mistake> {
    let (id, rest) = named(Word::Extend, argument)?;
    Ok(Affair::Extend(id, sentence(rest)))
}

/// `/approve ID [code]`
pub(super) fn approve(argument: &str) -> Result<Affair, Mistake> {
    let (id, rest) = named(Word::Approve, argument)?;
    Ok(Affair::Approve(id, code(rest)?))
}

/// `/deny ID reason`
pub(super) fn deny(argument: &str) -> Result<Affair, Mistake> {
    let (id, rest) = named(Word::Deny, argument)?;
    Ok(Affair::Deny(id, words(Word::Deny, rest)?))
}

/// `/reviewed ID note`
pub(super) fn reviewed(argument: &str) -> Result<Affair, Mistake> {
    let (id, rest) = named(Word::Reviewed, argument)?;
    Ok(Affair::Review(id, words(Word::Reviewed, rest)?))
}

/// `/revoke ID`
pub(super) fn revoke(argument: &str) -> Result<Affair, Mistake> {
    alone(Word::Revoke, argument).map(Affair::Revoke)
}

/// A request's name, and what follows it.
fn named(word: Word, argument: &str) -> Result<(ApprovalId, &str), Mistake> {
    let (first, rest) = split_word(argument);
    if first.is_empty() {
        return Err(Mistake::Missing(word));
    }
    let id = ApprovalId::read(first).ok_or(Mistake::NoRequest(word))?;
    Ok((id, rest))
}

/// A request's name and nothing else.
fn alone(word: Word, argument: &str) -> Result<ApprovalId, Mistake> {
    match named(word, argument)? {
        (id, "") => Ok(id),
        (_, _) => Err(Mistake::Extra(word)),
    }
}

/// A path, how to hand over what is there, and a reason, of which policy says how long it must be.
fn asked(
    word: Word,
    action: Action,
    text: &str,
    mounts: &Mounts,
) -> Result<(Action, Target, String), Mistake> {
    let (path, rest) = split_word(text);
    if path.is_empty() {
        return Err(Mistake::Missing(word));
    }
    let target = if action == Action::List {
        mounts.parse_folder(path)?
    } else {
        mounts.parse(path)?
    };
    let (first, others) = split_word(rest);
    let (action, reason) = match (action, Delivery::named(first)) {
        (Action::Read(_), Some(delivery)) => (Action::Read(delivery), others),
        (Action::Invoke(_), Some(delivery)) => (Action::Invoke(delivery), others),
        (other, _) => (other, rest),
    };
    Ok((action, target, sentence(reason)))
}

/// What somebody wrote, on one line.
fn sentence(text: &str) -> String {
    let words = text.split(is_space).filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join(" ")
}

fn words(word: Word, text: &str) -> Result<String, Mistake> {
    let sentence = sentence(text);
    if sentence.is_empty() {
        return Err(Mistake::NoWords(word));
    }
    Ok(sentence)
}

/// The code of an authenticator, which some show in two parts.
fn code(text: &str) -> Result<Option<SecretValue>, Mistake> {
    if text.is_empty() {
        return Ok(None);
    }
    // Never grown, so that no half of it is left behind.
    let mut digits = Vec::with_capacity(text.len());
    digits.extend(text.bytes().filter(|byte| !is_space(char::from(*byte))));
    let fits = (6..=8).contains(&digits.len()) && digits.iter().all(u8::is_ascii_digit);
    let code = SecretValue::new(digits);
    if fits {
        Ok(Some(code))
    } else {
        Err(Mistake::NoCode(Word::Approve))
    }
}

/// Whether there may be a code in what follows `/approve`.
pub(super) fn may_hold_code(argument: &str) -> bool {
    let (_, rest) = split_word(argument);
    rest.contains(|sign: char| sign.is_numeric())
}

/// Reads a reply to the card of the request `id`. `None` for talk.
#[must_use]
pub fn parse_reply(text: &str, id: &ApprovalId, chat: ChatKind, mounts: &Mounts) -> Option<Parsed> {
    let (verb, rest) = split_word(text.trim_matches(is_space));
    let verb = verb.trim_end_matches(['.', ',', ':', '!']);
    let mut words = [Word::Approve, Word::Deny, Word::Reviewed].into_iter();
    let word = words.find(|word| verb.eq_ignore_ascii_case(word.name()))?;
    let command = Zeroizing::new(format!("/{} {id} {rest}", word.name()));
    parse(&command, None, chat, mounts)
}

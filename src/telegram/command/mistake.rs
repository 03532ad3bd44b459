//! What is wrong with a command, and what to write instead. No value is ever repeated.

use thiserror::Error;

use super::approval::ACTIONS;
use super::values::MAX_FIELDS;
use super::{MAX_LENGTH, Word};
use crate::broker::ports::pipelines::NameError;
use crate::domain::approval::LENGTH;
use crate::domain::signs::is_invisible;
use crate::domain::{Delivery, PathError, Recipe};

/// Why a command cannot be read. `Display` is fit for its writer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Mistake {
    /// No such command.
    #[error("I do not know this command; /help lists them.")]
    Unknown,
    /// No such command, but this one, of those that write.
    #[error(
        "Nothing was written, for there is no such command. Did you mean /{}? As in: {}", .0.name(),
        .0.example()
    )]
    Misspelt(Word),
    /// More than a message can have.
    #[error("This command is longer than {MAX_LENGTH} characters.")]
    TooLong,
    /// The command alone.
    #[error("{}: {}", missing(*.0), .0.example())]
    Missing(Word),
    /// A word too many.
    #[error("That is more than /{} takes; as in: {}", .0.name(), .0.example())]
    Extra(Word),
    /// A malformed path.
    #[error("I cannot read that: {0}.")]
    Path(PathError),
    /// A field, where only a whole secret will do.
    #[error("Give /{} a whole secret, without #field: {}", .0.name(), .0.example())]
    Field(Word),
    /// A version, where only the newest will do.
    #[error("Give /{} no @version: {}", .0.name(), .0.example())]
    Version(Word),
    /// No such way to hand over.
    #[error("After the path comes how to hand it over: {}.", deliveries())]
    Delivery,
    /// No such way to make a value.
    #[error("After the field comes how to make the new value: {}.", recipes())]
    Recipe,
    /// A random value must go somewhere.
    #[error("A field is missing: {}", Word::Rotate.example())]
    NoField,
    /// Nothing, or no time, where a time must be.
    #[error("After the code comes for how long, such as 30m, 8h or 2d: {}", Word::KeepLease.example())]
    Time,
    /// No name of a request.
    #[error(
        "A request is named by {LENGTH} letters and digits, as in: {} (/requests lists yours)",
        .0.example()
    )]
    NoRequest(Word),
    /// Neither a request, nor something to be approved.
    #[error(
        "After /request comes a request's name, or what is to be done with which path, and why. \
         What can be done: {}; as in: /request rotate django/database#password it leaked",
        actions()
    )]
    NoAction,
    /// Nothing where others want to read something.
    #[error("Say why, for others to read: {}", .0.example())]
    NoWords(Word),
    /// More than a vote, and no code of an authenticator.
    #[error(
        "After the request comes nothing, or the 6 to 8 digits that your authenticator shows: {} \
         123456", .0.example()
    )]
    NoCode(Word),
    /// No such list.
    #[error("After /admin_list comes pending or all, as in: {}", Word::AdminList.example())]
    NoList,
    /// What is gone for good must be named.
    #[error("Say which version: {} (/versions lists them)", Word::DestroySecret.example())]
    NoVersion,
    /// Nothing to write.
    #[error("Give /{} at least one key=value: {}", .0.name(), .0.example())]
    NoValue(Word),
    /// The client took part of the text for formatting, and left its signs out.
    #[error(
        "Your Telegram took part of this for formatting and dropped signs such as ** __ ~~ || or \
         `, so I cannot know what you wrote; nothing was written. Undo the formatting before you \
         send, or write the value on the host: bao kv put"
    )]
    Formatted,
    /// The key that must not leave its owner's machine, perhaps in place of the public one.
    #[error(
        "This holds a private key, with which anybody can open what is sealed to you, and Telegram \
         has seen it now: make a new key (vaultgram keygen) and register its public half, as in \
         {}; if the old one is registered, /forget_key it", Word::RegisterKey.example()
    )]
    PrivateKey,
    /// No repository, workflow or ref.
    #[error("I cannot read that: {error}; as in: {}", .word.example())]
    Name {
        /// What is wrong.
        error: NameError,
        /// After which command.
        word: Word,
    },
    /// No number of a run.
    #[error("A run is named by its number, as in: {} (/runs lists them)", .0.example())]
    NoRun(Word),
    /// Inputs that cannot be read.
    #[error("Nothing was started: {0}.")]
    Input(ValueMistake),
    /// Values that cannot be read.
    #[error("Nothing was written: {0}.")]
    Value(#[from] ValueMistake),
}

/// Why values cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ValueMistake {
    /// A word that is no key=value.
    #[error(
        "part {0} after the path is not key=value; a value with spaces needs quotes: key=\"two \
         words\""
    )]
    NoPair(usize),
    /// A name no field can have.
    #[error(
        "the name in part {0} is not one a field can have: give 1 to 128 visible characters, no #"
    )]
    Name(usize),
    /// The same name again.
    #[error("part {0} names a field that was named before")]
    Twice(usize),
    /// Nothing after the `=`.
    #[error("part {0} has no value after its =; for an empty value write key=\"\"")]
    Empty(usize),
    /// A quote that is not closed.
    #[error("the quote in part {0} is not closed; end the value with \"")]
    Open(usize),
    /// Text right after a closing quote, or a quote within a value.
    #[error(
        "part {0} has a quote in the middle; put the whole value into quotes, and write \\\" for a \
         quote in it"
    )]
    Quote(usize),
    /// A backslash before something else.
    #[error(
        "part {0} has a \\ before another sign than \" \\ n or u2014; write \\\\ for a backslash in quotes"
    )]
    Escape(usize),
    /// What phones put in place of what was typed, or what cannot be seen.
    #[error(
        "part {part} holds {}, which phones and editors put in by themselves in place of what you \
         type; type it again plainly, or, if you mean it, {}", shown(*.sign), meant(*.sign)
    )]
    Odd {
        /// Which part.
        part: usize,
        /// The sign.
        sign: char,
    },
    /// More fields than can be handed over again.
    #[error("these are more than {MAX_FIELDS} fields; write fewer at a time")]
    TooMany,
}

impl From<PathError> for Mistake {
    fn from(error: PathError) -> Self {
        Self::Path(error)
    }
}

fn missing(word: Word) -> &'static str {
    match word {
        Word::RegisterKey => "The public key is missing",
        Word::ForgetKey => "The key or its number is missing (/keys lists them)",
        Word::Confirm | Word::Cancel => "The code is missing",
        Word::Request
        | Word::Extend
        | Word::Approve
        | Word::Deny
        | Word::Revoke
        | Word::Reviewed => "The request is missing (/requests lists yours)",
        Word::Run => "The workflow is missing",
        Word::Watch | Word::Unwatch => "The pipeline is missing",
        Word::Rerun | Word::CancelRun | Word::ApproveRun | Word::DenyRun => {
            "The run's number is missing (/runs lists them)"
        }
        Word::KeepLease | Word::RevokeLease => "The lease's code is missing (/leases lists them)",
        Word::Rotate => "A field is missing",
        Word::Start
        | Word::Help
        | Word::Status
        | Word::GetSecret
        | Word::List
        | Word::Versions
        | Word::PutSecret
        | Word::PatchSecret
        | Word::DeleteSecret
        | Word::Undelete
        | Word::DestroySecret
        | Word::Invoke
        | Word::Leases
        | Word::GetKeys
        | Word::Keys
        | Word::RequestSecret
        | Word::Requests
        | Word::Runs
        | Word::AdminList
        | Word::BreakGlass
        | Word::LikePut
        | Word::LikePatch
        | Word::Unknown => "The path is missing",
    }
}

fn actions() -> String {
    ACTIONS.map(|(name, _)| name).join(", ")
}

fn deliveries() -> String {
    Delivery::ALL.map(Delivery::name).join(", ")
}

fn recipes() -> String {
    Recipe::ALL.map(Recipe::name).join(", ")
}

/// How to write a sign for sure.
fn meant(sign: char) -> String {
    match u32::from(sign) {
        // Four digits are what an escape has.
        number @ ..=0xffff => format!("write \\u{number:04x} in quotes"),
        _ => "write the value on the host: bao kv put".to_owned(),
    }
}

/// A sign as people recognise it; its number where it cannot be seen.
fn shown(sign: char) -> String {
    if sign.is_whitespace() || is_invisible(sign) {
        format!(
            "a space or sign that cannot be seen (U+{:04X})",
            u32::from(sign)
        )
    } else {
        format!("the sign {sign}")
    }
}

//! What is written back: pure, from an outcome to a text with its hidden parts.

mod shown;

use std::time::Duration;

use grammers_tl_types as tl;
use sha2::{Digest, Sha256};

use super::status::State;
use crate::broker::ports::StoreHealth;
use crate::broker::{BrokerError, Outcome};
use crate::domain::{Delivery, PathError, RequestId, Secret, Target};

/// Longest text of a message, in UTF-16 code units.
const MAX_LENGTH: usize = 4096;
/// Telegram ignores a message's entities beyond the hundredth, and an ignored spoiler is a
/// secret in plain sight.
const MAX_FIELDS: usize = 90;
/// Begins every message that carries a secret, and no other: this is how they are found again
/// in the history after a crash.
pub(super) const SECRET_MARK: &str = "🔑 ";

/// The one answer to everything that policy refuses; it must not tell whether the path exists.
const DENIED: &str = "You are not permitted to read this, or it does not exist.";
/// To a group, when the requester has been answered.
pub(super) const ANSWERED_IN_PRIVATE: &str = "Answered in your private chat.";
/// To a group, when Telegram does not let us.
pub(super) const CANNOT_WRITE: &str =
    "I cannot write to you in private. Send me a message there, then ask again.";
/// To a group, when it did not work for another reason.
pub(super) const COULD_NOT_ANSWER: &str = "I could not answer just now; ask again.";

const HELP: &str = "\
/get_secret PATH — the secret at PATH, such as django/database
/get_secret PATH#field — only that field
/get_secret PATH@2 — that version
/status — whether everything works

Secrets come to your private chat, hidden until you tap them, and are deleted after a while.";

/// A message to send. No `Debug`: it can hold a secret.
pub(super) struct Reply {
    /// The text.
    pub(super) text: String,
    /// Its hidden parts.
    pub(super) entities: Vec<tl::enums::MessageEntity>,
    /// It carries a secret: to be deleted again.
    pub(super) secret: bool,
}

impl Reply {
    /// A text without anything to hide.
    pub(super) fn plain(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            entities: vec![],
            secret: false,
        }
    }

    /// `/start`
    pub(super) fn start() -> Self {
        Self::plain(format!("I hand out secrets to those permitted.\n\n{HELP}"))
    }

    /// `/help`
    pub(super) fn help() -> Self {
        Self::plain(HELP)
    }

    /// To a command that does not exist.
    pub(super) fn unknown() -> Self {
        Self::plain("I do not know this command; /help lists them.")
    }

    /// To a command that is no longer fresh.
    pub(super) fn too_old(age: Duration) -> Self {
        let seconds = age.as_secs();
        Self::plain(format!(
            "This command is too old (more than {seconds} s), so it was not executed; ask again. \
             If you had just sent it, my clock is wrong: tell an operator."
        ))
    }

    /// To a command from the future.
    pub(super) fn clocks_disagree() -> Self {
        Self::plain(
            "My clock and Telegram's disagree, so this was not executed; tell an operator to set \
             the clock of the machine vaultgram runs on.",
        )
    }

    /// To a command that an earlier process began. It may have answered: then Telegram knows this
    /// message's random id, and drops it.
    pub(super) fn interrupted() -> Self {
        Self::plain(
            "I was interrupted while I worked on this command, so I do not know whether it was \
             done; look, then ask again.",
        )
    }

    /// To a command over the size limit.
    pub(super) fn too_long() -> Self {
        Self::plain(format!(
            "This command is longer than {MAX_LENGTH} characters; give one path."
        ))
    }

    /// To a path that is malformed.
    pub(super) fn bad_path(error: PathError) -> Self {
        Self::plain(format!("I cannot read that: {error}."))
    }

    /// To words after the path that mean nothing.
    pub(super) fn bad_delivery() -> Self {
        let names: Vec<_> = Delivery::ALL.into_iter().map(Delivery::name).collect();
        Self::plain(format!(
            "After the path comes how to hand it over: {}.",
            names.join(", ")
        ))
    }

    /// `/status`
    pub(super) fn status(telegram: &State, store: &StoreHealth) -> Self {
        let store = match store {
            StoreHealth::Ready { version } => format!("ready (version {version})"),
            StoreHealth::LoggedOut { .. }
            | StoreHealth::Sealed
            | StoreHealth::Uninitialized
            | StoreHealth::Unreachable => store.name().to_owned(),
        };
        let version = env!("CARGO_PKG_VERSION");
        Self::plain(format!(
            "vaultgram {version}\nTelegram: {telegram}\nVault: {store}"
        ))
    }

    /// While chat is locked.
    pub(super) fn locked() -> Self {
        Self::plain(
            "Locked, because a new device signed in to my account. An administrator must look at \
             it and run `vaultgram unlock` on the host.",
        )
    }

    /// When a request has no outcome.
    pub(super) fn failed(error: &BrokerError) -> Self {
        let text = match error {
            // There can be any number of them, of any length.
            BrokerError::NoSuchField(names) => {
                let names = shown::names(names.iter().map(String::as_str));
                format!("the secret has no such field; it has: {names}")
            }
            BrokerError::Store(_)
            | BrokerError::Audit(_)
            | BrokerError::Coordination(_)
            | BrokerError::PermitExpired
            | BrokerError::WrappedField
            | BrokerError::NoKey
            | BrokerError::Key(_)
            | BrokerError::TooManyKeys(_)
            | BrokerError::UnknownKey
            | BrokerError::NoUnixUser
            | BrokerError::NothingToCollect
            | BrokerError::NothingToWrite
            | BrokerError::NoField
            | BrokerError::NothingDeleted => error.to_string(),
        };
        let mut characters = text.chars();
        let first = characters.next().map(|c| c.to_uppercase().to_string());
        Self::plain(format!(
            "{}{}.",
            first.unwrap_or_default(),
            characters.as_str()
        ))
    }

    /// When we have a fault of our own.
    pub(super) fn broken() -> Self {
        Self::plain("vaultgram failed; tell an operator.")
    }

    /// What came of a request; `None` when somebody else answers it.
    pub(super) fn outcome(
        outcome: &Outcome,
        target: &Target,
        delete_after: Duration,
    ) -> Option<Self> {
        match outcome {
            Outcome::Released(secret) => Some(Self::secret(secret, target, delete_after)),
            Outcome::Denied(_) => Some(Self::plain(DENIED)),
            Outcome::Duplicate => None,
            Outcome::Interrupted => Some(Self::interrupted()),
            Outcome::Wrapped(_)
            | Outcome::Sealed(_)
            | Outcome::Offered(_)
            | Outcome::Listed(_)
            | Outcome::Versions(_)
            | Outcome::Written(_)
            | Outcome::Deleted
            | Outcome::Undeleted(_) => Some(Self::broken()),
        }
    }

    fn secret(secret: &Secret, target: &Target, delete_after: Duration) -> Self {
        let advice = || too_big(secret, target);
        if secret.fields.len() > MAX_FIELDS {
            return advice();
        }
        let mut message = Builder::default();
        message.plain(SECRET_MARK);
        message.plain(&format!("{} (version {})\n", target.path, secret.version));
        for field in &secret.fields {
            message.plain(&shown::name(&field.name));
            let value = shown::value(field);
            if value.is_empty() {
                message.plain(": (empty)\n");
                continue;
            }
            message.plain(if value.contains('\n') { ":\n" } else { ": " });
            message.hidden(&value);
            message.plain("\n");
        }
        message.plain(&format!("Deleted in {}.", spoken(delete_after)));
        if message.length > MAX_LENGTH {
            return advice();
        }
        Self {
            text: message.text,
            entities: message.entities,
            secret: true,
        }
    }
}

fn too_big(secret: &Secret, target: &Target) -> Reply {
    let path = &target.path;
    if secret.fields.len() == 1 {
        return Reply::plain(format!(
            "The value is too long for a message; read it on the machine with: vaultgram get {path}"
        ));
    }
    let names = shown::names(secret.names());
    Reply::plain(format!(
        "The secret is too long for one message. Ask for one field, as in {path}#field; it has: {names}"
    ))
}

fn spoken(time: Duration) -> String {
    match time.as_secs() {
        seconds if seconds < 120 => format!("{seconds} s"),
        seconds => format!("{} min", seconds / 60),
    }
}

/// Text and entities side by side. Telegram counts UTF-16 code units.
#[derive(Default)]
struct Builder {
    text: String,
    length: usize,
    entities: Vec<tl::enums::MessageEntity>,
}

impl Builder {
    fn plain(&mut self, text: &str) {
        self.text.push_str(text);
        self.length += text.encode_utf16().count();
    }

    fn hidden(&mut self, text: &str) {
        let offset = self.length;
        self.plain(text);
        // A message beyond i32 units is refused by its length long before.
        if let (Ok(offset), Ok(length)) =
            (i32::try_from(offset), i32::try_from(self.length - offset))
        {
            self.entities
                .push(tl::types::MessageEntitySpoiler { offset, length }.into());
        }
    }
}

/// Which of the messages about a request this is.
#[derive(Debug, Clone, Copy)]
pub(super) enum Part {
    /// The answer in the private chat.
    Answer,
    /// The notice in the group.
    Notice,
}

/// The number by which Telegram recognises a message sent twice: always the same for the same
/// part of the answer to the same request.
pub(super) fn random_id(request: &RequestId, part: Part) -> i64 {
    let part = match part {
        Part::Answer => "answer",
        Part::Notice => "notice",
    };
    let digest = Sha256::digest(format!("vaultgram reply v1\0{part}\0{request}"));
    let mut bytes = [0; 8];
    bytes
        .iter_mut()
        .zip(digest)
        .for_each(|(to, from)| *to = from);
    // 0 means "none" to Telegram.
    i64::from_le_bytes(bytes) | 1
}

#[cfg(test)]
mod tests;

//! What is written back: pure, from an outcome to a text with its hidden parts.

mod advice;
pub(super) mod approval;
pub(super) mod changed;
mod delivered;
mod guard;
mod job;
mod leases;
pub(super) mod pipeline;
pub(super) mod run;
mod shown;

use std::fmt::Write;
use std::time::Duration;

use grammers_tl_types as tl;
use sha2::{Digest, Sha256};
use time::OffsetDateTime;

use super::command::Mistake;
use super::status::State;
use super::withdrawal::Withdrawn;
use crate::broker::ports::StoreHealth;
use crate::broker::{BrokerError, Outcome, RegisteredKey};
use crate::domain::policy::DenialReason;
use crate::domain::span::spoken;
use crate::domain::{Action, ApprovalId, RequestId, Secret, Target};

/// Longest text of a message, in UTF-16 code units.
const MAX_LENGTH: usize = 4096;
/// Telegram ignores a message's entities beyond the hundredth, and an ignored spoiler is a
/// secret in plain sight.
const MAX_FIELDS: usize = 90;
/// Begins every message that carries a secret, and no other: this is how they are found again
/// in the history after a crash.
pub(super) const SECRET_MARK: &str = "🔑 ";

/// The one answer to everything that policy refuses; it must not tell whether the path exists.
const DENIED: &str = "You are not permitted to do this, or it does not exist.";
/// To a group, when the requester has been answered.
pub(super) const ANSWERED_IN_PRIVATE: &str = "Answered in your private chat.";
/// To a group, when Telegram does not let us.
pub(super) const CANNOT_WRITE: &str =
    "I cannot write to you in private. Send me a message there, then ask again.";
/// To a group, when it did not work for another reason.
pub(super) const COULD_NOT_ANSWER: &str = "I could not answer just now; ask again.";

const HELP: &str = "\
/get_secret PATH — the secret at PATH, such as django/database
/get_secret PATH#field@2 — one field, an older version
/get_secret PATH sealed — or wrapped, socket: other ways to hand it over
/list FOLDER — what lies there
/versions PATH — its versions
/put_secret PATH key=value … — write it anew
/patch_secret PATH key=value … — change some fields
/rotate PATH#field — a new random value
/destroy_secret PATH@2 — a version, for good
/invoke PATH key=value … — have an engine do something
/run WORKFLOW [ref] [name=value …] — start a pipeline, such as deploy
/runs [WORKFLOW] — how they stand; /rerun ID, /cancel_run ID
/approve_run ID [ENV], /deny_run ID [ENV] reason — a deployment that waits
/watch OWNER/REPO[/WORKFLOW] [branch] — tell its runs here; /unwatch; /watch lists
/leases, /keep_lease CODE 8h, /revoke_lease CODE — what was made for you, and ends
/delete_secret PATH, /undelete PATH — for good on a mount without versions
/keys, /register_key, /forget_key — the public keys to seal to
/request_secret PATH reason — ask others to agree; /request ACTION PATH reason for other things
/request ID, /requests, /cancel ID, /extend ID reason — your requests
/approve ID, /deny ID reason, /revoke ID, /admin_list — decide on others'
/break_glass PATH reason — at once, where policy lets you; /reviewed ID note — look at it
/confirm CODE, /cancel CODE — answer a question
/get_keys — the account's own keys (admins)
/status — whether everything works
/help — this list

Secrets come to your private chat, hidden until you tap them, and are deleted after a while. \
Messages in which you send values are deleted at once.";

/// What a reply to an outcome depends on, besides the outcome.
pub(super) struct Terms<'a> {
    /// How long a sent secret stands.
    pub(super) delete_after: Duration,
    /// Where people reach Vault, if that is configured.
    pub(super) vault: Option<&'a str>,
    /// The time of day.
    pub(super) now: OffsetDateTime,
    /// What was asked for.
    pub(super) action: Action,
}

/// A message to send. No `Debug`: it can hold a secret.
#[derive(Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub(super) struct Reply {
    /// The text.
    pub(super) text: String,
    /// Its hidden parts.
    pub(super) entities: Vec<tl::enums::MessageEntity>,
    /// It carries a secret: to be deleted again.
    pub(super) secret: bool,
    /// It tells something of a secret: not sent when chat is locked by then.
    pub(super) guarded: bool,
    /// It asks for a confirmation under this code; a bot's has buttons for it.
    pub(super) code: Option<String>,
    /// It asks for votes on this request; a bot's has buttons for it.
    pub(super) vote: Option<ApprovalId>,
    /// It makes no sound.
    pub(super) silent: bool,
    /// It may be said in the chat where requests are decided on, to a command that came from there.
    pub(super) in_place: bool,
    /// That secret is of use only when it can be copied or saved, and harmless to who finds it.
    pub(super) to_copy: bool,
    /// It is to be deleted sooner than secrets usually are.
    pub(super) lasts: Option<Duration>,
    /// The lease that its secret ends with: of no use where it does not arrive.
    pub(super) lease: Option<String>,
    /// A file that goes with it; the text is its caption.
    pub(super) document: Option<Document>,
}

/// A file to send.
pub(super) struct Document {
    /// Its name.
    pub(super) name: String,
    /// Its content.
    pub(super) bytes: Vec<u8>,
}

impl Reply {
    /// A text without anything to hide.
    pub(super) fn plain(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            ..Self::default()
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

    /// To a command that cannot be read.
    pub(super) fn mistake(mistake: Mistake) -> Self {
        Self::plain(mistake.to_string())
    }

    /// To what policy refuses.
    pub(super) fn denied(reason: DenialReason) -> Self {
        match reason {
            DenialReason::ChatLocked => Self::locked(),
            DenialReason::NeedsApproval => Self::plain(
                "What was approved for this has ended, or was taken back; request it anew.",
            ),
            DenialReason::NotPermitted
            | DenialReason::Forbidden
            | DenialReason::EvaluationFailed => Self::plain(DENIED),
        }
    }

    /// To a value in a group.
    pub(super) fn value_in_group() -> Self {
        Self::plain(
            "This was written in a group, so everybody has seen it, and nothing was done: use \
             another value, in private.",
        )
    }

    /// Adds what became of the message that held a value or may have; where all is well, only to
    /// who would be `surprised` that it is gone.
    pub(super) fn note_withdrawal(&mut self, withdrawn: Withdrawn, surprised: bool) {
        self.text.push_str(match withdrawn {
            Withdrawn::Gone if surprised => {
                "\n\nI deleted your message, because it held a secret, or may have."
            }
            Withdrawn::Gone => "",
            Withdrawn::NotAllowed => {
                "\n\nI may not delete your message with the value: delete it yourself, for all."
            }
            Withdrawn::NotYet => {
                "\n\nI could not delete your message with the value yet and keep trying; better \
                 delete it yourself, for all."
            }
        });
    }

    /// `/keys`
    pub(super) fn keys(keys: &[RegisteredKey]) -> Self {
        if keys.is_empty() {
            return Self::plain("You have no key registered; send /register_key age1…");
        }
        let mut text =
            String::from("Sealed answers can be opened with the private half of any of:");
        for (position, key) in keys.iter().enumerate() {
            let since = OffsetDateTime::from_unix_timestamp(key.since)
                .map_or_else(|_| "?".to_owned(), |at| at.date().to_string());
            // Writing to a string does not fail.
            write!(text, "\n{}. {} (since {since})", position + 1, key.key).unwrap_or_default();
        }
        Self::plain(text)
    }

    /// A key is registered from now on.
    pub(super) fn key_registered() -> Self {
        Self::plain("The key is registered; /get_secret PATH sealed uses it.")
    }

    /// A key is forgotten.
    pub(super) fn key_forgotten() -> Self {
        Self::plain("The key is forgotten.")
    }

    /// To a value in a message that was edited, forwarded, or sent by a bot.
    pub(super) fn second_hand() -> Self {
        Self::plain(
            "Nothing was done: a command counts only as you send it, not edited, forwarded or \
             sent by way of a bot. Write it anew.",
        )
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

    /// `/status`
    pub(super) fn status(telegram: &State, store: &StoreHealth) -> Self {
        let store = match store {
            StoreHealth::Ready(serving) => shown::serving(serving),
            StoreHealth::LoggedOut { .. }
            | StoreHealth::Sealed
            | StoreHealth::Uninitialized
            | StoreHealth::Unreachable { .. } => store.name().to_owned(),
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
        // There can be any number of names, of any length.
        let having = |what: &str, names: &[String]| {
            let shown = shown::names(names.iter().map(String::as_str));
            let has = if names.is_empty() { "" } else { "; it has: " };
            format!("{what}{has}{shown}")
        };
        let text = if let BrokerError::NoSuchField(names) = error {
            having("the secret has no such field", names)
        } else if let BrokerError::DoneNoSuchField(names) = error {
            let what = "it was done, but the answer has no such field, so nothing is handed over";
            having(what, names)
        } else if let Some(next) = advice::next(error) {
            format!("{error}; {next}")
        } else {
            error.to_string()
        };
        let mut characters = text.chars();
        let first = characters.next().map(|c| c.to_uppercase().to_string());
        let end = if text.ends_with('…') { "" } else { "." };
        Self {
            guarded: guard::tells(error),
            ..Self::plain(format!(
                "{}{}{end}",
                first.unwrap_or_default(),
                characters.as_str()
            ))
        }
    }

    /// When we have a fault of our own.
    pub(super) fn broken() -> Self {
        Self::plain("vaultgram failed; tell an operator.")
    }

    /// What came of a request; `None` when somebody else answers it.
    pub(super) fn outcome(outcome: &Outcome, target: &Target, terms: &Terms<'_>) -> Option<Self> {
        Some(match outcome {
            Outcome::Released(secret) if secret.fields.is_empty() && secret.lease().is_none() => {
                Self::plain(format!("{}: done, and nothing to say.", target.path)).guarded()
            }
            Outcome::Released(secret) => Self::secret(secret, target, terms.delete_after).guarded(),
            Outcome::Wrapped(wrapped) => Self::wrapped(wrapped, target, terms).guarded(),
            Outcome::Sealed(sealed) => Self::sealed(sealed, target, terms).guarded(),
            Outcome::Offered(offer) => Self::offered(offer, target, terms).guarded(),
            Outcome::Listed(names) => changed::listed(names, target).guarded(),
            Outcome::Versions(history) => changed::versions(history, target).guarded(),
            Outcome::Denied(denial) => Self::denied(denial.reason),
            Outcome::NeedsApproval(waiting) => Self::needs_approval(waiting, terms.action, target),
            Outcome::Duplicate => return None,
            Outcome::Interrupted => Self::interrupted(),
            // That it was done is told, whatever has happened since.
            Outcome::Written(new) => changed::written(new.as_ref(), target),
            Outcome::Deleted(version) => changed::deleted(*version, target),
            Outcome::Undeleted(version) => changed::undeleted(*version, target),
            Outcome::Destroyed(version) => changed::destroyed(*version, target),
            Outcome::Operated(link) => pipeline::done(link, terms.action, target),
            Outcome::Runs(runs) => pipeline::runs(runs, target, terms.now).guarded(),
            Outcome::Watching(on) => pipeline::watching(*on, target),
        })
    }

    /// Not to be sent when chat is locked by then.
    fn guarded(self) -> Self {
        Self {
            guarded: true,
            ..self
        }
    }

    fn secret(secret: &Secret, target: &Target, delete_after: Duration) -> Self {
        let advice = || too_big(secret, target);
        if secret.fields.len() > MAX_FIELDS {
            return advice();
        }
        let mut message = Builder::default();
        message.plain(SECRET_MARK);
        let source = shown::source(&secret.origin, secret.age);
        message.plain(&format!("{}{source}\n", target.path));
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
        if let Some(lease) = secret.lease() {
            message.plain(&leases::advice(lease));
        }
        if message.length > MAX_LENGTH {
            return advice();
        }
        Self {
            text: message.text,
            entities: message.entities,
            secret: true,
            lease: secret.lease().and_then(|lease| lease.code.clone()),
            ..Self::default()
        }
    }
}

fn too_big(secret: &Secret, target: &Target) -> Reply {
    let path = &target.path;
    if secret.fields.len() == 1 {
        return Reply::plain(format!(
            "The value is too long for a message. Have it sealed to your key, or collect it on the \
             host: /get_secret {target} sealed, or /get_secret {target} socket"
        ));
    }
    let names = shown::names(secret.names());
    Reply::plain(format!(
        "The secret is too long for one message. Ask for one field, as in {path}#field, or for \
         all of it with: /get_secret {target} sealed, or /get_secret {target} socket\nIt has: {names}"
    ))
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

    /// Under a spoiler.
    fn hidden(&mut self, text: &str) {
        self.marked(text, |offset, length| {
            tl::types::MessageEntitySpoiler { offset, length }.into()
        });
    }

    /// In a block of its own, with its line ends, which people can copy at once.
    fn preformatted(&mut self, text: &str) {
        self.marked(text, |offset, length| {
            let language = String::new();
            tl::types::MessageEntityPre {
                offset,
                length,
                language,
            }
            .into()
        });
    }

    fn marked(&mut self, text: &str, entity: impl Fn(i32, i32) -> tl::enums::MessageEntity) {
        let offset = self.length;
        self.plain(text);
        // A message beyond i32 units is refused by its length long before.
        if let (Ok(offset), Ok(length)) =
            (i32::try_from(offset), i32::try_from(self.length - offset))
        {
            self.entities.push(entity(offset, length));
        }
    }

    /// What hands something secret over that is copied to be of use.
    fn into_copied(self) -> Reply {
        Reply {
            text: self.text,
            entities: self.entities,
            secret: true,
            to_copy: true,
            ..Reply::default()
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
    /// The answer to what a message became when it was edited.
    Edit,
}

/// The number by which Telegram recognises a message sent twice: always the same for the same
/// part of the answer to the same request.
pub(super) fn random_id(request: &RequestId, part: Part) -> i64 {
    let part = match part {
        Part::Answer => "answer",
        Part::Notice => "notice",
        Part::Edit => "edit",
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

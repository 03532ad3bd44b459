//! What is written back about folders, versions, changes, and before and after a confirmation.

use std::fmt::Write;

use super::{Builder, MAX_LENGTH, Reply, shown};
use crate::domain::{Action, History, Target, Version, VersionFacts};
use crate::telegram::confirm::{Full, LIFETIME, MAX_EACH, Wish};

/// Room kept for the line that says how much more there is.
const MORE: usize = 40;

/// `/list`
pub(super) fn listed(names: &[String], target: &Target) -> Reply {
    if names.is_empty() {
        return Reply::plain(format!("{target} holds nothing."));
    }
    let lines = names.iter().map(|name| shown::name(name));
    lines_of(&format!("{target} holds:"), lines, names.len())
}

/// `/versions`
pub(super) fn versions(history: &History, target: &Target) -> Reply {
    let current = history.current;
    let notes = notes(&history.notes);
    if history.versions.is_empty() {
        return Reply::plain(format!(
            "{target} has no version yet; /put_secret writes the first.{notes}"
        ));
    }
    let head = format!("{target} is at version {current}.{notes}");
    let lines = history.versions.iter().map(line);
    lines_of(&head, lines, history.versions.len())
}

/// What people noted beside a secret, on lines of its own.
fn notes(notes: &[(String, String)]) -> String {
    if notes.is_empty() {
        return String::new();
    }
    let pairs: Vec<String> = notes
        .iter()
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    format!(
        "\nNoted: {}",
        shown::names(pairs.iter().map(String::as_str))
    )
}

fn line(version: &Version) -> String {
    // Vault says nanoseconds, which nobody reads.
    let created = version.created.get(..16).unwrap_or(&version.created);
    let created = shown::name(&created.replace('T', " "));
    let state = version.state.name();
    format!("{:>4}  {created} UTC  {state}", version.number)
}

/// A head, then as many lines as a message has room for.
pub(super) fn lines_of(head: &str, lines: impl Iterator<Item = String>, count: usize) -> Reply {
    let mut message = Builder::default();
    message.plain(head);
    message.plain("\n");
    let mut block = String::new();
    let mut length = message.length;
    for (position, line) in lines.enumerate() {
        let units = line.encode_utf16().count() + 1;
        if length + units + MORE > MAX_LENGTH {
            // Writing to a string does not fail.
            write!(block, "… and {} more", count - position).unwrap_or_default();
            break;
        }
        length += units;
        block.push_str(&line);
        block.push('\n');
    }
    message.preformatted(block.trim_end());
    Reply {
        entities: message.entities,
        ..Reply::plain(message.text)
    }
}

/// A secret was written; as a new version, where there are versions.
pub(super) fn written(new: Option<&VersionFacts>, target: &Target) -> Reply {
    let path = &target.path;
    let version = new.map(|new| format!(" as version {}", new.number));
    let version = version.unwrap_or_default();
    Reply::plain(match &target.field {
        Some(field) => format!(
            "{path}#{} has a new random value, written{version}.",
            shown::name(field)
        ),
        None => format!("{path} is written{version}."),
    })
}

/// A version was deleted; where there are none, the secret, for good.
pub(super) fn deleted(version: Option<u64>, target: &Target) -> Reply {
    let path = &target.path;
    Reply::plain(match version {
        Some(version) => format!(
            "Version {version} of {path} is deleted; /undelete {path}@{version} brings it back."
        ),
        None => format!("{path} is deleted, for good."),
    })
}

/// A version is there again.
pub(super) fn undeleted(version: u64, target: &Target) -> Reply {
    Reply::plain(format!(
        "Version {version} of {} is there again.",
        target.path
    ))
}

/// A version is gone for good.
pub(super) fn destroyed(version: u64, target: &Target) -> Reply {
    Reply::plain(format!(
        "Version {version} of {} is destroyed, for good.",
        target.path
    ))
}

impl Reply {
    /// Asks to confirm `wish`, naming the newest version of what it is about, where there are
    /// versions. It is complete with [`Reply::ask_for`].
    pub(in crate::telegram) fn question(wish: &Wish, current: Option<u64>) -> Self {
        let text = match wish {
            Wish::Secret { action, target, .. } => match current {
                Some(current) => about(*action, target, current),
                None => about_whole(*action, target),
            },
            Wish::RegisterKey(key) => format!(
                "Register the public key {key}? Whoever has its private half can open what is \
                 sealed to you from then on."
            ),
            Wish::ForgetKey(key) => {
                format!("Forget the public key {key}? Nothing is sealed to it any more.")
            }
        };
        Self::plain(text).guarded()
    }

    /// Adds to a question the code that answers it.
    pub(in crate::telegram) fn ask_for(&mut self, code: String) {
        let minutes = LIFETIME.whole_minutes();
        let how =
            format!("\n\nWithin {minutes} minutes, reply: /confirm {code}\nOr: /cancel {code}");
        self.text.push_str(&how);
        self.code = Some(code);
    }

    /// Adds to a failure that the question stands for as long as is `left` of its time.
    pub(in crate::telegram) fn still_waits(&mut self, code: &str, left: time::Duration) {
        let seconds = left.whole_seconds();
        let how = format!(
            "\n\nNothing was changed, and the question still stands. Within {seconds} s, reply: \
             /confirm {code}\nOr: /cancel {code}"
        );
        self.text.push_str(&how);
        self.code = Some(code.to_owned());
    }

    /// When there are too many questions to ask another one.
    pub(in crate::telegram) fn too_many_questions(full: Full) -> Self {
        Self::plain(match full {
            Full::Yours => format!(
                "{MAX_EACH} questions wait for you; answer them with /confirm or /cancel, or wait \
                 two minutes, then ask again. Nothing was changed."
            ),
            Full::All => "Too many questions wait for answers just now; ask again in two minutes. \
                          Nothing was changed."
                .to_owned(),
        })
    }

    /// To a code that is unknown, somebody else's, used, or too late.
    pub(in crate::telegram) fn stale_code() -> Self {
        Self::plain(STALE)
    }

    /// To `/cancel`.
    pub(in crate::telegram) fn cancelled() -> Self {
        Self::plain("Cancelled; nothing was changed.")
    }
}

/// The one sentence about every code that does not count.
pub(in crate::telegram) const STALE: &str =
    "Nothing waits for you under this code: it was used, ran out after two minutes, or never was.";

fn about(action: Action, target: &Target, current: u64) -> String {
    let path = &target.path;
    match action {
        Action::Delete => {
            let version = target.version.unwrap_or(current);
            if version == current {
                format!("Delete version {version}, the newest, of {path}?")
            } else {
                format!("Delete version {version} of {path}? The newest is version {current}.")
            }
        }
        Action::Rotate { recipe, .. } => format!(
            "Replace {target} by a random value ({})? The secret is at version {current}.",
            recipe.name()
        ),
        Action::Put { .. } => format!(
            "{path} exists, at version {current}. Replace all its fields by those you sent?\n(To \
             change only some, use /patch_secret.)"
        ),
        Action::Destroy => {
            let version = target.version.unwrap_or(current);
            format!("Destroy version {version} of {path}? Nothing brings it back.")
        }
        Action::Read(_)
        | Action::List
        | Action::Versions
        | Action::Patch { .. }
        | Action::Undelete
        | Action::Unwrap
        | Action::Invoke(_)
        | Action::Pipeline(_) => {
            format!("Go on with {path}, which is at version {current}?")
        }
    }
}

/// Where there are no versions, nothing that was there before comes back.
fn about_whole(action: Action, target: &Target) -> String {
    let path = &target.path;
    match action {
        Action::Delete => format!(
            "Delete {path}? Its mount keeps no versions, so this is for good: nothing brings it back."
        ),
        Action::Put { .. } => format!(
            "{path} exists. Replace all its fields by those you sent? Its mount keeps no versions, \
             so nothing brings back what is there now."
        ),
        Action::Read(_)
        | Action::List
        | Action::Versions
        | Action::Patch { .. }
        | Action::Undelete
        | Action::Destroy
        | Action::Rotate { .. }
        | Action::Unwrap
        | Action::Invoke(_)
        | Action::Pipeline(_) => format!("Go on with {path}?"),
    }
}

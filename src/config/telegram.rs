//! The `[telegram]` section.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;

use crate::config::environment::Environment;
use crate::config::files::{self, Guard};
use crate::config::{MAX_FILE, Problems, raw};
use crate::domain::SecretValue;

/// The Telegram account and how it behaves.
pub struct TelegramConfig {
    /// The file of the signed-in session.
    pub session: PathBuf,
    /// The application's id, from my.telegram.org.
    pub api_id: i32,
    /// The application's hash, needed to sign in.
    pub api_hash: SecretValue,
    /// The numeric ids of the accounts that are listened to. Empty: nobody.
    pub allowed_users: BTreeSet<i64>,
    /// The Unix user of each account that may collect secrets on this host.
    pub unix_users: BTreeMap<i64, u32>,
    /// What everybody else hears.
    pub stranger_reply: StrangerReply,
    /// The age over which a command is refused.
    pub command_age: Duration,
    /// How long a delivered secret stays in the chat.
    pub delete_after: Duration,
    /// After how long Telegram itself empties the chats that held secrets, in seconds.
    pub history_ttl: Option<i32>,
    /// How long Telegram may take to answer one call.
    pub request_timeout: Duration,
}

/// What somebody who is not on the allowlist hears.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StrangerReply {
    /// Nothing.
    Silence,
    /// Always this sentence, now and then.
    Sentence(String),
}

/// `session_keys.json`, in the form the Telegram tutorials use.
#[derive(Deserialize)]
struct SessionKeys {
    api_id: i32,
    api_hash: String,
}

pub(super) fn typed(
    raw: raw::Telegram,
    directory: &Path,
    environment: &Environment,
    problems: &mut Problems,
) -> Option<TelegramConfig> {
    if raw.stranger_reply.chars().count() > 200 {
        problems.push("[telegram] stranger_reply: at most 200 characters");
    }
    if !raw.stranger_reply.is_empty() && raw.stranger_reply.trim().is_empty() {
        problems.push("[telegram] stranger_reply: is blank; write a sentence, or \"\" for silence");
    }
    if let Some(id) = raw.allowed_users.iter().find(|id| **id <= 0) {
        problems.push(format!(
            "[telegram] allowed_users: {id} is not a user id; people have positive ids"
        ));
    }
    for (key, value, least, most) in [
        ("command_age", raw.command_age, 1, 3600),
        ("delete_after", raw.delete_after, 1, 48 * 3600),
        ("request_timeout", raw.request_timeout, 1, 120),
    ] {
        if value < Duration::from_secs(least) || value > Duration::from_secs(most) {
            problems.push(format!(
                "[telegram] {key}: must be from {least}s to {most}s"
            ));
        }
    }
    let mut unix_users = BTreeMap::new();
    for (account, user) in raw.unix_users {
        let Some(id) = account
            .parse()
            .ok()
            .filter(|id| raw.allowed_users.contains(id))
        else {
            problems.push(
                "[telegram] unix_users: each key must be a number from allowed_users, as in \
                 unix_users = { 1001 = 990 }",
            );
            continue;
        };
        match uid(user) {
            Ok(uid) => drop(unix_users.insert(id, uid)),
            Err(problem) => problems.push(format!("[telegram] unix_users: {problem}")),
        }
    }
    let history_ttl = history_ttl(&raw.history_ttl);
    if history_ttl.is_none() {
        problems.push(
            "[telegram] history_ttl: must be 1d to 7d, 1w to 4w, or 1month to 12months, or \"off\"",
        );
    }
    let (api_id, api_hash) = keys(&directory.join(&raw.keys), environment, problems)?;
    Some(TelegramConfig {
        session: directory.join(raw.session),
        api_id,
        api_hash,
        allowed_users: raw.allowed_users.into_iter().collect(),
        unix_users,
        stranger_reply: if raw.stranger_reply.is_empty() {
            StrangerReply::Silence
        } else {
            StrangerReply::Sentence(raw.stranger_reply)
        },
        command_age: raw.command_age,
        delete_after: raw.delete_after,
        history_ttl: history_ttl.flatten(),
        request_timeout: raw.request_timeout,
    })
}

/// The number of a user of this host.
fn uid(user: raw::UnixUser) -> Result<u32, String> {
    match user {
        raw::UnixUser::Number(uid) => Ok(uid),
        raw::UnixUser::Name(name) => match nix::unistd::User::from_name(&name) {
            Ok(Some(user)) => Ok(user.uid.as_raw()),
            Ok(None) => Err(format!("there is no user {name:?} on this host")),
            Err(error) => Err(format!("cannot look up user {name:?}: {error}")),
        },
    }
}

/// What `messages.setHistoryTTL` takes: whole days up to a week, weeks up to four, and months of
/// 31 days up to a year. `Some(None)`: off.
#[expect(clippy::option_option, reason = "wrong, off, or so long; used once")]
fn history_ttl(text: &str) -> Option<Option<i32>> {
    const DAY: i32 = 24 * 60 * 60;
    if text == "off" {
        return Some(None);
    }
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let number = digits.parse::<i32>().ok()?;
    let (unit, most) = match text.strip_prefix(digits)? {
        "d" | "day" | "days" => (DAY, 7),
        "w" | "week" | "weeks" => (7 * DAY, 4),
        "month" | "months" => (31 * DAY, 12),
        _ => return None,
    };
    (1..=most).contains(&number).then_some(Some(number * unit))
}

/// `TELEGRAM_API_ID` and `TELEGRAM_API_HASH`, else the keys file.
fn keys(
    file: &Path,
    environment: &Environment,
    problems: &mut Problems,
) -> Option<(i32, SecretValue)> {
    let from_environment = || -> Result<_, String> {
        Ok((
            environment.text("TELEGRAM_API_ID")?,
            environment.get("TELEGRAM_API_HASH")?,
        ))
    };
    match from_environment() {
        Err(problem) => {
            problems.elsewhere(problem);
            None
        }
        Ok((Some(id), Some(hash))) => {
            let id = id.trim().parse().ok().filter(|id| *id > 0);
            if id.is_none() {
                problems.elsewhere("TELEGRAM_API_ID is not a number from 1");
            }
            id.map(|id| (id, hash))
        }
        Ok((Some(_), None)) => {
            problems.elsewhere("TELEGRAM_API_ID is set, TELEGRAM_API_HASH is not; set both");
            None
        }
        Ok((None, Some(_))) => {
            problems.elsewhere("TELEGRAM_API_HASH is set, TELEGRAM_API_ID is not; set both");
            None
        }
        Ok((None, None)) => keys_file(file, problems),
    }
}

fn keys_file(file: &Path, problems: &mut Problems) -> Option<(i32, SecretValue)> {
    let text = match files::read_text(file, MAX_FILE, Guard::Others) {
        Ok(Some(text)) => text,
        Ok(None) => {
            problems.elsewhere(format!(
                "{}: no such file; put {{\"api_id\": …, \"api_hash\": \"…\"}} from \
                 my.telegram.org into it, or set TELEGRAM_API_ID and TELEGRAM_API_HASH",
                file.display()
            ));
            return None;
        }
        Err(problem) => {
            problems.elsewhere(problem);
            return None;
        }
    };
    match serde_json::from_str::<SessionKeys>(&text) {
        Ok(keys) if keys.api_id <= 0 || keys.api_hash.trim().is_empty() => {
            problems.elsewhere(format!(
                "{}: api_id must be a number from 1, and api_hash not empty; both are on \
                 my.telegram.org",
                file.display()
            ));
            None
        }
        Ok(keys) => Some((keys.api_id, SecretValue::new(keys.api_hash.into_bytes()))),
        Err(error) => {
            problems.elsewhere(format!(
                "{}:{}:{}: not {{\"api_id\": 12345, \"api_hash\": \"…\"}}",
                file.display(),
                error.line(),
                error.column()
            ));
            None
        }
    }
}

//! The `[telegram]` section.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::config::application::{self, ApplicationConfig};
use crate::config::environment::Environment;
use crate::config::files::{self, Guard};
use crate::config::proxy::{self, ProxyConfig};
use crate::config::{Problems, raw};
use crate::domain::{Mounts, QuietHours, SecretValue};

/// The setting that may hold the session key.
const SESSION_KEY: &str = "TELEGRAM_SESSION_KEY";
/// Largest key file read, in bytes.
const MAX_KEY: u64 = 16 << 10;

/// The Telegram account and how it behaves.
pub struct TelegramConfig {
    /// The file of the signed-in session.
    pub session: PathBuf,
    /// What that file is encrypted to.
    pub session_key: SessionKeyConfig,
    /// The application's id and hash.
    pub application: ApplicationConfig,
    /// The numeric ids of the accounts that are listened to. Empty: nobody.
    pub allowed_users: BTreeSet<i64>,
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
    /// The way to Telegram, where it is not a direct one.
    pub proxy: Option<ProxyConfig>,
    /// Who of them is told of new devices on the account, and may ask for its keys.
    pub admins: BTreeSet<i64>,
    /// Where Vault has the account's keys, for those who may ask.
    pub keys_path: String,
    /// How often the account's devices are looked at.
    pub watchdog_interval: Duration,
    /// Whether a new device locks chat.
    pub lock_on_new_device: bool,
    /// The group where requests for approval are shown and decided on.
    pub approvals_chat: Option<i64>,
    /// The chats in which no value may stand that was handed out.
    pub watched_chats: WatchedChats,
    /// When what is told of pipelines makes no sound.
    pub quiet_hours: Option<QuietHours>,
}

/// Chats that are watched for values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WatchedChats {
    /// Every one that the account is in.
    All,
    /// Those with these ids; possibly none.
    These(BTreeSet<i64>),
}

/// The key of the session at rest.
pub struct SessionKeyConfig {
    /// What was found: an age identity, perhaps locked with a passphrase. `None`: there is none
    /// yet, and `vaultgram login` makes one.
    pub found: Option<SecretValue>,
    /// Where it was found: a file, or the setting `TELEGRAM_SESSION_KEY`.
    pub source: String,
    /// The file a new key goes into.
    pub file: PathBuf,
    /// The passphrase, where the environment has it.
    pub passphrase: Option<SecretValue>,
}

/// What somebody who is not on the allowlist hears.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StrangerReply {
    /// Nothing.
    Silence,
    /// Always this sentence, now and then.
    Sentence(String),
}

pub(super) fn typed(
    raw: raw::Telegram,
    mounts: Option<&Mounts>,
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
    if let Some(id) = raw.admins.iter().find(|id| !raw.allowed_users.contains(id)) {
        problems.push(format!(
            "[telegram] admins: {id} is not in allowed_users; add it there too"
        ));
    }
    if raw.approvals_chat.is_some_and(|id| !is_group(id)) {
        problems.push(
            "[telegram] approvals_chat: must be the number of a group, such as -1001234567890 (a \
             supergroup) or -1234567 (a small group)",
        );
    }
    // Telegram lets a bot delete its messages for 48 h; an hour is left for trying.
    for (key, value, least, most) in [
        ("command_age", raw.command_age, 1, 3600),
        ("delete_after", raw.delete_after, 1, 47 * 3600),
        ("request_timeout", raw.request_timeout, 1, 120),
        ("watchdog_interval", raw.watchdog_interval, 1, 45),
    ] {
        if value < Duration::from_secs(least) || value > Duration::from_secs(most) {
            problems.push(format!(
                "[telegram] {key}: must be from {least}s to {most}s"
            ));
        }
    }
    let proxy = proxy::typed(raw.proxy.as_deref(), environment, problems);
    let session = directory.join(raw.session);
    let key_file = match raw.session_key {
        Some(path) => directory.join(path),
        None => session.with_file_name("session.key"),
    };
    let session_key = session_key(key_file, environment)
        .map_err(|problem| problems.elsewhere(problem))
        .ok();
    let application = application::typed(&raw.keys, mounts, directory, environment, problems);
    let path = |mounts: &Mounts| mounts.parse(&raw.keys_path).is_ok();
    if !mounts.is_none_or(path) {
        problems.push("[telegram] keys_path: must be a path such as secret/telegram");
    }
    let watched_chats = watched_chats(raw.watched_chats, problems);
    let quiet_hours = raw.quiet_hours.as_deref().map(str::parse::<QuietHours>);
    let quiet_hours = quiet_hours.transpose();
    let quiet_hours = quiet_hours
        .map_err(|error| problems.push(format!("[telegram] quiet_hours: {error}")))
        .ok()
        .flatten();
    let history_ttl = history_ttl(&raw.history_ttl);
    if history_ttl.is_none() {
        problems.push(
            "[telegram] history_ttl: must be 1d to 7d, 1w to 4w, or 1month to 12months, or \"off\"",
        );
    }
    Some(TelegramConfig {
        session,
        session_key: session_key?,
        application: application?,
        allowed_users: raw.allowed_users.into_iter().collect(),
        stranger_reply: if raw.stranger_reply.is_empty() {
            StrangerReply::Silence
        } else {
            StrangerReply::Sentence(raw.stranger_reply)
        },
        command_age: raw.command_age,
        delete_after: raw.delete_after,
        history_ttl: history_ttl.flatten(),
        request_timeout: raw.request_timeout,
        proxy,
        admins: raw.admins.into_iter().collect(),
        keys_path: raw.keys_path,
        watchdog_interval: raw.watchdog_interval,
        lock_on_new_device: raw.lock_on_new_device,
        approvals_chat: raw.approvals_chat,
        watched_chats,
        quiet_hours,
    })
}

/// Whether a number in Telegram's bot-API notation is a group's.
fn is_group(id: i64) -> bool {
    // Supergroups are numbered downwards from -10^12, and so far that secret chats begin below.
    (-1_997_852_516_352..-1_000_000_000_000).contains(&id) || (-999_999_999_999..0).contains(&id)
}

/// The Unix user of each account that has one.
pub(super) fn unix_users(raw: &raw::Telegram, problems: &mut Problems) -> BTreeMap<i64, u32> {
    let mut unix_users = BTreeMap::new();
    for (account, user) in &raw.unix_users {
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
    unix_users
}

fn watched_chats(raw: raw::WatchedChats, problems: &mut Problems) -> WatchedChats {
    match raw {
        raw::WatchedChats::These(ids) => {
            if ids.contains(&0) {
                problems.push("[telegram] watched_chats: 0 is no chat's id");
            }
            WatchedChats::These(ids.into_iter().collect())
        }
        raw::WatchedChats::Named(name) => {
            if name != "all" {
                problems.push(
                    "[telegram] watched_chats: must be \"all\", or a list of chat ids such as \
                     [-1001234567890]",
                );
            }
            WatchedChats::All
        }
    }
}

/// The number of a user of this host.
fn uid(user: &raw::UnixUser) -> Result<u32, String> {
    match user {
        raw::UnixUser::Number(uid) => Ok(*uid),
        raw::UnixUser::Name(name) => match nix::unistd::User::from_name(name) {
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

/// `TELEGRAM_SESSION_KEY`, else the file.
fn session_key(file: PathBuf, environment: &Environment) -> Result<SessionKeyConfig, String> {
    let (found, source) = if let Some(key) = environment.bytes(SESSION_KEY)? {
        (Some(key), SESSION_KEY.to_owned())
    } else {
        let bytes = files::read(&file, MAX_KEY, Guard::Owner)?;
        let key = bytes.map(|bytes| SecretValue::new(bytes.to_vec()));
        (key, file.display().to_string())
    };
    Ok(SessionKeyConfig {
        found,
        source,
        file,
        passphrase: environment.get("TELEGRAM_SESSION_PASSPHRASE")?,
    })
}

//! The `[telegram]` section.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;

use crate::config::environment::Environment;
use crate::config::files::{self, Guard};
use crate::config::proxy::{self, ProxyConfig};
use crate::config::{MAX_FILE, Problems, raw};
use crate::domain::{Mounts, SecretValue};

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
    if let Some(id) = raw.admins.iter().find(|id| !raw.allowed_users.contains(id)) {
        problems.push(format!(
            "[telegram] admins: {id} is not in allowed_users; add it there too"
        ));
    }
    for (key, value, least, most) in [
        ("command_age", raw.command_age, 1, 3600),
        ("delete_after", raw.delete_after, 1, 48 * 3600),
        ("request_timeout", raw.request_timeout, 1, 120),
        ("watchdog_interval", raw.watchdog_interval, 1, 60),
    ] {
        if value < Duration::from_secs(least) || value > Duration::from_secs(most) {
            problems.push(format!(
                "[telegram] {key}: must be from {least}s to {most}s"
            ));
        }
    }
    let mut unix_users = BTreeMap::new();
    for (account, uid) in raw.unix_users {
        match account.parse() {
            Ok(id) if raw.allowed_users.contains(&id) => {
                unix_users.insert(id, uid);
            }
            _ => problems.push(
                "[telegram] unix_users: each key must be a number from allowed_users, as in \
                 unix_users = { 1001 = 990 }",
            ),
        }
    }
    let mounts = Mounts::new(vec!["secret".to_owned()]);
    if mounts.is_none_or(|mounts| mounts.parse(&raw.keys_path).is_err()) {
        problems.push("[telegram] keys_path: must be a path such as secret/telegram");
    }
    let proxy = proxy::typed(raw.proxy.as_deref(), environment, problems);
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
        request_timeout: raw.request_timeout,
        proxy,
        admins: raw.admins.into_iter().collect(),
        keys_path: raw.keys_path,
        watchdog_interval: raw.watchdog_interval,
        lock_on_new_device: raw.lock_on_new_device,
    })
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

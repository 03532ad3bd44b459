//! `vaultgram.toml` as it is written: every section and key there is.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Deserializer};

/// The whole file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Raw {
    pub(super) telegram: Option<Telegram>,
    pub(super) vault: Vault,
    pub(super) policy: Policy,
    pub(super) groups: BTreeMap<String, Vec<String>>,
    pub(super) people: BTreeMap<String, Vec<String>>,
    pub(super) socket: Option<Socket>,
    pub(super) sockets: BTreeMap<String, Socket>,
    pub(super) limits: super::LimitsConfig,
    pub(super) approvals: super::ApprovalsConfig,
    pub(super) credentials: Option<Credentials>,
    pub(super) https: Option<super::https::Https>,
    pub(super) issuers: BTreeMap<String, super::https::Issuer>,
    pub(super) signing: Option<super::https::Signing>,
    pub(super) github: Option<super::github::GitHub>,
    pub(super) audit: Audit,
    pub(super) state: State,
    pub(super) log: Log,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Telegram {
    pub(super) session: PathBuf,
    pub(super) session_key: Option<PathBuf>,
    pub(super) keys: PathBuf,
    pub(super) allowed_users: Vec<i64>,
    pub(super) unix_users: BTreeMap<String, UnixUser>,
    pub(super) stranger_reply: String,
    #[serde(deserialize_with = "duration")]
    pub(super) command_age: Duration,
    #[serde(deserialize_with = "duration")]
    pub(super) delete_after: Duration,
    pub(super) history_ttl: String,
    #[serde(deserialize_with = "duration")]
    pub(super) request_timeout: Duration,
    pub(super) proxy: Option<String>,
    pub(super) admins: Vec<i64>,
    pub(super) keys_path: String,
    #[serde(deserialize_with = "duration")]
    pub(super) watchdog_interval: Duration,
    pub(super) lock_on_new_device: bool,
    pub(super) approvals_chat: Option<i64>,
    pub(super) watched_chats: WatchedChats,
    pub(super) quiet_hours: Option<String>,
}

impl Default for Telegram {
    fn default() -> Self {
        Self {
            session: "session/telegram.session".into(),
            session_key: None,
            keys: "session/session_keys.json".into(),
            allowed_users: vec![],
            unix_users: BTreeMap::new(),
            stranger_reply: String::new(),
            command_age: Duration::from_mins(1),
            delete_after: Duration::from_mins(1),
            history_ttl: "1d".to_owned(),
            request_timeout: Duration::from_secs(10),
            proxy: None,
            admins: vec![],
            keys_path: "secret/telegram".to_owned(),
            watchdog_interval: Duration::from_secs(30),
            lock_on_new_device: false,
            approvals_chat: None,
            watched_chats: WatchedChats::These(vec![]),
            quiet_hours: None,
        }
    }
}

/// The chats that are watched.
#[derive(Debug, Deserialize)]
#[serde(untagged, expecting = "\"all\", or a list of chat ids")]
pub(super) enum WatchedChats {
    These(Vec<i64>),
    Named(String),
}

/// A user of this host.
#[derive(Debug, Deserialize)]
#[serde(untagged, expecting = "a user's number or name")]
pub(super) enum UnixUser {
    Number(u32),
    Name(String),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Vault {
    pub(super) address: Option<String>,
    pub(super) public_address: Option<String>,
    pub(super) namespace: Option<String>,
    pub(super) ca_cert: Option<PathBuf>,
    pub(super) client_cert: Option<PathBuf>,
    pub(super) client_key: Option<PathBuf>,
    pub(super) tls_server_name: Option<String>,
    pub(super) mounts: Vec<String>,
    pub(super) mounts_v1: Vec<String>,
    pub(super) engines: Vec<String>,
    pub(super) auth: Auth,
    pub(super) auth_mount: Option<String>,
    pub(super) role_id: Option<String>,
    pub(super) role: Option<String>,
    pub(super) token_file: Option<PathBuf>,
    pub(super) username: Option<String>,
    #[serde(deserialize_with = "duration")]
    pub(super) wrap_ttl: Duration,
    #[serde(deserialize_with = "duration")]
    pub(super) request_timeout: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Auth {
    Token,
    AppRole,
    Kubernetes,
    Jwt,
    Cert,
    Userpass,
}

impl Auth {
    /// All that give a token of their own.
    pub(super) const METHODS: [Self; 5] = [
        Self::AppRole,
        Self::Kubernetes,
        Self::Jwt,
        Self::Cert,
        Self::Userpass,
    ];

    /// Its name in the file, and where Vault mounts it when nothing else is said.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Token => "token",
            Self::AppRole => "approle",
            Self::Kubernetes => "kubernetes",
            Self::Jwt => "jwt",
            Self::Cert => "cert",
            Self::Userpass => "userpass",
        }
    }
}

impl Default for Vault {
    fn default() -> Self {
        Self {
            address: None,
            public_address: None,
            namespace: None,
            ca_cert: None,
            client_cert: None,
            client_key: None,
            tls_server_name: None,
            mounts: vec!["secret".to_owned()],
            mounts_v1: vec![],
            engines: vec![],
            auth: Auth::Token,
            auth_mount: None,
            role_id: None,
            role: None,
            token_file: None,
            username: None,
            wrap_ttl: Duration::from_mins(5),
            request_timeout: Duration::from_secs(5),
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Policy {
    pub(super) files: Vec<PathBuf>,
    pub(super) timezone: String,
    /// The group whose members look after what is everybody's.
    pub(super) admins: Option<String>,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            files: vec!["policy.cedar".into()],
            timezone: "UTC".to_owned(),
            admins: None,
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Socket {
    pub(super) path: Option<PathBuf>,
    pub(super) mode: String,
    pub(super) owner: Option<String>,
    pub(super) group: Option<String>,
    pub(super) max_connections: usize,
}

impl Default for Socket {
    fn default() -> Self {
        Self {
            path: None,
            mode: "0660".to_owned(),
            owner: None,
            group: None,
            max_connections: 256,
        }
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Credentials {
    pub(super) path: Option<PathBuf>,
    /// For each unit: its credentials by name, and what each is.
    pub(super) units: BTreeMap<String, BTreeMap<String, String>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Audit {
    pub(super) file: PathBuf,
    pub(super) durability: Durability,
    #[serde(deserialize_with = "duration")]
    pub(super) checkpoint_every: Duration,
    pub(super) rotate_at: String,
    #[serde(deserialize_with = "duration")]
    pub(super) rotate_every: Duration,
    pub(super) journald: Option<AuditSink>,
    pub(super) syslog: Option<AuditSink>,
    pub(super) witness_chat: Option<i64>,
    #[serde(deserialize_with = "duration")]
    pub(super) witness_every: Duration,
}

impl Default for Audit {
    fn default() -> Self {
        Self {
            file: "audit.jsonl".into(),
            durability: Durability::Grouped,
            checkpoint_every: Duration::from_mins(10),
            rotate_at: "100 MiB".to_owned(),
            rotate_every: Duration::ZERO,
            journald: None,
            syslog: None,
            witness_chat: None,
            witness_every: Duration::from_hours(1),
        }
    }
}

/// A socket that gets each line too.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AuditSink {
    pub(super) mode: SinkMode,
    pub(super) path: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum SinkMode {
    Required,
    BestEffort,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Durability {
    Grouped,
    Strict,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct State {
    pub(super) file: Option<PathBuf>,
    pub(super) etcd: Option<Etcd>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Etcd {
    pub(super) endpoints: Vec<String>,
    pub(super) prefix: String,
    pub(super) ca_file: Option<PathBuf>,
    pub(super) cert_file: Option<PathBuf>,
    pub(super) key_file: Option<PathBuf>,
    pub(super) user: Option<String>,
    pub(super) replica: Option<String>,
    #[serde(deserialize_with = "duration")]
    pub(super) lease: Duration,
    /// Whether other machines may be spoken to without TLS.
    pub(super) plaintext: bool,
}

impl Default for Etcd {
    fn default() -> Self {
        Self {
            endpoints: vec![],
            prefix: "/vaultgram/".to_owned(),
            ca_file: None,
            cert_file: None,
            key_file: None,
            user: None,
            replica: None,
            lease: Duration::from_secs(2),
            plaintext: false,
        }
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Log {
    pub(super) format: super::state::LogFormat,
    pub(super) level: LogLevel,
}

#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum LogLevel {
    Error,
    Warn,
    #[default]
    Info,
    Debug,
    Trace,
}

impl LogLevel {
    /// Its name in `RUST_LOG`'s notation.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }
}

pub(super) fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    humantime::parse_duration(&text).map_err(|_| {
        serde::de::Error::custom("not a duration; write it like \"500ms\", \"60s\" or \"5m\"")
    })
}

/// As [`duration`], where the key is there.
pub(super) fn some_duration<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Duration>, D::Error> {
    duration(deserializer).map(Some)
}

/// Parses the file's text.
///
/// The error names line and column, but never shows the line itself: it may hold a secret that
/// somebody put in the wrong place.
pub(super) fn parse(file: &Path, text: &str) -> Result<Raw, String> {
    toml::from_str(text).map_err(|error| {
        let before = error
            .span()
            .and_then(|span| text.get(..span.start))
            .unwrap_or_default();
        let line = before.matches('\n').count() + 1;
        let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
        format!(
            "{}:{line}:{column}: {}",
            file.display(),
            without_values(error.message())
        )
    })
}

/// Cuts the value out of serde's `invalid type: string "hunter2", expected …` and
/// ``unknown variant `hunter2`, expected …``. What is expected is our own list, without values.
fn without_values(message: &str) -> String {
    if message.starts_with("unknown variant ") {
        let expected = message.rsplit_once(", expected ").map(|(_, list)| list);
        return format!("unknown value, expected {}", expected.unwrap_or("another"));
    }
    match (message.split_once('"'), message.rsplit_once('"')) {
        (Some((before, _)), Some((_, after))) if message.starts_with("invalid ") => {
            format!("{before}\"…\"{after}")
        }
        _ => message.lines().next().unwrap_or_default().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> String {
        parse(Path::new("vaultgram.toml"), text).unwrap_err()
    }

    #[test]
    fn a_wrong_key_is_named_with_its_place() {
        let error = error("[vault]\naddress = \"http://127.0.0.1\"\n  tokn = \"hunter2\"\n");
        assert!(
            error.starts_with("vaultgram.toml:3:3: unknown field `tokn`, expected"),
            "{error}"
        );
        assert!(!error.contains("hunter2"), "{error}");
    }

    #[test]
    fn a_wrong_choice_is_answered_with_the_choices() {
        let error = error("[vault]\nauth = \"hvs.SECRET\"\n");
        assert_eq!(
            error,
            "vaultgram.toml:2:8: unknown value, expected one of `token`, `approle`, `kubernetes`, `jwt`, `cert`, `userpass`"
        );
    }

    #[test]
    fn a_wrong_value_is_not_repeated() {
        for text in [
            "[telegram]\nallowed_users = \"hunter2\"\n",
            "[telegram]\ncommand_age = \"hunter2\"\n",
            "[telegram]\nallowed_users = [\"hunter\\\"2\"]\n",
            "[audit]\ndurability = \"hunter2\"\n",
            "[vault]\nauth = \"hunter2\"\n",
            "[vault]\nauth = \"hunter2`, expected `hunter2\"\n",
            "[log]\nlevel = \"hunter2\"\n",
            "[vault]\naddress = hunter2\n",
            "[vault]\naddress = \"hunter2\n",
        ] {
            let error = error(text);
            assert!(error.starts_with("vaultgram.toml:2:"), "{error}");
            assert!(!error.contains("hunter"), "{error}");
        }
    }
}

//! The `[audit]` section.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::config::{Environment, Problems, raw};
use crate::domain::SecretValue;

/// The setting with the key for checkpoints.
pub const AUDIT_KEY: &str = "VAULTGRAM_AUDIT_KEY";

/// Where journald listens.
const JOURNALD: &str = "/run/systemd/journal/socket";
/// Where a syslog daemon listens.
const SYSLOG: &str = "/dev/log";
/// Smallest size of a file that is closed: less would make more files than records.
const LEAST_SIZE: u64 = 64 << 10;

/// The audit.
pub struct AuditConfig {
    /// The file, JSON Lines.
    pub file: PathBuf,
    /// Whether each record waits for the disk before anything follows from it.
    pub strict: bool,
    /// The key for checkpoints, and where it is from.
    pub key: Option<(SecretValue, String)>,
    /// How long a record may wait for one.
    pub checkpoint_every: Duration,
    /// From how many bytes on a file is closed.
    pub rotate_at: Option<u64>,
    /// From which age on.
    pub rotate_every: Option<Duration>,
    /// Where journald gets each line too.
    pub journald: Option<AuditSinkConfig>,
    /// Where syslog does.
    pub syslog: Option<AuditSinkConfig>,
    /// Where the head is posted.
    pub witness: Option<WitnessConfig>,
}

/// A socket that gets each line too.
#[derive(Debug, Clone)]
pub struct AuditSinkConfig {
    /// Where.
    pub path: PathBuf,
    /// Whether nothing is served without it.
    pub required: bool,
}

/// The chat that the audit's head is posted to.
#[derive(Debug, Clone, Copy)]
pub struct WitnessConfig {
    /// Its number, as bots and clients show it: groups have negative ones.
    pub chat: i64,
    /// How often.
    pub every: Duration,
}

pub(super) fn typed(
    raw: raw::Audit,
    in_chat: bool,
    directory: &Path,
    environment: &Environment,
    problems: &mut Problems,
) -> AuditConfig {
    let strict = match raw.durability {
        raw::Durability::Grouped => false,
        raw::Durability::Strict => true,
    };
    let key = environment.sourced(AUDIT_KEY);
    let key = key.unwrap_or_else(|problem| {
        problems.elsewhere(problem);
        None
    });
    let (day, year) = (Duration::from_hours(24), Duration::from_hours(24 * 366));
    let second = Duration::from_secs(1);
    if raw.checkpoint_every < second || raw.checkpoint_every > day {
        problems.push("[audit] checkpoint_every: must be from 1s to 1day");
    }
    let rotate_every = (!raw.rotate_every.is_zero()).then_some(raw.rotate_every);
    if rotate_every.is_some_and(|every| every < Duration::from_mins(1) || every > year) {
        problems.push("[audit] rotate_every: must be from 1m to 366days, or \"0s\" for never");
    }
    let rotate_at = match raw.rotate_at.as_str() {
        "never" => None,
        text => Some(size(text).unwrap_or_else(|| {
            problems.push(
                "[audit] rotate_at: must be a size from 64 KiB, such as \"100 MiB\" or \"1 GiB\", or \
                 \"never\"",
            );
            u64::MAX
        })),
    };
    if raw.witness_every < Duration::from_secs(10) || raw.witness_every > day {
        problems.push("[audit] witness_every: must be from 10s to 1day");
    }
    if raw.witness_chat.is_some() && !in_chat {
        problems
            .push("[audit] witness_chat: needs a [telegram] section, whose account posts there");
    }
    if raw.witness_chat == Some(0) {
        problems.push("[audit] witness_chat: must be a chat's number, such as -1001234567890");
    }
    let sink = |raw: raw::AuditSink, default: &str| AuditSinkConfig {
        path: directory.join(raw.path.unwrap_or_else(|| default.into())),
        required: raw.mode == raw::SinkMode::Required,
    };
    AuditConfig {
        file: directory.join(raw.file),
        strict,
        key,
        checkpoint_every: raw.checkpoint_every,
        rotate_at,
        rotate_every,
        journald: raw.journald.map(|raw| sink(raw, JOURNALD)),
        syslog: raw.syslog.map(|raw| sink(raw, SYSLOG)),
        witness: raw.witness_chat.map(|chat| WitnessConfig {
            chat,
            every: raw.witness_every,
        }),
    }
}

/// `100 MiB` in bytes.
fn size(text: &str) -> Option<u64> {
    let units = [("KiB", 10), ("MiB", 20), ("GiB", 30)];
    let (number, shift) = units
        .iter()
        .find_map(|(unit, shift)| Some((text.strip_suffix(unit)?, shift)))?;
    let bytes = number.trim().parse::<u64>().ok()?.checked_mul(1 << shift)?;
    (bytes >= LEAST_SIZE).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read() {
        for (text, bytes) in [
            ("64 KiB", Some(65536)),
            ("100MiB", Some(100 << 20)),
            ("1 GiB", Some(1 << 30)),
            ("63 KiB", None),
            ("0 MiB", None),
            ("100", None),
            ("-1 MiB", None),
            ("99999999999999 GiB", None),
            ("100 MB", None),
        ] {
            assert_eq!(size(text), bytes, "{text}");
        }
    }
}

//! What can be set.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::audit::key::SigningKey;
use crate::broker::ports::{Clock, SystemClock};

/// Where the audit is and how it is written.
#[derive(Clone)]
pub struct Settings {
    /// The file; made if missing. Beside it live `.head`, rotated files, and, after a power
    /// cut, `.torn`.
    pub path: PathBuf,
    /// When a record counts as written.
    pub durability: Durability,
    /// What checkpoints are signed with; without it there are none.
    pub key: Option<Arc<SigningKey>>,
    /// How long a record may wait for a checkpoint; by default ten minutes.
    pub checkpoint_every: Duration,
    /// How many records may; by default 10,000.
    pub checkpoint_records: u64,
    /// From how many bytes on a file is closed and the next one begun; by default never.
    pub rotate_at: Option<u64>,
    /// From which age on.
    pub rotate_every: Option<Duration>,
    /// Where each line goes besides.
    pub sinks: Vec<SinkSettings>,
    /// For what the audit itself records.
    pub clock: Arc<dyn Clock>,
}

impl Settings {
    /// The defaults.
    #[must_use]
    pub fn new(path: PathBuf, durability: Durability) -> Self {
        Self {
            path,
            durability,
            key: None,
            checkpoint_every: Duration::from_mins(10),
            checkpoint_records: 10_000,
            rotate_at: None,
            rotate_every: None,
            sinks: vec![],
            clock: Arc::new(SystemClock),
        }
    }
}

/// What a record has survived when it counts as written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// The death of the process. A power cut may take the last 100 ms.
    Grouped,
    /// A power cut. Those who wait at the same time share one sync.
    Strict,
}

/// A socket of this host that gets each line too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SinkSettings {
    /// What listens there.
    pub kind: SinkKind,
    /// Where.
    pub path: PathBuf,
    /// Whether a record that it did not take counts as written.
    pub mode: SinkMode,
}

/// What can listen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SinkKind {
    /// systemd's journal, in its native protocol.
    Journald,
    /// A syslog daemon, in the form of RFC 5424.
    Syslog,
}

/// How much a sink matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SinkMode {
    /// What it does not take is not written at all, and nothing is served.
    Required,
    /// What it does not take at once is left out there, and counted.
    BestEffort,
}

//! Records that the audit writes about itself: checkpoints, and where a file goes on from another.

use serde::{Deserialize, Serialize};

use crate::audit::key::{SigningKey, Statement};
use crate::audit::record::{Link, seal_fields};
use crate::broker::ports::AuditError;

/// The name of a checkpoint's event.
pub(super) const CHECKPOINT: &str = "checkpoint";
/// The name of the event that a rotated audit's next file begins with.
pub(super) const CONTINUED: &str = "continued";

/// When a checkpoint is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Why {
    /// At a start, which found records that nobody signed: after a crash, or a change.
    Start,
    /// Now and then.
    Interval,
    /// As the last record of a file.
    Rotation,
    /// As the last record of a run.
    Stop,
}

impl Why {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Interval => "interval",
            Self::Rotation => "rotation",
            Self::Stop => "stop",
        }
    }
}

/// The fields in the order they are written.
#[derive(Serialize)]
struct Mark<'a> {
    seq: u64,
    time: &'a str,
    #[serde(flatten)]
    note: Note<'a>,
    prev: &'a str,
}

#[derive(Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
enum Note<'a> {
    Checkpoint {
        why: &'a str,
        chain: &'a str,
        key: &'a str,
        signature: &'a str,
    },
    Continued {
        chain: &'a str,
        previous: &'a str,
    },
}

/// Appends the checkpoint of the chain up to `after` to `out`.
///
/// # Errors
/// As [`seal_fields`].
pub(super) fn checkpoint(
    after: &Link,
    why: Why,
    chain: &str,
    time: &str,
    key: &SigningKey,
    out: &mut Vec<u8>,
) -> Result<Link, AuditError> {
    let signature = key.sign(&Statement {
        why: why.name(),
        chain,
        seq: after.seq,
        hash: &after.hash,
        time,
    });
    let note = Note::Checkpoint {
        why: why.name(),
        chain,
        key: &key.public().id(),
        signature: &signature,
    };
    write(after, time, note, out)
}

/// Appends the first record of the file that follows the one now named `previous`.
///
/// # Errors
/// As [`seal_fields`].
pub(super) fn continued(
    after: &Link,
    chain: &str,
    time: &str,
    previous: &str,
    out: &mut Vec<u8>,
) -> Result<Link, AuditError> {
    write(after, time, Note::Continued { chain, previous }, out)
}

fn write(after: &Link, time: &str, note: Note<'_>, out: &mut Vec<u8>) -> Result<Link, AuditError> {
    let seq = after.seq + 1;
    let mark = Mark {
        seq,
        time,
        note,
        prev: &after.hash,
    };
    seal_fields(seq, &mark, out)
}

/// A checkpoint's own fields.
#[derive(Deserialize)]
pub(super) struct Checkpoint<'a> {
    pub(super) why: &'a str,
    pub(super) chain: &'a str,
    pub(super) key: &'a str,
    pub(super) signature: &'a str,
}

/// What the first record of a further file says of the chain it goes on.
#[derive(Deserialize)]
pub(super) struct Continued<'a> {
    pub(super) chain: &'a str,
}

/// Reads the own fields of a record whose event is known. `None`: it has not these fields.
pub(super) fn read<'a, T: Deserialize<'a>>(line: &'a [u8]) -> Option<T> {
    serde_json::from_slice(line).ok()
}

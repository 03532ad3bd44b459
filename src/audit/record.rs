//! One line of the audit, and the chain from line to line.
//!
//! A line is a JSON object. Its last two fields make the chain: `prev` is the `hash` of the
//! line before, and `hash` is the SHA-256 of the line itself up to `,"hash":`. Anyone can
//! check a line: `sed -n 5p audit.jsonl | sed 's/,"hash":.*//' | tr -d '\n' | sha256sum`.

mod approval;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use time::format_description::BorrowedFormatItem;
use time::macros::format_description;
use time::{OffsetDateTime, UtcOffset};

use crate::broker::ports::AuditError;
use crate::domain::{
    Action, ApprovalId, AuditEntry, AuditEvent, Caller, Delivery, Reading, Recipe, Subject,
};

/// Longest line, in bytes, newline not counted. Far above any record of the broker.
pub(super) const MAX_LINE: usize = 64 * 1024;

/// What follows the hashed part of a line, around the hash.
const SEAL: (&[u8], &[u8]) = (b",\"hash\":\"", b"\"}");

/// RFC 3339 in UTC, always with milliseconds, so that records sort as text.
const TIME: &[BorrowedFormatItem<'static>] =
    format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");

/// A place in the chain: the number and hash of the record last added.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Link {
    /// Records up to here.
    pub(super) seq: u64,
    /// The last record's hash, in hexadecimal.
    pub(super) hash: String,
}

impl Link {
    /// The place before the first record.
    pub(super) fn genesis() -> Self {
        Self {
            seq: 0,
            hash: "0".repeat(64),
        }
    }
}

/// The fields in the order they are written. The event's come first, then who asked, then for what.
#[derive(Serialize)]
struct Record<'a> {
    seq: u64,
    time: String,
    #[serde(flatten)]
    event: Event<'a>,
    id: String,
    caller: String,
    #[serde(flatten)]
    evidence: Evidence<'a>,
    #[serde(flatten)]
    about: About<'a>,
    prev: &'a str,
}

/// What is known about the caller beyond its name.
#[derive(Serialize)]
#[serde(untagged)]
enum Evidence<'a> {
    Telegram {
        chat: &'static str,
    },
    Unix {
        uid: u32,
        gid: u32,
        pid: i32,
        #[serde(skip_serializing_if = "Option::is_none")]
        groups: Option<&'a BTreeSet<u32>>,
        executable: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        executable_sha256: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        unit: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        slice: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        container: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        pod: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        socket: Option<&'a str>,
    },
    Job {
        issuer: &'a str,
        subject: &'a str,
        #[serde(skip_serializing_if = "BTreeMap::is_empty")]
        claims: &'a BTreeMap<&'static str, String>,
    },
}

/// What it is about.
#[derive(Serialize)]
#[serde(untagged)]
enum About<'a> {
    Secret {
        action: &'static str,
        path: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        field: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        version: Option<u64>,
        #[serde(skip_serializing_if = "Option::is_none")]
        delivery: Option<&'static str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        recipe: Option<&'static str>,
    },
    Wrapped {
        action: &'static str,
        #[serde(skip_serializing_if = "Option::is_none")]
        path: Option<&'a str>,
    },
    Key {
        key: &'a str,
    },
    Lease {
        action: &'static str,
        path: &'a str,
        lease: &'a str,
    },
    Proof {
        proof: &'static str,
        from: &'a str,
    },
    Chat {},
    Policy {},
}

#[derive(Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
enum Event<'a> {
    Decided {
        allowed: bool,
        #[serde(skip_serializing_if = "Option::is_none")]
        reason: Option<&'static str>,
        policies: &'a [String],
        #[serde(skip_serializing_if = "Option::is_none")]
        vault_role: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        grant: Option<&'a str>,
    },
    ConfirmationAsked,
    Released(Read<'a>),
    Wrapped {
        accessor: &'a str,
        ttl: u64,
    },
    Sealed {
        #[serde(flatten)]
        read: Read<'a>,
        keys: &'a [String],
    },
    Offered {
        to_uid: u32,
    },
    Collected {
        #[serde(flatten)]
        read: Read<'a>,
        by_uid: u32,
        by_pid: i32,
    },
    Written {
        #[serde(skip_serializing_if = "Option::is_none")]
        version_written: Option<u64>,
    },
    Deleted {
        #[serde(skip_serializing_if = "Option::is_none")]
        version_deleted: Option<u64>,
    },
    Undeleted {
        version_undeleted: u64,
    },
    Destroyed {
        version_destroyed: u64,
    },
    Started {
        run: u64,
    },
    Done,
    KeyRegistered,
    KeyForgotten,
    ChatLocked,
    ChatUnlocked,
    PolicyLoaded {
        policy_hash: &'a str,
        policies_loaded: usize,
    },
    Leaked {
        in_message: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        written_by: Option<i64>,
    },
    LeaseKept {
        seconds: u64,
    },
    LeaseRenewed {
        seconds: u64,
    },
    LeaseRevoked,
    ProofRefused {
        reason: &'static str,
        #[serde(skip_serializing_if = "Option::is_none")]
        omitted: Option<u64>,
    },
    Failed {
        reason: &'static str,
        /// What was started all the same.
        #[serde(skip_serializing_if = "Option::is_none")]
        run: Option<u64>,
    },
    #[serde(untagged)]
    Approval(approval::Step<'a>),
}

/// What was read.
#[derive(Serialize)]
struct Read<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    #[serde(rename = "version_read")]
    version: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lease: Option<&'a str>,
    /// Seconds since it was read from Vault.
    #[serde(skip_serializing_if = "Option::is_none")]
    age: Option<u64>,
    /// Vault did not answer meanwhile.
    #[serde(skip_serializing_if = "Option::is_none")]
    stale: Option<bool>,
}

impl<'a> From<&'a Reading> for Read<'a> {
    fn from(reading: &'a Reading) -> Self {
        Self {
            version: reading.version,
            lease: reading.lease.as_deref(),
            age: reading.age.map(|age| age.since.as_secs()),
            stale: reading.age.map(|age| age.stale),
        }
    }
}

impl<'a> From<&'a AuditEvent> for Event<'a> {
    fn from(event: &'a AuditEvent) -> Self {
        match event {
            AuditEvent::Decided {
                allowed,
                reason,
                policies,
                vault_role,
                grant,
            } => Self::Decided {
                allowed: *allowed,
                reason: *reason,
                policies,
                vault_role: vault_role.as_deref(),
                grant: grant.as_ref().map(ApprovalId::as_str),
            },
            AuditEvent::Approval(record) => Self::Approval(record.into()),
            AuditEvent::ConfirmationAsked => Self::ConfirmationAsked,
            AuditEvent::Released(reading) => Self::Released(reading.into()),
            AuditEvent::Wrapped { accessor, ttl } => Self::Wrapped {
                accessor,
                ttl: *ttl,
            },
            AuditEvent::Sealed { reading, keys } => Self::Sealed {
                read: reading.into(),
                keys,
            },
            AuditEvent::Offered { uid } => Self::Offered { to_uid: *uid },
            AuditEvent::Collected { reading, uid, pid } => Self::Collected {
                read: reading.into(),
                by_uid: *uid,
                by_pid: *pid,
            },
            AuditEvent::Written { version } => Self::Written {
                version_written: *version,
            },
            AuditEvent::Deleted { version } => Self::Deleted {
                version_deleted: *version,
            },
            AuditEvent::Undeleted { version } => Self::Undeleted {
                version_undeleted: *version,
            },
            AuditEvent::Destroyed { version } => Self::Destroyed {
                version_destroyed: *version,
            },
            AuditEvent::Started { run } => Self::Started { run: *run },
            AuditEvent::Done => Self::Done,
            AuditEvent::KeyRegistered => Self::KeyRegistered,
            AuditEvent::KeyForgotten => Self::KeyForgotten,
            AuditEvent::ChatLocked => Self::ChatLocked,
            AuditEvent::ChatUnlocked => Self::ChatUnlocked,
            AuditEvent::PolicyLoaded { hash, policies } => Self::PolicyLoaded {
                policy_hash: hash,
                policies_loaded: *policies,
            },
            AuditEvent::Leaked { message, writer } => Self::Leaked {
                in_message: message.to_string(),
                written_by: *writer,
            },
            AuditEvent::LeaseKept { seconds } => Self::LeaseKept { seconds: *seconds },
            AuditEvent::LeaseRenewed { seconds } => Self::LeaseRenewed { seconds: *seconds },
            AuditEvent::LeaseRevoked => Self::LeaseRevoked,
            AuditEvent::ProofRefused { reason, omitted } => Self::ProofRefused {
                reason,
                omitted: (*omitted > 0).then_some(*omitted),
            },
            AuditEvent::Failed { reason } => Self::Failed { reason, run: None },
            AuditEvent::StartedAmiss { run, reason } => Self::Failed {
                reason,
                run: Some(*run),
            },
        }
    }
}

impl<'a> From<&'a Caller> for Evidence<'a> {
    fn from(caller: &'a Caller) -> Self {
        match caller {
            Caller::Telegram(user) => Self::Telegram {
                chat: user.chat.name(),
            },
            Caller::Unix(peer) => Self::Unix {
                uid: peer.uid,
                gid: peer.gid,
                pid: peer.pid,
                groups: peer.groups.as_ref(),
                executable: peer.executable.as_deref(),
                executable_sha256: peer.executable_sha256.as_deref(),
                unit: peer.unit.as_deref(),
                slice: peer.slice.as_deref(),
                container: peer.container.as_deref(),
                pod: peer.pod.as_deref(),
                socket: peer.socket.as_deref(),
            },
            Caller::Job(job) => Self::Job {
                issuer: &job.issuer,
                subject: &job.subject,
                claims: &job.claims,
            },
        }
    }
}

impl<'a> From<&'a Subject> for About<'a> {
    fn from(subject: &'a Subject) -> Self {
        match subject {
            Subject::Secret { action, target } => Self::Secret {
                action: action.name(),
                path: target.path.to_string(),
                field: target.field.as_deref(),
                version: target.version,
                delivery: action.delivery().map(Delivery::name),
                recipe: action.recipe().map(Recipe::name),
            },
            Subject::Wrapped { made_at } => Self::Wrapped {
                action: Action::Unwrap.name(),
                path: made_at.as_deref(),
            },
            Subject::Key(key) => Self::Key { key },
            Subject::Proof { kind, from } => Self::Proof { proof: kind, from },
            Subject::Chat => Self::Chat {},
            Subject::Policy => Self::Policy {},
            Subject::Lease {
                action,
                lease,
                path,
            } => Self::Lease {
                action: action.name(),
                path,
                lease,
            },
        }
    }
}

/// Appends the line of `entry`, newline included, to `out` and returns the place after it.
///
/// # Errors
/// When the line would be over [`MAX_LINE`], or the time is beyond year 9999; `out` is as before.
pub(super) fn seal(
    after: &Link,
    entry: &AuditEntry,
    out: &mut Vec<u8>,
) -> Result<Link, AuditError> {
    let seq = after.seq + 1;
    let record = Record {
        seq,
        time: format_time(entry.at)?,
        event: (&entry.event).into(),
        id: entry.id.to_string(),
        caller: entry.caller.to_string(),
        evidence: (&entry.caller).into(),
        about: (&entry.subject).into(),
        prev: &after.hash,
    };
    seal_fields(seq, &record, out)
}

/// Appends the line with these fields, the last of which is `prev`, newline included, to `out`.
///
/// # Errors
/// When the line would be over [`MAX_LINE`]; `out` is as before.
pub(super) fn seal_fields(
    seq: u64,
    fields: &impl Serialize,
    out: &mut Vec<u8>,
) -> Result<Link, AuditError> {
    let start = out.len();
    let sealed = write(seq, fields, out, start);
    if sealed.is_err() {
        out.truncate(start);
    }
    sealed
}

fn write(
    seq: u64,
    fields: &impl Serialize,
    out: &mut Vec<u8>,
    start: usize,
) -> Result<Link, AuditError> {
    serde_json::to_writer(&mut *out, fields).map_err(|error| unfit(&error))?;
    out.pop(); // the closing brace, which comes after the hash
    let hash = hex::encode(Sha256::digest(out.get(start..).unwrap_or_default()));
    out.extend_from_slice(SEAL.0);
    out.extend_from_slice(hash.as_bytes());
    out.extend_from_slice(SEAL.1);
    if out.len() - start > MAX_LINE {
        return Err(unfit(&format_args!("longer than {MAX_LINE} bytes")));
    }
    out.push(b'\n');
    Ok(Link { seq, hash })
}

/// The time as records have it.
///
/// # Errors
/// Beyond year 9999.
pub(super) fn format_time(at: OffsetDateTime) -> Result<String, AuditError> {
    let text = at.to_offset(UtcOffset::UTC).format(TIME);
    text.map_err(|error| unfit(&error))
}

fn unfit(error: &dyn std::fmt::Display) -> AuditError {
    AuditError(format!("record: {error}"))
}

/// The fields of a line that make the chain.
#[derive(Deserialize)]
pub(super) struct Sealed<'a> {
    /// The record's number.
    pub(super) seq: u64,
    /// When, as written.
    pub(super) time: &'a str,
    /// The event's name.
    pub(super) event: &'a str,
    /// The hash of the record before.
    pub(super) prev: &'a str,
    /// Its own hash, already checked.
    #[serde(skip)]
    pub(super) hash: &'a str,
}

/// Reads a line without its newline. `None`: it is not what once was written.
pub(super) fn unseal(line: &[u8]) -> Option<Sealed<'_>> {
    let (rest, end) = line.split_at_checked(line.len().checked_sub(SEAL.1.len())?)?;
    let (rest, hash) = rest.split_at_checked(rest.len().checked_sub(64)?)?;
    let (body, separator) = rest.split_at_checked(rest.len().checked_sub(SEAL.0.len())?)?;
    let genuine = separator == SEAL.0
        && end == SEAL.1
        && hex::encode(Sha256::digest(body)).as_bytes() == hash;
    if !genuine {
        return None;
    }
    let mut sealed: Sealed<'_> = serde_json::from_slice(line).ok()?;
    sealed.hash = std::str::from_utf8(hash).ok()?;
    Some(sealed)
}

#[cfg(test)]
mod tests;

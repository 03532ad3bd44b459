//! The audit file while it is open: whole lines are appended, or nothing is.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::Arc;

use metrics::counter;
use time::OffsetDateTime;
use tokio::time::Instant;

use crate::audit::head::{Head, HeadFile};
use crate::audit::key::SigningKey;
use crate::audit::mark::{self, Why};
use crate::audit::record::{self, Link, format_time};
use crate::audit::sink::Sinks;
use crate::broker::ports::AuditError;
use crate::domain::AuditEntry;
use crate::telemetry::metrics::{AUDIT_RECORDS, audit_sync};

/// The file, locked, and where its chain stands.
#[derive(Debug)]
pub(super) struct Log {
    pub(super) path: PathBuf,
    pub(super) file: File,
    /// Device and inode: another file at our path is not our file.
    pub(super) identity: (u64, u64),
    /// Bytes of whole records in the file.
    pub(super) size: u64,
    /// The first record's number, less one: records before this file.
    pub(super) base: u64,
    /// When its first record was written, as far as known.
    pub(super) began: Option<OffsetDateTime>,
    /// The hash of the chain's first record; `None` before it.
    pub(super) chain: Option<String>,
    pub(super) link: Link,
    head: HeadFile,
    pub(super) sinks: Sinks,
    key: Option<Arc<SigningKey>>,
    /// Records of this file that are not the audit's own.
    pub(super) entries: u64,
    /// Those of them that are not yet written.
    pushed: u64,
    /// Records since the last checkpoint; at least so many where the file was only opened.
    unsigned: u64,
    unsigned_since: Option<Instant>,
    /// Lines not yet written, and where the chain will stand after them.
    buffer: Vec<u8>,
    pending: Link,
    /// A write failed, and what it left could not be cut off yet.
    remains: bool,
    /// A sync failed, with this error.
    sync_failed: Option<AuditError>,
    unsynced_since: Option<Instant>,
}

/// A checked file and where it ends.
pub(super) struct Opened {
    pub(super) path: PathBuf,
    pub(super) file: File,
    pub(super) head: HeadFile,
    pub(super) size: u64,
    pub(super) base: u64,
    pub(super) began: Option<OffsetDateTime>,
    pub(super) chain: Option<String>,
    pub(super) link: Link,
    /// Whether its last record is a checkpoint.
    pub(super) signed: bool,
    pub(super) sinks: Sinks,
    pub(super) key: Option<Arc<SigningKey>>,
}

impl Log {
    /// Takes over a checked file.
    pub(super) fn new(opened: Opened) -> io::Result<Self> {
        let metadata = opened.file.metadata()?;
        let some = !opened.signed && opened.link.seq > 0;
        let own = u64::from(opened.base > 0) + u64::from(opened.signed);
        let entries = (opened.link.seq - opened.base).saturating_sub(own);
        Ok(Self {
            path: opened.path,
            identity: (metadata.dev(), metadata.ino()),
            file: opened.file,
            size: opened.size,
            base: opened.base,
            began: opened.began,
            chain: opened.chain,
            pending: opened.link.clone(),
            link: opened.link,
            head: opened.head,
            sinks: opened.sinks,
            key: opened.key,
            entries,
            pushed: 0,
            unsigned: some.into(),
            unsigned_since: some.then(Instant::now),
            buffer: vec![],
            remains: false,
            sync_failed: None,
            unsynced_since: None,
        })
    }

    /// Adds records to those that the next [`Self::write`] writes: all of `entries` or none.
    pub(super) fn push(&mut self, entries: &[AuditEntry]) -> Result<(), AuditError> {
        let before = self.buffer.len();
        let mut link = self.pending.clone();
        for entry in entries {
            link = record::seal(&link, entry, &mut self.buffer).inspect_err(|_| {
                self.buffer.truncate(before);
            })?;
            if link.seq == 1 {
                self.chain = Some(link.hash.clone());
                self.began = Some(entry.at);
            }
        }
        self.pending = link;
        self.pushed += entries.len() as u64;
        Ok(())
    }

    /// Writes what was pushed. On an error none of it is in the file, and the next call tries
    /// afresh with what is pushed then; only after a failed sync is every call an error.
    pub(super) fn write(&mut self) -> Result<(), AuditError> {
        let written = self.try_write();
        match written {
            Ok(()) => {
                self.size += self.buffer.len() as u64;
                self.entries += self.pushed;
                counter!(AUDIT_RECORDS).increment(self.pushed);
                self.unsigned += self.pending.seq - self.link.seq;
                self.link.clone_from(&self.pending);
            }
            Err(_) => self.pending.clone_from(&self.link),
        }
        self.buffer.clear();
        self.pushed = 0;
        written
    }

    fn try_write(&mut self) -> Result<(), AuditError> {
        if let Some(error) = &self.sync_failed {
            return Err(error.clone());
        }
        if self.remains {
            self.cut_remains()?;
        }
        self.check_place()?;
        let written = match self.file.write_all(&self.buffer) {
            Ok(()) => self.sinks.send(&self.buffer),
            Err(error) => Err(self.error(&error)),
        };
        if let Err(error) = written {
            self.remains = true;
            // If this fails too, the next write tries it again first.
            return Err(self.cut_remains().err().unwrap_or(error));
        }
        // Asked for the time once for both.
        if self.unsynced_since.is_none() || self.unsigned_since.is_none() {
            let now = Instant::now();
            self.unsynced_since.get_or_insert(now);
            self.unsigned_since.get_or_insert(now);
        }
        Ok(())
    }

    /// Cuts off what a failed write may have left of its lines.
    fn cut_remains(&mut self) -> Result<(), AuditError> {
        self.file.set_len(self.size).map_err(|error| {
            let text = format!("an incomplete record cannot be removed: {error}");
            self.error(&text)
        })?;
        self.remains = false;
        Ok(())
    }

    /// Fails when the path no longer leads to our file, or the file is not as we left it: what
    /// is written then would be lost, or follow something else.
    fn check_place(&self) -> Result<(), AuditError> {
        let metadata = fs::metadata(&self.path)
            .map_err(|error| self.error(&format!("the file is gone from its path ({error})")))?;
        if (metadata.dev(), metadata.ino()) != self.identity {
            return Err(self.error(&"another file is at this path; put the audit back"));
        }
        if metadata.len() != self.size {
            return Err(self.error(&"somebody else changed the file; verify it, then restart"));
        }
        Ok(())
    }

    /// Signs the chain so far, if there is a key and anything came since the last time.
    pub(super) fn checkpoint(&mut self, why: Why, now: OffsetDateTime) -> Result<(), AuditError> {
        let (Some(key), Some(chain)) = (&self.key, &self.chain) else {
            return Ok(());
        };
        if self.unsigned == 0 {
            return Ok(());
        }
        let time = format_time(now)?;
        self.pending = mark::checkpoint(&self.link, why, chain, &time, key, &mut self.buffer)?;
        // Should it fail, the next try is as far away as after a success.
        self.unsigned_since = None;
        self.write()?;
        (self.unsigned, self.unsigned_since) = (0, None);
        Ok(())
    }

    /// The key that signs, where there is one.
    pub(super) fn key(&self) -> Option<&SigningKey> {
        self.key.as_deref()
    }

    /// Records since the last checkpoint and since when; none where nobody signs.
    pub(super) fn unsigned(&self) -> Option<(u64, Instant)> {
        let since = self.unsigned_since.filter(|_| self.key.is_some())?;
        (self.unsigned > 0).then_some((self.unsigned, since))
    }

    /// Brings what was written to the disk, if anything was, and notes the new head. A failure
    /// is final: afterwards the kernel no longer knows which bytes are on the disk, so that a
    /// second try could succeed wrongly. The next start reads what is there.
    pub(super) fn sync(&mut self) -> Result<(), AuditError> {
        if let Some(error) = &self.sync_failed {
            return Err(error.clone());
        }
        if self.unsynced_since.is_none() {
            return Ok(());
        }
        let began = Instant::now();
        let synced = self.file.sync_data();
        audit_sync(began.elapsed());
        if let Err(error) = synced {
            let text = format!("sync failed: {error}; restart when the disk is sound");
            let error = self.error(&text);
            self.sync_failed = Some(error.clone());
            self.unsynced_since = None;
            tracing::error!(event = "audit.sync_failed", %error);
            return Err(error);
        }
        self.unsynced_since = None;
        self.note_head();
        Ok(())
    }

    /// The audit itself is complete without its head file, so a failure is only logged.
    pub(super) fn note_head(&self) {
        let head = Head {
            seq: self.link.seq,
            size: self.size,
            hash: self.link.hash.clone(),
        };
        if let Err(error) = self.head.write(&head) {
            tracing::warn!(event = "audit.head_not_written", path = %self.path.display(), %error);
        }
    }

    /// Syncs at start, so that all that was read is on the disk too, and notes the head.
    pub(super) fn sync_opened(&self) -> io::Result<()> {
        self.file.sync_all()?;
        self.note_head();
        self.head.sync()
    }

    /// Signs, syncs what is not synced, and gives the lock back. Explicitly, for a process that is
    /// being started elsewhere in the program holds a copy of the file for a moment.
    pub(super) fn close(mut self, now: OffsetDateTime) -> Result<(), AuditError> {
        if let Err(error) = self.checkpoint(Why::Stop, now) {
            tracing::warn!(event = "audit.checkpoint_failed", %error);
        }
        let synced = self.sync();
        self.file.unlock().ok();
        synced
    }

    /// Goes on in `file`, whose only record is that at `link`, of `size` bytes, and which is on
    /// the disk.
    pub(super) fn move_to(
        &mut self,
        file: File,
        size: u64,
        link: Link,
        now: OffsetDateTime,
    ) -> io::Result<()> {
        let metadata = file.metadata()?;
        self.identity = (metadata.dev(), metadata.ino());
        self.file.unlock().ok();
        self.file = file;
        self.size = size;
        self.base = self.link.seq;
        self.began = Some(now);
        self.entries = 0;
        self.pending.clone_from(&link);
        self.link = link;
        self.unsigned += 1;
        self.unsigned_since = Some(Instant::now());
        Ok(())
    }

    /// Since when something written is not synced.
    pub(super) fn unsynced_since(&self) -> Option<Instant> {
        self.unsynced_since
    }

    pub(super) fn error(&self, what: &dyn std::fmt::Display) -> AuditError {
        AuditError(format!("{}: {what}", self.path.display()))
    }
}

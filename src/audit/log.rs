//! The audit file while it is open: whole lines are appended, or nothing is.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use tokio::time::Instant;

use crate::audit::head::{Head, HeadFile};
use crate::audit::record::{self, Link};
use crate::broker::ports::AuditError;
use crate::domain::AuditEntry;

/// The file, locked, and where its chain stands.
#[derive(Debug)]
pub(super) struct Log {
    path: PathBuf,
    file: File,
    /// Device and inode: another file at our path is not our file.
    identity: (u64, u64),
    /// Bytes of whole records in the file.
    size: u64,
    link: Link,
    head: HeadFile,
    /// Lines not yet written, and where the chain will stand after them.
    buffer: Vec<u8>,
    pending: Link,
    /// A write failed, and what it left could not be cut off yet.
    remains: bool,
    /// A sync failed, with this error.
    sync_failed: Option<AuditError>,
    unsynced_since: Option<Instant>,
}

impl Log {
    /// Takes over a checked file of `size` bytes that ends at `link`.
    pub(super) fn new(
        path: PathBuf,
        file: File,
        head: HeadFile,
        size: u64,
        link: Link,
    ) -> io::Result<Self> {
        let metadata = file.metadata()?;
        Ok(Self {
            path,
            identity: (metadata.dev(), metadata.ino()),
            file,
            size,
            pending: link.clone(),
            link,
            head,
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
        }
        self.pending = link;
        Ok(())
    }

    /// Writes what was pushed. On an error none of it is in the file, and the next call tries
    /// afresh with what is pushed then; only after a failed sync is every call an error.
    pub(super) fn write(&mut self) -> Result<(), AuditError> {
        let written = self.try_write();
        match written {
            Ok(()) => {
                self.size += self.buffer.len() as u64;
                self.link.clone_from(&self.pending);
            }
            Err(_) => self.pending.clone_from(&self.link),
        }
        self.buffer.clear();
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
        if let Err(error) = self.file.write_all(&self.buffer) {
            self.remains = true;
            let error = self.error(&error);
            // If this fails too, the next write tries it again first.
            return Err(self.cut_remains().err().unwrap_or(error));
        }
        self.unsynced_since.get_or_insert_with(Instant::now);
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
        if let Err(error) = self.file.sync_data() {
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
    fn note_head(&self) {
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

    /// Syncs what is not synced and gives the lock back. Explicitly, for a process that is
    /// being started elsewhere in the program holds a copy of the file for a moment.
    pub(super) fn close(mut self) -> Result<(), AuditError> {
        let synced = self.sync();
        self.file.unlock().ok();
        synced
    }

    /// Since when something written is not synced.
    pub(super) fn unsynced_since(&self) -> Option<Instant> {
        self.unsynced_since
    }

    fn error(&self, what: &dyn std::fmt::Display) -> AuditError {
        AuditError(format!("{}: {what}", self.path.display()))
    }
}

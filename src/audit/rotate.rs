//! Rotation: a file that is large or old enough gets a name of its own, and the chain goes on in
//! a new one.
//!
//! The new file waits beside the old one as `.next`, with its first record on the disk, until the
//! old one has its name; so whatever is left of a crash half way tells how to go on.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{CWD, RenameFlags, renameat_with};
use time::format_description::BorrowedFormatItem;
use time::macros::format_description;
use time::{OffsetDateTime, UtcOffset};

use crate::audit::head::beside;
use crate::audit::log::Log;
use crate::audit::mark::{self, Why};
use crate::audit::record::format_time;
use crate::broker::ports::AuditError;

/// What follows a path while its file is being made.
const NEXT: &str = ".next";

/// When a file was closed, in its name.
const STAMP: &[BorrowedFormatItem<'static>] =
    format_description!("[year][month][day]T[hour][minute][second]Z");

impl Log {
    /// In how long a file so large or old is to be closed; `None`: never, as one that holds nothing
    /// but the audit's own records.
    pub(super) fn rotation_due(
        &self,
        at: Option<u64>,
        every: Option<Duration>,
        now: OffsetDateTime,
    ) -> Option<Duration> {
        if self.entries == 0 {
            return None;
        }
        if at.is_some_and(|at| self.size >= at) {
            return Some(Duration::ZERO);
        }
        let age = Duration::try_from(now - self.began?).unwrap_or_default();
        Some(every?.saturating_sub(age))
    }

    /// Closes the file and goes on in a new one.
    ///
    /// # Errors
    /// When it cannot be done; the old file then goes on, unless it could not be put back.
    pub(super) fn rotate(&mut self, now: OffsetDateTime) -> Result<(), AuditError> {
        self.checkpoint(Why::Rotation, now)?;
        self.sync()?;
        let failed = |log: &Self, error: io::Error| log.error(&format!("rotation failed: {error}"));
        let Some(chain) = self.chain.clone() else {
            return Ok(());
        };
        let name = rotated(&self.path, self.base + 1, now);
        let mut line = vec![];
        let previous = name.file_name().map(|name| name.to_string_lossy());
        let previous = previous.unwrap_or_default();
        let time = format_time(now)?;
        let first = mark::continued(&self.link, &chain, &time, &previous, &mut line)?;
        let next = beside(&self.path, NEXT);
        let file = make(&next, &line).map_err(|error| failed(self, error))?;
        let moved = self
            .sinks
            .send(&line)
            .and_then(|()| exchange(&self.path, &name, &next).map_err(|error| failed(self, error)));
        if let Err(error) = moved {
            fs::remove_file(&next).ok();
            return Err(error);
        }
        self.move_to(file, line.len() as u64, first, now)
            .map_err(|error| failed(self, error))?;
        self.note_head();
        tracing::info!(event = "audit.rotated", file = %name.display(), records = self.base);
        Ok(())
    }
}

/// A new file with its first line, on the disk, and ours alone.
fn make(path: &Path, line: &[u8]) -> io::Result<File> {
    let mut file = OpenOptions::new()
        .read(true)
        .append(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    let written = file.try_lock().map_err(io::Error::from);
    let written = written
        .and_then(|()| file.write_all(line))
        .and_then(|()| file.sync_all());
    if let Err(error) = written {
        fs::remove_file(path).ok();
        return Err(error);
    }
    Ok(file)
}

/// The old file gets its name, and on the disk too, before the new one takes its place.
fn exchange(path: &Path, name: &Path, next: &Path) -> io::Result<()> {
    renameat_with(CWD, path, CWD, name, RenameFlags::NOREPLACE)?;
    let replaced = sync_folder(path).and_then(|()| {
        renameat_with(CWD, next, CWD, path, RenameFlags::NOREPLACE)?;
        sync_folder(path)
    });
    replaced.inspect_err(|_| {
        renameat_with(CWD, name, CWD, path, RenameFlags::NOREPLACE).ok();
    })
}

/// Whether what is missing at `path` may be between two names, or a rotation was cut off there.
pub(super) fn is_moving(path: &Path) -> bool {
    beside(path, NEXT).exists()
}

/// Brings a rotation that was cut off to its end, or back to its beginning. `Ok(false)`: another
/// process is in the middle of it.
pub(super) fn recover(path: &Path) -> io::Result<bool> {
    let next = beside(path, NEXT);
    let file = match File::open(&next) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(true),
        Err(error) => return Err(error),
    };
    if !file.metadata()?.is_file() {
        let text = format!("{} is not a file of ours; move it away", next.display());
        return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
    }
    match file.try_lock() {
        Ok(()) => {}
        Err(fs::TryLockError::WouldBlock) => return Ok(false),
        Err(fs::TryLockError::Error(error)) => return Err(error),
    }
    if path.exists() {
        // The old one goes on: all that the new one had was its first line.
        fs::remove_file(&next)?;
    } else {
        renameat_with(CWD, &next, CWD, path, RenameFlags::NOREPLACE)?;
        tracing::info!(event = "audit.rotation_finished", path = %path.display());
    }
    sync_folder(path)?;
    Ok(true)
}

/// So that names survive a power cut.
pub(super) fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| *folder != Path::new(""));
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

/// The name of the file at `path` once it is closed: `audit-000000000001-20261121T080000Z.jsonl`.
fn rotated(path: &Path, first: u64, now: OffsetDateTime) -> PathBuf {
    // Any time can be written in this form.
    let stamp = now.to_offset(UtcOffset::UTC).format(STAMP);
    let stamp = stamp.unwrap_or_default();
    let (stem, suffix) = split(path);
    let mut name = stem;
    name.push(format!("-{first:012}-{stamp}"));
    name.push(suffix);
    path.with_file_name(name)
}

/// Whether `name` is that of a file rotated away from `path`.
pub(super) fn is_rotated(path: &Path, name: &str) -> bool {
    let (stem, suffix) = split(path);
    let own = stem
        .to_str()
        .and_then(|stem| name.strip_prefix(stem)?.strip_prefix('-'));
    let Some(own) = own.filter(|_| split(Path::new(name)).1 == suffix) else {
        return false;
    };
    // Nothing else in between: `audit-b` has its own.
    is_closed(Path::new(name)) && own.matches('-').count() == 1
}

/// Whether the file at `path` has the name of a closed one, which it keeps for ever.
pub(super) fn is_closed(path: &Path) -> bool {
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let (stem, _) = split(path);
    let Some((rest, stamp)) = stem.to_str().and_then(|stem| stem.rsplit_once('-')) else {
        return false;
    };
    let first = rest.rsplit('-').next().unwrap_or_default();
    let time = stamp
        .strip_suffix('Z')
        .and_then(|time| time.split_once('T'));
    first.len() >= 12
        && first.len() < rest.len()
        && digits(first)
        && time.is_some_and(|(day, time)| {
            day.len() == 8 && time.len() == 6 && digits(day) && digits(time)
        })
}

/// A file name before and from its last dot on.
fn split(path: &Path) -> (OsString, OsString) {
    let stem = path.file_stem().unwrap_or_default().to_owned();
    let mut suffix = OsString::new();
    if let Some(extension) = path.extension() {
        suffix.push(".");
        suffix.push(extension);
    }
    (stem, suffix)
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    #[test]
    fn a_rotated_file_is_known_by_its_name() {
        for path in ["/x/audit.jsonl", "audit", "/x/a-b.c.jsonl"] {
            let path = Path::new(path);
            let name = rotated(path, 501, datetime!(2026-11-21 09:00:05 +1));
            assert_eq!(name.parent(), path.parent());
            let name = name.file_name().unwrap().to_str().unwrap().to_owned();
            assert!(name.contains("-000000000501-20261121T080005Z"), "{name}");
            assert!(is_rotated(path, &name), "{name}");
        }
        let path = Path::new("audit.jsonl");
        for name in [
            "audit.jsonl",
            "audit-1-20261121T080005Z.jsonl",
            "other-000000000501-20261121T080005Z.jsonl",
            "audit-000000000501-20261121T080005Z.jsonl.head",
            "audit-000000000501-2026112xT080005Z.jsonl",
            "audit-000000000501.jsonl",
        ] {
            assert!(!is_rotated(path, name), "{name}");
        }
    }
}

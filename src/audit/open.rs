//! Opening the audit: one writer only, and only on a chain whose end is sound.

use std::fs::{File, OpenOptions, Permissions, TryLockError};
use std::io::{self, BufReader, Seek, SeekFrom, Write};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::audit::head::{self, Head, HeadFile, beside};
use crate::audit::log::Log;
use crate::audit::record::{Link, MAX_LINE, unseal};
use crate::audit::verify::{Chain, Damage, Flaw, Line, read_line};

/// Why the audit cannot be opened. `Display` says what to do.
#[derive(Debug, Error)]
pub enum OpenError {
    /// Another process writes it.
    #[error("{0} is in use; stop the other vaultgram, or give this one an audit of its own")]
    InUse(PathBuf),
    /// A directory, a device, or others may write it.
    #[error(
        "{0} must be a regular file of the user vaultgram runs as, writable by nobody else; \
         chown it, and chmod 600"
    )]
    Permissions(PathBuf),
    /// Its end is not what was written.
    #[error(
        "{path} is not sound, {flaw}; keep it as evidence: move it and {path}.head away, and \
         vaultgram begins a new one"
    )]
    Flaw {
        /// The audit.
        path: PathBuf,
        /// What is wrong.
        flaw: Flaw,
    },
    /// It cannot be read or written.
    #[error("{path}: {source}")]
    Io {
        /// The audit.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// Opens, and if need be creates, the audit at `path`.
///
/// Checked is what came after the noted head, for that is what a crash can have damaged; the
/// whole is checked by `vaultgram audit verify`, or here when there is no head.
pub(super) fn open(path: &Path) -> Result<Log, OpenError> {
    open_file(path).map_err(|error| match error {
        Refusal::Open(error) => error,
        Refusal::Io(source) => OpenError::Io {
            path: path.to_owned(),
            source,
        },
        Refusal::Flaw(flaw) => OpenError::Flaw {
            path: path.to_owned(),
            flaw,
        },
    })
}

/// [`OpenError`] before the path is put to it.
#[derive(Debug, Error)]
enum Refusal {
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error(transparent)]
    Flaw(#[from] Flaw),
}

fn open_file(path: &Path) -> Result<Log, Refusal> {
    let file = OpenOptions::new()
        .read(true)
        .append(true)
        .create(true)
        .mode(0o600)
        .open(path)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Err(OpenError::InUse(path.to_owned()).into()),
        Err(TryLockError::Error(error)) => return Err(error.into()),
    }
    let metadata = file.metadata()?;
    let others_write = Permissions::mode(&metadata.permissions()) & 0o022 != 0;
    let ours = metadata.uid() == rustix::process::geteuid().as_raw();
    if !metadata.is_file() || !ours || others_write {
        return Err(OpenError::Permissions(path.to_owned()).into());
    }
    let noted = head::read(path)?;
    if noted.is_none() && metadata.len() > 0 {
        tracing::warn!(event = "audit.head_missing", path = %path.display());
    }
    let (start, link) = match noted {
        Some(head) => (head.size, check_head(&file, metadata.len(), &head)?),
        None => (0, Link::genesis()),
    };
    let (size, link) = read_on(path, &file, start, link)?;
    let log = Log::new(path.to_owned(), file, HeadFile::open(path)?, size, link)?;
    log.sync_opened()?;
    // So that the names of new files survive a power cut too.
    File::open(
        path.parent()
            .filter(|p| p != &Path::new(""))
            .unwrap_or(Path::new(".")),
    )?
    .sync_all()?;
    Ok(log)
}

/// Checks that the noted record still stands where it stood.
fn check_head(file: &File, size: u64, head: &Head) -> Result<Link, Refusal> {
    let flaw = |what| Flaw {
        line: head.seq,
        what,
    };
    if size < head.size {
        return Err(flaw(Damage::HeadMissing(head.hash.clone())).into());
    }
    let link = Link {
        seq: head.seq,
        hash: head.hash.clone(),
    };
    if link == Link::genesis() {
        return Ok(link);
    }
    // The record with its newline, and the newline before it unless it is the first.
    let length = head.size.min(MAX_LINE as u64 + 2);
    let mut end = vec![0; usize::try_from(length).unwrap_or(MAX_LINE)];
    file.read_exact_at(&mut end, head.size - length)?;
    let intact = end
        .strip_suffix(b"\n")
        .and_then(|lines| lines.rsplit(|byte| *byte == b'\n').next())
        .and_then(unseal)
        .is_some_and(|last| last.seq == link.seq && last.hash == link.hash);
    if intact {
        Ok(link)
    } else {
        Err(flaw(Damage::Changed).into())
    }
}

/// Checks the records from byte `start` on, and returns where they end. What is left of a
/// record that a power cut interrupted was never acted on (or, with grouped syncs, at most a
/// tenth of a second old): it is kept in `.torn` and cut off, since no chain can go on from it.
fn read_on(path: &Path, file: &File, start: u64, after: Link) -> Result<(u64, Link), Refusal> {
    let mut reader = BufReader::new(file);
    reader.seek(SeekFrom::Start(start))?;
    let (mut size, mut chain, mut line) = (start, Chain::after(after), vec![]);
    loop {
        match read_line(&mut reader, &mut line)? {
            Line::End => break,
            Line::Whole => {
                chain.step(&line)?;
                size += line.len() as u64 + 1;
            }
            Line::TooLong => return Err(chain.flaw(Damage::Changed).into()),
            Line::Incomplete => {
                set_aside(path, &line)?;
                file.set_len(size)?;
                break;
            }
        }
    }
    Ok((size, chain.link))
}

fn set_aside(path: &Path, torn: &[u8]) -> io::Result<()> {
    let aside = beside(path, ".torn");
    let mut file = OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o600)
        .open(&aside)?;
    file.write_all(&[torn, b"\n"].concat())?;
    file.sync_all()?;
    tracing::warn!(event = "audit.torn_record_set_aside", path = %aside.display(), bytes = torn.len());
    Ok(())
}

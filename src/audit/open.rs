//! Opening the audit: one writer only, and only on a chain whose end is sound.

use std::fs::{File, OpenOptions, Permissions, TryLockError};
use std::io::{self, BufReader, Seek, SeekFrom, Write};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use thiserror::Error;
use time::OffsetDateTime;

use crate::audit::chain::{Chain, Damage, Flaw, Line, read_line};
use crate::audit::head::{self, Head, HeadFile, beside};
use crate::audit::log::{Log, Opened};
use crate::audit::mark::{CHECKPOINT, Why};
use crate::audit::record::{Link, MAX_LINE, unseal};
use crate::audit::rotate::{recover, sync_folder};
use crate::audit::settings::Settings;
use crate::audit::sink::Sinks;
use crate::broker::ports::AuditError;

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
    /// A sink it needs does not take its first record.
    #[error(transparent)]
    Sink(#[from] AuditError),
    /// It cannot be read or written.
    #[error("{path}: {source}")]
    Io {
        /// The audit.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// Opens, and if need be creates, the audit, and signs what nobody signed.
///
/// Checked is what came after the noted head, for that is what a crash can have damaged; the
/// whole is checked by `vaultgram audit verify`, or here when there is no head.
pub(super) fn open(settings: &Settings) -> Result<Log, OpenError> {
    let path = || settings.path.clone();
    open_file(settings).map_err(|error| match error {
        Refusal::Open(error) => error,
        Refusal::Io(source) => OpenError::Io {
            path: path(),
            source,
        },
        Refusal::Flaw(flaw) => OpenError::Flaw { path: path(), flaw },
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

fn open_file(settings: &Settings) -> Result<Log, Refusal> {
    let path = settings.path.as_path();
    let in_use = || OpenError::InUse(path.to_owned());
    if !recover(path)? {
        return Err(in_use().into());
    }
    let file = OpenOptions::new()
        .read(true)
        .append(true)
        .create(true)
        .mode(0o600)
        .open(path)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Err(in_use().into()),
        Err(TryLockError::Error(error)) => return Err(error.into()),
    }
    let metadata = file.metadata()?;
    let others_write = Permissions::mode(&metadata.permissions()) & 0o022 != 0;
    let ours = metadata.uid() == rustix::process::geteuid().as_raw();
    if !metadata.is_file() || !ours || others_write {
        return Err(OpenError::Permissions(path.to_owned()).into());
    }
    let end = check(path, &file, metadata.len())?;
    let mut log = Log::new(Opened {
        path: path.to_owned(),
        file,
        head: HeadFile::open(path)?,
        size: end.size,
        base: end.chain.base,
        began: end.began,
        chain: end.chain.id,
        link: end.chain.link,
        signed: end.signed,
        sinks: Sinks::open(&settings.sinks)?,
        key: settings.key.clone(),
    })?;
    log.sync_opened()?;
    // So that the names of new files survive a power cut too.
    sync_folder(path)?;
    log.checkpoint(Why::Start, settings.clock.now())
        .and_then(|()| log.sync())
        .map_err(OpenError::Sink)?;
    Ok(log)
}

/// Where a file ends.
struct End {
    chain: Chain,
    size: u64,
    began: Option<OffsetDateTime>,
    /// Whether its last record is a checkpoint.
    signed: bool,
}

fn check(path: &Path, file: &File, size: u64) -> Result<End, Refusal> {
    let noted = head::read(path)?;
    if noted.is_none() && size > 0 {
        tracing::warn!(event = "audit.head_missing", path = %path.display());
    }
    let (mut chain, began) = beginning(file)?;
    let mut end = (0, false);
    match noted {
        Some(head) if head.seq > chain.base => {
            let (link, signed) = check_head(file, size, &head, chain.base)?;
            chain.link = link;
            end = (head.size, signed);
        }
        // The file was begun, and its head not noted before the crash.
        Some(head) if head.seq == chain.base && head.hash != chain.link.hash => {
            return Err(chain.flaw(Damage::HeadMissing(head.hash)).into());
        }
        Some(head) if head.seq < chain.base => {
            tracing::warn!(event = "audit.head_behind", path = %path.display(), seq = head.seq);
        }
        Some(_) | None => {}
    }
    read_on(path, file, chain, end, began)
}

/// The chain before a file's first record, and that record's time.
fn beginning(file: &File) -> io::Result<(Chain, Option<OffsetDateTime>)> {
    let mut line = vec![];
    let mut reader = BufReader::new(file);
    reader.rewind()?;
    let whole = matches!(read_line(&mut reader, &mut line)?, Line::Whole);
    let first = unseal(&line).filter(|_| whole);
    let began = first.as_ref().and_then(|first| {
        OffsetDateTime::parse(first.time, &time::format_description::well_known::Rfc3339).ok()
    });
    let mut chain = Chain::default();
    if let Some(first) = first {
        chain.begin_with(&first, &line);
    }
    Ok((chain, began))
}

/// Checks that the noted record still stands where it stood; and whether it is a checkpoint.
fn check_head(file: &File, size: u64, head: &Head, base: u64) -> Result<(Link, bool), Refusal> {
    let flaw = |what| Flaw {
        line: head.seq - base,
        what,
    };
    if size < head.size {
        return Err(flaw(Damage::HeadMissing(head.hash.clone())).into());
    }
    let link = Link {
        seq: head.seq,
        hash: head.hash.clone(),
    };
    // The record with its newline, and the newline before it unless it is the first.
    let length = head.size.min(MAX_LINE as u64 + 2);
    let mut end = vec![0; usize::try_from(length).unwrap_or(MAX_LINE)];
    file.read_exact_at(&mut end, head.size - length)?;
    let last = end
        .strip_suffix(b"\n")
        .and_then(|lines| lines.rsplit(|byte| *byte == b'\n').next())
        .and_then(unseal)
        .filter(|last| last.seq == link.seq && last.hash == link.hash);
    match last {
        Some(last) => Ok((link, last.event == CHECKPOINT)),
        None => Err(flaw(Damage::Changed).into()),
    }
}

/// Checks the records from byte `start` on, and returns where they end. What is left of a
/// record that a power cut interrupted was never acted on (or, with grouped syncs, at most a
/// tenth of a second old): it is kept in `.torn` and cut off, since no chain can go on from it.
fn read_on(
    path: &Path,
    file: &File,
    mut chain: Chain,
    (start, mut signed): (u64, bool),
    began: Option<OffsetDateTime>,
) -> Result<End, Refusal> {
    let mut reader = BufReader::new(file);
    reader.seek(SeekFrom::Start(start))?;
    let (mut size, mut line) = (start, vec![]);
    loop {
        match read_line(&mut reader, &mut line)? {
            Line::End => break,
            Line::Whole => {
                signed = chain.step(&line)?.event == CHECKPOINT;
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
    Ok(End {
        chain,
        size,
        began,
        signed,
    })
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

//! Checking a chain: every changed, removed, repeated or moved record, and where.
//!
//! What the chain alone can not show is a removed end, or a chain rewritten from some record
//! on: both are noticed only against a hash kept elsewhere. The `.head` file beside the audit
//! is such a place, though one that whoever can write the audit can write as well, so note
//! the head on another machine from time to time and compare (`audit verify --head HASH`).

use std::fs::{File, TryLockError};
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use thiserror::Error;

use crate::audit::head;
use crate::audit::record::{Link, MAX_LINE, unseal};

/// Bytes read at a time.
const CHUNK: usize = 256 * 1024;

/// A chain in which nothing is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// How many records it has.
    pub records: u64,
    /// The first record's time, RFC 3339.
    pub first: Option<String>,
    /// The last record's time, RFC 3339.
    pub last: Option<String>,
    /// The last record's hash, in hexadecimal: worth noting elsewhere.
    pub head: String,
}

/// What is wrong, at the first line where it shows. `Display` is a sentence for people.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("line {line}: {what}")]
pub struct Flaw {
    /// The line, from 1.
    pub line: u64,
    /// What is wrong there.
    pub what: Damage,
}

/// Kinds of damage.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Damage {
    /// The line is not what was written: its own hash does not fit.
    #[error("this record was changed")]
    Changed,
    /// A later record stands here.
    #[error("record {expected} was removed or moved: record {found} stands here")]
    Missing {
        /// The number that belongs here.
        expected: u64,
        /// The number that is here.
        found: u64,
    },
    /// An earlier record stands here.
    #[error("record {found} was repeated or moved here, where record {expected} belongs")]
    Repeated {
        /// The number that belongs here.
        expected: u64,
        /// The number that is here.
        found: u64,
    },
    /// The line is sound, and its number fits, but it was written after another record than
    /// the one before it.
    #[error("this record does not follow the one before: one of them was replaced")]
    Detached,
    /// The last line has no end.
    #[error("this record is incomplete; the next start of vaultgram sets it aside")]
    Torn,
    /// The chain is sound, but a head noted earlier is not in it.
    #[error("no record has the hash noted earlier, {0}: the end was removed or all was rewritten")]
    HeadMissing(String),
}

impl Damage {
    /// The name for programs.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Changed => "changed",
            Self::Missing { .. } => "missing",
            Self::Repeated { .. } => "repeated",
            Self::Detached => "detached",
            Self::Torn => "torn",
            Self::HeadMissing(_) => "head_missing",
        }
    }
}

/// Why there is no summary.
#[derive(Debug, Error)]
pub enum VerifyError {
    /// The audit is not sound.
    #[error(transparent)]
    Flaw(#[from] Flaw),
    /// The audit could not be read.
    #[error("cannot read: {0}")]
    Read(#[from] io::Error),
}

/// Checks the chain in `reader`, of any length, in constant memory. Each of `noted` must be
/// the hash of one of its records.
///
/// # Errors
/// The first flaw, or that reading failed.
pub fn verify(reader: impl BufRead, noted: &[String]) -> Result<Summary, VerifyError> {
    match scan(reader, noted)? {
        (_, Some(torn)) => Err(torn.into()),
        (summary, None) => Ok(summary),
    }
}

/// Checks the audit file at `path` against its `.head` file and, where given, against a head
/// noted elsewhere. A file that is being written may be checked at any time.
///
/// # Errors
/// The first flaw, or that a file could not be read.
pub fn verify_file(path: &Path, noted: Option<&str>) -> Result<Summary, VerifyError> {
    // The head first: what is written meanwhile can then only come after it.
    let head = head::read(path)?.map(|head| head.hash);
    let noted: Vec<String> = head.into_iter().chain(noted.map(str::to_owned)).collect();
    let file = File::open(path)?;
    let (summary, torn) = scan(BufReader::with_capacity(CHUNK, &file), &noted)?;
    match torn {
        Some(torn) if !is_being_written(&file)? => Err(torn.into()),
        Some(_) | None => Ok(summary),
    }
}

/// Whether a writer has this file open: its last line is then incomplete only for a moment.
fn is_being_written(file: &File) -> io::Result<bool> {
    match file.try_lock_shared() {
        Ok(()) => Ok(false),
        Err(TryLockError::WouldBlock) => Ok(true),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// Checks all complete lines; a flaw of the incomplete last one comes beside the summary.
fn scan(
    mut reader: impl BufRead,
    noted: &[String],
) -> Result<(Summary, Option<Flaw>), VerifyError> {
    let mut chain = Chain::after(Link::genesis());
    let mut missing: Vec<&String> = noted.iter().collect();
    missing.retain(|hash| **hash != chain.link.hash);
    let (mut first, mut last, mut torn) = (None, String::new(), None);
    let mut line = vec![];
    loop {
        match read_line(&mut reader, &mut line)? {
            Line::End => break,
            Line::Incomplete => {
                torn = Some(chain.flaw(Damage::Torn));
                break;
            }
            Line::TooLong => return Err(chain.flaw(Damage::Changed).into()),
            Line::Whole => {
                let time = chain.step(&line)?;
                first.get_or_insert_with(|| time.to_owned());
                time.clone_into(&mut last);
            }
        }
        missing.retain(|hash| **hash != chain.link.hash);
    }
    if let Some(hash) = missing.first() {
        return Err(chain.flaw(Damage::HeadMissing((*hash).clone())).into());
    }
    let summary = Summary {
        records: chain.link.seq,
        last: first.is_some().then_some(last),
        first,
        head: chain.link.hash,
    };
    Ok((summary, torn))
}

/// A chain, checked so far.
pub(super) struct Chain {
    /// The last sound record.
    pub(super) link: Link,
}

impl Chain {
    pub(super) fn after(link: Link) -> Self {
        Self { link }
    }

    /// Checks that `line` is the next record, and returns its time.
    pub(super) fn step<'l>(&mut self, line: &'l [u8]) -> Result<&'l str, Flaw> {
        let expected = self.link.seq + 1;
        let record = unseal(line).ok_or_else(|| self.flaw(Damage::Changed))?;
        let found = record.seq;
        if found > expected {
            return Err(self.flaw(Damage::Missing { expected, found }));
        }
        if found < expected {
            return Err(self.flaw(Damage::Repeated { expected, found }));
        }
        if record.prev != self.link.hash {
            return Err(self.flaw(Damage::Detached));
        }
        self.link.seq = found;
        record.hash.clone_into(&mut self.link.hash);
        Ok(record.time)
    }

    /// A flaw in the line after the last sound one. Records count from 1, a line each, so a
    /// record's number is its line.
    pub(super) fn flaw(&self, what: Damage) -> Flaw {
        Flaw {
            line: self.link.seq + 1,
            what,
        }
    }
}

/// What [`read_line`] found.
pub(super) enum Line {
    /// A line; its newline is not part of it.
    Whole,
    /// A last line without a newline.
    Incomplete,
    /// Over [`MAX_LINE`].
    TooLong,
    /// Nothing more.
    End,
}

/// Reads the next line into `line`, at most [`MAX_LINE`] bytes of it.
pub(super) fn read_line(reader: &mut impl BufRead, line: &mut Vec<u8>) -> io::Result<Line> {
    line.clear();
    let limit = MAX_LINE as u64 + 1;
    if reader.take(limit).read_until(b'\n', line)? == 0 {
        return Ok(Line::End);
    }
    if line.last() == Some(&b'\n') {
        line.pop();
        Ok(Line::Whole)
    } else if line.len() as u64 == limit {
        Ok(Line::TooLong)
    } else {
        Ok(Line::Incomplete)
    }
}

//! Checking a chain: every changed, removed, repeated or moved record, and where.
//!
//! What the chain alone can not show is a removed end, or a chain rewritten from some record
//! on: both are noticed only against something kept elsewhere. The `.head` file beside the audit
//! is such a place, though one that whoever can write the audit can write as well. Better are a
//! head noted on another machine (`--head HASH`), checkpoints signed with a key that is not in
//! the attacker's hands (`--key`), and heads posted to a chat (`--against-chat`).

use std::fs::{File, TryLockError};
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::audit::chain::{Chain, Line, examine, read_line};
pub use crate::audit::chain::{Damage, Flaw};
use crate::audit::head;
use crate::audit::key::PublicKey;
use crate::audit::posted::Posted;
use crate::audit::record::unseal;
use crate::audit::series;

/// A chain in which nothing is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// How many records were checked.
    pub records: u64,
    /// The first one's number; 1 unless older files were left out.
    pub from: u64,
    /// The first record's time, RFC 3339.
    pub first: Option<String>,
    /// The last record's time, RFC 3339.
    pub last: Option<String>,
    /// The last record's hash, in hexadecimal: worth noting elsewhere.
    pub head: String,
    /// What is signed.
    pub signed: Coverage,
    /// How many heads of a chat were found again.
    pub posted: u64,
    /// How many were passed over: without a signature of the keys named, or of older files.
    pub passed_over: u64,
}

/// What checkpoints say of a chain.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Coverage {
    /// How many there are.
    pub checkpoints: u64,
    /// The number of the last one.
    pub up_to: Option<u64>,
    /// The short name of the last one's key.
    pub key: Option<String>,
    /// Records that only a start signed, as it found them: after a crash, or a change.
    pub found: u64,
}

/// What is to be found besides a sound chain.
#[derive(Debug, Clone, Default)]
pub struct Demands {
    /// Hashes that records must have.
    pub noted: Vec<String>,
    /// Whose signatures are checked; none: nobody's.
    pub keys: Vec<PublicKey>,
    /// Everything must be signed, but for the end of a file that is being written.
    pub signed: bool,
    /// Heads that must be there; unsigned ones only where there are no `keys`.
    pub posted: Vec<Posted>,
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
    let demands = Demands {
        noted: noted.to_vec(),
        ..Demands::default()
    };
    verify_as(reader, &demands)
}

/// As [`verify`], with any demands.
///
/// # Errors
/// As [`verify`].
pub fn verify_as(reader: impl BufRead, demands: &Demands) -> Result<Summary, VerifyError> {
    let mut scan = Scan::new(demands);
    if let Some(torn) = scan.part(reader)? {
        return Err(torn.into());
    }
    Ok(scan.finish(false)?)
}

/// Checks the audit file at `path` against its `.head` file and, where given, against a head
/// noted elsewhere. A file that is being written may be checked at any time.
///
/// # Errors
/// The first flaw, or that a file could not be read.
pub fn verify_file(path: &Path, noted: Option<&str>) -> Result<Summary, VerifyError> {
    let demands = Demands {
        noted: noted.map(str::to_owned).into_iter().collect(),
        ..Demands::default()
    };
    verify_files(&[path.to_owned()], demands).map_err(|(_, error)| error)
}

/// Checks the chain over several files, in any order, and the files of folders; each against its
/// `.head` file too, where it has one.
///
/// # Errors
/// The first flaw, and in which file; or that a file could not be read.
pub fn verify_files(
    paths: &[PathBuf],
    mut demands: Demands,
) -> Result<Summary, (PathBuf, VerifyError)> {
    let whole = paths.first().cloned().unwrap_or_default();
    let unreadable = |error: io::Error| (whole.clone(), VerifyError::from(error));
    // The heads first: what is written meanwhile can then only come after them.
    let heads = heads(paths).map_err(unreadable)?;
    demands.noted.extend(heads);
    let parts = series::of(paths).map_err(unreadable)?;
    let mut scan = Scan::new(&demands);
    let last = parts.len().saturating_sub(1);
    let mut being_written = false;
    for (number, part) in parts.iter().enumerate() {
        let failed = |error: VerifyError| (part.path.clone(), error);
        let unreadable = |error: io::Error| failed(error.into());
        let reader = part.reader().map_err(unreadable)?;
        let torn = scan.part(reader).map_err(failed)?;
        let open = || is_being_written(&part.file()?);
        being_written = number == last && open().map_err(unreadable)?;
        match torn {
            Some(torn) if !being_written => return Err(failed(torn.into())),
            Some(_) | None => {}
        }
    }
    let end = parts.last().map_or(whole, |part| part.path.clone());
    scan.finish(being_written)
        .map_err(|flaw| (end, flaw.into()))
}

/// What the `.head` files beside these files say, and those in folders. A head that is older than
/// its file begins is of no use: a rotation left it behind.
fn heads(paths: &[PathBuf]) -> io::Result<Vec<String>> {
    let mut heads = vec![];
    for path in paths {
        if path.is_dir() {
            for name in series::names(path, |name| name.ends_with(".jsonl.head"))? {
                let audit = path.join(name.trim_end_matches(".head"));
                heads.extend(head::read(&audit)?.map(|head| head.hash));
            }
            continue;
        }
        let Some(head) = head::read(path)? else {
            continue;
        };
        let begins = File::open(path).ok().and_then(|file| {
            let mut line = vec![];
            read_line(&mut BufReader::new(file), &mut line).ok()?;
            unseal(&line).map(|first| first.seq)
        });
        if begins.is_none_or(|first| head.seq + 1 >= first) {
            heads.push(head.hash);
        }
    }
    Ok(heads)
}

/// Whether a writer has this file open: its last line is then incomplete only for a moment.
fn is_being_written(file: &File) -> io::Result<bool> {
    match file.try_lock_shared() {
        Ok(()) => {
            file.unlock()?;
            Ok(false)
        }
        Err(TryLockError::WouldBlock) => Ok(true),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// A check in progress.
struct Scan<'d> {
    demands: &'d Demands,
    chain: Chain,
    /// The number of the first record that was checked.
    from: Option<u64>,
    missing: Vec<&'d String>,
    /// Sorted by record; what is left of it.
    posted: std::iter::Peekable<std::vec::IntoIter<&'d Posted>>,
    found: u64,
    passed_over: u64,
    first: Option<String>,
    last: String,
    signed: Coverage,
}

impl<'d> Scan<'d> {
    fn new(demands: &'d Demands) -> Self {
        let mut posted: Vec<&Posted> = demands.posted.iter().collect();
        posted.sort_by_key(|posted| posted.seq);
        Self {
            demands,
            chain: Chain::default(),
            from: None,
            missing: demands.noted.iter().collect(),
            posted: posted.into_iter().peekable(),
            found: 0,
            passed_over: 0,
            first: None,
            last: String::new(),
            signed: Coverage::default(),
        }
    }

    /// Checks all complete lines of the next file; a flaw of the incomplete last one is returned.
    fn part(&mut self, mut reader: impl BufRead) -> Result<Option<Flaw>, VerifyError> {
        self.chain.base = self.chain.link.seq;
        self.tick();
        let mut line = vec![];
        loop {
            match read_line(&mut reader, &mut line)? {
                Line::End => return Ok(None),
                Line::Incomplete => return Ok(Some(self.chain.flaw(Damage::Torn))),
                Line::TooLong => return Err(self.chain.flaw(Damage::Changed).into()),
                Line::Whole => self.step(&line)?,
            }
        }
    }

    fn step(&mut self, line: &[u8]) -> Result<(), Flaw> {
        if self.from.is_none()
            && let Some(first) = unseal(line)
        {
            self.chain.begin_with(&first, line);
            self.from = Some(self.chain.base + 1);
            self.tick();
            self.pass_over_older();
            self.compare_posted()?;
        }
        let before = self.chain.link.clone();
        let record = self.chain.step(line)?;
        let here = |what| Flaw {
            line: record.seq - self.chain.base,
            what,
        };
        let signed = examine(&record, line, self.chain.id.as_deref(), &self.demands.keys);
        if let Some(signed) = signed.map_err(here)? {
            if signed.at_start {
                let older = self.from.unwrap_or(1) - 1;
                self.signed.found += before.seq - self.signed.up_to.unwrap_or(older);
            }
            self.signed.checkpoints += 1;
            self.signed.up_to = Some(record.seq);
            self.signed.key = Some(signed.key);
        }
        self.first.get_or_insert_with(|| record.time.to_owned());
        record.time.clone_into(&mut self.last);
        self.tick();
        self.compare_posted()
    }

    /// Crosses off the hash that was reached.
    fn tick(&mut self) {
        let hash = &self.chain.link.hash;
        self.missing.retain(|missing| *missing != hash);
    }

    /// Heads of records that are in older files say nothing here.
    fn pass_over_older(&mut self) {
        let base = self.chain.base;
        while self.posted.next_if(|posted| posted.seq < base).is_some() {
            self.passed_over += 1;
        }
    }

    /// Compares what stands in the chat for the record that was reached.
    fn compare_posted(&mut self) -> Result<(), Flaw> {
        let (seq, hash) = (self.chain.link.seq, self.chain.link.hash.clone());
        while let Some(posted) = self.posted.next_if(|posted| posted.seq <= seq) {
            if !self.counts(posted) {
                self.passed_over += 1;
            } else if posted.seq == seq && posted.hash != hash {
                return Err(Flaw {
                    line: seq - self.chain.base,
                    what: Damage::PostedDiffers { seq },
                });
            } else {
                self.found += 1;
            }
        }
        Ok(())
    }

    /// Anybody in the chat can write a line; only a signature says whose it is.
    fn counts(&self, posted: &Posted) -> bool {
        let chain = self.chain.id.as_deref().unwrap_or_default();
        self.demands.keys.is_empty() || posted.is_signed(chain, &self.demands.keys)
    }

    fn finish(mut self, being_written: bool) -> Result<Summary, Flaw> {
        while let Some(posted) = self.posted.next() {
            if self.counts(posted) {
                let what = Damage::PostedMissing { seq: posted.seq };
                return Err(self.chain.flaw(what));
            }
            self.passed_over += 1;
        }
        if self.found == 0 && !self.demands.posted.is_empty() {
            return Err(self.chain.flaw(Damage::NonePosted));
        }
        if let Some(hash) = self.missing.first() {
            return Err(self.chain.flaw(Damage::HeadMissing((*hash).clone())));
        }
        if self.demands.signed && self.chain.link.seq > 0 {
            match self.signed.up_to {
                None => return Err(self.chain.flaw(Damage::NoCheckpoint)),
                Some(seq) if seq < self.chain.link.seq && !being_written => {
                    return Err(Flaw {
                        line: (seq + 1).saturating_sub(self.chain.base).max(1),
                        what: Damage::UnsignedEnd,
                    });
                }
                Some(_) => {}
            }
        }
        let from = self.from.unwrap_or(1);
        Ok(Summary {
            records: self.chain.link.seq + 1 - from,
            from,
            last: self.first.is_some().then_some(self.last),
            first: self.first,
            head: self.chain.link.hash,
            signed: self.signed,
            posted: self.found,
            passed_over: self.passed_over,
        })
    }
}

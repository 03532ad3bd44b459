//! A chain, checked record by record: what can be wrong with it, and where.

use std::io::{self, BufRead, Read};

use thiserror::Error;

use crate::audit::key::{PublicKey, Statement};
use crate::audit::mark::{self, CHECKPOINT, CONTINUED, Checkpoint, Continued};
use crate::audit::record::{Link, MAX_LINE, Sealed, unseal};

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
    /// The chain is sound, but it is not the one that was signed.
    #[error("the signature of this checkpoint does not fit: what comes before it was rewritten")]
    BadSignature,
    /// A checkpoint of a key that was not named.
    #[error(
        "this checkpoint is signed with another key ({0}): name that one too, or it was forged"
    )]
    UnknownKey(String),
    /// Nothing is signed that should be.
    #[error(
        "nothing here is signed; the records may be anybody's; if a rotation has just begun this \
         file, check it together with the older ones"
    )]
    NoCheckpoint,
    /// The end is not signed, and nobody is writing who would.
    #[error("the records from here on are not signed: there was a crash, or the end was rewritten")]
    UnsignedEnd,
    /// A head that stands in a chat is beyond the end.
    #[error(
        "the chat has the head of record {seq}, and there is no such record: the end was removed"
    )]
    PostedMissing {
        /// The record.
        seq: u64,
    },
    /// None of the heads in a chat is of these records.
    #[error(
        "none of the heads in the chat is of these records: they were replaced, or the chat is \
         another audit's; check together with the older files, if there are any"
    )]
    NonePosted,
    /// Heads of other chains stand in a chat, whose names nobody expected there.
    #[error(
        "the chat has {count} heads of another chain, {chain}, the last of {last}: this audit was \
         made anew, or all of it rewritten; if that one is an earlier audit of yours or another \
         vaultgram's, verify it too and name it: --other-chain {chain}"
    )]
    PostedElsewhere {
        /// Its name.
        chain: String,
        /// How many there are.
        count: u64,
        /// When the last was posted, as written.
        last: String,
    },
    /// A head that stands in a chat is another one.
    #[error("record {seq} is not the one whose head stands in the chat: it was rewritten")]
    PostedDiffers {
        /// The record.
        seq: u64,
    },
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
            Self::BadSignature => "bad_signature",
            Self::UnknownKey(_) => "unknown_key",
            Self::NoCheckpoint => "no_checkpoint",
            Self::UnsignedEnd => "unsigned_end",
            Self::NonePosted => "none_posted",
            Self::PostedMissing { .. } => "posted_missing",
            Self::PostedDiffers { .. } => "posted_differs",
            Self::PostedElsewhere { .. } => "posted_elsewhere",
        }
    }
}

/// A chain, checked so far.
pub(super) struct Chain {
    /// The last sound record.
    pub(super) link: Link,
    /// Records before the file that is being checked.
    pub(super) base: u64,
    /// The hash of the chain's first record; `None` before it.
    pub(super) id: Option<String>,
}

impl Default for Chain {
    fn default() -> Self {
        Self {
            link: Link::genesis(),
            base: 0,
            id: None,
        }
    }
}

impl Chain {
    /// Takes what a file's first record says of the chain it is in, where that is not its first.
    /// [`Chain::step`] comes next.
    pub(super) fn begin_with(&mut self, first: &Sealed<'_>, line: &[u8]) {
        if first.seq == 1 {
            self.id = Some(first.hash.to_owned());
        } else if let Some(before) = first.seq.checked_sub(1)
            && first.event == CONTINUED
            && let Some(continued) = mark::read::<Continued<'_>>(line)
        {
            self.id = Some(continued.chain.to_owned());
            self.base = before;
            self.link = Link {
                seq: before,
                hash: first.prev.to_owned(),
            };
        }
    }

    /// Checks that `line` is the next record, and returns it.
    pub(super) fn step<'l>(&mut self, line: &'l [u8]) -> Result<Sealed<'l>, Flaw> {
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
        if found == 1 {
            self.id = Some(record.hash.to_owned());
        }
        Ok(record)
    }

    /// A flaw in the line after the last sound one.
    pub(super) fn flaw(&self, what: Damage) -> Flaw {
        Flaw {
            line: self.link.seq - self.base + 1,
            what,
        }
    }
}

/// Checks a checkpoint, which is `record` in `line`, in the chain `id`. Returns whether its
/// signature was checked, and whether it was written at a start; `None` for any other record.
pub(super) fn examine(
    record: &Sealed<'_>,
    line: &[u8],
    id: Option<&str>,
    keys: &[PublicKey],
) -> Result<Option<Signed>, Damage> {
    if record.event != CHECKPOINT {
        return Ok(None);
    }
    let checkpoint = mark::read::<Checkpoint<'_>>(line).ok_or(Damage::BadSignature)?;
    if id != Some(checkpoint.chain) {
        return Err(Damage::BadSignature);
    }
    let signed = Signed {
        key: checkpoint.key.to_owned(),
        at_start: checkpoint.why == mark::Why::Start.name(),
    };
    if keys.is_empty() {
        return Ok(Some(signed));
    }
    let key = keys.iter().find(|key| key.id() == checkpoint.key);
    let key = key.ok_or_else(|| Damage::UnknownKey(checkpoint.key.to_owned()))?;
    let statement = Statement {
        why: checkpoint.why,
        chain: checkpoint.chain,
        seq: record.seq - 1,
        hash: record.prev,
        time: record.time,
    };
    if key.verifies(&statement, checkpoint.signature) {
        Ok(Some(signed))
    } else {
        Err(Damage::BadSignature)
    }
}

/// A checkpoint.
pub(super) struct Signed {
    /// The key's short name.
    pub(super) key: String,
    /// It signs what was found at a start, which another run had written.
    pub(super) at_start: bool,
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

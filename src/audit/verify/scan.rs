//! A check in progress, from line to line and from file to file.

use std::collections::BTreeMap;
use std::fs::{File, TryLockError};
use std::io::{self, BufRead, BufReader, Seek, SeekFrom};

use super::{Chat, Coverage, Damage, Demands, Flaw, Summary, VerifyError};
use crate::audit::chain::{Chain, Line, examine, read_line};
use crate::audit::posted::Posted;
use crate::audit::record::unseal;
use crate::audit::series::{CHUNK, Part};

/// Which chain a head in a chat is of.
enum Whose<'a> {
    /// This one.
    Ours,
    /// It does not say; a signature, where keys were named, is for this one.
    Unnamed,
    /// That one.
    Elsewhere(&'a str),
    /// None of the keys named signed it.
    Nobodys,
}

/// A check in progress.
pub(super) struct Scan<'d> {
    demands: &'d Demands,
    chain: Chain,
    /// The number of the first record that was checked.
    from: Option<u64>,
    missing: Vec<&'d String>,
    /// Sorted by record; what is left of it.
    posted: std::iter::Peekable<std::vec::IntoIter<&'d Posted>>,
    chat: Chat,
    /// Heads of other chains that nobody expected: how many, and when the last was posted.
    elsewhere: BTreeMap<&'d str, (u64, &'d str)>,
    first: Option<String>,
    last: String,
    signed: Coverage,
}

impl<'d> Scan<'d> {
    pub(super) fn new(demands: &'d Demands) -> Self {
        let mut posted: Vec<&Posted> = demands.posted.iter().collect();
        posted.sort_by_key(|posted| posted.seq);
        Self {
            demands,
            chain: Chain::default(),
            from: None,
            missing: demands.noted.iter().collect(),
            posted: posted.into_iter().peekable(),
            chat: Chat::default(),
            elsewhere: BTreeMap::new(),
            first: None,
            last: String::new(),
            signed: Coverage::default(),
        }
    }

    /// Checks the next file; a flaw of its incomplete last line is returned, and whether it is being
    /// written, which only the `last` one can be.
    pub(super) fn file(
        &mut self,
        part: &Part,
        last: bool,
    ) -> Result<(Option<Flaw>, bool), VerifyError> {
        let file = part.file()?;
        self.begin();
        self.until_the_end(
            || Ok(last && is_being_written(&file)?),
            |from| {
                (&file).seek(SeekFrom::Start(from))?;
                Ok(BufReader::with_capacity(CHUNK, &file))
            },
        )
    }

    /// Checks what `read` reads from a byte on, until it is at the end of something that is closed,
    /// or still being written.
    fn until_the_end<R: BufRead>(
        &mut self,
        mut is_open: impl FnMut() -> io::Result<bool>,
        mut read: impl FnMut(u64) -> io::Result<R>,
    ) -> Result<(Option<Flaw>, bool), VerifyError> {
        let mut from = 0;
        loop {
            let before = is_open()?;
            let (torn, bytes) = self.lines(read(from)?)?;
            let after = is_open()?;
            if after || !before {
                return Ok((torn, after));
            }
            // Closed as we read, by a rotation or a stop: its end may have come after us.
            from += bytes;
        }
    }

    /// A file begins.
    pub(super) fn begin(&mut self) {
        self.chain.base = self.chain.link.seq;
        self.tick();
    }

    /// Checks all complete lines; a flaw of the incomplete last one is returned, and how many bytes
    /// the others are.
    pub(super) fn lines(
        &mut self,
        mut reader: impl BufRead,
    ) -> Result<(Option<Flaw>, u64), VerifyError> {
        let (mut line, mut bytes) = (vec![], 0);
        loop {
            match read_line(&mut reader, &mut line)? {
                Line::End => return Ok((None, bytes)),
                Line::Incomplete => return Ok((Some(self.chain.flaw(Damage::Torn)), bytes)),
                Line::TooLong => return Err(self.chain.flaw(Damage::Changed).into()),
                Line::Whole => {
                    bytes += line.len() as u64 + 1;
                    self.step(&line)?;
                }
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
        while let Some(posted) = self.posted.next_if(|posted| posted.seq < base) {
            match self.whose(posted) {
                Whose::Ours | Whose::Unnamed => self.chat.passed_over += 1,
                Whose::Nobodys | Whose::Elsewhere(_) => self.set_aside(posted),
            }
        }
    }

    /// Compares what stands in the chat for the record that was reached.
    fn compare_posted(&mut self) -> Result<(), Flaw> {
        let (seq, hash) = (self.chain.link.seq, self.chain.link.hash.clone());
        while let Some(posted) = self.posted.next_if(|posted| posted.seq <= seq) {
            let whose = self.whose(posted);
            let ours = matches!(whose, Whose::Ours | Whose::Unnamed);
            if ours && posted.seq == seq && posted.hash != hash {
                return Err(Flaw {
                    line: seq - self.chain.base,
                    what: Damage::PostedDiffers { seq },
                });
            }
            match whose {
                Whose::Ours => self.chat.found += 1,
                Whose::Unnamed => self.chat.unnamed += 1,
                Whose::Nobodys | Whose::Elsewhere(_) => self.set_aside(posted),
            }
        }
        Ok(())
    }

    /// Anybody in the chat can write a line; only a signature says whose it is.
    fn whose(&self, posted: &'d Posted) -> Whose<'d> {
        let (named, ours) = (posted.chain.as_deref(), self.chain.id.as_deref());
        let keys = &self.demands.keys;
        let chain = named.or(ours).unwrap_or_default();
        if !keys.is_empty() && !posted.is_signed(chain, keys) {
            return Whose::Nobodys;
        }
        match (named, ours) {
            (Some(named), Some(ours)) if named != ours => Whose::Elsewhere(named),
            (Some(_), _) => Whose::Ours,
            (None, _) => Whose::Unnamed,
        }
    }

    /// Counts a head that says nothing of this chain.
    fn set_aside(&mut self, posted: &'d Posted) {
        match self.whose(posted) {
            Whose::Elsewhere(chain) if self.demands.other_chains.iter().any(|it| it == chain) => {
                self.chat.elsewhere += 1;
            }
            Whose::Elsewhere(chain) => {
                let (count, last) = self.elsewhere.entry(chain).or_default();
                *count += 1;
                *last = (*last).max(&posted.time);
            }
            Whose::Nobodys | Whose::Ours | Whose::Unnamed => {
                self.chat.passed_over += 1;
                let unclear = posted.chain.is_none() && posted.names_one_of(&self.demands.keys);
                self.chat.unclear += u64::from(unclear);
            }
        }
    }

    pub(super) fn finish(mut self, being_written: bool) -> Result<Summary, Flaw> {
        while let Some(posted) = self.posted.next() {
            match self.whose(posted) {
                Whose::Ours | Whose::Unnamed => {
                    let what = Damage::PostedMissing { seq: posted.seq };
                    return Err(self.chain.flaw(what));
                }
                Whose::Nobodys | Whose::Elsewhere(_) => self.set_aside(posted),
            }
        }
        if let Some((chain, (count, last))) = self.elsewhere.first_key_value() {
            return Err(Flaw {
                line: 1,
                what: Damage::PostedElsewhere {
                    chain: (*chain).to_owned(),
                    count: *count,
                    last: (*last).to_owned(),
                },
            });
        }
        if self.chat.found + self.chat.unnamed == 0 && !self.demands.posted.is_empty() {
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
            chain: self.chain.id,
            chat: self.chat,
        })
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::record::{Link, seal_fields};

    #[test]
    fn what_is_closed_as_we_read_is_read_to_its_end() {
        let (mut text, mut link) = (vec![], Link::genesis());
        for seq in 1..=3 {
            let fields = serde_json::json!({
                "seq": seq, "time": "T", "event": "done", "prev": link.hash,
            });
            link = seal_fields(seq, &fields, &mut text).unwrap();
        }
        let half = text.len() - 10;
        let demands = Demands {
            noted: vec![link.hash],
            ..Demands::default()
        };
        // Whether it is open at each look, and how much of it is there at each reading.
        for (open, lengths, torn) in [
            (
                vec![true, false, false, false],
                vec![half, text.len()],
                false,
            ),
            (vec![true, true], vec![half], true),
            (vec![false, false], vec![half], true),
            (vec![true, false, false, false], vec![half, half], true),
        ] {
            let (mut open, mut lengths) = (open.into_iter(), lengths.into_iter());
            let mut scan = Scan::new(&demands);
            scan.begin();
            let found = scan.until_the_end(
                || Ok(open.next().unwrap()),
                |from| {
                    let there = &text[..lengths.next().unwrap()];
                    Ok(&there[usize::try_from(from).unwrap()..])
                },
            );
            assert_eq!(found.unwrap().0.is_some(), torn);
            assert_eq!(scan.finish(false).is_err(), torn);
            assert_eq!((open.next(), lengths.next()), (None, None));
        }
    }
}

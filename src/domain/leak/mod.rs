//! Finding again, in what people write, the values that were handed out; without keeping these.
//!
//! Of each value its length and two keyed marks are kept: of the eight bytes in its middle, which
//! are looked for at every place of a text, and of the whole, which decides. The first says
//! little (24 bits), so that most places are passed by and eight bytes cannot be had from it. The
//! second says nothing to who does not know the value; but who has it and the key can try values,
//! which finds those that are easily guessed.

mod forms;
mod worth;

use std::collections::{BTreeSet, HashMap};

use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

pub use self::forms::forms;
pub use self::worth::pieces;

/// Bytes looked at at once.
const WINDOW: usize = 8;
/// Bits kept of these.
const BITS: u32 = 24;
/// Bytes kept of the mark of a whole value.
const TAG: usize = 16;
/// The most wholes that are tried in a text: far more than any that was not made for it has, and
/// some milliseconds.
const MAX_TRIED: usize = 20_000;
/// The most values that share a middle: far more than chance brings. Each is looked at wherever a
/// text has that.
const MAX_AT_PLACE: usize = 256;
/// The most owners that are named of a text.
const MAX_FOUND: usize = 64;

/// Random bytes that nobody knows.
pub type Key = Zeroizing<[u8; 48]>;

/// Whose a value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Owner {
    /// What was handed out.
    pub release: u64,
    /// The place of the field in it.
    pub field: u16,
}

/// Where a value is listed, to be taken off again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place(u32);

/// The values that are looked for.
pub struct Watchlist {
    key: Key,
    marks: HashMap<u32, Vec<Mark>>,
    count: usize,
}

struct Mark {
    length: usize,
    tag: [u8; TAG],
    owner: Owner,
}

impl Watchlist {
    /// An empty one.
    #[must_use]
    pub fn new(key: Key) -> Self {
        Self {
            key,
            marks: HashMap::new(),
            count: 0,
        }
    }

    /// How many values are on it.
    #[must_use]
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Looks for `value` from now on; `None` for one that is too short.
    pub fn add(&mut self, value: &[u8], owner: Owner) -> Option<Place> {
        let middle = value.get(before(value.len())..)?.first_chunk()?;
        let place = self.place(u64::from_le_bytes(*middle));
        let mark = Mark {
            length: value.len(),
            tag: self.tag(value),
            owner,
        };
        let marks = self.marks.entry(place).or_default();
        if marks.len() >= MAX_AT_PLACE {
            return None;
        }
        // Equal lengths side by side, so that each is tried once.
        let at = marks.partition_point(|listed| listed.length < mark.length);
        marks.insert(at, mark);
        self.count += 1;
        Some(Place(place))
    }

    /// Looks no longer for what `release` has at `place`.
    pub fn remove(&mut self, release: u64, Place(place): Place) {
        let Some(marks) = self.marks.get_mut(&place) else {
            return;
        };
        let listed = marks.len();
        marks.retain(|mark| mark.owner.release != release);
        self.count -= listed - marks.len();
        if marks.is_empty() {
            self.marks.remove(&place);
        }
    }

    /// Whose values are in `text`, as it is or in one of its [`forms`].
    #[must_use]
    pub fn find(&self, text: &str) -> BTreeSet<Owner> {
        let mut found = BTreeSet::new();
        let mut tries = MAX_TRIED;
        if self.is_empty() {
            return found;
        }
        self.look_into(text.as_bytes(), &mut tries, &mut found);
        forms(text, &mut |form| {
            self.look_into(form, &mut tries, &mut found);
        });
        found
    }

    fn look_into(&self, text: &[u8], tries: &mut usize, found: &mut BTreeSet<Owner>) {
        let mut window = 0_u64;
        for (at, byte) in text.iter().enumerate() {
            window = (window >> 8) | (u64::from(*byte) << 56);
            let Some(start) = (at + 1).checked_sub(WINDOW) else {
                continue;
            };
            let Some(marks) = self.marks.get(&self.place(window)) else {
                continue;
            };
            let mut last: Option<(usize, [u8; TAG])> = None;
            for mark in marks {
                let known = last.filter(|(length, _)| *length == mark.length);
                let tag = if let Some((_, tag)) = known {
                    tag
                } else {
                    let whole = start.checked_sub(before(mark.length));
                    let whole = whole.and_then(|from| text.get(from..from + mark.length));
                    let Some((whole, left)) = whole.zip(tries.checked_sub(1)) else {
                        continue;
                    };
                    *tries = left;
                    self.tag(whole)
                };
                last = Some((mark.length, tag));
                if tag == mark.tag && found.len() < MAX_FOUND {
                    found.insert(mark.owner);
                }
            }
        }
    }

    /// A multiply-shift hash: universal, and most of the window cannot be had from it.
    fn place(&self, window: u64) -> u32 {
        let (_, rest) = self.key.split_at(32);
        let half = |half: Option<&[u8; 8]>| u64::from_le_bytes(half.copied().unwrap_or_default());
        let factor = half(rest.first_chunk()) | 1;
        let summand = half(rest.last_chunk());
        let hash = window.wrapping_mul(factor).wrapping_add(summand);
        u32::try_from(hash >> (u64::BITS - BITS)).unwrap_or_default()
    }

    /// Never shown to anybody, so that nothing can be appended to what it is of: no HMAC is needed.
    fn tag(&self, value: &[u8]) -> [u8; TAG] {
        let (key, _) = self.key.split_at(32);
        let hash = Sha256::new().chain_update(key).chain_update(value);
        let hash: [u8; 32] = hash.finalize().into();
        hash.first_chunk().copied().unwrap_or_default()
    }
}

/// How many bytes of a value of `length` come before its middle.
fn before(length: usize) -> usize {
    length.saturating_sub(WINDOW) / 2
}

#[cfg(test)]
mod tests;

//! Checking a chain: every changed, removed, repeated or moved record, and where.
//!
//! What the chain alone can not show is a removed end, or a chain rewritten from some record
//! on: both are noticed only against something kept elsewhere. The `.head` file beside the audit
//! is such a place, though one that whoever can write the audit can write as well. Better are a
//! head noted on another machine (`--head HASH`), checkpoints signed with a key that is not in
//! the attacker's hands (`--key`), and heads posted to a chat (`--against-chat`).

mod scan;

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::audit::chain::read_line;
pub use crate::audit::chain::{Damage, Flaw};
use crate::audit::head;
use crate::audit::key::PublicKey;
use crate::audit::posted::Posted;
use crate::audit::record::unseal;
use crate::audit::series;
use crate::audit::verify::scan::Scan;

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
    /// The chain's name: the hash of its first record, where there is one.
    pub chain: Option<String>,
    /// The heads in a chat.
    pub chat: Chat,
}

/// What became of the heads in a chat.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Chat {
    /// Found again, and of this chain by their own word.
    pub found: u64,
    /// Found again, though their lines name no chain.
    pub unnamed: u64,
    /// Of chains that were expected there beside this one.
    pub elsewhere: u64,
    /// Passed over: without a signature of the keys named, or of older files.
    pub passed_over: u64,
    /// Of those, such as name no chain and have one of the keys' names: they may be of a chain that
    /// this one replaced.
    pub unclear: u64,
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
    /// Chains whose heads may be among these.
    pub other_chains: Vec<String>,
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
    scan.begin();
    match scan.lines(reader)? {
        (Some(torn), _) => Err(torn.into()),
        (None, _) => Ok(scan.finish(false)?),
    }
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
    // The heads before what they are heads of is read: what is written meanwhile can then only come
    // after them.
    let found = series::unmoved(paths, || Ok((heads(paths)?, series::open_all(paths)?)));
    let (heads, parts) = found.map_err(unreadable)?;
    demands.noted.extend(heads);
    let mut scan = Scan::new(&demands);
    let last = parts.len().saturating_sub(1);
    let mut being_written = false;
    for (number, part) in parts.iter().enumerate() {
        let failed = |error: VerifyError| (part.path.clone(), error);
        let (torn, open) = scan.file(part, number == last).map_err(failed)?;
        being_written = open;
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

//! The files of an audit in order: the rotated ones, then the one that is written.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Seek};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::audit::chain::{Line, read_line};
use crate::audit::record::unseal;
use crate::audit::rotate::{is_closed, is_rotated};

/// Bytes read at a time.
const CHUNK: usize = 256 * 1024;
/// Files of one audit; more are a mistake.
const MAX_FILES: usize = 100_000;

/// One of the files.
#[derive(Debug)]
pub struct Part {
    /// Where it was found.
    pub path: PathBuf,
    /// One that is written may be rotated away meanwhile, and is held.
    held: Option<File>,
    identity: (u64, u64),
    /// The number of its first record; the last there is where it has none.
    first: u64,
}

impl Part {
    fn open(path: &Path) -> io::Result<Self> {
        let open = || {
            let file = File::open(path)?;
            let mut line = vec![];
            let whole = matches!(
                read_line(&mut BufReader::new(&file), &mut line)?,
                Line::Whole
            );
            let first = unseal(&line).filter(|_| whole);
            let found = file.metadata()?;
            Ok(Self {
                path: path.to_owned(),
                held: (!is_closed(path)).then_some(file),
                identity: (found.dev(), found.ino()),
                first: first.map_or(u64::MAX, |record| record.seq),
            })
        };
        open().map_err(|error: io::Error| {
            io::Error::new(error.kind(), format!("{}: {error}", path.display()))
        })
    }

    /// The file, at its begin.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn file(&self) -> io::Result<File> {
        match &self.held {
            Some(file) => {
                let mut file = file.try_clone()?;
                file.rewind()?;
                Ok(file)
            }
            None => File::open(&self.path),
        }
    }

    /// A reader of all of it.
    ///
    /// # Errors
    /// As [`Part::file`].
    pub fn reader(&self) -> io::Result<BufReader<File>> {
        Ok(BufReader::with_capacity(CHUNK, self.file()?))
    }
}

/// These files, and in place of a folder all audit files in it (`*.jsonl`).
///
/// # Errors
/// When one cannot be read, or there is none.
pub fn of(paths: &[PathBuf]) -> io::Result<Vec<Part>> {
    let mut parts = vec![];
    for path in paths {
        if path.is_dir() {
            let is_audit = |name: &str| {
                Path::new(name)
                    .extension()
                    .is_some_and(|extension| extension == "jsonl")
            };
            // The one that is written first: rotated meanwhile, it is known by its inode.
            let mut found = names(path, is_audit)?;
            found.sort_by_key(String::len);
            for name in found {
                add(&mut parts, &path.join(name))?;
            }
        } else {
            add(&mut parts, path)?;
        }
    }
    in_order(parts)
}

/// The file at `path`, after all that were rotated away from it; of a folder all there are.
///
/// # Errors
/// When one cannot be read, or there is none.
pub fn with_rotated(path: &Path) -> io::Result<Vec<Part>> {
    if path.is_dir() {
        return of(&[path.to_owned()]);
    }
    let mut parts = vec![];
    add(&mut parts, path)?;
    let folder = path.parent().filter(|folder| *folder != Path::new(""));
    let folder = folder.unwrap_or(Path::new("."));
    for name in names(folder, |name| is_rotated(path, name))? {
        add(&mut parts, &path.with_file_name(name))?;
    }
    in_order(parts)
}

/// The names in a folder that are wanted.
pub(super) fn names(folder: &Path, wanted: impl Fn(&str) -> bool) -> io::Result<Vec<String>> {
    let mut found = vec![];
    for entry in fs::read_dir(folder)? {
        let Ok(name) = entry?.file_name().into_string() else {
            continue;
        };
        if wanted(&name) {
            found.push(name);
        }
        if found.len() > MAX_FILES {
            return Err(io::Error::other(format!("over {MAX_FILES} files")));
        }
    }
    Ok(found)
}

/// Unless the same file is there already, under the name it had before a rotation.
fn add(parts: &mut Vec<Part>, path: &Path) -> io::Result<()> {
    let part = Part::open(path)?;
    if parts.iter().all(|other| other.identity != part.identity) {
        parts.push(part);
    }
    Ok(())
}

fn in_order(mut parts: Vec<Part>) -> io::Result<Vec<Part>> {
    if parts.is_empty() {
        let text = "there is no audit here (*.jsonl)";
        return Err(io::Error::new(io::ErrorKind::NotFound, text));
    }
    parts.sort_by_key(|part| part.first);
    Ok(parts)
}

/// Hands each whole line to `take`, without its newline, until it returns `false`. An incomplete
/// last line is left out: it may be being written. Returns how many bytes the lines are.
///
/// # Errors
/// When reading fails, or a line is longer than any record.
pub fn each_line(mut reader: impl BufRead, mut take: impl FnMut(&[u8]) -> bool) -> io::Result<u64> {
    let (mut line, mut bytes) = (vec![], 0);
    loop {
        match read_line(&mut reader, &mut line)? {
            Line::End | Line::Incomplete => return Ok(bytes),
            Line::TooLong => {
                let text = "a line is longer than any record; check it: vaultgram audit verify";
                return Err(io::Error::new(io::ErrorKind::InvalidData, text));
            }
            Line::Whole => {
                bytes += line.len() as u64 + 1;
                if !take(&line) {
                    return Ok(bytes);
                }
            }
        }
    }
}

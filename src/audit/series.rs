//! The files of an audit in order: the rotated ones, then the one that is written.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Seek};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::Duration;

use crate::audit::chain::{Line, read_line};
use crate::audit::record::unseal;
use crate::audit::rotate::{is_closed, is_moving, is_rotated};

/// Bytes read at a time.
pub(super) const CHUNK: usize = 256 * 1024;
/// Files of one audit; more are a mistake.
const MAX_FILES: usize = 100_000;
/// How often the files are looked at again while they are being rotated; then what there is counts.
const TRIES: u32 = 100;
/// How long each of that waits.
const PAUSE: Duration = Duration::from_millis(10);

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
    unmoved(paths, || open_all(paths))
}

/// What `look` finds at `paths` while none of them is rotated: it is asked again as long as one was
/// meanwhile. A file missed between two names would look as if somebody had removed it.
pub(super) fn unmoved<T>(
    paths: &[PathBuf],
    mut look: impl FnMut() -> io::Result<T>,
) -> io::Result<T> {
    for _ in 0..TRIES {
        let before = places(paths);
        let found = look();
        if before.is_some() && before == places(paths) {
            return found;
        }
        sleep(PAUSE);
    }
    look()
}

/// Which file is where; `None` while one is between two names.
fn places(paths: &[PathBuf]) -> Option<Vec<(PathBuf, u64, u64)>> {
    let mut places = vec![];
    for path in paths {
        let here = if path.is_dir() {
            let found = names(path, is_audit).unwrap_or_default();
            found.iter().map(|name| path.join(name)).collect()
        } else {
            vec![path.clone()]
        };
        for path in here {
            let found = path.metadata().ok();
            if found.is_none() && is_moving(&path) {
                return None;
            }
            let (device, inode) = found.map_or((0, 0), |found| (found.dev(), found.ino()));
            places.push((path, device, inode));
        }
    }
    places.sort();
    Some(places)
}

/// Whether a file in a folder is one of an audit.
fn is_audit(name: &str) -> bool {
    let extension = Path::new(name).extension();
    extension.is_some_and(|extension| extension == "jsonl")
}

/// As [`of`], at one moment of a rotation or another.
pub(super) fn open_all(paths: &[PathBuf]) -> io::Result<Vec<Part>> {
    let mut parts = vec![];
    for path in paths {
        if path.is_dir() {
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
    unmoved(&[path.to_owned()], || {
        let mut parts = vec![];
        add(&mut parts, path)?;
        let folder = path.parent().filter(|folder| *folder != Path::new(""));
        let folder = folder.unwrap_or(Path::new("."));
        for name in names(folder, |name| is_rotated(path, name))? {
            add(&mut parts, &path.with_file_name(name))?;
        }
        in_order(parts)
    })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_moves_meanwhile_is_looked_at_again() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let closed = "audit-000000000001-20261121T080005Z.jsonl";
        fs::write(at("audit.jsonl"), "1").unwrap();
        let files = || names(folder.path(), is_audit).map(|found| found.len());
        for path in [at("audit.jsonl"), folder.path().to_owned()] {
            let mut looks = 0;
            let found = unmoved(&[path], || {
                looks += 1;
                let found = files();
                // A rotation, whose two steps two looks see.
                if looks == 1 {
                    fs::write(at("audit.jsonl.next"), "2").unwrap();
                    fs::rename(at("audit.jsonl"), at(closed)).unwrap();
                } else if looks == 2 {
                    fs::rename(at("audit.jsonl.next"), at("audit.jsonl")).unwrap();
                }
                found
            });
            assert_eq!((found.unwrap(), looks), (2, 3));
            fs::remove_file(at(closed)).unwrap();
        }
    }

    #[test]
    fn what_is_not_there_is_not_waited_for() {
        let mut looks = 0;
        let found = unmoved(&["/nowhere/audit.jsonl".into()], || {
            looks += 1;
            Ok(())
        });
        assert!(found.is_ok() && looks == 1);
    }
}

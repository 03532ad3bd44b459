//! Values in the files by which a step tells the runner of variables and outputs.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::OFlags;
use zeroize::Zeroizing;

/// The end of a value, which no value may hold: another one each time.
pub(super) fn delimiter() -> String {
    let random: u128 = rand::random();
    // A UUID of version 4.
    let id = random & !(0xf << 76) & !(0b11 << 62) | 0x4 << 76 | 0b10 << 62;
    let hex = format!("{id:032x}");
    let groups = [0..8, 8..12, 12..16, 16..20, 20..32];
    let groups = groups.map(|group| hex.get(group).unwrap_or_default());
    format!("ghadelimiter_{}", groups.join("-"))
}

/// Adds `name` with `value` to what goes into a file; `false`, and nothing added, where one of
/// them holds the delimiter.
#[must_use]
pub(super) fn add(text: &mut Zeroizing<String>, name: &str, value: &str, delimiter: &str) -> bool {
    if name.contains(delimiter) || value.contains(delimiter) {
        return false;
    }
    for part in [name, "<<", delimiter, "\n", value, "\n", delimiter, "\n"] {
        text.push_str(part);
    }
    true
}

/// A file of the runner's, which must be there.
pub(super) struct CommandFile(File);

impl CommandFile {
    /// Opens the runner's file.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
        let file = File::options()
            .read(true)
            .append(true)
            .custom_flags(flags.bits().cast_signed())
            .open(path)?;
        if file.metadata()?.is_file() {
            Ok(Self(file))
        } else {
            Err(io::Error::other("it is no regular file"))
        }
    }

    /// Adds `text` on a line of its own, at once.
    pub(super) fn append(&mut self, text: &str) -> io::Result<()> {
        let mut all = Zeroizing::new(String::with_capacity(text.len() + 1));
        if self.0.seek(SeekFrom::End(0))? > 0 {
            let mut last = [0];
            self.0.seek(SeekFrom::End(-1))?;
            self.0.read_exact(&mut last)?;
            if last != *b"\n" {
                all.push('\n');
            }
        }
        all.push_str(text);
        self.0.write_all(all.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::cli::github::runner::{self, text};

    #[test]
    fn delimiters_are_unlike_each_other() {
        let (one, two) = (delimiter(), delimiter());
        assert_ne!(one, two);
        let groups: Vec<usize> = one.split('-').map(str::len).collect();
        assert_eq!(groups, ["ghadelimiter_".len() + 8, 4, 4, 4, 12]);
        assert_eq!(one.split('-').nth(2).unwrap().chars().next(), Some('4'));
        let variant = one.split('-').nth(3).unwrap().chars().next().unwrap();
        assert!("89ab".contains(variant), "{one}");
    }

    #[test]
    fn a_value_with_the_delimiter_is_refused() {
        let mut text = Zeroizing::new(String::new());
        assert!(!add(
            &mut text,
            "A",
            "x\nghadelimiter_1\nB=1",
            "ghadelimiter_1"
        ));
        assert!(!add(&mut text, "Aghadelimiter_1", "x", "ghadelimiter_1"));
        assert_eq!(*text, "");
    }

    #[test]
    fn values_come_after_what_is_there() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("env");
        assert!(CommandFile::open(&path).is_err(), "never created");
        for (before, after) in [
            ("", "B<<E\n"),
            ("A=1\n", "A=1\nB<<E\n"),
            ("A=1", "A=1\nB<<E\n"),
        ] {
            std::fs::write(&path, before).unwrap();
            CommandFile::open(&path).unwrap().append("B<<E\n").unwrap();
            assert_eq!(std::fs::read_to_string(&path).unwrap(), after);
        }
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        assert!(CommandFile::open(&link).is_err(), "a link");
        assert!(CommandFile::open(folder.path()).is_err(), "a folder");
        assert!(
            CommandFile::open(Path::new("/dev/null")).is_err(),
            "a device"
        );
    }

    proptest! {
        #[test]
        fn a_runner_reads_what_was_written(
            values in proptest::collection::btree_map("[A-Za-z_][A-Za-z0-9_-]{0,9}", text(), 0..4)
        ) {
            let mut written = Zeroizing::new(String::new());
            for (name, value) in &values {
                prop_assert!(add(&mut written, name, value, &delimiter()));
            }
            let read: BTreeMap<String, String> = runner::variables(&written).unwrap();
            prop_assert_eq!(read, values);
        }
    }
}

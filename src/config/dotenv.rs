//! `.env`: lines of `NAME=value`, of which a value is never changed.
//!
//! Readers of such files disagree on escapes, comments and `$`: the usual crate replaces `$X` and
//! cannot be told not to, which silently spoils a password. So only what all of them read alike
//! is accepted, and anything else is refused with what to write instead.

use std::collections::BTreeMap;
use std::path::Path;

use zeroize::Zeroizing;

use crate::config::MAX_FILE;
use crate::config::files::{self, Guard};

/// What readers disagree on outside quotes, besides white space.
const UNQUOTED: &[char] = &['$', '\\', '\'', '"', '`'];
/// What readers disagree on between double quotes.
const DOUBLE_QUOTED: &[char] = &['$', '\\', '"', '`'];

/// The names and values in the file at `path`; none when there is no file.
///
/// # Errors
/// When it cannot be read, is over 1 MiB, or open to others; and for a line that is not
/// understood: the message names its number, never what it says.
pub(super) fn read(path: &Path) -> Result<BTreeMap<String, Zeroizing<String>>, String> {
    let text = files::read_text(path, MAX_FILE, Guard::Others)?.unwrap_or_default();
    let mut values = BTreeMap::new();
    for (index, line) in text.lines().enumerate() {
        let wrong = |problem: &str| format!("{}:{}: {problem}", path.display(), index + 1);
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let line = line.strip_prefix("export ").unwrap_or(line);
        let (name, value) = line
            .split_once('=')
            .map(|(name, value)| (name.trim(), value.trim()))
            .filter(|(name, _)| is_name(name))
            .ok_or_else(|| wrong("not NAME=value"))?;
        let value = unquoted(value).ok_or_else(|| {
            wrong("quotes are missing or one too many; write NAME='value', or put a value that itself holds a ' into a file and name that with NAME_FILE")
        })?;
        if values
            .insert(name.to_owned(), Zeroizing::new(value.to_owned()))
            .is_some()
        {
            return Err(wrong("this name is set twice; remove one"));
        }
    }
    Ok(values)
}

fn is_name(text: &str) -> bool {
    !text.is_empty()
        && !text.starts_with(|c: char| c.is_ascii_digit())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// The value without its quotes; `None` when readers of `.env` files would disagree on it.
fn unquoted(text: &str) -> Option<&str> {
    let (value, agreed) = if let Some(rest) = text.strip_prefix('\'') {
        let value = rest.strip_suffix('\'')?;
        (value, !value.contains('\''))
    } else if let Some(rest) = text.strip_prefix('"') {
        let value = rest.strip_suffix('"')?;
        (value, !value.contains(DOUBLE_QUOTED))
    } else {
        let doubtful = |c: char| c.is_whitespace() || UNQUOTED.contains(&c);
        (text, !text.contains(doubtful) && !text.starts_with('#'))
    };
    agreed.then_some(value)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    /// Reads `text` from a file only we can read, as `tempfile` makes them.
    fn parse(text: &str) -> Result<BTreeMap<String, Zeroizing<String>>, String> {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        read(file.path())
    }

    #[test]
    fn values_are_taken_as_they_are() {
        let values = parse(
            "# a comment\r\n\n  export A=hvs.x-_/+==#1 \r\nB = 'p$w\"\\#` d'\nC=\"it's\"\nD=\n",
        )
        .unwrap();
        let values: Vec<_> = values
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        assert_eq!(
            values,
            [
                ("A", "hvs.x-_/+==#1"),
                ("B", "p$w\"\\#` d"),
                ("C", "it's"),
                ("D", "")
            ]
        );
    }

    #[test]
    fn what_readers_disagree_on_is_refused_and_not_repeated() {
        for text in [
            "A=p$hunter2",
            "A=\"p$hunter2\"",
            "A=hunter2\\n",
            "A=\"hunter2\\n\"",
            "A=hunter2 # comment",
            "A='hunter2' # comment",
            "A='hunter2",
            "A='hun'ter2'",
            "A='",
            "A=hunter2'",
            "A=`hunter2`",
        ] {
            let error = parse(&format!("B=1\n{text}\n")).unwrap_err();
            assert!(error.contains(":2: quotes are missing"), "{text}: {error}");
            assert!(!error.contains("hun"), "{error}");
        }
        for text in ["hunter2 hunter2", "=hunter2", "2A=hunter2", "A B=hunter2"] {
            let error = parse(text).unwrap_err();
            assert!(error.ends_with(":1: not NAME=value"), "{text}: {error}");
        }
        let error = parse("A=1\nA=2\n").unwrap_err();
        assert!(error.contains(":2: this name is set twice"), "{error}");
    }

    #[test]
    fn a_large_file_is_refused() {
        let error = parse(&"#".repeat((1 << 20) + 1)).unwrap_err();
        assert!(error.contains("is larger than 1024 KiB"), "{error}");
    }
}

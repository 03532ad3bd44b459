//! `NAME=value` as it is: what docker and podman take by `--env-file`, and systemd by
//! `EnvironmentFile=`.
//!
//! None of them has quotes and escapes in common with another, and docker has none at all: what is
//! not read alike without them is refused. systemd takes blanks around a value away, and what a
//! backslash does; a quote at the beginning makes it look for the end. docker takes no line that is
//! longer than its buffer.

use super::{Unfit, Variable};

/// The longest line that docker reads.
const LONGEST: usize = 64 * 1024 - 2;

pub(super) fn write(variables: &[Variable], text: &mut Vec<u8>) -> Result<(), Unfit> {
    for variable in variables {
        if !is_plain(&variable.value) {
            return Err(variable.unfit(
                "docker and systemd would not read the value as it is, for it holds a line end, \
                 another control sign or a backslash, or begins with a quote, or a blank is at \
                 one of its ends",
                "use vaultgram exec, or --format raw into a file of its own",
            ));
        }
        if variable.name.len() + 1 + variable.value.len() > LONGEST {
            return Err(variable.unfit(
                "the value is longer than docker takes",
                "use --format raw into a file of its own",
            ));
        }
        for part in [&variable.name, "=", &variable.value, "\n"] {
            text.extend_from_slice(part.as_bytes());
        }
    }
    Ok(())
}

fn is_plain(value: &str) -> bool {
    let doubtful = |sign: char| (sign.is_ascii_control() && sign != '\t') || sign == '\\';
    !value.contains(doubtful)
        && !value.starts_with(['\'', '"', '`'])
        && value.trim().len() == value.len()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use crate::cli::exit::Exit;
    use crate::cli::format::Format;
    use crate::cli::format::tests::{json, printed, text};

    #[test]
    fn values_stand_as_they_are() {
        let shown = printed(
            r#"{"a":"it's \"x\"\t# $é","e":"","n":1.50}"#,
            Format::Docker,
            "",
        );
        assert_eq!(shown.unwrap(), "A=it's \"x\"\t# $é\nE=\nN=1.50\n");
        let long = "x".repeat(super::LONGEST - 1);
        let parts = [
            "'", "\"", "`", " ", "x\\", "x\ny", "x\r", "x\0", "\u{a0}", "\u{1}", &long,
        ];
        for value in parts {
            let fields = BTreeMap::from([("a".to_owned(), value.into())]);
            let failure = printed(&json(&fields), Format::Docker, "").unwrap_err();
            assert_eq!(failure.exit, Exit::Data, "{value:?}");
        }
        let fields = BTreeMap::from([("a".to_owned(), "\nhunter2".into())]);
        let failure = printed(&json(&fields), Format::Docker, "").unwrap_err();
        assert!(!failure.to_string().contains("hunter2"), "{failure}");
    }

    /// How docker reads a line: nothing in it means anything.
    fn docker(written: &str) -> BTreeMap<String, String> {
        let lines = written.split_terminator('\n').map(|line| {
            let line = line.strip_suffix('\r').unwrap_or(line).trim_start();
            line.split_once('=').unwrap()
        });
        lines
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect()
    }

    /// How systemd reads a value: quotes only where one begins it, a backslash gives way to what it
    /// stands before, blanks around it go.
    fn systemd(written: &str) -> BTreeMap<String, String> {
        let lines = written.split_terminator('\n').map(|line| {
            let (name, value) = line.split_once('=').unwrap();
            assert!(!value.starts_with(['\'', '"']) && !value.contains('\\'));
            let blank = [' ', '\t', '\r'];
            (name.to_owned(), value.trim_matches(blank).to_owned())
        });
        lines.collect()
    }

    proptest! {
        #[test]
        fn docker_and_systemd_read_what_was_written(
            values in proptest::collection::btree_map("P_[A-Z0-9_]{0,9}", text(), 0..4)
        ) {
            let fields = values.iter().map(|(name, value)| (name.clone(), value.clone().into()));
            if let Ok(written) = printed(&json(&fields.collect()), Format::Docker, "") {
                prop_assert_eq!(docker(&written), values.clone());
                prop_assert_eq!(systemd(&written), values);
            }
        }
    }
}

//! `export NAME='value'`, for any shell that knows POSIX's quotes.

use super::{Unfit, Variable};

pub(super) fn write(variables: &[Variable], text: &mut Vec<u8>) -> Result<(), Unfit> {
    for variable in variables {
        if variable.value.contains('\0') {
            return Err(variable.unfit(
                "no variable can hold the value, for it holds a zero byte",
                "print it with --format raw into a file",
            ));
        }
        text.extend_from_slice(b"export ");
        text.extend_from_slice(variable.name.as_bytes());
        text.extend_from_slice(b"='");
        for (position, part) in variable.value.split('\'').enumerate() {
            if position > 0 {
                text.extend_from_slice(br"'\''");
            }
            text.extend_from_slice(part.as_bytes());
        }
        text.extend_from_slice(b"'\n");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::process::Command;

    use proptest::prelude::*;

    use crate::cli::exit::Exit;
    use crate::cli::format::Format;
    use crate::cli::format::tests::{json, printed, text};

    #[test]
    fn a_quote_ends_the_quotes_and_begins_them_again() {
        let shown = printed(r#"{"a":"it's\n$x"}"#, Format::Export, "");
        assert_eq!(shown.unwrap(), "export A='it'\\''s\n$x'\n");
        let failure = printed(r#"{"a":"x\u0000"}"#, Format::Export, "").unwrap_err();
        assert_eq!(failure.exit, Exit::Data);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn a_shell_reads_what_was_written(
            values in proptest::collection::btree_map("[A-Z_][A-Z0-9_]{0,9}", text(), 1..4)
        ) {
            let fields = values.iter().map(|(name, value)| (name.clone(), value.clone().into()));
            let Ok(written) = printed(&json(&fields.collect()), Format::Export, "P_") else {
                prop_assert!(values.values().any(|value| value.contains('\0')));
                return Ok(());
            };
            let ran = Command::new("sh")
                .args(["-c", "eval \"$1\"; exec env -0", "sh", &written])
                .env_clear()
                .env("PATH", "/usr/bin:/bin")
                .output()
                .unwrap();
            prop_assert_eq!(String::from_utf8(ran.stderr).unwrap(), "");
            let read: BTreeMap<String, String> = String::from_utf8(ran.stdout)
                .unwrap()
                .split_terminator('\0')
                .filter_map(|line| line.strip_prefix("P_")?.split_once('='))
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect();
            prop_assert_eq!(read, values);
        }
    }
}
